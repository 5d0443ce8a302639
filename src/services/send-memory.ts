/** Sizes are rounded up to this, so that images of a series, which differ by some bytes, share their memory. */
const STEP = 128 * 1024;
/** Kept for the next ones: as many as are read ahead or under way where one request is outstanding. */
const KEPT = 4;

/**
 * Memory for the objects of one association, used again and again: a fresh buffer for each would cost more than the reading, in page faults
 * and garbage collections.
 */
export class Memory {
  private readonly free: Buffer[] = [];

  /** Its content is undefined. */
  take(length: number): Buffer {
    const index = this.free.findIndex((buffer) => buffer.length >= length && buffer.length - length <= STEP);
    const [found] = index < 0 ? [] : this.free.splice(index, 1);
    const buffer = found ?? Buffer.allocUnsafeSlow(Math.ceil(length / STEP) * STEP);
    return buffer.subarray(0, length);
  }

  /** Gives back what `take` handed out. Nobody may look at it any more. */
  give(buffer: Buffer): void {
    if (this.free.length === KEPT) void this.free.shift();
    this.free.push(Buffer.from(buffer.buffer, 0, buffer.buffer.byteLength));
  }
}
