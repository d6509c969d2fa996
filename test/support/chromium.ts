/**
 * A headless Chromium with software WebGPU from npm alone: `@sparticuz/chromium` carries the browser, SwiftShader, a font
 * and the libraries that a bare system lacks. Unpacked once into the cache folder that the software GPU uses too.
 */
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { brotliDecompress, createBrotliDecompress } from "node:zlib";
import { promisify } from "node:util";
import { type Browser, chromium } from "playwright-core";
import { extract } from "tar-fs";
import { cacheFolder } from "../../src/gpu/software.node.ts";

const PACKAGE = "@sparticuz/chromium";

/** What makes WebGPU run on SwiftShader, and Chromium run as root in a container. */
const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--no-zygote",
  "--disable-gpu-sandbox",
  "--ignore-gpu-blocklist",
];
const WEBGPU = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];

/**
 * Starts the packaged browser.
 * @param webgpu false for a browser that offers no adapter
 * @throws when there is no such browser here, or it does not start; the message says why
 */
export async function startChromium(webgpu = true): Promise<Browser> {
  if (process.platform !== "linux" || process.arch !== "x64")
    throw new Error(`the packaged Chromium is for linux-x64, this is ${process.platform}-${process.arch}`);
  const folder = await unpack();
  const systemFonts = existsSync("/etc/fonts/fonts.conf");
  return chromium.launch({
    executablePath: path.join(folder, "chromium"),
    args: [...FLAGS, ...(webgpu ? WEBGPU : [])],
    ignoreDefaultArgs: ["--disable-gpu"],
    env: {
      ...(process.env as Record<string, string>),
      LD_LIBRARY_PATH: [path.join(folder, "lib"), process.env.LD_LIBRARY_PATH].filter(Boolean).join(":"),
      ...(systemFonts ? {} : { FONTCONFIG_FILE: path.join(folder, "fonts.conf") }),
    },
  });
}

async function unpack(): Promise<string> {
  const require = createRequire(import.meta.url);
  let bin: string;
  try {
    const entry = require.resolve(PACKAGE);
    bin = path.join(entry.slice(0, entry.lastIndexOf(PACKAGE) + PACKAGE.length), "bin");
  } catch {
    throw new Error(`the optional package ${PACKAGE} is not installed`);
  }
  const { version } = JSON.parse(await readFile(path.join(bin, "../package.json"), "utf8")) as {
    version: string;
  };
  const folder = path.join(cacheFolder(), `chromium-${version}`);
  if (existsSync(path.join(folder, "chromium"))) return folder;
  await mkdir(cacheFolder(), { recursive: true });
  const fresh = await mkdtemp(path.join(cacheFolder(), "unpacking-"));
  for (const tar of ["swiftshader", "fonts", "al2023"]) {
    const packed = await readFile(path.join(bin, `${tar}.tar.br`));
    await pipeline(Readable.from([packed]), createBrotliDecompress(), extract(fresh));
  }
  await writeFile(
    path.join(fresh, "fonts.conf"),
    `<?xml version="1.0"?><fontconfig><dir>${folder}/fonts</dir><cachedir>${folder}/fonts-cache</cachedir></fontconfig>`,
  );
  const browser = path.join(fresh, "chromium");
  await writeFile(browser, await promisify(brotliDecompress)(await readFile(path.join(bin, "chromium.br"))));
  await chmod(browser, 0o755);
  // Several processes may unpack at once; whoever renames first wins and the others throw theirs away.
  await rename(fresh, folder).catch(() => rm(fresh, { recursive: true, force: true }));
  return folder;
}
