import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { errorCode } from '../errors';
import type { Durability } from './durability';
import { storeFailure, StoreError, volumeIsGone } from './errors';
import type { FileCalls } from './file-calls';
import { encodeSeal, headerDigest, SEAL_LENGTH } from './seal';
import type { SealClock } from './seal-clock';
import type { Space } from './space';
import type { ArrivalWriter, SealedFile } from './types';

const CREATE = constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW | constants.O_WRONLY;

/** Gathered before a write is worth a trip to the thread pool; measured: smaller pieces cost more than they overlap. */
const PIECE = 256 * 1024;
/** The same for many small chunks, far below the 1024 vectors that one call takes. */
const PIECE_CHUNKS = 256;
/** Waiting for the disk, in one file: beyond it `write` asks its caller to wait. */
const HIGH_WATER = 1024 * 1024;
/** Chunks are kept as they came, and a fragment of one byte holds on to a whole block of the socket's memory. */
const HIGH_WATER_CHUNKS = 512;
/** Hashed in one go: about half a millisecond. */
const HASHED_AT_ONCE = 1024 * 1024;

export interface WriterParts {
  readonly calls: FileCalls;
  readonly durability: Durability;
  readonly space: Space;
  readonly clock: SealClock;
}

/** Where the file goes and what it is called. */
export interface ArrivalPlace {
  readonly arrivalId: string;
  readonly segment: number;
  readonly folder: string;
  readonly path: string;
}

type State = 'receiving' | 'sealing' | 'sealed' | 'failed' | 'revoked' | 'finished';

/**
 * One file on its way to the disk. The order is what recovery builds on: data, then the seal, then one fdatasync.
 * Creating the file overlaps with receiving; a small object goes down in one write when it is complete.
 */
export class FileArrivalWriter implements ArrivalWriter {
  readonly arrivalId: string;
  private readonly parts: WriterParts;
  private readonly place: ArrivalPlace;
  private readonly header: Buffer;
  private readonly ended: () => void;
  private readonly hash = createHash('sha256');
  private state: State = 'receiving';
  /** Bytes of the data set taken so far. */
  private length = 0;
  private pending: Buffer[];
  private pendingBytes: number;
  private inFlight = 0;
  /** Bytes handed to the system: where the next piece goes. */
  private position = 0;
  private fd: number | undefined;
  /** The file is there and is ours to unlink. */
  private exists = false;
  /** The seal may be on the disk, and a later start would adopt the file. */
  private sealMayStand = false;
  private failure: StoreError | undefined;
  /** The call under way: creation or a piece. Never rejects. */
  private work: Promise<void> | undefined;
  private behind: { resolve: () => void; reject: (error: StoreError) => void } | undefined;
  private sealing: Promise<SealedFile> | undefined;
  private revoking: Promise<void> | undefined;

  /**
   * @param header all that precedes the data set; its last 128 bytes are the place of the seal, zeros.
   * @param ended called once, when the file has its row or is gone.
   */
  constructor(parts: WriterParts, place: ArrivalPlace, header: Buffer, ended: () => void) {
    this.parts = parts;
    this.place = place;
    this.header = header;
    this.ended = ended;
    this.arrivalId = place.arrivalId;
    this.pending = [header];
    this.pendingBytes = header.length;
    parts.space.tookFile();
    parts.space.tookBytes(header.length);
    this.work = this.create().then(this.afterWork);
  }

  /** The chunk is kept, not copied, until it is written: it must not be used again by the caller. */
  write(chunk: Buffer): Promise<void> | undefined {
    if (this.state !== 'receiving') throw new Error(`write to a file that is ${this.state}`);
    return chunk.length > HASHED_AT_ONCE ? this.takeSlowly(chunk) : this.take(chunk);
  }

  seal(): Promise<SealedFile> {
    if (this.state !== 'receiving') throw new Error(`seal of a file that is ${this.state}`);
    this.state = 'sealing';
    this.sealing = this.complete().then(
      (file) => {
        this.state = 'sealed';
        return file;
      },
      (error: unknown) => {
        this.state = 'failed';
        throw error;
      },
    );
    return this.sealing;
  }

