import { inflateRawSync } from 'node:zlib';
import type { ElementHeader, ElementVisitor, ValueHandling } from './element-visitor';
import { ElementWalker, type WalkerLimits } from './element-walker';
import { DicomParseError } from './parse-error';
import type { Tag } from './types';
import { encodingOf } from './uids';
import { swapUnits, valueRepresentation } from './vr';

/** An element with a value: its bytes in little-endian order whatever the transfer syntax, padding included. */
export interface ValueElement {
  readonly tag: Tag;
  readonly vr: string;
  readonly value: Buffer;
}

export interface SequenceElement {
  readonly tag: Tag;
  readonly vr: 'SQ';
  readonly items: readonly DataSet[];
}

export type DataElement = ValueElement | SequenceElement;

/** A small data set in memory, elements in the order of their bytes. Encapsulated pixel data have no place in it. */
export type DataSet = readonly DataElement[];

export function isSequence(element: DataElement): element is SequenceElement {
  return 'items' in element;
}

/** What an element or item costs beside its value; with it a flood of empty ones meets the limit too. */
const OVERHEAD = 16;

/** Collects a data set, or the items of one sequence, from a walker, up to a size. */
export class DataSetBuilder implements ElementVisitor {
  private readonly maxBytes: number;
  private readonly root: DataElement[] = [];
  private readonly open: { tag: Tag; items: DataElement[][] }[] = [];
  private current: DataElement[] = this.root;
  private readonly outer: DataElement[][] = [];
  private bytes = 0;

  /** @param maxBytes What is collected at most; beyond it `overflowed` is set and nothing more is held. */
  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  get overflowed(): boolean {
    return this.bytes > this.maxBytes;
  }

  /** What was collected, in bytes. */
  get size(): number {
    return this.bytes;
  }

  get elements(): DataSet {
    return this.root;
  }

  element(header: ElementHeader): ValueHandling {
    this.bytes += OVERHEAD + header.length;
    return this.overflowed ? 'skip' : 'keep';
  }

  value(header: ElementHeader, bytes: Buffer): void {
    const value = Buffer.from(bytes);
    if (!header.littleEndian) swapUnits(value, valueRepresentation(header.vr)?.unit ?? 1);
    this.current.push({ tag: header.tag, vr: header.vr, value });
  }

  sequenceStart(header: ElementHeader): void {
    this.bytes += OVERHEAD;
    const items: DataElement[][] = [];
    this.open.push({ tag: header.tag, items });
    if (!this.overflowed) this.current.push({ tag: header.tag, vr: 'SQ', items });
  }

  itemStart(): void {
    this.bytes += OVERHEAD;
    this.outer.push(this.current);
    this.current = [];
    if (!this.overflowed) this.open.at(-1)?.items.push(this.current);
  }

  itemEnd(): void {
    this.current = this.outer.pop() ?? this.root;
  }

  sequenceEnd(): void {
    this.open.pop();
  }
}

/** An identifier or an event's data set; far more than any real one has. */
const MAX_DATA_SET = 4 * 1024 * 1024;

/**
 * Decodes a small data set whole.
 * @param limits `bytes`: the largest data set taken, 4 MiB if not given, the same after inflation; the walker's own as well.
 * @throws DicomParseError
 */
export function decodeDataSet(
  buffer: Buffer,
  transferSyntaxUID: string,
  limits: WalkerLimits & { readonly bytes?: number } = {},
): DataSet {
  const maxBytes = limits.bytes ?? MAX_DATA_SET;
  const tooLarge = (): DicomParseError =>
    new DicomParseError('too-large', `more than ${maxBytes} bytes in the data set`);
  if (buffer.length > maxBytes) throw tooLarge();
  const syntax = encodingOf(transferSyntaxUID);
  // Every element costs at most OVERHEAD beyond its value and has a header of at least half of that.
  const builder = new DataSetBuilder(3 * maxBytes);
  const walker = new ElementWalker(syntax, builder, { keptValue: maxBytes, ...limits });
  walker.push(syntax.deflated ? inflate(buffer, maxBytes) : buffer);
  walker.finish();
  if (builder.overflowed) throw tooLarge();
  return builder.elements;
}

