import { closeSync, fstatSync, mkdirSync, openSync, write as writeFd } from 'node:fs';
import { open, rename, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { EXIT, IsocenterError, errorCode, errorMessage } from './errors';

/** Where lines go. Calls come one at a time; `done` is called once, with an error where the text was lost. */
export interface LogOutput {
  write(text: string, done: (error?: Error | null) => void): void;
  /** The next write opens the file anew. */
  reopen(): void;
  /** Called when nothing is being written. */
  close(): Promise<void>;
}

/**
 * Standard output that never blocks the event loop. Node writes pipes and sockets without blocking, but terminals and files
 * synchronously: those are written from the thread pool.
 */
export function standardOutput(): LogOutput {
  const kind = fstatSync(1);
  const rest = { reopen: () => undefined, close: () => Promise.resolve() };
  if (kind.isFIFO() || kind.isSocket()) {
    // Without a listener a reader that went away (EPIPE) would end the process.
    process.stdout.on('error', () => undefined);
    return { ...rest, write: (text, done) => void process.stdout.write(text, done) };
  }
  return { ...rest, write: (text, done) => writeAll(Buffer.from(text), done) };
}

function writeAll(bytes: Buffer, done: (error?: Error | null) => void): void {
  writeFd(1, bytes, (error, written) => {
    if (error !== null || written >= bytes.length) done(error);
    else writeAll(bytes.subarray(written), done);
  });
}

/** Readable by the group: logs are for those who run the node. */
const FILE_MODE = 0o640;

/**
 * A file that is renamed to FILE.1, FILE.2, … when it has grown to a size. winston's own File transport is not used: measured
 * on 3.19, it loses lines without an error whenever they come in faster than it rotates, and never writes again after a
 * full disk. Here what can't be written is reported to `done`, and each write tries anew.
 */
export class RotatingFile implements LogOutput {
  private readonly file: string;
  private readonly size: number;
  private readonly count: number;
  private handle: FileHandle | undefined;
  private length = 0;
  private stale = false;
  /** The disk took part of a line: the next one must not be joined to it. */
  private torn = false;

  /**
   * `size` in bytes, `count` with the current file.
   * @throws IsocenterError `LOG_UNWRITABLE`
   */
  constructor(file: string, size: number, count: number) {
    this.file = file;
    this.size = size;
    this.count = count;
    try {
      mkdirSync(dirname(file), { recursive: true });
      closeSync(openSync(file, 'a', FILE_MODE));
    } catch (error) {
      throw new IsocenterError('LOG_UNWRITABLE', `the log file can't be written: ${errorMessage(error)}`, {
        exitCode: EXIT.configuration,
        hint: 'give this user the right to write there, or change log.file',
        cause: error,
      });
    }
  }

  write(text: string, done: (error?: Error | null) => void): void {
    this.append(text).then(
      () => done(),
      (error: unknown) => done(error instanceof Error ? error : new Error(String(error))),
    );
  }

  reopen(): void {
    this.stale = true;
  }

  async close(): Promise<void> {
    const { handle } = this;
    this.handle = undefined;
    await handle?.close().catch(() => undefined);
  }

  private async append(text: string): Promise<void> {
    const bytes = Buffer.from(this.torn ? `\n${text}` : text);
    try {
      if (this.stale) await this.close();
      this.stale = false;
      if (this.handle !== undefined && this.length > 0 && this.length + bytes.length > this.size)
        await this.rotate();
      const handle = this.handle ?? (await this.open());
      await this.writeTo(handle, bytes);
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  private async open(): Promise<FileHandle> {
    const { size } = await stat(this.file).catch(() => ({ size: 0 }));
    if (size >= this.size) await this.rotate();
    const handle = await open(this.file, 'a', FILE_MODE);
    this.handle = handle;
    this.length = (await handle.stat()).size;
    return handle;
  }

  private async writeTo(handle: FileHandle, bytes: Buffer): Promise<void> {
    for (let offset = 0; offset < bytes.length;) {
      const { bytesWritten } = await handle.write(bytes, offset);
      offset += bytesWritten;
      this.length += bytesWritten;
      this.torn = offset < bytes.length;
    }
  }

  private async rotate(): Promise<void> {
    await this.close();
    const name = (n: number): string => (n === 0 ? this.file : `${this.file}.${n}`);
    for (let n = this.count - 2; n >= 0; n--)
      await rename(name(n), name(n + 1)).catch((error: unknown) => {
        if (errorCode(error) !== 'ENOENT') throw error;
      });
  }
}