  revoke(): Promise<void> {
    if (this.state === 'finished') return Promise.reject(new Error('revoke of a file that has its row'));
    this.revoking ??= this.undo().catch((error: unknown) => {
      // An unlink may be tried again.
      this.revoking = undefined;
      throw error;
    });
    return this.revoking;
  }

  finish(): void {
    if (this.state === 'finished' || this.state === 'revoked') return;
    if (this.state !== 'sealed') throw new Error(`finish of a file that is ${this.state}`);
    this.state = 'finished';
    this.ended();
  }

  private take(chunk: Buffer): Promise<void> | undefined {
    if (chunk.length > 0 && this.failure === undefined) {
      const { space, durability } = this.parts;
      try {
        durability.requireRunning(this.arrivalId);
        space.require(this.arrivalId);
      } catch (error) {
        this.fail('storing an instance', error);
      }
      space.tookBytes(chunk.length);
      this.hash.update(chunk);
      this.length += chunk.length;
      this.pending.push(chunk);
      this.pendingBytes += chunk.length;
      this.pump();
    }
    if (this.failure !== undefined) {
      this.drop();
      return Promise.reject(this.failure);
    }
    if (this.pendingBytes + this.inFlight < HIGH_WATER && this.pending.length < HIGH_WATER_CHUNKS) {
      return undefined;
    }
    return new Promise((resolve, reject) => {
      this.behind = { resolve, reject };
    });
  }

  private async takeSlowly(chunk: Buffer): Promise<void> {
    for (let at = 0; at < chunk.length; at += HASHED_AT_ONCE) {
      // Others have their turn after each piece.
      await (this.take(chunk.subarray(at, at + HASHED_AT_ONCE)) ?? setImmediate());
    }
  }

  private async create(): Promise<void> {
    try {
      this.fd = await this.parts.calls.open(this.place.path, CREATE, 0o600);
      this.exists = true;
    } catch (error) {
      this.fail('creating a file', error);
    }
  }

  private readonly afterWork = (): void => {
    this.work = undefined;
    this.inFlight = 0;
    this.pump();
    const waiting = this.behind;
    if (waiting === undefined) return;
    if (this.failure === undefined && this.pendingBytes + this.inFlight >= HIGH_WATER) return;
    this.behind = undefined;
    if (this.failure === undefined) waiting.resolve();
    else waiting.reject(this.failure);
  };

  /** Starts the next piece where one is due and none is under way. */
  private pump(): void {
    if (this.work !== undefined || this.fd === undefined || this.failure !== undefined) return;
    if (this.state !== 'receiving') return;
    if (this.pendingBytes < PIECE && this.pending.length < PIECE_CHUNKS) return;
    this.work = this.writePending().then(this.afterWork);
  }

  private async writePending(): Promise<void> {
    const buffers = this.pending;
    const at = this.position;
    this.inFlight = this.pendingBytes;
    this.position += this.pendingBytes;
    this.drop();
    try {
      await this.writeAll(buffers, at);
    } catch (error) {
      this.fail('writing an instance', error);
    }
  }

  /** Goes on after short writes: a full volume, a signal or a quota cut them anywhere. */
  private async writeAll(buffers: readonly Buffer[], position: number): Promise<void> {
    if (this.fd === undefined) throw new Error('write without a file');
    let rest = buffers;
    let at = position;
    for (;;) {
      const written = await this.parts.calls.writev(this.fd, rest, at);
      at += written;
      rest = without(rest, written);
      if (rest.length === 0) return;
      // Nothing written and no error: asking for ever would hang the association.
      if (written === 0) throw Object.assign(new Error('nothing was written'), { code: 'EIO' });
    }
  }

