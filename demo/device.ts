/** In the worker: the device that models run on, opened when first needed and again when it was lost. */
import type { Gpu } from "../src/gpu/gpu.ts";
import { openBrowserGpu } from "../src/gpu/open.ts";
import type { ProbeProvenance } from "../src/probe/experiment/measurement.ts";
import type { DeviceView } from "./protocol.ts";

/** Version of this project, put in by vite.config.ts. */
declare const PROJECT_VERSION: string;

export class BrowserDevice {
  readonly #onOpen: (gpu: Gpu) => void;
  #gpu: Gpu | undefined;

  constructor(onOpen: (gpu: Gpu) => void) {
    this.#onOpen = onOpen;
  }

  /**
   * Kernels are the likeliest ones: timing them all first, as the command line does (autotune.ts), would keep a visitor waiting for the
   * first result.
   */
  async gpu(): Promise<Gpu> {
    if (this.#gpu) return this.#gpu;
    const gpu = await openBrowserGpu();
    this.#gpu = gpu;
    this.#onOpen(gpu);
    return gpu;
  }

  /** Lets go of the device and what lies on it; the next use opens another. */
  drop(): void {
    this.#gpu?.destroy();
    this.#gpu = undefined;
  }
}

/** The device and the versions, as results name them. */
export function provenanceDevice(gpu: Gpu): Pick<ProbeProvenance, "device" | "versions"> {
  const view = deviceView(gpu);
  return {
    device: {
      name: view.name,
      driver: gpu.adapter.description || gpu.adapter.origin,
      adapter: view.adapter,
      software: view.software,
    },
    versions: { project: PROJECT_VERSION, browser: browserName() },
  };
}

/** Limits that decide whether a model fits. */
const LIMITS = [
  ["largest buffer", "maxBufferSize"],
  ["largest binding", "maxStorageBufferBindingSize"],
  ["workgroup memory", "maxComputeWorkgroupStorageSize"],
] as const;

export function deviceView({ device, adapter, name }: Gpu): DeviceView {
  const { vendor, architecture, device: model, software, origin } = adapter;
  const words = [vendor, architecture, model, origin].filter(Boolean);
  return {
    // Browsers often keep the device's own name to themselves.
    name: adapter.description || model || [vendor, architecture].filter(Boolean).join(" ") || name,
    adapter: words.join(", "),
    software,
    features: [...device.features].sort(),
    limits: LIMITS.map(([label, key]) => [label, device.limits[key]]),
  };
}

function browserName(): string {
  const { userAgentData } = navigator as { userAgentData?: { brands: { brand: string; version: string }[] } };
  const brand = userAgentData?.brands.find((b) => !/not.?a.?brand/i.test(b.brand));
  return brand ? `${brand.brand} ${brand.version}` : navigator.userAgent;
}
