import type { Tag } from './types';

/** In the length field: the end is marked by a delimiter (PS3.5 7.1.1). */
export const UNDEFINED_LENGTH = 0xffffffff;

/** The element at hand. One object serves all: copy what has to outlive the call. */
export interface ElementHeader {
  readonly tag: Tag;
  /** As encoded; from the dictionary in the implicit syntaxes; `UN` for what is no VR. */
  readonly vr: string;
  /** The two bytes of the VR as they stand in the header, the first in the upper half; 0 where the header has none. */
  readonly vrCode: number;
  /** Length of the value in bytes, or `UNDEFINED_LENGTH`. */
  readonly length: number;
  /** Sequences around it; 0 = the data set itself. */
  readonly depth: number;
  /** Where its tag stands, in bytes from the start of the data set. */
  readonly offset: number;
  /** Byte order of its value: what is inside a `UN` is little endian even in a big-endian data set (PS3.5 6.2.2). */
  readonly littleEndian: boolean;
}

/**
 * What becomes of a value. `skip`: counted, never held. `keep`: handed to `value` whole; above the limit it is skipped. `stream`:
 * handed to `part` as it comes, then `valueEnd`. `walk`: only for a `UN` of defined length: its bytes are the items of a sequence
 * in Implicit VR Little Endian (PS3.5 6.2.2 note, CP-246).
 */
export type ValueHandling = 'skip' | 'keep' | 'stream' | 'walk';

/** Receives what the walker finds, in the order of the bytes. What it throws ends the walk and reaches the caller of `push`. */
export interface ElementVisitor {
  /** An element with a value. */
  element(header: ElementHeader): ValueHandling;
  /** The whole value of an element that was to be kept: a slice, valid during the call. */
  value?(header: ElementHeader, bytes: Buffer): void;
  part?(header: ElementHeader, bytes: Buffer): void;
  valueEnd?(header: ElementHeader): void;
  sequenceStart?(header: ElementHeader): void;
  /** `header` carries the item's tag, length and offset. */
  itemStart?(header: ElementHeader): void;
  itemEnd?(): void;
  sequenceEnd?(): void;
  /** Encapsulated pixel data begin (PS3.5 A.4). */
  fragmentsStart?(header: ElementHeader): void;
  /** A fragment; its `header` carries the item's tag, length and offset. Left out: skipped. */
  fragment?(header: ElementHeader): ValueHandling;
  fragmentsEnd?(): void;
  /** A delimiter that ends nothing. */
  strayDelimiter?(header: ElementHeader): void;
}