  private async complete(): Promise<SealedFile> {
    const { arrivalId, segment } = this.place;
    const { durability, clock } = this.parts;
    if (this.work !== undefined) await this.work;
    this.throwFailure();
    const last = this.pending.length > 0 ? this.writePending() : undefined;
    const dataSetDigest = this.hash.digest();
    const file: SealedFile = {
      arrivalId,
      segment,
      ...clock.next(),
      dataSetOffset: this.header.length,
      dataSetLength: this.length,
      sha256: dataSetDigest.toString('hex'),
    };
    const seal = encodeSeal({ ...file, dataSetDigest, headerDigest: headerDigest(this.header) });
    if (last !== undefined) await last;
    this.throwFailure();
    try {
      this.sealMayStand = true;
      await this.writeAll([seal], this.header.length - SEAL_LENGTH);
    } catch (error) {
      throw this.fail('writing a seal', error);
    }
    // Another file's sync may have failed meanwhile: that disk's word is worth nothing any more.
    durability.requireRunning(arrivalId);
    if (this.fd === undefined) throw new Error('sync without a file');
    try {
      await durability.syncData(this.fd, 'the sync of an instance', arrivalId);
    } catch (error) {
      throw await this.syncFailed(error);
    }
    // What is synced can't get better by waiting for this.
    void this.close();
    return file;
  }

  /** The page cache may go on showing the file whole: it has to go at once. */
  private async syncFailed(error: unknown): Promise<unknown> {
    if (!(error instanceof StoreError)) return error;
    const unlinked = await this.unlink().then(
      () => true,
      () => false,
    );
    const { code, message, cause, hint, arrivalId } = error;
    return new StoreError(code, unlinked ? message : `${message}, and its file could not be unlinked`, {
      cause,
      arrivalId,
      unlinked,
      ...(hint === undefined ? {} : { hint }),
    });
  }

  private async undo(): Promise<void> {
    // What runs has to end first: a descriptor that is closed under a write may be another file's by then.
    const { sealing } = this;
    if (this.state === 'receiving') this.state = 'failed';
    if (sealing !== undefined) await sealing.catch(() => undefined);
    if (this.work !== undefined) await this.work;
    this.drop();
    this.behind?.resolve();
    void this.close();
    try {
      await this.unlink();
    } catch (error) {
      const { message, hint, arrivalId } = storeFailure('unlinking a refused file', error, this.arrivalId);
      throw new StoreError('STORE_FAILED', message, {
        cause: error,
        arrivalId,
        unlinked: false,
        ...(hint === undefined ? {} : { hint }),
      });
    }
    // Without this a power cut could bring back a file that would be adopted.
    if (this.sealMayStand) await this.parts.durability.syncFolder(this.place.folder, this.arrivalId);
    this.state = 'revoked';
    this.ended();
  }

  private async unlink(): Promise<void> {
    if (!this.exists) return;
    try {
      await this.parts.calls.unlink(this.place.path);
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error;
    }
    this.exists = false;
  }

  private async close(): Promise<void> {
    const fd = this.fd;
    if (fd === undefined) return;
    this.fd = undefined;
    await this.parts.calls.close(fd).catch(() => undefined);
  }

  private drop(): void {
    this.pending = [];
    this.pendingBytes = 0;
  }

  private fail(doing: string, error: unknown): StoreError {
    if (volumeIsGone(error)) {
      this.parts.durability.stop(
        `${doing} failed with ${errorCode(error) ?? ''}: is the volume still there?`,
      );
    }
    this.failure ??= storeFailure(doing, error, this.arrivalId);
    return this.failure;
  }

  private throwFailure(): void {
    if (this.failure !== undefined) throw this.failure;
  }
}

/** What is left of the buffers after so many bytes were taken from their front. */
function without(buffers: readonly Buffer[], bytes: number): readonly Buffer[] {
  let left = bytes;
  for (const [index, buffer] of buffers.entries()) {
    if (left < buffer.length) return [buffer.subarray(left), ...buffers.slice(index + 1)];
    left -= buffer.length;
  }
  return [];
}
