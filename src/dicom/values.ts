import { decodeText, type CharacterSet } from './charset';
import type { AttributeValue } from './types';
import { valueRepresentation } from './vr';

const LEADING_SPACES_TOO = new Set(['AE', 'CS', 'DS', 'IS', 'LO', 'SH']);

/**
 * One value without its insignificant padding (PS3.5 6.2): trailing spaces, leading ones too for AE, CS, DS, IS, LO and SH; NUL, which
 * is right for UI only, is taken off the end of every VR, because writers put it there.
 */
export function trimValue(value: string, vr: string): string {
  let end = value.length;
  while (end > 0 && isPadding(value.charCodeAt(end - 1))) end--;
  let start = 0;
  if (LEADING_SPACES_TOO.has(vr)) while (start < end && value.charCodeAt(start) === 0x20) start++;
  return value.slice(start, end);
}

function isPadding(code: number): boolean {
  return code === 0x20 || code === 0;
}

/** The values of an element of characters, decoded and trimmed. */
export function textValues(bytes: Buffer, vr: string, set: CharacterSet): string[] {
  return decodeText(bytes, vr, set).map((value) => trimValue(value, vr));
}

const READERS: Readonly<Record<string, { size: number; read: (bytes: Buffer, at: number) => number }>> = {
  US: { size: 2, read: (bytes, at) => bytes.readUInt16LE(at) },
  SS: { size: 2, read: (bytes, at) => bytes.readInt16LE(at) },
  UL: { size: 4, read: (bytes, at) => bytes.readUInt32LE(at) },
  SL: { size: 4, read: (bytes, at) => bytes.readInt32LE(at) },
  FL: { size: 4, read: (bytes, at) => bytes.readFloatLE(at) },
  FD: { size: 8, read: (bytes, at) => bytes.readDoubleLE(at) },
  UV: { size: 8, read: (bytes, at) => Number(bytes.readBigUInt64LE(at)) },
  SV: { size: 8, read: (bytes, at) => Number(bytes.readBigInt64LE(at)) },
  AT: { size: 4, read: (bytes, at) => bytes.readUInt16LE(at) * 0x10000 + bytes.readUInt16LE(at + 2) },
};

/** A VR whose values are numbers in binary; AT counts as the number of its tag. */
export function isNumeric(vr: string): boolean {
  return vr in READERS;
}

/** The numbers of a binary VR, from little-endian bytes; a rest that is no whole value is left out. */
export function numericValues(bytes: Buffer, vr: string): number[] {
  const reader = READERS[vr];
  if (reader === undefined) return [];
  const values: number[] = [];
  for (let at = 0; at + reader.size <= bytes.length; at += reader.size) values.push(reader.read(bytes, at));
  return values;
}

/** Least and greatest whole number of a binary VR; those that aren't here hold any. */
const BOUNDS: Readonly<Record<string, readonly [least: number, most: number]>> = {
  US: [0, 0xffff],
  SS: [-0x8000, 0x7fff],
  UL: [0, 0xffffffff],
  SL: [-0x80000000, 0x7fffffff],
  UV: [0, Number.MAX_SAFE_INTEGER],
  SV: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  AT: [0, 0xffffffff],
};

const WRITERS: Readonly<Record<string, (bytes: Buffer, value: number, at: number) => unknown>> = {
  US: (bytes, value, at) => bytes.writeUInt16LE(value, at),
  SS: (bytes, value, at) => bytes.writeInt16LE(value, at),
  UL: (bytes, value, at) => bytes.writeUInt32LE(value, at),
  SL: (bytes, value, at) => bytes.writeInt32LE(value, at),
  FL: (bytes, value, at) => bytes.writeFloatLE(value, at),
  FD: (bytes, value, at) => bytes.writeDoubleLE(value, at),
  UV: (bytes, value, at) => bytes.writeBigUInt64LE(BigInt(value), at),
  SV: (bytes, value, at) => bytes.writeBigInt64LE(BigInt(value), at),
  AT: (bytes, value, at) => {
    bytes.writeUInt16LE(Math.floor(value / 0x10000), at);
    bytes.writeUInt16LE(value % 0x10000, at + 2);
  },
};

/** Little-endian bytes of numbers in a binary VR; one that the VR can't hold is left out. */
export function numericBytes(numbers: readonly number[], vr: string): Buffer {
  const size = READERS[vr]?.size ?? 0;
  const held = numbers.filter((number) => isHeld(number, vr));
  const bytes = Buffer.alloc(held.length * size);
  held.forEach((number, index) => WRITERS[vr]?.(bytes, number, index * size));
  return bytes;
}

function isHeld(number: number, vr: string): boolean {
  const bounds = BOUNDS[vr];
  if (bounds === undefined) return Number.isFinite(number);
  return Number.isInteger(number) && number >= bounds[0] && number <= bounds[1];
}

/** VRs that keep any bytes: the attribute's own VR tells what they mean. */
function isOpaque(vr: string): boolean {
  return (
    valueRepresentation(vr)?.long === true && vr !== 'UC' && vr !== 'UR' && vr !== 'UT' && !isNumeric(vr)
  );
}

/**
 * What the catalog keeps of an element: text joined by `\`, the first number of a binary VR. `vr` is the attribute's VR, `encoded` the
 * one in the data set: writers get it wrong, and the value counts all the same. Undefined where nothing is in it.
 */
export function attributeValue(
  bytes: Buffer,
  vr: string,
  encoded: string,
  set: CharacterSet,
): AttributeValue | undefined {
  const read = isOpaque(encoded) ? vr : encoded;
  if (isNumeric(vr)) {
    const number = isNumeric(read)
      ? numericValues(bytes, read)[0]
      : numberOf(textValues(bytes, read, set)[0] ?? '');
    return number !== undefined && Number.isFinite(number) ? number : undefined;
  }
  const values = isNumeric(read) ? numericValues(bytes, read).map(String) : textValues(bytes, vr, set);
  return values.every((value) => value === '') ? undefined : values.join('\\');
}

/** A decimal number (PS3.5 6.2 DS, IS), or undefined. */
export function numberOf(text: string): number | undefined {
  if (!/^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(text)) return undefined;
  const number = Number(text);
  return Number.isFinite(number) ? number : undefined;
}
