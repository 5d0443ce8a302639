import { join } from 'node:path';
import { errorCode } from '../errors';
import { MAXIMUM_SEQUENCE, segmentName } from './arrival-id';
import type { Durability } from './durability';
import { StoreError, storeFailure, volumeIsGone } from './errors';
import type { FileCalls } from './file-calls';

/** When a segment is closed and the next one is used. */
export interface SegmentLimits {
  readonly files: number;
  readonly milliseconds: number;
}

/** A folder of files, and how many of their writers haven't ended. */
export interface Segment {
  readonly number: number;
  readonly folder: string;
  readonly openedAt: number;
  created: number;
  writers: number;
}

/**
 * Numbered folders, one in use at a time. A folder and its parent are synced before the first file is created in it:
 * the next one is made ready while the current one fills, so that no sender waits for it.
 */
export class Segments {
  private readonly calls: FileCalls;
  private readonly durability: Durability;
  private readonly instances: string;
  private readonly limits: SegmentLimits;
  private readonly now: () => number;
  private readonly settledListeners: ((segment: number) => void)[] = [];
  private readonly openedListeners: ((segment: number) => void)[] = [];
  private current: Segment | undefined;
  private ahead: Promise<Segment> | undefined;
  private rotating: Promise<void> | undefined;
  /** Closed, not settled yet, oldest first. */
  private readonly closed: Segment[] = [];
  private closing = false;
  private whenSettled: (() => void) | undefined;

  /** @param now milliseconds of a monotonic clock. */
  constructor(
    parts: { readonly calls: FileCalls; readonly durability: Durability },
    instances: string,
    limits: SegmentLimits,
    now: () => number,
  ) {
    if (!(limits.files >= 1 && limits.files <= MAXIMUM_SEQUENCE)) {
      throw new RangeError(`a segment holds 1 to ${MAXIMUM_SEQUENCE} files`);
    }
    this.calls = parts.calls;
    this.durability = parts.durability;
    this.instances = instances;
    this.limits = limits;
    this.now = now;
  }

  onSettled(listener: (segment: number) => void): void {
    this.settledListeners.push(listener);
  }

  /** A segment takes files from now on. */
  onOpened(listener: (segment: number) => void): void {
    this.openedListeners.push(listener);
  }

  /** False for the folder that is made ready: it has no file yet, and must not be called settled before it has any. */
  isUsed(number: number): boolean {
    return this.current === undefined || number <= this.current.number;
  }

  async start(number: number): Promise<void> {
    this.use(await this.prepare(number));
  }

  /**
   * A place for one more file: counts it and its writer. At once, unless the next segment isn't ready.
   * @throws StoreError `STORE_CLOSED`; what making a folder throws.
   */
  async take(): Promise<{ readonly segment: Segment; readonly sequence: number }> {
    for (;;) {
      const { current } = this;
      if (current === undefined || this.closing)
        throw new StoreError('STORE_CLOSED', 'the store is not open');
      if (!this.due(current)) {
        current.created += 1;
        current.writers += 1;
        return { segment: current, sequence: current.created };
      }
      await this.rotate(current);
    }
  }

  /** A writer has ended: its file has its row, or is gone. */
  release(segment: Segment): void {
    segment.writers -= 1;
    this.settle();
  }

  /** Called now and then: a segment that nothing comes to any more is closed when its time is over, too. */
  async closeAged(): Promise<void> {
    const { current } = this;
    if (current === undefined || this.closing || current.created === 0 || !this.due(current)) return;
    await this.rotate(current);
  }

  /**
   * Closes the segment in use; resolves when every closed one is settled, or after `patience` milliseconds: a file of
   * which nobody knows whether it has a row never ends, and its segment stays for the next start to look at.
   */
  async close(patience: number): Promise<void> {
    this.closing = true;
    await this.rotating?.catch(() => undefined);
    const { current, ahead } = this;
    this.current = undefined;
    this.ahead = undefined;
    if (current !== undefined) {
      // No file ever had their numbers: they can be used again.
      const next = await ahead?.catch(() => undefined);
      if (next !== undefined) await this.calls.rmdir(next.folder).catch(() => undefined);
      if (current.created === 0) await this.calls.rmdir(current.folder).catch(() => undefined);
      this.closed.push(current);
      this.settle();
    }
    if (this.closed.length === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, patience);
      this.whenSettled = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  private due(segment: Segment): boolean {
    return (
      segment.created >= this.limits.files ||
      (segment.created > 0 && this.now() - segment.openedAt >= this.limits.milliseconds)
    );
  }

  private use(segment: Segment): void {
    this.current = { ...segment, openedAt: this.now() };
    this.makeReady(segment.number + 1);
    for (const listener of this.openedListeners) listener(segment.number);
  }

  private makeReady(number: number): void {
    this.ahead = this.prepare(number);
    // Met by the file that needs it.
    this.ahead.catch(() => undefined);
  }

  private rotate(full: Segment): Promise<void> {
    this.rotating ??= this.change(full).finally(() => {
      this.rotating = undefined;
    });
    return this.rotating;
  }

  private async change(full: Segment): Promise<void> {
    let next: Segment;
    try {
      next = await (this.ahead ?? this.prepare(full.number + 1));
    } catch (error) {
      // Whatever was in its way, the next file tries again.
      this.ahead = undefined;
      throw error;
    }
    this.use(next);
    this.closed.push(full);
    this.settle();
  }

  private async prepare(first: number): Promise<Segment> {
    for (let number = first; ; number++) {
      const folder = join(this.instances, segmentName(number));
      try {
        await this.calls.mkdir(folder, 0o700);
      } catch (error) {
        // Left by an attempt that failed halfway: never used, and empty.
        if (errorCode(error) === 'EEXIST') continue;
        if (volumeIsGone(error))
          this.durability.stop('the folder of instances is gone: is the volume still there?');
        throw storeFailure('making a segment folder', error);
      }
      await this.durability.syncFolder(folder);
      await this.durability.syncFolder(this.instances);
      return { number, folder, openedAt: this.now(), created: 0, writers: 0 };
    }
  }

  private settle(): void {
    for (let oldest = this.closed[0]; oldest?.writers === 0; oldest = this.closed[0]) {
      this.closed.shift();
      for (const listener of this.settledListeners) listener(oldest.number);
    }
    if (this.closing && this.closed.length === 0) this.whenSettled?.();
  }
}
