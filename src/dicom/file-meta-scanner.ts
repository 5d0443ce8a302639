import { DicomParseError } from './parse-error';
import type { Tag } from './types';
import { valueRepresentationOfCode } from './vr';

/** A file meta group has some hundred bytes; one of this size is something else. */
export const MAX_FILE_META = 64 * 1024;

const FILE_META_GROUP_LENGTH = 0x00020000;

/** An element of a group 0002; `offset` is that of its value. */
export interface MetaElement {
  readonly tag: Tag;
  readonly offset: number;
  readonly length: number;
}

type MetaEncoding = 'explicit-little' | 'implicit-little' | 'explicit-big';

/**
 * How a group 0002 that begins at `at` is encoded, or undefined where none does. PS3.10 7.1 knows Explicit VR Little Endian only; the
 * others are mistakes of writers. Needs 8 bytes.
 */
export function metaEncodingAt(b: Buffer, at: number): MetaEncoding | undefined {
  if (b.length < at + 8) return undefined;
  const known = valueRepresentationOfCode(b.readUInt16BE(at + 4)) !== undefined;
  if (b.readUInt16LE(at) === 2) {
    if (known) return 'explicit-little';
    return b.readUInt32LE(at + 4) <= MAX_FILE_META ? 'implicit-little' : undefined;
  }
  return known && b.readUInt16BE(at) === 2 ? 'explicit-big' : undefined;
}

/** Finds the elements of a group 0002 and its end in a buffer that may still grow. */
export class FileMetaScanner {
  readonly elements: MetaElement[] = [];
  private readonly encoding: MetaEncoding;
  private readonly start: number;
  private at: number;
  private statedEnd: number | undefined;

  constructor(encoding: MetaEncoding, start: number) {
    this.encoding = encoding;
    this.start = start;
    this.at = start;
  }

  /** Goes on with the bytes that are there. Returns where the group ends, or undefined where more are needed. */
  scan(b: Buffer): number | undefined {
    for (;;) {
      // The stated length ends the group where an element ends there too; a wrong one is passed over.
      if (this.at === this.statedEnd) return this.at;
      if (b.length < this.at + 8) return this.endBefore(b);
      if (this.uint16(b, this.at) !== 2) return this.at;
      const header = this.readHeader(b);
      if (header === undefined) return undefined;
      if (header.end - this.start > MAX_FILE_META)
        throw new DicomParseError('malformed', `file meta group above ${MAX_FILE_META} bytes`);
      if (b.length < header.end) return undefined;
      this.take(b, header);
    }
  }

  /** Where the next element would begin. */
  get position(): number {
    return this.at;
  }

  private endBefore(b: Buffer): number | undefined {
    return b.length >= this.at + 2 && this.uint16(b, this.at) !== 2 ? this.at : undefined;
  }

  private readHeader(b: Buffer): { tag: Tag; value: number; end: number } | undefined {
    const { at, encoding } = this;
    const tag = 0x20000 + this.uint16(b, at + 2);
    if (encoding === 'implicit-little') return { tag, value: at + 8, end: at + 8 + b.readUInt32LE(at + 4) };
    const vr = valueRepresentationOfCode(b.readUInt16BE(at + 4));
    if (vr?.long === true) {
      if (b.length < at + 12) return undefined;
      const length = encoding === 'explicit-big' ? b.readUInt32BE(at + 8) : b.readUInt32LE(at + 8);
      return { tag, value: at + 12, end: at + 12 + length };
    }
    return { tag, value: at + 8, end: at + 8 + this.uint16(b, at + 6) };
  }

  private take(b: Buffer, header: { tag: Tag; value: number; end: number }): void {
    const { tag, value, end } = header;
    this.elements.push({ tag, offset: value, length: end - value });
    this.at = end;
    if (tag === FILE_META_GROUP_LENGTH && end - value === 4) {
      const length = this.encoding === 'explicit-big' ? b.readUInt32BE(value) : b.readUInt32LE(value);
      this.statedEnd = end + length;
    }
  }

  private uint16(b: Buffer, at: number): number {
    return this.encoding === 'explicit-big' ? b.readUInt16BE(at) : b.readUInt16LE(at);
  }
}
