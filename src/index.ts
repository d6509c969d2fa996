/// <reference types="@webgpu/types" preserve="true" />
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
export { type CosmosTransformerConfig, readCosmosTransformerConfig } from "./networks/cosmos/config.ts";
export { distinctTimes, timestepSinusoids } from "./networks/cosmos/timesteps.ts";
export { CosmosTransformer, type TextContext, type TransformerInput } from "./networks/cosmos/transformer.ts";
export { Actor } from "./networks/lucidrains-action/actor.ts";
export { type ActionConfig, readActionConfig } from "./networks/lucidrains-action/config.ts";
export { ActionDecoder } from "./networks/lucidrains-action/decoder.ts";
export { type Edition } from "./networks/lucidrains-action/edition.ts";
export { CosmosVae } from "./networks/cosmos-vae/vae.ts";
export { readCosmosVaeConfig } from "./networks/cosmos-vae/config.ts";
export { type ModelDescription, readModelDescription } from "./systems/mimic-video/description.ts";
export { MimicVideo, type MimicVideoOptions, type Prepared } from "./systems/mimic-video/model.ts";
export { jvp, type Moved } from "./kernels/jvp.ts";
export { buildMeanFlowNetwork } from "./networks/meanflow/build.ts";
export { readMeanFlowConfig } from "./networks/meanflow/config.ts";
export { MeanFlowEvaluator } from "./networks/meanflow/evaluator.ts";
export type { MeanFlowNetwork } from "./networks/meanflow/network.ts";
export {
  guidedVelocity,
  identityResiduals,
  identityTarget,
  meanFlowLoss,
  pathStates,
  straightnessOf,
} from "./sampling/meanflow-measures.ts";
export type { Sampler } from "./systems/sampler.ts";
export { readT5Config, T5Encoder } from "./networks/t5/encoder.ts";
export { PromptTokenizer } from "./networks/t5/tokenizer.ts";
export { VideoTower, type VideoTowerConfig } from "./systems/mimic-video/video-tower.ts";
export { WanVae } from "./networks/wan-vae/vae.ts";
export { actionsToNoise } from "./systems/mimic-video/action-to-noise.ts";
export { ActionSampler, type ActionSamples, sampleActions } from "./systems/mimic-video/action-sampler.ts";
export { sampleSteered } from "./systems/mimic-video/steering.ts";
export { type Denoiser, type Guidance, guided, type Window, windowed } from "./sampling/denoiser.ts";
export { type FlowCallback, type FlowState, sampleFlow } from "./sampling/flow.ts";
export { dataFilesOf, type DataFiles } from "./data/lerobot/files.ts";
export { hubDataFiles, parseDataRef } from "./data/lerobot/hub.ts";
export { type FloatPicture, type Picture, resize, toRgb } from "./data/lerobot/pixels.ts";
export { type Choices, Recordings } from "./data/lerobot/recordings.ts";
export { LeRobotSet, type LeRobotOptions } from "./data/lerobot/set.ts";
export { type Window as RecordedWindow, Windows, type WindowShape } from "./data/lerobot/windows.ts";
export { linspace, videoGrid } from "./sampling/grid.ts";
export { gaussian } from "./sampling/noise.ts";
export { VideoFlow } from "./systems/mimic-video/video-flow.ts";
export { sample, type SampleOptions, type SampleState } from "./sampling/sample.ts";
export type { Call, Scheduler, Terms } from "./sampling/scheduler.ts";
export {
  edmHeun,
  euler,
  exponentialAb2,
  heun,
  meanFlow,
  midpoint,
  SCHEDULERS,
} from "./sampling/schedulers.ts";
export { WeightLoader } from "./weights/loader.ts";
export type { ModelFiles } from "./weights/model-files.ts";
export type { ByteSource, TensorInfo, TensorSource } from "./weights/source.ts";
export {
  type BridgeCommand,
  BridgeController,
  liberoActions,
  type Pose,
  poseOf,
  type Quaternion,
  rotationRows,
} from "./systems/mimic-video-release/robot-actions.ts";
