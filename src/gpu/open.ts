/** A device in a browser, through `navigator.gpu`. */
import { AdapterError } from "../errors.ts";
import { Gpu, type GpuOptions } from "./gpu.ts";

/**
 * Opens the browser's preferred device.
 * @throws AdapterError when the browser has no WebGPU or offers no adapter
 */
export async function openBrowserGpu(options: GpuOptions = {}): Promise<Gpu> {
  if (!navigator.gpu) {
    throw new AdapterError(
      "this browser has no WebGPU. Use a current Chrome, Edge, Safari or Firefox, over https or on localhost.",
    );
  }
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) {
    throw new AdapterError(
      "this browser offers no WebGPU adapter. Turn hardware acceleration on in its settings, or update the graphics driver.",
    );
  }
  const software =
    adapter.info.isFallbackAdapter ||
    /swiftshader|llvmpipe/i.test(`${adapter.info.device} ${adapter.info.description}`);
  return Gpu.request(adapter, "browser", software, options);
}
