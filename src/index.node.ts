/// <reference types="@webgpu/types" preserve="true" />
/** The library in Node: the same, with devices and files of this machine. */
export * from "./index.ts";
export { openGpu, type OpenOptions } from "./gpu/open.node.ts";
export { fileStore, autotuneHere } from "./kernels/autotune.node.ts";
export { openModelFolder } from "./weights/model-files.node.ts";
export { openWeights } from "./weights/open.node.ts";
export { dataFolder, openLeRobot } from "./data/lerobot/files.node.ts";
export { resolveData } from "./data/lerobot/open.node.ts";
