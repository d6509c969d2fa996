/** Prompts to token ids, from a Hugging Face tokenizer.json. */
import { Tokenizer } from "@huggingface/tokenizers";
import { FormatError, UsageError } from "../../errors.ts";

/** What is used of the library, whose own type declarations do not resolve under Node's module rules. */
interface LibraryTokenizer {
  encode(text: string): { ids: number[] };
  token_to_id(token: string): number | undefined;
}
const LibraryTokenizer = Tokenizer as unknown as new (json: unknown, config: unknown) => LibraryTokenizer;

/** T5's truncation: 511 pieces and the end mark. */
export const MAX_TOKENS = 512;

/** What a person is told of a prompt that was cut. */
export function cutNote(prompt: string, tokens: number, most = MAX_TOKENS): string {
  const words = prompt.length > 40 ? `${prompt.slice(0, 40)}…` : prompt;
  return `the prompt "${words}" has ${tokens} tokens; the model reads the first ${most} and never sees the rest`;
}

export class PromptTokenizer {
  readonly #tokenizer: LibraryTokenizer;
  readonly #end: number | undefined;

  /** @throws FormatError when the file describes no tokenizer that is understood */
  constructor(json: unknown, name = "tokenizer.json") {
    try {
      this.#tokenizer = new LibraryTokenizer(json, {});
    } catch (error) {
      throw new FormatError(`${name} is not a tokenizer this project can read: ${(error as Error).message}`);
    }
    this.#end = this.#tokenizer.token_to_id("</s>");
  }

  /**
   * Ids of a prompt with the end mark, at most `most`.
   * @param onCut told how many ids there were, when there were more
   * @throws UsageError for a piece without an id
   */
  encode(prompt: string, onCut?: (ids: number) => void, most = MAX_TOKENS): number[] {
    const { ids } = this.#tokenizer.encode(prompt);
    if (ids.some((id) => !Number.isInteger(id))) {
      throw new UsageError(`the tokenizer has no ids for the prompt ${JSON.stringify(prompt)}`);
    }
    const open = ids.at(-1) === this.#end ? ids.slice(0, -1) : ids;
    if (open.length > most - 1) onCut?.(open.length + 1);
    const cut = open.slice(0, most - 1);
    return this.#end === undefined ? cut : [...cut, this.#end];
  }
}
