import { createHash } from 'node:crypto';
import type { ElementHeader, ElementVisitor, ValueHandling } from './element-visitor';
import { ElementWalker } from './element-walker';
import { isGroupLength, vrOf } from './dictionary';
import { DataSetInflater } from './inflate';
import type { Tag } from './types';
import { encodingOf } from './uids';
import { swapUnits, valueRepresentation } from './vr';

/** Fills up to a length; says nothing (PS3.10 7.2). */
const DATA_SET_TRAILING_PADDING = 0xfffcfffc;

/**
 * SHA-256 over the elements of a data set, the same whatever uncompressed syntax it came in: Implicit or Explicit VR, byte order,
 * deflated or not, lengths defined or not. Group lengths and trailing padding don't count. Two cases differ that a person would
 * call equal: a private sequence of defined length, told as one only by an explicit VR, and elements in another order.
 */
export class CanonicalDigest {
  private readonly hash = new HashingVisitor();
  private readonly walker: ElementWalker;
  private readonly inflater: DataSetInflater | undefined;

  constructor(transferSyntaxUID: string) {
    const syntax = encodingOf(transferSyntaxUID);
    this.walker = new ElementWalker(syntax, this.hash);
    this.inflater = syntax.deflated
      ? new DataSetInflater((bytes) => {
          this.walker.push(bytes);
        })
      : undefined;
  }

  /** Takes the next bytes; returns a promise only for deflated syntaxes: await it before the next call. @throws DicomParseError */
  push(chunk: Buffer): void | Promise<void> {
    if (this.inflater !== undefined) return this.inflater.push(chunk);
    this.walker.push(chunk);
  }

  /** The data set has ended: its digest, lower-case hexadecimal. @throws DicomParseError */
  async digest(): Promise<string> {
    await this.inflater?.finish();
    this.walker.finish();
    return this.hash.digest();
  }
}

/** What starts each record of the canonical form. */
const ELEMENT = 1;
const SEQUENCE = 2;
const ITEM = 3;
const ITEM_END = 4;
const SEQUENCE_END = 5;
const FRAGMENTS = 6;

class HashingVisitor implements ElementVisitor {
  private readonly hash = createHash('sha256');
  private readonly record = Buffer.alloc(13);
  private unit: 1 | 2 | 4 | 8 = 1;
  /** The beginning of a unit that the last piece cut. */
  private rest: Buffer = Buffer.alloc(0);
  /** A sequence without an item so far: an empty one must equal an empty value, which is all that an implicit syntax shows. */
  private pending: Tag | undefined;

  element(header: ElementHeader): ValueHandling {
    const { tag, vr, length } = header;
    if (isGroupLength(tag) || tag === DATA_SET_TRAILING_PADDING) return 'skip';
    if (vr === 'UN' && length > 0 && vrOf(tag) === 'SQ') return 'walk';
    this.put(ELEMENT, tag, length);
    this.unit = header.littleEndian ? 1 : (valueRepresentation(vr)?.unit ?? 1);
    return 'stream';
  }

  part(_header: ElementHeader, bytes: Buffer): void {
    if (this.unit === 1) {
      this.hash.update(bytes);
      return;
    }
    const all = Buffer.concat([this.rest, bytes]);
    const whole = all.length - (all.length % this.unit);
    this.rest = Buffer.from(all.subarray(whole));
    const units = all.subarray(0, whole);
    swapUnits(units, this.unit);
    this.hash.update(units);
  }

  valueEnd(): void {
    this.hash.update(this.rest);
    this.rest = Buffer.alloc(0);
  }

  sequenceStart(header: ElementHeader): void {
    this.flushPending();
    this.pending = header.tag;
  }

  itemStart(): void {
    this.flushPending();
    this.put(ITEM, 0, 0);
  }

  itemEnd(): void {
    this.put(ITEM_END, 0, 0);
  }

  sequenceEnd(): void {
    if (this.pending === undefined) {
      this.put(SEQUENCE_END, 0, 0);
      return;
    }
    const tag = this.pending;
    this.pending = undefined;
    this.put(ELEMENT, tag, 0);
  }

  fragmentsStart(header: ElementHeader): void {
    this.put(FRAGMENTS, header.tag, 0);
  }

  fragment(header: ElementHeader): ValueHandling {
    this.unit = 1;
    this.put(ELEMENT, header.tag, header.length);
    return 'stream';
  }

  digest(): string {
    return this.hash.digest('hex');
  }

  private flushPending(): void {
    if (this.pending === undefined) return;
    const tag = this.pending;
    this.pending = undefined;
    this.put(SEQUENCE, tag, 0);
  }

  private put(kind: number, tag: Tag, length: number): void {
    this.record[0] = kind;
    this.record.writeUInt32LE(tag, 1);
    this.record.writeDoubleLE(length, 5);
    this.hash.update(this.record);
  }
}
