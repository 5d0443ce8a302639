import { createInflateRaw, type InflateRaw } from 'node:zlib';
import { errorCode } from '../errors';
import { DicomParseError } from './parse-error';

/** A deflated data set that grows beyond is refused: nothing real does, and the walk would take minutes. */
const MAX_INFLATED = 512 * 1024 * 1024;
/** Pixel data seldom pass 20:1; a bomb has 1000:1. */
const MAX_RATIO = 200;
/** A small header may well be all zeros: the ratio counts from here on. */
const RATIO_FREE = 1024 * 1024;

/** Inflates a data set of a deflated syntax (PS3.5 A.5) as it comes and hands on the bytes; holds one piece of 64 KiB. */
export class DataSetInflater {
  private readonly stream: InflateRaw = createInflateRaw({ chunkSize: 64 * 1024 });
  private readonly failed: Promise<never>;
  private taken = 0;
  private given = 0;
  private ended = false;

  constructor(sink: (bytes: Buffer) => void) {
    const { stream } = this;
    this.failed = new Promise((_, reject) => {
      stream.once('error', (error) => {
        reject(asParseError(error));
      });
    });
    // Whoever pushes next sees the failure; until then nobody may be listening.
    this.failed.catch(() => undefined);
    stream.once('end', () => {
      this.ended = true;
    });
    stream.on('data', (bytes: Buffer) => {
      try {
        this.given += bytes.length;
        this.checkGrowth();
        sink(bytes);
      } catch (error) {
        stream.destroy(error as Error);
      }
    });
  }

  /** Resolves when these bytes have been inflated and handed on. @throws DicomParseError, and whatever the sink threw. */
  async push(chunk: Buffer): Promise<void> {
    // Behind the compressed stream stands at most a byte of padding.
    if (this.ended) return;
    this.taken += chunk.length;
    const written = new Promise<void>((resolve) => {
      this.stream.write(chunk, () => {
        resolve();
      });
    });
    const ended = new Promise<void>((resolve) => {
      this.stream.once('end', resolve);
      void written.then(() => this.stream.off('end', resolve));
    });
    await Promise.race([this.failed, written, ended]);
    await this.settle();
  }

  /** The last byte was pushed. @throws DicomParseError where the compressed stream isn't complete. */
  async finish(): Promise<void> {
    if (this.ended) return;
    const ended = new Promise<void>((resolve) => this.stream.once('end', resolve));
    this.stream.end();
    await Promise.race([this.failed, ended]);
  }

  /** A failure that came with the last piece is thrown by the call that brought it. */
  private async settle(): Promise<void> {
    if (this.stream.errored !== null) await this.failed;
  }

  private checkGrowth(): void {
    if (this.given > MAX_INFLATED)
      throw new DicomParseError('inflate', `inflates to more than ${MAX_INFLATED} bytes`);
    if (this.given > RATIO_FREE && this.given > MAX_RATIO * this.taken)
      throw new DicomParseError('inflate', `inflates to more than ${MAX_RATIO} times its size`);
  }
}

function asParseError(error: Error): Error {
  if (errorCode(error) === 'Z_BUF_ERROR')
    return new DicomParseError('truncated', 'the deflated stream ends early', { cause: error });
  if (errorCode(error)?.startsWith('Z_') === true)
    return new DicomParseError('inflate', 'no valid deflated stream', { cause: error });
  return error;
}
