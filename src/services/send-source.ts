import { errorCode, errorMessage } from '../errors';
import type { AcceptedContext } from '../net/types';
import type { OutgoingInstance } from './outgoing';
import { transcoderOf } from './send-contexts';
import type { Memory } from './send-memory';
import type { StoreOptions } from './send-types';

/** Read whole before anything of it goes out: what is wrong with it costs no association then. */
export const WHOLE = 4 * 1024 * 1024;
/** Of larger ones this much: what is wrong at their start costs no association either. */
export const START = 512 * 1024;

/** Of errors that speak of the bytes, not of the moment. */
const DAMAGE: ReadonlySet<string> = new Set(['FILE_DAMAGED', 'STORE_DAMAGED', 'STORE_NO_FILE']);

/** The bytes of one instance on their way out, in the transfer syntax of its context. */
export class Source {
  private readonly instance: OutgoingInstance;
  private readonly options: StoreOptions;
  private readonly iterator: AsyncIterator<Buffer>;
  private readonly memory: Memory;
  private borrowed: Buffer[] = [];
  private reason: string | undefined;

  constructor(instance: OutgoingInstance, context: AcceptedContext, options: StoreOptions, memory: Memory) {
    this.instance = instance;
    this.memory = memory;
    this.options = options;
    const from = instance.TransferSyntaxUID;
    const to = context.transferSyntax;
    const kept = this.kept(from === to ? (length) => this.borrow(length) : undefined);
    const bytes = from === to ? kept : (transcoderOf(options)?.transcode(kept, from, to) ?? kept);
    this.iterator = bytes[Symbol.asyncIterator]();
  }

  /** Why the bytes could not be had to their end, once that has happened. */
  get failure(): string | undefined {
    return this.reason;
  }

  /** Reads a small object whole, of a larger one the start; the rest comes with the stream. @throws what reading throws; `failure` is set. */
  async open(): Promise<Buffer | AsyncIterable<Buffer>> {
    const enough = this.instance.dataSetLength <= WHOLE ? WHOLE : START;
    const chunks: Buffer[] = [];
    for (let length = 0; length <= enough;) {
      const chunk = await this.next();
      const [only] = chunks;
      if (chunk === undefined)
        return chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks);
      chunks.push(chunk);
      length += chunk.length;
    }
    return this.stream(chunks);
  }

  /** Closes the file; bytes that were handed out stay as they are. */
  async close(): Promise<void> {
    try {
      await this.iterator.return?.();
    } catch {
      // What has been sent was read, and what was not is nobody's business any more.
    }
  }

  /** Nobody holds the bytes any more: the next object may be read into their memory. */
  recycle(): void {
    for (const buffer of this.borrowed.splice(0)) this.memory.give(buffer);
  }

  private borrow(length: number): Buffer {
    const buffer = this.memory.take(length);
    this.borrowed.push(buffer);
    return buffer;
  }

  private async *stream(start: Buffer[]): AsyncGenerator<Buffer> {
    for (let chunk = start.shift(); chunk !== undefined; chunk = start.shift()) yield chunk;
    for (let chunk = await this.next(); chunk !== undefined; chunk = await this.next()) yield chunk;
  }

  private async next(): Promise<Buffer | undefined> {
    try {
      const step = await this.iterator.next();
      return step.done === true ? undefined : step.value;
    } catch (error) {
      this.reason ??= errorMessage(error);
      throw error;
    }
  }

  /** Apart from the transcoder's failures: only these speak of the stored bytes. */
  private async *kept(allocate?: (length: number) => Buffer): AsyncGenerator<Buffer> {
    try {
      yield* this.instance.read(allocate);
    } catch (error) {
      this.reason = errorMessage(error);
      if (DAMAGE.has(errorCode(error) ?? '')) this.options.onDamaged?.(this.instance, this.reason);
      throw error;
    }
  }
}
