/**
 * A device in Node, through the npm package `webgpu` (Dawn). Order: a real GPU, then a software driver that the
 * system has, then the software GPU from npm. The choice can be forced by name.
 */
import { create, globals } from "webgpu";
import { AdapterError } from "../errors.ts";
import { Gpu, type GpuOptions } from "./gpu.ts";
import { unpackSoftwareGpu, useSoftwareGpu } from "./software.node.ts";
import { hasVulkanDriver, hasVulkanLoader } from "./vulkan.node.ts";

export interface OpenOptions extends GpuOptions {
  /** "software", or a part of the adapter's name; default: the environment variable MIMIC_VIDEO_ADAPTER, or the best found */
  readonly adapter?: string;
  /** bounds checks and zeroed workgroup memory in every shader on a software adapter; default: the environment variable MIMIC_VIDEO_BOUNDS_CHECKS=on, or off */
  readonly boundsChecks?: boolean;
  /** take a software adapter for a real GPU, with its workgroups, lanes and variants: slow, but a test of what runs there */
  readonly asGpu?: boolean;
}

// Dawn's constants (GPUBufferUsage, …) become globals, as they are in a browser.
Object.assign(globalThis, globals);

// The garbage collector must not take the instance while its adapters live.
const instances: GPU[] = [];

/**
 * Dawn clamps every index in every shader and has the driver check it once more. Our kernels guard their own indices, and
 * pass their tests either way; on SwiftShader 5.0.0 a read costs 25 ns with these checks and 10 without, which makes
 * matrix products 1.5 times faster (2026-11-22). Real GPUs check in hardware, and browsers decide for themselves.
 * It also fills workgroup memory with zeros: building the GRU took 1.1 s with that and takes 0.1 s without. Our kernels read only what
 * they have written.
 */
const UNCHECKED = "enable-dawn-features=disable_robustness,disable_workgroup_init";

/**
 * For real GPUs: subgroup matrices are an experiment of Dawn's, and float16 on NVIDIA is held back there until its conformance tests
 * pass. Both only add features to choose from; kernels use them when asked for by name.
 */
const EXPERIMENTS = "enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia";

function instance(...toggles: string[]): GPU {
  const gpu = create(toggles);
  instances.push(gpu);
  return gpu;
}

const isSoftware = (adapter: GPUAdapter): boolean =>
  adapter.info.isFallbackAdapter ||
  /swiftshader|llvmpipe|lavapipe/i.test(`${adapter.info.device} ${adapter.info.description}`);

const describe = ({ info }: GPUAdapter): string =>
  [info.vendor, info.architecture, info.device, info.description].filter(Boolean).join(" ");

/** An adapter that fits the options, and how to ask for it again: an adapter gives one device only. */
export interface FoundAdapter {
  readonly adapter: GPUAdapter;
  readonly origin: string;
  readonly software: boolean;
  readonly again: () => Promise<GPUAdapter | null>;
}

/**
 * Opens the device to compute on.
 * @throws AdapterError when there is none, saying what to install, or when none has the requested name
 */
export async function openGpu(options: OpenOptions = {}): Promise<Gpu> {
  const { adapter, origin, software } = await findAdapter(options);
  return Gpu.request(adapter, origin, software && !options.asGpu, options);
}

/** The adapter that `openGpu` would open. @throws AdapterError as `openGpu` */
export async function findAdapter(options: OpenOptions = {}): Promise<FoundAdapter> {
  const wanted = (options.adapter ?? process.env.MIMIC_VIDEO_ADAPTER ?? "").toLowerCase();
  const seen: string[] = [];
  const fits = (adapter: GPUAdapter): boolean => {
    const name = describe(adapter);
    seen.push(name);
    return (
      wanted === "" || (wanted === "software" ? isSoftware(adapter) : name.toLowerCase().includes(wanted))
    );
  };

  const checked = options.boundsChecks ?? process.env.MIMIC_VIDEO_BOUNDS_CHECKS === "on";
  const software = (): GPU => instance(...(checked ? [] : [UNCHECKED]));

  // Without a loader and a driver Dawn would print warnings and find nothing.
  const system = hasVulkanLoader() && hasVulkanDriver() ? instance(EXPERIMENTS) : undefined;
  for (const forceFallbackAdapter of system ? [false, true] : []) {
    const adapter = await system!.requestAdapter({
      powerPreference: "high-performance",
      forceFallbackAdapter,
    });
    if (adapter && fits(adapter)) {
      const request = { powerPreference: "high-performance", forceFallbackAdapter } as const;
      if (!isSoftware(adapter)) {
        return { adapter, origin: "GPU", software: false, again: () => system!.requestAdapter(request) };
      }
      // Bounds checks are chosen for an instance, before its adapters are known.
      const unchecked = software();
      const again = (): Promise<GPUAdapter | null> => unchecked.requestAdapter(request);
      return {
        adapter: (await again()) ?? adapter,
        origin: "installed software driver",
        software: true,
        again,
      };
    }
  }

  let unavailable = "";
  try {
    const folder = await unpackSoftwareGpu();
    useSoftwareGpu(folder);
    const packaged = software();
    const again = (): Promise<GPUAdapter | null> => packaged.requestAdapter();
    const adapter = await again();
    if (adapter && fits(adapter)) return { adapter, origin: "SwiftShader from npm", software: true, again };
    if (!adapter) unavailable = `the packaged software driver in ${folder} did not start`;
  } catch (error) {
    if (!(error instanceof AdapterError)) throw error;
    unavailable = error.message;
  }
  if (seen.length > 0) {
    throw new AdapterError(
      `no adapter is called "${wanted}"; found: ${seen.join("; ")}${unavailable ? ` (${unavailable})` : ""}`,
    );
  }
  throw new AdapterError(
    `no WebGPU adapter was found, and ${unavailable}. Install a Vulkan driver (Debian and Ubuntu: mesa-vulkan-drivers ` +
      "25 or newer for a software one, the vendor's driver for a GPU), or install the optional npm dependencies.",
  );
}
