/** Which runner computes which kind of golden case. */
import type { CaseRunner } from "./case.ts";
import { t5Case } from "./t5.ts";
import { transformerCase } from "./transformer.ts";

export const RUNNERS: Readonly<Record<string, CaseRunner>> = {
  "cosmos.transformer": transformerCase,
  "t5.encoder": t5Case,
};
