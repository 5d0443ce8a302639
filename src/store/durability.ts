import { constants } from 'node:fs';
import { errorCode, errorMessage } from '../errors';
import { StoreError, storeFailure } from './errors';
import type { FileCalls } from './file-calls';

const FOLDER = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/**
 * Every sync of the store goes through here, because one that fails is final: the kernel has dropped the pages and
 * will call the next sync of them a success. So it is never repeated, and nothing new is taken until a restart.
 */
export class Durability {
  private readonly calls: FileCalls;
  private reason: string | undefined;

  constructor(calls: FileCalls) {
    this.calls = calls;
  }

  /** Why nothing is taken any more. */
  get stopped(): string | undefined {
    return this.reason;
  }

  stop(reason: string): void {
    this.reason ??= reason;
  }

  /** @throws StoreError `STORE_STOPPED` */
  requireRunning(arrivalId?: string): void {
    if (this.reason === undefined) return;
    throw new StoreError('STORE_STOPPED', `nothing is stored any more: ${this.reason}`, {
      hint: 'look at the kernel log and at the volume of storage.directory, then restart the node',
      arrivalId,
    });
  }

  /** @throws StoreError `STORE_SYNC_FAILED` */
  async syncData(fd: number, what: string, arrivalId?: string): Promise<void> {
    try {
      await this.calls.fdatasync(fd);
    } catch (cause) {
      throw this.syncFailed(what, cause, arrivalId);
    }
  }

  /** Makes the names in a folder durable. @throws StoreError `STORE_SYNC_FAILED`, `STORE_FAILED` if it can't be opened. */
  async syncFolder(folder: string, arrivalId?: string): Promise<void> {
    let fd: number;
    try {
      fd = await this.calls.open(folder, FOLDER);
    } catch (cause) {
      throw storeFailure('opening a folder to sync it', cause, arrivalId);
    }
    try {
      await this.calls.fsync(fd);
    } catch (cause) {
      throw this.syncFailed('the sync of a folder', cause, arrivalId);
    } finally {
      await this.calls.close(fd).catch(() => undefined);
    }
  }

  private syncFailed(what: string, cause: unknown, arrivalId: string | undefined): StoreError {
    const reason = `${what} failed with ${errorCode(cause) ?? errorMessage(cause)}`;
    this.stop(reason);
    return new StoreError('STORE_SYNC_FAILED', reason, {
      hint: 'the disk may have lost data: look at the kernel log, then restart the node',
      cause,
      arrivalId,
    });
  }
}
