/**
 * Frames of a video file by the time they are shown at, through mediabunny: it seeks by presentation time, where raw container calls go by
 * decode time and land behind the target on open groups of pictures.
 */
import {
  CustomSource,
  Input,
  type InputVideoTrack,
  MATROSKA,
  MP4,
  QTFF,
  type VideoSample,
  VideoSampleSink,
  WEBM,
} from "mediabunny";
import { FormatError, MimicVideoError } from "../../errors.ts";
import type { ByteSource } from "../../weights/source.ts";
import { indexBehind } from "./index-behind.ts";
import { type Matrix, matrixNamed, type Picture, type Planes } from "./pixels.ts";

/** Makes a decoder known, where the platform has none of its own. @throws when it is not installed, saying what to install */
export type LoadDecoder = () => Promise<void>;

export class VideoFile {
  readonly name: string;
  /** "avc", "hevc", "av1", … as the file itself says */
  readonly codec: string;
  readonly #input: Input;
  readonly #track: InputVideoTrack;
  readonly #sink: VideoSampleSink;
  readonly #matrix: Matrix;
  readonly #fullRange: boolean | undefined;

  private constructor(
    name: string,
    input: Input,
    track: InputVideoTrack,
    matrix: Matrix,
    fullRange: boolean | undefined,
  ) {
    this.name = name;
    this.codec = track.codec ?? "unknown";
    this.#input = input;
    this.#track = track;
    this.#sink = new VideoSampleSink(track);
    this.#matrix = matrix;
    this.#fullRange = fullRange;
  }

  /**
   * Reads the file's index.
   * @param loadDecoder "none" where no frame will be asked for
   * @throws FormatError when it is no video, or nothing here decodes it; the source is then closed
   */
  static async open(file: ByteSource, loadDecoder?: LoadDecoder | "none"): Promise<VideoFile> {
    const source = await indexBehind(file).catch(async (error) => {
      await file.close?.();
      throw error;
    });
    const input = new Input({
      formats: [MP4, QTFF, MATROSKA, WEBM],
      source: new CustomSource({
        getSize: () => source.size,
        read: (from, to) => source.read(from, to - from),
        dispose: () => void source.close?.(),
      }),
    });
    try {
      const track = await input.getPrimaryVideoTrack().catch((error: Error) => {
        if (error instanceof MimicVideoError) throw error;
        throw new FormatError(`${source.name} is no video file that can be read: ${error.message}.`, {
          cause: error,
        });
      });
      if (!track) throw new FormatError(`${source.name} holds no video.`);
      if (loadDecoder !== "none") {
        await loadDecoder?.();
        if (!(await track.canDecode()))
          throw await undecodable(source.name, track, loadDecoder !== undefined);
      }
      const { matrix, fullRange } = await track.getColorSpace();
      return new VideoFile(
        source.name,
        input,
        track,
        matrixNamed(matrix, source.name),
        fullRange ?? undefined,
      );
    } catch (error) {
      input.dispose();
      throw error;
    }
  }

  /**
   * The frames that are shown at these times, one for each, in seconds of the file and ascending. Every group of pictures is decoded once;
   * what is ahead of the reader is a few frames.
   * @throws FormatError when the video does not reach so far, or its pictures are of a kind that is not read
   */
  async *framesAt(times: readonly number[], frameSeconds: number): AsyncGenerator<Picture> {
    // A decoder of native code need not keep Node alive while it works.
    const alive = setInterval(() => {}, 1 << 30);
    let i = 0;
    try {
      for await (const sample of this.#sink.samplesAtTimestamps(times)) {
        const time = times[i++];
        try {
          const end = sample && sample.timestamp + Math.max(sample.duration, frameSeconds);
          if (!sample || time > end! + frameSeconds) {
            throw new FormatError(
              `${this.name} shows nothing at ${time.toFixed(3)} s` +
                (sample ? `; its last picture is that of ${sample.timestamp.toFixed(3)} s. ` : ". ") +
                "The video is shorter than its rows say; fetch the file again.",
            );
          }
          yield await this.#picture(sample);
        } finally {
          sample?.close();
        }
      }
    } catch (error) {
      if (error instanceof MimicVideoError) throw error;
      throw new FormatError(`${this.name} (${this.codec}) cannot be decoded: ${(error as Error).message}.`, {
        cause: error,
      });
    } finally {
      clearInterval(alive);
    }
  }

