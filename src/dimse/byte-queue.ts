import type { IncomingDataSet } from './types';
import type { ReadGate } from './read-gate';

/** Chunks below this size are copied together: a slice keeps its whole receive buffer alive. */
const SMALL = 2048;
const BLOCK = 16 * 1024;

interface Reader {
  readonly resolve: (chunk: Buffer | undefined) => void;
  readonly reject: (error: Error) => void;
}

/**
 * A data set between the wire and its one reader. Filled synchronously, read by pulling; the gate is told what waits,
 * so that the sender is held back. Once complete it can be read to its end whatever becomes of the association.
 */
export class ByteQueue implements IncomingDataSet {
  private readonly gate: ReadGate;
  private chunks: Buffer[] = [];
  private head = 0;
  /** Block that small chunks are copied into, and how much of it is used. */
  private block: Buffer | undefined;
  private used = 0;
  private reader: Reader | undefined;
  private complete = false;
  private failure: Error | undefined;
  private discarded: Promise<void> | undefined;

  constructor(gate: ReadGate) {
    this.gate = gate;
  }

  /** Takes the next bytes off the wire. */
  push(chunk: Buffer): void {
    if (chunk.length === 0 || this.discarded !== undefined || this.failure !== undefined) return;
    const reader = this.reader;
    if (reader !== undefined) {
      this.reader = undefined;
      reader.resolve(chunk);
      return;
    }
    this.gate.added(chunk.length);
    if (chunk.length >= SMALL) {
      this.closeBlock();
      this.chunks.push(chunk);
      return;
    }
    if (this.block !== undefined && chunk.length > this.block.length - this.used) this.closeBlock();
    this.block ??= Buffer.allocUnsafe(BLOCK);
    this.used += chunk.copy(this.block, this.used);
  }

  /** The last byte is in. */
  end(): void {
    this.complete = true;
    this.reader?.resolve(undefined);
    this.reader = undefined;
  }

  /** No more will come, though more was announced. */
  fail(error: Error): void {
    if (this.complete || this.failure !== undefined) return;
    this.failure = error;
    this.drop();
    this.reader?.reject(error);
    this.reader = undefined;
  }

  read(): Promise<Buffer | undefined> {
    if (this.failure !== undefined) return Promise.reject(this.failure);
    if (this.discarded !== undefined) return Promise.reject(givenUp());
    if (this.reader !== undefined) return Promise.reject(new Error('a data set has one reader at a time'));
    const chunk = this.take();
    if (chunk !== undefined) {
      this.gate.removed(chunk.length);
      return Promise.resolve(chunk);
    }
    if (this.complete) return Promise.resolve(undefined);
    return new Promise((resolve, reject) => {
      this.reader = { resolve, reject };
    });
  }

  discard(): Promise<void> {
    this.discarded ??= new Promise((resolve, reject) => {
      this.drop();
      // A read that its service left behind must not take this for the end of the data set.
      this.reader?.reject(givenUp());
      this.reader = undefined;
      if (this.failure !== undefined) reject(this.failure);
      else if (this.complete) resolve();
      else this.reader = { resolve: () => resolve(), reject };
    });
    return this.discarded;
  }

  [Symbol.asyncIterator](): AsyncIterator<Buffer> {
    return {
      next: async () => {
        const value = await this.read();
        return value === undefined ? { done: true, value: undefined } : { done: false, value };
      },
    };
  }

  private take(): Buffer | undefined {
    if (this.head === this.chunks.length) {
      this.chunks.length = 0;
      this.head = 0;
      this.closeBlock();
    }
    const chunk = this.chunks[this.head];
    if (chunk === undefined) return undefined;
    this.head++;
    // Lets go of what was read without moving the rest each time.
    if (this.head === 64) {
      this.chunks = this.chunks.slice(this.head);
      this.head = 0;
    }
    return chunk;
  }

  private closeBlock(): void {
    if (this.block === undefined) return;
    this.chunks.push(this.block.subarray(0, this.used));
    this.block = undefined;
    this.used = 0;
  }

  private drop(): void {
    let bytes = 0;
    for (let chunk = this.take(); chunk !== undefined; chunk = this.take()) bytes += chunk.length;
    this.gate.removed(bytes);
  }
}

function givenUp(): Error {
  return new Error('the rest of this data set is discarded');
}
