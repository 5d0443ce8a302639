import { StoreError } from './errors';
import type { FileCalls } from './file-calls';

/** `storage.reserve`: so many bytes, or a part of the volume. */
export type Reserve = { readonly bytes: number } | { readonly percent: number };

/** Kept back of the inodes where the reserve is given in bytes: a byte count says nothing about files. */
const INODE_PERCENT = 1;

interface Measured {
  readonly total: number;
  readonly free: number;
  readonly inodes: number;
  readonly freeInodes: number;
}

/**
 * Free space of the volume, as the system last told, less what was written since: the answer costs nothing, so that it
 * can be asked for every chunk.
 */
export class Space {
  private readonly calls: FileCalls;
  private readonly path: () => string;
  private readonly reserve: Reserve;
  private measured: Measured | undefined;
  private bytesSince = 0;
  private filesSince = 0;
  private measuring: Promise<void> | undefined;

  constructor(calls: FileCalls, path: () => string, reserve: Reserve) {
    this.calls = calls;
    this.path = path;
    this.reserve = reserve;
  }

  /** Asks the system again; a call during another joins it. @throws what statfs throws; the last answer then stays. */
  refresh(): Promise<void> {
    this.measuring ??= this.measure().finally(() => {
      this.measuring = undefined;
    });
    return this.measuring;
  }

  private async measure(): Promise<void> {
    // What is written while the question is under way may or may not be in the answer: it is taken off once more.
    const [bytes, files] = [this.bytesSince, this.filesSince];
    const stat = await this.calls.statfs(this.path());
    this.measured = {
      total: stat.blocks * stat.bsize,
      // Not bfree: the blocks kept for root are not ours.
      free: stat.bavail * stat.bsize,
      inodes: stat.files,
      freeInodes: stat.ffree,
    };
    this.bytesSince -= bytes;
    this.filesSince -= files;
  }

  tookFile(): void {
    this.filesSince += 1;
  }

  tookBytes(bytes: number): void {
    this.bytesSince += bytes;
  }

  current(): { free: number; reserve: number; total: number } {
    const { total, free } = this.measured ?? { total: 0, free: 0 };
    return {
      free: Math.max(0, free - this.bytesSince),
      reserve: 'bytes' in this.reserve ? this.reserve.bytes : Math.ceil((total * this.reserve.percent) / 100),
      total,
    };
  }

  /** @throws StoreError `STORE_RESERVE` at or below the reserve, of bytes or of inodes. */
  require(arrivalId?: string): void {
    const measured = this.measured;
    if (measured === undefined) return;
    const { free, reserve } = this.current();
    if (free <= reserve) {
      throw new StoreError('STORE_RESERVE', `${free} bytes are free and ${reserve} are kept in reserve`, {
        hint: 'free or add space on the volume of storage.directory, or lower storage.reserve',
        arrivalId,
      });
    }
    // File systems that make inodes as they go (btrfs) say that they have none.
    if (measured.inodes === 0) return;
    const percent = 'percent' in this.reserve ? this.reserve.percent : INODE_PERCENT;
    const kept = Math.ceil((measured.inodes * percent) / 100);
    if (measured.freeInodes - this.filesSince <= kept) {
      throw new StoreError(
        'STORE_RESERVE',
        `of ${measured.inodes} inodes the last ${kept} are kept in reserve`,
        {
          hint: 'the volume of storage.directory has room for few more files: move files off it or enlarge it',
          arrivalId,
        },
      );
    }
  }
}
