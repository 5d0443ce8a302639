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
  private readonly unsent: () => number;
  /** Memory that was lent for reading, by what was read into it. */
  private readonly borrowed = new Set<Buffer>();
  /** Chunks of a stream that may still be on their way, oldest first. */
  private readonly handed: Buffer[] = [];
  private reason: string | undefined;

  constructor(
    instance: OutgoingInstance,
    context: AcceptedContext,
    options: StoreOptions,
    wire: { readonly memory: Memory; readonly unsent: () => number },
  ) {
    this.instance = instance;
    this.memory = wire.memory;
    this.unsent = wire.unsent;
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

  /** The instance was answered: what is not on its way any more may be read into again. */
  recycle(): void {
    // An answer that came before the whole object was out leaves its bytes in use.
    if (this.unsent() > 0) return;
    for (const buffer of this.borrowed) this.memory.give(buffer);
    this.borrowed.clear();
  }

  private borrow(length: number): Buffer {
    const buffer = this.memory.take(length);
    this.borrowed.add(buffer);
    return buffer;
  }

  private async *stream(start: Buffer[]): AsyncGenerator<Buffer> {
    for (let chunk = start.shift() ?? (await this.next()); chunk !== undefined;) {
      yield chunk;
      this.handed.push(chunk);
      this.recycleHanded();
      chunk = start.shift() ?? (await this.next());
    }
  }

  /** Who asks for a chunk has queued all but the last one before it; of what is queued, the last bytes are the unsent ones. */
  private recycleHanded(): void {
    let behind = this.handed.slice(1, -1).reduce((sum, { length }) => sum + length, 0);
    for (let [oldest, next] = this.handed; oldest !== undefined && next !== undefined;) {
      if (this.handed.length < 3 || behind < this.unsent()) return;
      if (this.borrowed.delete(oldest)) this.memory.give(oldest);
      void this.handed.shift();
      behind -= next.length;
      [oldest, next] = this.handed;
    }
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
