/**
 * An MP4 file shown with its index (`moov`) behind everything else. The demuxer reads on from where it was rather than anew when a hole is
 * at most 128 kB long (mediabunny 1.61, two readers at a time); right behind an index at the file's beginning lie other episodes' pictures,
 * which an episode near them does not need. Offsets of pictures stay what they are; where a file is laid out otherwise it is shown as it is,
 * and only bytes are lost.
 *
 *     real      ftyp  moov  mdat …                  shown     ftyp  free ………………………… free  moov
 */
import { type ByteSource } from "../../weights/source.ts";

/** Farther apart than the demuxer reads on. */
const APART = 2 ** 18;

/** An index beyond this is not held. */
const MOST_INDEX = 2 ** 28;

/** Boxes at the top of a file before the index; real ones have up to five. */
const MOST_BOXES = 16;

interface Box {
  readonly type: string;
  readonly at: number;
  readonly size: number;
}

const codes = (word: string): number[] => [...word].map((letter) => letter.charCodeAt(0));
const text = (bytes: Uint8Array): string => String.fromCharCode(...bytes);

async function boxAt(source: ByteSource, at: number): Promise<Box | undefined> {
  if (at + 8 > source.size) return undefined;
  const bytes = await source.read(at, Math.min(16, source.size - at));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const short = view.getUint32(0);
  const long = short === 1 && bytes.length === 16 ? Number(view.getBigUint64(8)) : short;
  const size = short === 0 ? source.size - at : long;
  return size >= 8 && at + size <= source.size ? { type: text(bytes.subarray(4, 8)), at, size } : undefined;
}

/** @returns the source itself where the file has no index of the usual kind */
export async function indexBehind(source: ByteSource): Promise<ByteSource> {
  const first = await boxAt(source, 0);
  if (first?.type !== "ftyp") return source;
  let box = await boxAt(source, first.size);
  const second = box;
  for (let i = 0; box && box.type !== "moov" && i < MOST_BOXES; i++)
    box = await boxAt(source, box.at + box.size);
  // A gap that does not fit the short form of a header would cover bytes of pictures.
  if (!second || box?.type !== "moov" || box.size > MOST_INDEX || source.size + APART >= 2 ** 32)
    return source;
  const head = await source.read(0, first.size);
  const index = await source.read(box.at, box.size);
  // Of a film in fragments the index is only a part.
  if (includes(index, "mvex")) return source;
  const gap = source.size + APART;
  const indexAt = gap + APART;
  const free = (size: number): Uint8Array => {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setUint32(0, size);
    bytes.set(codes("free"), 4);
    return bytes;
  };
  const shown: readonly (readonly [number, Uint8Array])[] = [
    [0, head],
    [first.size, free(gap - first.size)],
    [gap, free(APART)],
    [indexAt, index],
  ];
  return {
    name: source.name,
    size: indexAt + index.length,
    read: async (offset, length) => {
      const held = shown.find(([at, bytes]) => offset >= at && offset + length <= at + bytes.length);
      if (held) return held[1].slice(offset - held[0], offset - held[0] + length);
      // What lies across is put together; between what is shown and the file's end there is nothing.
      const real = Math.max(0, Math.min(source.size, offset + length) - offset);
      const out = new Uint8Array(length);
      if (real > 0) out.set(await source.read(offset, real));
      for (const [at, bytes] of shown) {
        const from = Math.max(at, offset);
        const to = Math.min(at + bytes.length, offset + length);
        if (from < to) out.set(bytes.subarray(from - at, to - at), from - offset);
      }
      return out;
    },
    close: async () => source.close?.(),
  };
}

function includes(bytes: Uint8Array, word: string): boolean {
  const wanted = codes(word);
  for (let at = bytes.indexOf(wanted[0]); at >= 0; at = bytes.indexOf(wanted[0], at + 1))
    if (wanted.every((code, i) => bytes[at + i] === code)) return true;
  return false;
}
