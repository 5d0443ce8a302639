import { vrOf } from './dictionary';
import type { ElementHeader } from './element-visitor';
import type { Tag } from './types';
import { valueRepresentationOfCode } from './vr';

/** Tag, VR, reserved bytes and 32-bit length: the longest header there is. */
export const LONGEST_HEADER = 12;

export type Encoding =
  | 'explicit-little'
  | 'explicit-big'
  | 'implicit'
  /** Items of a `UN`: implicit by PS3.5 6.2.2, yet some writers leave them explicit; each item's first element tells. */
  | 'implicit-or-explicit';

export interface MutableHeader extends ElementHeader {
  tag: Tag;
  vr: string;
  vrCode: number;
  length: number;
  depth: number;
  offset: number;
  littleEndian: boolean;
}

/**
 * Reads tag, VR and length (PS3.5 7.1) from the bytes at `at` into `header`; items and delimiters get the VR ''. `around` is what holds
 * the element: where its encoding was in doubt, it is settled here. Returns the header's length, or 0 where more bytes are needed.
 */
export function readHeader(
  header: MutableHeader,
  around: { encoding: Encoding },
  b: Buffer,
  at: number,
  available: number,
): number {
  if (available < 8) return 0;
  const little = around.encoding !== 'explicit-big';
  const group = little ? b.readUInt16LE(at) : b.readUInt16BE(at);
  header.tag = group * 0x10000 + (little ? b.readUInt16LE(at + 2) : b.readUInt16BE(at + 2));
  header.littleEndian = little;
  if (group === 0xfffe) {
    // No VR in any syntax (PS3.5 7.5).
    header.vr = '';
    header.vrCode = 0;
    header.length = little ? b.readUInt32LE(at + 4) : b.readUInt32BE(at + 4);
    return 8;
  }
  if (around.encoding === 'implicit') return readImplicit(header, b, at);

  const code = b.readUInt16BE(at + 4);
  const vr = valueRepresentationOfCode(code);
  if (around.encoding === 'implicit-or-explicit') {
    around.encoding = vr === undefined ? 'implicit' : 'explicit-little';
    if (vr === undefined) return readImplicit(header, b, at);
  }
  if (vr === undefined) return readUnknown(header, b, at, available, code);
  header.vr = vr.name;
  header.vrCode = code;
  return vr.long ? readLong(header, b, at, available) : readShort(header, b, at);
}

function readImplicit(header: MutableHeader, b: Buffer, at: number): number {
  header.vr = vrOf(header.tag);
  header.vrCode = 0;
  header.length = b.readUInt32LE(at + 4);
  return 8;
}

function readShort(header: MutableHeader, b: Buffer, at: number): number {
  header.length = header.littleEndian ? b.readUInt16LE(at + 6) : b.readUInt16BE(at + 6);
  return 8;
}

function readLong(header: MutableHeader, b: Buffer, at: number, available: number): number {
  if (available < 12) return 0;
  header.length = header.littleEndian ? b.readUInt32LE(at + 8) : b.readUInt32BE(at + 8);
  return 12;
}

/**
 * A VR of two capitals that isn't known is one of a later edition, and those have long lengths (PS3.5 7.1.2). Other printable
 * ones (`??`) come from writers that fill in anything, with a short length. Anything else inside a sequence is an element
 * without VR: some writers switch to implicit there.
 */
function readUnknown(header: MutableHeader, b: Buffer, at: number, available: number, code: number): number {
  const first = code >>> 8;
  const second = code & 0xff;
  header.vr = 'UN';
  header.vrCode = code;
  if (isCapital(first) && isCapital(second)) return readLong(header, b, at, available);
  if (!(isPrintable(first) && isPrintable(second)) && header.depth > 0 && header.littleEndian)
    return readImplicit(header, b, at);
  return readShort(header, b, at);
}

function isCapital(byte: number): boolean {
  return byte >= 0x41 && byte <= 0x5a;
}

function isPrintable(byte: number): boolean {
  return byte >= 0x20 && byte < 0x7f;
}
