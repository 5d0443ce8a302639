import { RecodeProblem } from '../dicom/recode-problem';
import type { Codec } from './pixel-module';

/** Fragments of a frame, beyond which it can't be one: a decoder's worst case is little more than the pixels themselves. */
export function longestFrame(decodedSize: number): number {
  return 2 * decodedSize + 64 * 1024;
}

/**
 * Puts frames together from their fragments (PS3.5 A.4): by an offset table where there is one that fits; else all fragments are one
 * frame, or each that begins a stream begins a frame. An RLE frame always is one fragment.
 */
export class FrameAssembler {
  private readonly codec: Codec;
  private readonly frames: number;
  private readonly longest: number;
  private readonly sink: (frame: ArrayBuffer) => void;
  /** Offsets of first fragments, from the first fragment of all. */
  private starts: ReadonlySet<number> | undefined;
  private firstOffset: number | undefined;
  private offset = 0;
  private fragment: Buffer = Buffer.alloc(0);
  private filled = 0;
  private collected: Buffer[] = [];
  private size = 0;
  private count = 0;

  /** @param sink takes each frame when it is whole. */
  constructor(
    codec: Codec,
    image: { readonly frames: number; readonly frameSize: number },
    sink: (frame: ArrayBuffer) => void,
  ) {
    this.codec = codec;
    this.frames = image.frames;
    this.longest = longestFrame(image.frameSize);
    this.sink = sink;
  }

  /** Offsets of the frames, from the Basic or the Extended Offset Table; a table that can't be right is not used. */
  table(offsets: readonly number[]): void {
    const ascending = offsets.every((offset, index) => index === 0 || offset > (offsets[index - 1] ?? 0));
    if (offsets.length === this.frames && offsets[0] === 0 && ascending) this.starts = new Set(offsets);
  }

  /** A fragment begins; `offset` is that of its item's tag. */
  begin(offset: number, length: number): void {
    this.firstOffset ??= offset;
    this.offset = offset - this.firstOffset;
    if (this.size + length > this.longest)
      throw new RecodeProblem('a compressed frame is far larger than its pixels');
    this.fragment = Buffer.from(new ArrayBuffer(length));
    this.filled = 0;
  }

  data(bytes: Buffer): void {
    bytes.copy(this.fragment, this.filled);
    this.filled += bytes.length;
  }

  end(): void {
    if (this.collected.length > 0 && this.startsFrame()) this.flush();
    this.collected.push(this.fragment);
    this.size += this.fragment.length;
    this.fragment = Buffer.alloc(0);
  }

  /** There are no more fragments. */
  finish(): void {
    if (this.collected.length > 0) this.flush();
    if (this.count !== this.frames)
      throw new RecodeProblem(`it has ${this.count} frames and says ${this.frames}`);
  }

  private startsFrame(): boolean {
    if (this.frames === 1) return false;
    if (this.starts !== undefined) return this.starts.has(this.offset);
    return this.codec === 'rle' || startsStream(this.fragment);
  }

  private flush(): void {
    const [first, ...others] = this.collected;
    this.collected = [];
    this.size = 0;
    if (first === undefined) return;
    if (++this.count > this.frames)
      throw new RecodeProblem(`it has more frames than the ${this.frames} that it says`);
    // Fragments have buffers of their own, so a single one is handed over as it is.
    if (others.length === 0) this.sink(first.buffer as ArrayBuffer);
    else {
      const whole = Buffer.from(
        new ArrayBuffer(others.reduce((sum, { length }) => sum + length, first.length)),
      );
      let at = 0;
      for (const part of [first, ...others]) at += part.copy(whole, at);
      this.sink(whole.buffer);
    }
  }
}

/** SOI of JPEG and JPEG-LS, SOC and SIZ of JPEG 2000, or a JP2 file. Inside a stream no such bytes can begin a fragment. */
function startsStream(bytes: Buffer): boolean {
  if (bytes.length < 4) return false;
  const head = bytes.readUInt32BE(0);
  return (
    head >>> 16 === 0xffd8 || head === 0xff4fff51 || (head === 12 && bytes.toString('latin1', 4, 6) === 'jP')
  );
}
