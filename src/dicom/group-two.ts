import { FileMetaScanner, MAX_FILE_META, metaEncodingAt } from './file-meta-scanner';
import { DicomParseError } from './parse-error';
import { encodingOf } from './uids';

/** Preamble, prefix, and a first header behind them. */
const PREAMBLE = 132;
const DECISION = PREAMBLE + 8;

/**
 * Takes a group 0002 off the front of a received data set, with the preamble if there is one: some senders transmit the file instead of
 * its data set (PS3.10 7.1: the group is no part of it). An ordinary data set passes from its first bytes on, neither held nor
 * copied.
 */
export class GroupTwoStripper {
  private readonly deflated: boolean;
  private passing = false;
  private found = false;
  private held: Buffer = Buffer.alloc(0);
  private heldBytes = 0;
  private scanner: FileMetaScanner | undefined;

  constructor(transferSyntaxUID: string) {
    this.deflated = encodingOf(transferSyntaxUID).deflated;
  }

  /** Whether something was taken off. */
  get stripped(): boolean {
    return this.found;
  }

  /**
   * Takes the next bytes as received; returns those to keep, if any yet.
   * @throws DicomParseError `malformed` when the group has more than 64 KiB.
   */
  push(chunk: Buffer): Buffer | undefined {
    if (this.passing) return chunk;
    if (this.heldBytes === 0 && this.isOrdinary(chunk)) {
      this.passing = true;
      return chunk;
    }
    this.hold(chunk);
    return this.decide();
  }

  /** The data set has ended: the bytes that were still undecided. @throws DicomParseError where it ends inside the group. */
  flush(): Buffer | undefined {
    if (this.passing || this.heldBytes === 0) return undefined;
    const held = this.held.subarray(0, this.heldBytes);
    this.passing = true;
    if (this.scanner === undefined) return held;
    if (this.scanner.position < this.heldBytes)
      throw new DicomParseError('truncated', 'ends inside the file meta group');
    return undefined;
  }

  /** True once these first bytes can be nothing but a data set's. */
  private isOrdinary(b: Buffer): boolean {
    if (b.length >= DECISION) return !this.beginsGroup(b, 0) && !this.hasPreamble(b);
    // Group 0008, where nearly every data set begins, in either byte order.
    return !this.deflated && b.length >= 2 && (b.readUInt16LE(0) === 8 || b.readUInt16BE(0) === 8);
  }

  private decide(): Buffer | undefined {
    const b = this.held.subarray(0, this.heldBytes);
    if (this.scanner === undefined) {
      if (this.isOrdinary(b)) {
        this.passing = true;
        return b;
      }
      const start = this.beginsGroup(b, 0) ? 0 : this.hasPreamble(b) ? PREAMBLE : undefined;
      const encoding = start === undefined ? undefined : metaEncodingAt(b, start);
      if (start === undefined || encoding === undefined) return undefined;
      this.found = true;
      this.scanner = new FileMetaScanner(encoding, start);
    }
    const end = this.scanner.scan(b);
    if (end === undefined) return undefined;
    this.passing = true;
    return end < b.length ? b.subarray(end) : undefined;
  }

  /** Compressed bytes may look like a group 0002 by chance: there the whole first element has to fit. */
  private beginsGroup(b: Buffer, at: number): boolean {
    if (!this.deflated) return metaEncodingAt(b, at) !== undefined;
    return b.length >= at + 8 && b.toString('latin1', at, at + 8) === '\x02\0\0\0UL\x04\0';
  }

  private hasPreamble(b: Buffer): boolean {
    return (
      b.length >= DECISION &&
      b.readUInt16LE(0) !== 8 &&
      b.toString('latin1', PREAMBLE - 4, PREAMBLE) === 'DICM' &&
      this.beginsGroup(b, PREAMBLE)
    );
  }

  private hold(chunk: Buffer): void {
    const needed = this.heldBytes + chunk.length;
    if (needed > this.held.length) {
      // Doubling: a peer that sends single bytes must not make us copy the group for each of them.
      const larger = Buffer.alloc(Math.max(needed, Math.min(2 * this.held.length, 2 * MAX_FILE_META)));
      this.held.copy(larger, 0, 0, this.heldBytes);
      this.held = larger;
    }
    chunk.copy(this.held, this.heldBytes);
    this.heldBytes = needed;
  }
}
