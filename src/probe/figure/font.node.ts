/**
 * Widths of text in the font that ships, for a document that has no renderer: plotly sizes legends and margins by
 * asking how wide a text is, and jsdom does not know. Reads `cmap` (format 4) and `hmtx` of a TrueType file.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { FormatError } from "../../errors.ts";

/** The files of the font family "DejaVu Sans", regular and bold. */
export function fontFiles(): { regular: string; bold: string } {
  const find = createRequire(import.meta.url).resolve;
  return {
    regular: find("dejavu-fonts-ttf/ttf/DejaVuSans.ttf"),
    bold: find("dejavu-fonts-ttf/ttf/DejaVuSans-Bold.ttf"),
  };
}

/** Measures text of one font file. */
export interface FontMetrics {
  /** Width of a line of text in units of the font size. */
  width: (text: string) => number;
  /** Height above and depth below the baseline in units of the font size. */
  ascent: number;
  descent: number;
}

/** @throws FormatError if the file is no TrueType font with the tables named above. */
export function readFontMetrics(path: string): FontMetrics {
  const bytes = readFileSync(path);
  const tables = new Map<string, number>();
  for (let i = 0; i < bytes.readUInt16BE(4); i++)
    tables.set(bytes.toString("latin1", 12 + 16 * i, 16 + 16 * i), bytes.readUInt32BE(12 + 16 * i + 8));
  const table = (name: string) => {
    const offset = tables.get(name);
    if (offset === undefined)
      throw new FormatError(`${path} has no table "${name}"; reinstall dejavu-fonts-ttf.`);
    return offset;
  };
  const unitsPerEm = bytes.readUInt16BE(table("head") + 18);
  const hhea = table("hhea");
  const longMetrics = bytes.readUInt16BE(hhea + 34);
  const hmtx = table("hmtx");
  const glyphOf = characterMap(bytes, table("cmap"), path);
  const advance = (glyph: number) =>
    bytes.readUInt16BE(hmtx + 4 * Math.min(glyph, longMetrics - 1)) / unitsPerEm;
  return {
    width: (text) => {
      let sum = 0;
      for (const character of text) sum += advance(glyphOf(character.codePointAt(0)!));
      return sum;
    },
    ascent: bytes.readInt16BE(hhea + 4) / unitsPerEm,
    descent: -bytes.readInt16BE(hhea + 6) / unitsPerEm,
  };
}

/** Glyph of a code point by the segments of cmap format 4; 0, the missing glyph, for what it does not map. */
function characterMap(bytes: Buffer, cmap: number, path: string): (codePoint: number) => number {
  const subtables = Array.from(
    { length: bytes.readUInt16BE(cmap + 2) },
    (_, i) => cmap + bytes.readUInt32BE(cmap + 4 + 8 * i + 4),
  );
  const at = subtables.find((offset) => bytes.readUInt16BE(offset) === 4);
  if (at === undefined) throw new FormatError(`${path} has no cmap of format 4; reinstall dejavu-fonts-ttf.`);
  const doubled = bytes.readUInt16BE(at + 6);
  return (codePoint) => {
    for (let i = 0; i < doubled; i += 2) {
      if (bytes.readUInt16BE(at + 14 + i) < codePoint) continue;
      const start = bytes.readUInt16BE(at + 16 + doubled + i);
      if (start > codePoint) return 0;
      const delta = bytes.readUInt16BE(at + 16 + 2 * doubled + i);
      const rangeAt = at + 16 + 3 * doubled + i;
      const range = bytes.readUInt16BE(rangeAt);
      if (range === 0) return (codePoint + delta) & 0xffff;
      const glyph = bytes.readUInt16BE(rangeAt + range + 2 * (codePoint - start));
      return glyph === 0 ? 0 : (glyph + delta) & 0xffff;
    }
    return 0;
  };
}
