/** Which runner computes which kind of golden case. */
import {
  actionForwardCase,
  actionSampleCase,
  actionViewsCase,
  actorCase,
  stateTokensCase,
} from "./action.ts";
import type { CaseRunner } from "./case.ts";
import { rolloutCase } from "./rollout.ts";
import { t5Case } from "./t5.ts";
import { transformerCase } from "./transformer.ts";
import { cosmosVaeCase, wanVaeCase } from "./vae.ts";

export const RUNNERS: Readonly<Record<string, CaseRunner>> = {
  "mimic_video.forward": actionForwardCase,
  "mimic_video.sample": actionSampleCase,
  "mimic_video.multi_view": actionViewsCase,
  "mimic_video.actor": actorCase,
  "mimic_video.state_tokens": stateTokensCase,
  "cosmos.transformer": transformerCase,
  "cosmos.vae": cosmosVaeCase,
  "t5.encoder": t5Case,
  "cosmos.video_rollout": rolloutCase,
  "wan.vae": wanVaeCase,
};