  /** Codec as the decoder is asked for it: "avc1.64000a". */
  async codecString(): Promise<string> {
    return (await this.#track.getDecoderConfig())?.codec ?? this.codec;
  }

  close(): void {
    this.#input.dispose();
  }

  async #picture(sample: VideoSample): Promise<Picture> {
    const { format } = sample;
    const { width, height } = sample.visibleRect;
    const layoutOf = /^(?:I(420|422|444)A?(?:P(10|12))?|NV12|(RGB|BGR)[AX])$/.exec(format ?? "");
    if (!layoutOf) {
      throw new FormatError(
        `${this.name} (${this.codec}) decodes to pictures of the format ${format ?? "of the graphics card"}, which is not read. ` +
          "Re-encode it: ffmpeg -i IN -pix_fmt yuv420p OUT.",
      );
    }
    const bytes = new Uint8Array(sample.allocationSize());
    const layout = await sample.copyTo(bytes);
    if (layoutOf[3]) {
      const red = layoutOf[3] === "RGB" ? 0 : 2;
      const rgb = new Uint8Array(3 * width * height);
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          const from = layout[0].offset + y * layout[0].stride + 4 * x;
          rgb.set([bytes[from + red], bytes[from + 1], bytes[from + 2 - red]], 3 * (y * width + x));
        }
      }
      return { kind: "rgb", width, height, rgb };
    }
    const subsampling = SUBSAMPLING[layoutOf[1] ?? "420"];
    const bits = Number(layoutOf[2] ?? 8);
    const chroma = [Math.ceil(width / subsampling[0]), Math.ceil(height / subsampling[1])] as const;
    const plane = (p: number, w: number, h: number, first = 0, step = 1): Uint8Array | Uint16Array =>
      samples(bytes, layout[p], w, h, bits, first, step);
    const [u, v] =
      format === "NV12"
        ? [plane(1, ...chroma, 0, 2), plane(1, ...chroma, 1, 2)]
        : [plane(1, ...chroma), plane(2, ...chroma)];
    const fullRange = this.#fullRange ?? sample.colorSpace.fullRange ?? false;
    return {
      ...{ kind: "planes", width, height, subsampling, bits, fullRange, matrix: this.#matrix },
      ...{ y: plane(0, width, height), u, v },
    } satisfies Planes;
  }
}

const SUBSAMPLING: Readonly<Record<string, readonly [number, number]>> = {
  "420": [2, 2],
  "422": [2, 1],
  "444": [1, 1],
};

/** One plane without its padding: every `step`-th sample of a row from `first` on. */
function samples(
  bytes: Uint8Array,
  { offset, stride }: { readonly offset: number; readonly stride: number },
  width: number,
  height: number,
  bits: number,
  first: number,
  step: number,
): Uint8Array | Uint16Array {
  const out = bits > 8 ? new Uint16Array(width * height) : new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = offset + y * stride + (first + step * x) * (bits > 8 ? 2 : 1);
      out[y * width + x] = bits > 8 ? bytes[at] | (bytes[at + 1] << 8) : bytes[at];
    }
  }
  return out;
}

async function undecodable(name: string, track: InputVideoTrack, inNode: boolean): Promise<FormatError> {
  const codec =
    (await track.getDecoderConfig().catch(() => null))?.codec ?? track.codec ?? "an unknown codec";
  const short = track.codec ?? "this";
  return new FormatError(
    `${name} is ${codec}, and nothing here decodes ${short}. ` +
      (inNode
        ? "Re-encode it: ffmpeg -i IN -c:v libx264 -pix_fmt yuv420p OUT."
        : `This browser has no decoder for it: use Node, another browser, or re-encode it: ffmpeg -i IN -c:v libx264 -pix_fmt yuv420p OUT.`),
  );
}
