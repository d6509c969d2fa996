/** Dialogs over the page: a question with two answers, and a sheet as large as the window. Both close with Escape. */
import { make } from "./dom.ts";
import "./sheet.css";

/**
 * Asks before something is lost.
 * @returns whether the person agreed; closing it in any other way is a no
 */
export function ask(question: string, yes: string, no: string): Promise<boolean> {
  const agree = make("button", { textContent: yes, value: "yes", className: "primary" });
  const refuse = make("button", { textContent: no, value: "no", autofocus: true });
  const words = make("p", { id: "question", textContent: question });
  const form = make(
    "form",
    { method: "dialog" },
    words,
    make("div", { className: "actions" }, agree, refuse),
  );
  const dialog = make("dialog", { className: "question" }, form);
  dialog.setAttribute("aria-labelledby", "question");
  document.body.append(dialog);
  return new Promise((answered) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      answered(dialog.returnValue === "yes");
    });
    dialog.showModal();
  });
}

/**
 * Shows something over the whole page.
 * @param title stands above it
 * @returns when it was closed
 */
export function showSheet(title: string, content: HTMLElement): Promise<void> {
  const close = make("button", { type: "button", textContent: "Close" });
  const heading = make("h2", { id: "sheet-title", textContent: title });
  const dialog = make("dialog", { className: "sheet" }, make("header", {}, heading, close), content);
  dialog.setAttribute("aria-labelledby", "sheet-title");
  close.addEventListener("click", () => dialog.close());
  document.body.append(dialog);
  return new Promise((closed) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      closed();
    });
    dialog.showModal();
  });
}
