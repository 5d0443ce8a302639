import type { RecodeOutput } from './recode-output';
import type { Tag } from './types';
import { swapUnits, valueRepresentation, valueRepresentationOfCode } from './vr';

const NOTHING = Buffer.alloc(0);

/** Writes headers and values of elements (PS3.5 7.1). */
export class ElementWriter {
  private readonly out: RecodeOutput;
  /** Bytes of the value at hand that change places. */
  private unit: 1 | 2 | 4 | 8 = 1;
  /** The beginning of a unit that the last piece cut. */
  private rest: Buffer = NOTHING;

  constructor(out: RecodeOutput) {
    this.out = out;
  }

  /**
   * Writes tag, VR and length, and returns them; the length stands in the last four bytes where the form has so many.
   * @param vrCode the two bytes of the VR; 0: none, as in the implicit syntaxes and in items.
   */
  header(tag: Tag, vrCode: number, length: number, littleEndian: boolean): Buffer {
    const size = headerSize(vrCode);
    const place = this.out.place(size);
    const group = Math.floor(tag / 0x10000);
    const element = tag & 0xffff;
    if (littleEndian) {
      place.writeUInt16LE(group, 0);
      place.writeUInt16LE(element, 2);
    } else {
      place.writeUInt16BE(group, 0);
      place.writeUInt16BE(element, 2);
    }
    if (vrCode !== 0) place.writeUInt16BE(vrCode, 4);
    if (size === 12) place.writeUInt16BE(0, 6);
    if (vrCode !== 0 && size === 8) {
      if (littleEndian) place.writeUInt16LE(length, 6);
      else place.writeUInt16BE(length, 6);
    } else if (littleEndian) place.writeUInt32LE(length, size - 4);
    else place.writeUInt32BE(length, size - 4);
    return place;
  }

  /** Begins a value whose order of bytes changes by the unit of `vr`, or not at all. */
  begin(vr: string, changesOrder: boolean): void {
    this.unit = changesOrder ? (valueRepresentation(vr)?.unit ?? 1) : 1;
  }

  part(bytes: Buffer): void {
    if (this.unit === 1) {
      this.out.put(bytes);
      return;
    }
    // A copy: the bytes that came in belong to somebody else.
    const all = Buffer.concat([this.rest, bytes]);
    const whole = all.length - (all.length % this.unit);
    this.rest = all.subarray(whole);
    const units = all.subarray(0, whole);
    swapUnits(units, this.unit);
    this.out.put(units);
  }

  end(): void {
    this.out.put(this.rest);
    this.rest = NOTHING;
  }
}

/** Bytes of a header by its VR, none being 0. VRs of later editions have long lengths (PS3.5 7.1.2). */
export function headerSize(vrCode: number): 8 | 12 {
  if (vrCode === 0) return 8;
  const long =
    valueRepresentationOfCode(vrCode)?.long ?? (isCapital(vrCode >>> 8) && isCapital(vrCode & 0xff));
  return long ? 12 : 8;
}

function isCapital(byte: number): boolean {
  return byte >= 0x41 && byte <= 0x5a;
}
