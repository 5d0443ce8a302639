import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { link, lstat, open, rename, unlink, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { errorCode, errorMessage, IsocenterError } from '../errors';

/** What file systems without hard links answer to one: FAT on a memory stick, some network file systems. */
const NO_LINKS: ReadonlySet<string> = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']);

/**
 * A file that gets its name only when it is whole and on the disk: until then it stands beside it under a name of its own, beginning with a
 * dot and ending in `.part`. Exactly one of `commit` and `discard` ends it; `discard` after a failed `commit` is right.
 */
export class PartFile {
  readonly path: string;
  private readonly part: string;
  private readonly handle: FileHandle;
  private position = 0;
  private open = true;

  private constructor(path: string, part: string, handle: FileHandle) {
    this.path = path;
    this.part = part;
    this.handle = handle;
  }

  /** @throws IsocenterError `FILE_UNWRITABLE` */
  static async create(path: string): Promise<PartFile> {
    const part = join(
      dirname(path),
      `.${basename(path).slice(0, 100)}.${randomBytes(6).toString('hex')}.part`,
    );
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    return new PartFile(path, part, await writing(path, () => open(part, flags, 0o666)));
  }

  /** Bytes written so far. */
  get size(): number {
    return this.position;
  }

  /** @throws IsocenterError `FILE_UNWRITABLE` */
  async write(bytes: Buffer): Promise<void> {
    await this.writeAt(bytes, this.position);
    this.position += bytes.length;
  }

  /** Writes over what stands at `position`. @throws IsocenterError `FILE_UNWRITABLE` */
  async writeAt(bytes: Buffer, position: number): Promise<void> {
    await writing(this.path, async () => {
      for (let done = 0; done < bytes.length;) {
        const { bytesWritten } = await this.handle.write(bytes, done, bytes.length - done, position + done);
        done += bytesWritten;
      }
    });
  }

  /** Forgets what was written from `position` on. @throws IsocenterError `FILE_UNWRITABLE` */
  async truncate(position: number): Promise<void> {
    await writing(this.path, () => this.handle.truncate(position));
    this.position = position;
  }

  /**
   * Syncs the file, unless it is only for a moment, and gives it its name. Without `replace` a file that has the name keeps it; a second call may have it then.
   * @throws IsocenterError `FILE_EXISTS`, `FILE_UNWRITABLE`
   */
  async commit({
    replace,
    sync = true,
  }: {
    readonly replace: boolean;
    readonly sync?: boolean;
  }): Promise<void> {
    await writing(this.path, async () => {
      if (this.open && sync) await this.handle.sync();
      await this.close();
      if (replace) await rename(this.part, this.path);
      else await this.nameOnce();
    });
  }

  async discard(): Promise<void> {
    await this.close().catch(() => undefined);
    await unlink(this.part).catch(() => undefined);
  }

  private async close(): Promise<void> {
    if (!this.open) return;
    this.open = false;
    await this.handle.close();
  }

  private async nameOnce(): Promise<void> {
    try {
      await link(this.part, this.path);
    } catch (error) {
      if (!NO_LINKS.has(errorCode(error) ?? '')) throw error;
      // Not in one step, and so the last resort.
      if (await isThere(this.path)) throw Object.assign(new Error('exists'), { code: 'EEXIST' });
      await rename(this.part, this.path);
      return;
    }
    await unlink(this.part);
  }
}

/** Whether anything has that name, a broken link included. */
export async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return false;
    throw error;
  }
}

/** Makes the names in a folder durable; what can't be synced (some network file systems) is left as it is. */
export async function syncFolder(path: string): Promise<void> {
  try {
    const handle = await open(path, constants.O_RDONLY);
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch {
    // The files themselves are synced.
  }
}

const HINTS: Readonly<Record<string, string>> = {
  ENOSPC: 'make room on that volume, then run the command again: it goes on where it stopped',
  EDQUOT: 'the quota of this user is used up there',
  EACCES: 'choose a folder that this user may write to',
  EROFS: 'choose a folder that this user may write to',
};

async function writing<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const code = errorCode(error) ?? '';
    if (code === 'EEXIST')
      throw new IsocenterError('FILE_EXISTS', `${path} is there already`, {
        hint: '--force replaces it',
        cause: error,
      });
    const hint = HINTS[code];
    throw new IsocenterError('FILE_UNWRITABLE', `${path} can't be written: ${errorMessage(error)}`, {
      ...(hint === undefined ? {} : { hint }),
      cause: error,
    });
  }
}
