import type { Association } from '../net/types';
import { encodeCommand } from './command';
import type { CommandSet } from './types';

/** Bytes handed to the association at once while a data set is streamed: large enough to fill PDUs, small enough to wait. */
const PIECE = 128 * 1024;
/** Of each P-DATA-TF PDU with one PDV: item length 4, context id 1, control header 1 (PS3.8 9.3.5.1). */
const PDV_OVERHEAD = 6;

/** A message to send; `CommandDataSetType` must fit `data`. */
export interface OutgoingMessage {
  readonly contextId: number;
  readonly command: CommandSet;
  readonly data?: Buffer | AsyncIterable<Buffer> | undefined;
  /** Called right before the first byte is queued: from here on the peer may know. */
  readonly onStart?: () => void;
}

/**
 * Writes whole messages, one after the other: both halves of an association share it, and fragments of two messages
 * must not mix in one direction (PS3.8 E.2).
 */
export class MessageSender {
  private readonly association: Pick<Association, 'sendFragment' | 'sendLimit' | 'abort'>;
  private tail: Promise<void> = Promise.resolve();
  private readonly counters: { bytes: number };

  /** Adds the bytes of data sets to `counters.bytes` as they are handed to the association. */
  constructor(
    association: Pick<Association, 'sendFragment' | 'sendLimit' | 'abort'>,
    counters: { bytes: number },
  ) {
    this.association = association;
    this.counters = counters;
  }

  /**
   * Resolves when the association takes more; rejects when it ended, or with the error of the source, after an A-ABORT:
   * half a message can't be taken back (PS3.8 E.2).
   */
  send(message: OutgoingMessage): Promise<void> {
    const sent = this.tail.then(() => this.write(message));
    this.tail = sent.catch(() => undefined);
    return sent;
  }

  private async write({ contextId, command, data, onStart }: OutgoingMessage): Promise<void> {
    const bytes = encodeCommand(command);
    onStart?.();
    const commandSent = this.association.sendFragment(contextId, true, bytes, true);
    if (data === undefined) {
      await commandSent;
    } else if (Buffer.isBuffer(data)) {
      // Both at once, so that a small message can leave in one segment.
      this.counters.bytes += data.length;
      await Promise.all([commandSent, this.association.sendFragment(contextId, false, data, true)]);
    } else {
      await commandSent;
      await this.stream(contextId, data);
    }
  }

  private async stream(contextId: number, source: AsyncIterable<Buffer>): Promise<void> {
    const pieces = new Pieces(pieceSize(this.association.sendLimit));
    // One piece is held back until the next is there: only the end of the source tells which one is the last.
    let held: Buffer | undefined;
    const send = (piece: Buffer, last: boolean): Promise<void> => {
      this.counters.bytes += piece.length;
      return this.association.sendFragment(contextId, false, piece, last);
    };
    const iterator = source[Symbol.asyncIterator]();
    let finished = false;
    try {
      for (;;) {
        const step = await this.next(iterator);
        if (step.done === true) break;
        for (const piece of pieces.push(step.value)) {
          if (held !== undefined) await send(held, false);
          held = piece;
        }
      }
      finished = true;
      const rest = pieces.flush();
      if (held !== undefined && rest !== undefined) await send(held, false);
      await send(rest ?? held ?? Buffer.alloc(0), true);
    } finally {
      if (!finished) await iterator.return?.();
    }
  }

  private async next(iterator: AsyncIterator<Buffer>): Promise<IteratorResult<Buffer>> {
    try {
      return await iterator.next();
    } catch (error) {
      this.association.abort(0, 0, 'the data set that was being sent could not be read to its end');
      throw error;
    }
  }
}

/** A multiple of the largest even fragment that the peer takes, so that no short PDV falls between two full ones. */
function pieceSize(sendLimit: number): number {
  const fragment = Math.max(2, (sendLimit - PDV_OVERHEAD) & ~1);
  return fragment * Math.max(1, Math.floor(PIECE / fragment));
}

/** Makes a stream of chunks one of pieces of at least `size` bytes, copying only what doesn't come in large chunks. */
class Pieces {
  private readonly size: number;
  private rest: Buffer | undefined;
  private used = 0;

  constructor(size: number) {
    this.size = size;
  }

  *push(chunk: Buffer): Generator<Buffer> {
    while (chunk.length > 0) {
      if (this.rest === undefined && chunk.length >= this.size) {
        // The association cuts it into equal fragments; all but the last must be even (PS3.8 9.3.5.1).
        const even = chunk.length & ~1;
        yield chunk.subarray(0, even);
        chunk = chunk.subarray(even);
        continue;
      }
      this.rest ??= Buffer.allocUnsafe(this.size);
      const copied = chunk.copy(this.rest, this.used);
      this.used += copied;
      chunk = chunk.subarray(copied);
      if (this.used < this.size) return;
      const piece = this.rest;
      this.rest = undefined;
      this.used = 0;
      yield piece;
    }
  }

  flush(): Buffer | undefined {
    return this.rest?.subarray(0, this.used);
  }
}
