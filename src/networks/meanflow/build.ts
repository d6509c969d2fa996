/** The network of a configuration. */
import type { WeightLoader } from "../../weights/loader.ts";
import type { MeanFlowConfig } from "./config.ts";
import { DiT } from "./dit.ts";
import { ImfDiT } from "./imf-dit.ts";
import type { MeanFlowNetwork } from "./network.ts";
import { SongUNet } from "./song-unet.ts";
import { ZooCnn, ZooMlp } from "./zoo-small.ts";
import { ZooUNet } from "./zoo-unet.ts";

/** @param size rows and columns of the states, of which a network of plain convolutions knows nothing */
export function buildMeanFlowNetwork(
  config: MeanFlowConfig,
  w: WeightLoader,
  size: readonly [number, number],
): MeanFlowNetwork {
  switch (config.arch) {
    case "zoo_unet":
      return new ZooUNet(config, w);
    case "zoo_dit":
    case "sit":
      return new DiT(config, w);
    case "zoo_mlp":
      return new ZooMlp(config, w);
    case "zoo_cnn":
      return new ZooCnn(config, w, size);
    case "song_unet":
      return new SongUNet(config, w);
    case "imf_dit":
      return new ImfDiT(config, w);
  }
}
