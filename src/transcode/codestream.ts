import { RecodeProblem } from '../dicom/recode-problem';

/** What the head of a compressed frame says of it. */
export interface Codestream {
  /** The codestream itself, where a file format was around it. */
  readonly bytes: Uint8Array;
  readonly columns: number;
  readonly rows: number;
  readonly samples: number;
  /** Bits of a sample. */
  readonly precision: number;
  readonly signed: boolean;
  /** Samples of one kind stand together (JPEG-LS without interleaving). */
  readonly planar: boolean;
  /** A transformation of colours that the decoder undoes by itself (JPEG 2000). */
  readonly transformed: boolean;
  /** What JPEG decoders take three samples for, by markers and names of components. */
  readonly looksLikeYbr: boolean;
}

export const CUT = 'a compressed frame is cut';

/** Big-endian numbers of a frame. */
export class FrameBytes {
  readonly bytes: Uint8Array;
  private readonly view: DataView;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get length(): number {
    return this.bytes.length;
  }

  u8(at: number): number {
    this.need(at + 1);
    return this.view.getUint8(at);
  }

  u16(at: number): number {
    this.need(at + 2);
    return this.view.getUint16(at);
  }

  u32(at: number): number {
    this.need(at + 4);
    return this.view.getUint32(at);
  }

  hasText(text: string, at: number): boolean {
    return Buffer.from(this.bytes.subarray(at, at + text.length)).toString('latin1') === text;
  }

  /** Whether a marker is the last of it, padding with zeros left aside. */
  endsWith(marker: number): boolean {
    let end = this.bytes.length;
    while (end > 0 && this.bytes[end - 1] === 0) end--;
    return end >= 2 && this.u16(end - 2) === marker;
  }

  private need(end: number): void {
    if (end > this.bytes.length) throw new RecodeProblem(CUT);
  }
}
