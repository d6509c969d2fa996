/** Which runner computes which kind of golden case. */
import type { CaseRunner } from "./case.ts";
import { transformerCase } from "./transformer.ts";

export const RUNNERS: Readonly<Record<string, CaseRunner>> = {
  "cosmos.transformer": transformerCase,
};
