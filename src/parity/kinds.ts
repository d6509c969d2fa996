/** Which runner computes which kind of golden case; each family of networks names its own. */
import type { CaseRunner } from "./case.ts";
import { kinds as cosmos } from "./cosmos.ts";
import { kinds as lingbot } from "./lingbot.ts";
import { kinds as lingbotSamples } from "./lingbot-samples.ts";
import { kinds as diffusionPolicy } from "./diffusion-policy.ts";
import { kinds as lucidrainsAction } from "./lucidrains-action.ts";
import { kinds as lucidrainsVideo } from "./lucidrains-video.ts";
import { kinds as meanflow } from "./meanflow.ts";
import { kinds as official } from "./official.ts";
import { kinds as officialSamples } from "./official-samples.ts";
import { kinds as rollout } from "./rollout.ts";
import { kinds as t5 } from "./t5.ts";
import { kinds as vae } from "./vae.ts";
import { kinds as wan } from "./wan.ts";

export const kinds: Readonly<Record<string, CaseRunner>> = {
  ...lucidrainsAction,
  ...lucidrainsVideo,
  ...cosmos,
  ...vae,
  ...t5,
  ...official,
  ...officialSamples,
  ...rollout,
  ...wan,
  ...lingbot,
  ...lingbotSamples,
  ...diffusionPolicy,
  ...meanflow,
};
