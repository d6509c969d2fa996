/** Text that becomes markup stays text. */
import fc from "fast-check";
import { JSDOM } from "jsdom";
import { describe, expect, it } from "vitest";
import { escaped, INVISIBLE, markup, scriptJson, scriptText } from "../../../src/probe/report/markup.ts";
import { HOSTILE } from "./cases.ts";

describe("markup", () => {
  const domOf = (text: string) => new JSDOM(text).window.document;

  it("is read back as the words that went in, in elements and attributes", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const parsed = domOf(`<p title="${escaped(text)}">${escaped(text)}</p>`).querySelector("p")!;
        const visible = text.replace(INVISIBLE, "\ufffd");
        expect(parsed.textContent).toBe(visible);
        expect(parsed.title).toBe(visible);
        expect(parsed.attributes).toHaveLength(1);
        expect(parsed.children).toHaveLength(0);
      }),
    );
  });

  it("escapes every value of a template but markup itself", () => {
    const item = markup`<b>${"<i>"}</b>`;
    expect(markup`${item}${[item, "&"]}${null}${false}${0}`.text).toBe(
      "<b>&lt;i&gt;</b><b>&lt;i&gt;</b>&amp;0",
    );
  });

  it("keeps JSON whole inside a script, whatever is in it", () => {
    for (const value of [HOSTILE, ["]]>", "<!--", "</SCRIPT >"], { "</script>": 1 }]) {
      const document = domOf(`<script type="application/json" id="x">${scriptJson(value).text}</script><p>`);
      expect(document.scripts).toHaveLength(1);
      expect(JSON.parse(document.getElementById("x")!.textContent)).toEqual(value);
      expect(scriptJson(value).text).not.toMatch(/[<>&\u2028\u2029]/);
    }
  });

  it("keeps a script whole that names its own end", () => {
    const code = 'const ends = "</script>" + "<!--" + "</SCRIPT>";';
    const document = domOf(`<script>${scriptText(code)}</script><p>`);
    expect(document.scripts).toHaveLength(1);
    const ran = new JSDOM(document.documentElement.outerHTML, { runScripts: "dangerously" }).window;
    expect(ran.eval("ends")).toBe("</script><!--</SCRIPT>");
  });
});
