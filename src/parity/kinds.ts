/** Which runner computes which kind of golden case. */
import type { CaseRunner } from "./case.ts";

export const RUNNERS: Readonly<Record<string, CaseRunner>> = {};
