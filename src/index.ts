/**
 * The library: everything here runs in Node and in browsers. Opening a device and reading files differ between the two:
 * in Node use `mimic-video-webgpu/node` (index.node.ts).
 */
export * from "./errors.ts";
export { type AdapterDescription, Gpu, type GpuOptions } from "./gpu/gpu.ts";
export { openBrowserGpu } from "./gpu/open.ts";
export { record, Replay, scope } from "./gpu/recording.ts";
export { type AutotuneOptions, type AutotuneStore, autotune } from "./kernels/autotune.ts";
export { browserStore } from "./kernels/autotune-store.browser.ts";
export {
  copyTensor,
  createTensor,
  readTensor,
  releaseTensor,
  type Shape,
  Tensor,
  writeTensor,
} from "./tensor/tensor.ts";
export { type CosmosTransformerConfig, readCosmosTransformerConfig } from "./model/cosmos/config.ts";
export { distinctTimes, timestepSinusoids } from "./model/cosmos/timesteps.ts";
export { CosmosTransformer, type TextContext, type TransformerInput } from "./model/cosmos/transformer.ts";
export { Actor } from "./model/action/actor.ts";
export { type ActionConfig, readActionConfig } from "./model/action/config.ts";
export { ActionDecoder } from "./model/action/decoder.ts";
export { CosmosVae } from "./model/cosmos-vae.ts";
export { readCosmosVaeConfig } from "./model/cosmos-vae-config.ts";
export { type ModelDescription, readModelDescription } from "./model/description.ts";
export { MimicVideo, type MimicVideoOptions, type Prepared } from "./model/mimic-video.ts";
export { readT5Config, T5Encoder } from "./model/t5-encoder.ts";
export { PromptTokenizer } from "./model/tokenizer.ts";
export { VideoTower, type VideoTowerConfig } from "./model/video-tower.ts";
export { WanVae } from "./model/wan-vae.ts";
export { ActionSampler, type ActionSamples, sampleActions } from "./sampler/action.ts";
export { sampleSteered } from "./sampler/steering.ts";
export { type FlowCallback, type FlowModel, type FlowState, sampleFlow } from "./sampler/flow.ts";
export { linspace, videoGrid } from "./sampler/grid.ts";
export { gaussian } from "./sampler/noise.ts";
export { VideoFlow } from "./sampler/video-flow.ts";
export { euler, heun, midpoint, type Solver, SOLVERS } from "./sampler/solver.ts";
export { WeightLoader } from "./weights/loader.ts";
export type { ModelFiles } from "./weights/model-files.ts";
export type { ByteSource, TensorInfo, TensorSource } from "./weights/source.ts";
