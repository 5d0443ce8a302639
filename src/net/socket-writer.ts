import type { Socket } from 'node:net';
import { IsocenterError } from '../errors';
import { PDU_HEADER_LENGTH, PDV_HEADER_LENGTH, writeDataHeader } from './pdu';
import { Deadline } from './timers';
import type { Clock } from './timers';

/** A message part on its way: what is left of it starts at `offset`. */
interface Part {
  readonly contextId: number;
  readonly command: boolean;
  readonly data: Buffer;
  readonly last: boolean;
  /** Payload of each PDV: even, and the same for all but the last, so that no short rest needs a PDU of its own. */
  readonly piece: number;
  offset: number;
  done: boolean;
}

const HEADER = PDU_HEADER_LENGTH + PDV_HEADER_LENGTH;
/** Unsent bytes at which senders wait: two PDUs, so that one is ready while the other goes out. */
const HIGH_WATER = 262144;
/** Below it, header and fragment are copied together: cheaper than two buffers on their way to the kernel. */
const COPY_BELOW = 4096;
/** Bytes of small PDUs put into one buffer at a time. */
const PACK = 65536;
const WRITTEN = Promise.resolve();

/**
 * The sending half of a connection: whole PDUs in order, fragments uncopied, writes of one turn of the event loop in one
 * system call, senders held while the peer does not read, and a timer on a peer that never does.
 */
export class SocketWriter {
  private readonly socket: Socket;
  private readonly stall: Deadline;
  private readonly stallMilliseconds: number;
  private tail: Promise<void> | undefined;
  private waiters: { resolve: () => void; reject: (error: Error) => void }[] = [];
  private corked = false;
  private failure: Error | undefined;

  /** @param onStall called when none of the unsent bytes went out for `stallMilliseconds`. */
  constructor(socket: Socket, clock: Clock, stallMilliseconds: number, onStall: () => void) {
    this.socket = socket;
    this.stallMilliseconds = stallMilliseconds;
    this.stall = new Deadline(clock, onStall);
  }

  /** Queues a whole PDU. */
  write(pdu: Buffer): void {
    this.enqueue(pdu, true);
  }

  /**
   * Cuts `data` into PDVs that fit `limit` (the peer's maximum PDU length) and queues them, calls in order. Resolves when
   * the socket takes more.
   */
  send(contextId: number, command: boolean, data: Buffer, last: boolean, limit: number): Promise<void> {
    const piece = pieceSize(data.length, limit);
    const part: Part = { contextId, command, data, last, piece, offset: 0, done: false };
    if (this.failure !== undefined) return settled(Promise.reject(this.failure));
    if (this.tail === undefined) {
      this.writePieces(part);
      if (part.done) return this.congested ? this.room() : WRITTEN;
    }
    const sent = settled(this.sendRest(part, this.tail));
    const tail = sent.then(
      () => {
        if (this.tail === tail) this.tail = undefined;
      },
      () => undefined,
    );
    this.tail = tail;
    return sent;
  }

  /** Calls back once the parts accepted so far are queued whole: at once, if they are. */
  afterSends(callback: () => void): void {
    if (this.tail === undefined) callback();
    else void this.tail.then(callback);
  }

  /** Ends waiting senders: nothing goes out any more but what `write` is given. */
  fail(error: Error): void {
    this.failure ??= error;
    const waiters = this.waiters;
    this.waiters = [];
    for (const waiter of waiters) waiter.reject(this.failure);
  }

  /** Lets go of the timer. */
  close(): void {
    this.stall.clear();
  }

  private get congested(): boolean {
    return this.socket.writableLength >= HIGH_WATER;
  }

  private async sendRest(part: Part, before: Promise<void> | undefined): Promise<void> {
    await before;
    while (!part.done) {
      if (this.congested) await this.room();
      if (this.failure !== undefined) throw this.failure;
      this.writePieces(part);
    }
    if (this.congested) await this.room();
  }

  private room(): Promise<void> {
    return settled(
      new Promise((resolve, reject) => {
        this.waiters.push({ resolve, reject });
      }),
    );
  }

  /** Queues pieces until the part is done or the socket has enough. An empty part is one empty fragment. */
  private writePieces(part: Part): void {
    do {
      if (part.piece < COPY_BELOW) this.packPieces(part);
      else this.writePiece(part);
    } while (!part.done && !this.congested);
  }

  private writePiece(part: Part): void {
    const header = Buffer.allocUnsafe(HEADER);
    const start = part.offset;
    const length = this.nextPiece(part, header, 0);
    this.enqueue(header, false);
    this.enqueue(part.data.subarray(start, start + length), true);
  }

  private packPieces(part: Part): void {
    const count = Math.max(1, Math.ceil((part.data.length - part.offset) / part.piece));
    const fits = Math.max(1, Math.min(count, Math.floor(PACK / (HEADER + part.piece))));
    const packed = Buffer.allocUnsafe(fits * (HEADER + part.piece));
    let end = 0;
    for (let index = 0; index < fits; index++) {
      const start = part.offset;
      const length = this.nextPiece(part, packed, end);
      part.data.copy(packed, end + HEADER, start, start + length);
      end += HEADER + length;
    }
    this.enqueue(packed.subarray(0, end), true);
  }

  private nextPiece(part: Part, target: Buffer, at: number): number {
    const length = Math.min(part.piece, part.data.length - part.offset);
    part.offset += length;
    part.done = part.offset === part.data.length;
    writeDataHeader(target, at, part.contextId, part.command, part.last && part.done, length);
    return length;
  }

  private enqueue(bytes: Buffer, observed: boolean): void {
    if (this.socket.destroyed) return;
    if (!this.corked) {
      this.corked = true;
      this.socket.cork();
      process.nextTick(this.uncork);
    }
    if (observed) this.socket.write(bytes, this.onWritten);
    else this.socket.write(bytes);
    if (!this.stall.running) this.stall.start(this.stallMilliseconds);
  }

  private readonly uncork = (): void => {
    this.corked = false;
    this.socket.uncork();
  };

  private readonly onWritten = (): void => {
    if (this.socket.writableLength === 0) this.stall.stop();
    else this.stall.touch();
    if (this.congested || this.waiters.length === 0) return;
    const waiters = this.waiters;
    this.waiters = [];
    for (const waiter of waiters) waiter.resolve();
  };
}

/** Equal even pieces that fit: 131072 bytes for a limit of 131072 become two halves, not one PDU and six bytes. */
function pieceSize(length: number, limit: number): number {
  const most = (limit - PDV_HEADER_LENGTH) & ~1;
  if (length <= most) return Math.max(length, 1);
  const count = Math.ceil(length / most);
  const even = Math.ceil(length / count / 2) * 2;
  return Math.min(even, most);
}

/** The caller may not look at the promise; a rejection must not end the process then. */
export function settled(promise: Promise<void>): Promise<void> {
  promise.catch(() => undefined);
  return promise;
}

/** For senders on an association that is over. */
export function endedError(reason: string): IsocenterError {
  return new IsocenterError('ASSOCIATION_ENDED', `the association has ended: ${reason}`);
}
