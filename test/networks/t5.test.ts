/** T5's buckets of relative positions, and prompts that are cut. */
import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { relativeBuckets } from "../../src/networks/t5/buckets.ts";
import { readT5Config } from "../../src/networks/t5/encoder.ts";
import { MAX_TOKENS, PromptTokenizer } from "../../src/networks/t5/tokenizer.ts";

// transformers' formula in numpy 2.4.6's float32, keys behind the query from the farthest to the nearest, then those before it.
const REFERENCE: readonly (readonly [number, number, string, string])[] = [
  [
    14,
    128,
    "4 4 4 4 4 4 4 4 4 4 4 4 3 3 3 3 3 2 1 0",
    "8 9 10 10 10 10 10 11 11 11 11 11 11 11 11 11 11 11 11",
  ],
  [
    15,
    128,
    "4 4 4 4 4 4 4 4 4 4 4 4 3 3 3 3 3 2 1 0",
    "8 9 10 10 10 10 10 11 11 11 11 11 11 11 11 11 11 11 11",
  ],
  [
    22,
    128,
    "7 7 7 7 7 6 6 6 6 6 6 5 5 5 5 4 3 2 1 0",
    "12 13 14 15 16 16 16 16 17 17 17 17 17 17 18 18 18 18 18",
  ],
  [
    32,
    128,
    "10 10 10 10 9 9 9 9 8 8 8 8 7 6 5 4 3 2 1 0",
    "17 18 19 20 21 22 23 24 24 24 24 25 25 25 25 26 26 26 26",
  ],
];

describe("relative buckets", () => {
  it.each(REFERENCE)("of %i up to distance %i", (buckets, distance, before, after) => {
    expect([...relativeBuckets(20, buckets, distance)].join(" ")).toBe(`${before} ${after}`);
  });

  it("never leave the table, and are shared from the largest distance on", () => {
    for (let buckets = 4; buckets < 70; buckets++) {
      const all = relativeBuckets(600, buckets, 128);
      expect(Math.max(...all)).toBeLessThan(buckets);
      expect(new Set(all.slice(0, 470)).size).toBe(1);
    }
  });

  it("refuse numbers with which the reference divides by zero", () => {
    const config = { vocab_size: 10, d_model: 8, d_kv: 4, d_ff: 8, num_layers: 1, num_heads: 2 };
    const reads = (more: object) => () => readT5Config({ ...config, ...more });
    expect(reads({ relative_attention_num_buckets: 3 })).toThrow(/at least 4 buckets/);
    expect(reads({ relative_attention_max_distance: 8 })).toThrow(/relative_attention_max_distance 8/);
    expect(reads({ dense_act_fn: "gelu_new" })).toThrow(/dense_act_fn = "gelu_new"/);
    expect(reads({ relative_attention_num_buckets: 15 })()).toMatchObject({ buckets: 15 });
  });
});

describe("PromptTokenizer", () => {
  it("says how long a prompt was that it cuts", async () => {
    const file = new URL("../release-mini/bridge/text_encoder/t5-11b/tokenizer.json", import.meta.url);
    const tokenizer = new PromptTokenizer(JSON.parse(await readFile(file, "utf8")));
    const cut: number[] = [];
    const short = tokenizer.encode("put carrot on plate", (ids) => cut.push(ids));
    expect(cut).toEqual([]);
    const long = tokenizer.encode("put carrot on plate ".repeat(400), (ids) => cut.push(ids));
    expect(long.length).toBe(MAX_TOKENS);
    expect(long.at(-1)).toBe(short.at(-1));
    expect(cut.length).toBe(1);
    expect(cut[0]).toBeGreaterThan(1600);
  });
});
