/** Pieces up to this size are copied together; larger ones are handed on as they are. */
const SMALL = 1024;
const SLAB = 16 * 1024;

/** Collects encoded bytes: headers and small values side by side in one buffer, large values as slices of what came in. */
export class RecodeOutput {
  private slab: Buffer = Buffer.alloc(0);
  private start = 0;
  private end = 0;
  private pieces: Buffer[] = [];
  private total = 0;

  /** Bytes written so far. */
  get length(): number {
    return this.total;
  }

  /** A place of `size` bytes to be filled in at once; `size` is small. */
  place(size: number): Buffer {
    if (this.end + size > this.slab.length) {
      this.flush();
      this.slab = Buffer.allocUnsafeSlow(SLAB);
      this.start = 0;
      this.end = 0;
    }
    const place = this.slab.subarray(this.end, this.end + size);
    this.end += size;
    this.total += size;
    return place;
  }

  /** Writes bytes that stay as they are until what was written has been used. */
  put(bytes: Buffer): void {
    if (bytes.length === 0) return;
    if (bytes.length <= SMALL) {
      bytes.copy(this.place(bytes.length));
      return;
    }
    this.flush();
    this.pieces.push(bytes);
    this.total += bytes.length;
  }

  /** Hands over what was written since the last call, none of it empty. */
  take(): Buffer[] {
    this.flush();
    const { pieces } = this;
    this.pieces = [];
    return pieces;
  }

  private flush(): void {
    if (this.end > this.start) this.pieces.push(this.slab.subarray(this.start, this.end));
    this.start = this.end;
  }
}