function inflate(buffer: Buffer, maxBytes: number): Buffer {
  try {
    return inflateRawSync(buffer, { maxOutputLength: maxBytes });
  } catch (error) {
    throw new DicomParseError('inflate', 'the deflated data set is broken or too large', { cause: error });
  }
}

/**
 * Encodes a data set: elements in ascending order, sequences and items with defined lengths, values padded to even length (PS3.5
 * 6.2, 7.1, 7.5). A value too long for its VR's length field becomes `UN` (PS3.5 6.2.2). Deflated syntaxes aren't deflated here.
 */
export function encodeDataSet(elements: DataSet, transferSyntaxUID: string): Buffer {
  const { explicit, littleEndian } = encodingOf(transferSyntaxUID);
  const parts: Buffer[] = [];
  new DataSetEncoder(explicit, littleEndian, parts).put(elements);
  return Buffer.concat(parts);
}

class DataSetEncoder {
  private readonly explicit: boolean;
  private readonly littleEndian: boolean;
  private readonly parts: Buffer[];

  constructor(explicit: boolean, littleEndian: boolean, parts: Buffer[]) {
    this.explicit = explicit;
    this.littleEndian = littleEndian;
    this.parts = parts;
  }

  /** Returns how many bytes were added. */
  put(elements: DataSet): number {
    let length = 0;
    for (const element of [...elements].sort((a, b) => a.tag - b.tag)) {
      length += isSequence(element) ? this.putSequence(element) : this.putValue(element);
    }
    return length;
  }

  private putSequence(element: SequenceElement): number {
    const place = this.reserve();
    let length = 0;
    for (const item of element.items) {
      const itemPlace = this.reserve();
      const itemLength = this.put(item);
      this.parts[itemPlace] = this.itemHeader(itemLength);
      length += 8 + itemLength;
    }
    const header = this.header(element.tag, 'SQ', length);
    this.parts[place] = header;
    return header.length + length;
  }

  private putValue(element: ValueElement): number {
    const representation = valueRepresentation(element.vr);
    let vr = representation?.name ?? 'UN';
    const value = padded(element.value, vr);
    if (this.explicit && representation?.long === false && value.length > 0xfffe) vr = 'UN';
    if (!this.littleEndian) swapUnits(value, valueRepresentation(vr)?.unit ?? 1);
    const header = this.header(element.tag, vr, value.length);
    this.parts.push(header, value);
    return header.length + value.length;
  }

  /** A place for a header whose length isn't known yet. */
  private reserve(): number {
    return this.parts.push(Buffer.alloc(0)) - 1;
  }

  private header(tag: Tag, vr: string, length: number): Buffer {
    const long = this.explicit && valueRepresentation(vr)?.long === true;
    const header = Buffer.alloc(long ? 12 : 8);
    this.putTag(header, tag);
    if (!this.explicit) {
      this.putUint32(header, length, 4);
      return header;
    }
    header.write(vr, 4, 'latin1');
    if (long) this.putUint32(header, length, 8);
    else if (this.littleEndian) header.writeUInt16LE(length, 6);
    else header.writeUInt16BE(length, 6);
    return header;
  }

  private itemHeader(length: number): Buffer {
    const header = Buffer.alloc(8);
    this.putTag(header, 0xfffee000);
    this.putUint32(header, length, 4);
    return header;
  }

  private putTag(header: Buffer, tag: Tag): void {
    const group = Math.floor(tag / 0x10000);
    const element = tag & 0xffff;
    if (this.littleEndian) {
      header.writeUInt16LE(group, 0);
      header.writeUInt16LE(element, 2);
    } else {
      header.writeUInt16BE(group, 0);
      header.writeUInt16BE(element, 2);
    }
  }

  private putUint32(header: Buffer, value: number, at: number): void {
    if (this.littleEndian) header.writeUInt32LE(value, at);
    else header.writeUInt32BE(value, at);
  }
}

/** A copy of even length: NUL after UIDs and binary values, a space after text (PS3.5 6.2). */
function padded(value: Buffer, vr: string): Buffer {
  const copy = Buffer.alloc(value.length + (value.length % 2), isPaddedWithNul(vr) ? 0 : 0x20);
  value.copy(copy);
  return copy;
}

function isPaddedWithNul(vr: string): boolean {
  return vr === 'UI' || vr === 'UN' || vr.startsWith('O');
}
