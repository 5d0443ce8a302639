import { createDeflateRaw, createInflateRaw, type DeflateRaw, type InflateRaw } from 'node:zlib';
import { DicomParseError } from '../dicom/parse-error';
import { errorCode } from '../errors';

const PIECE = 64 * 1024;
/** Inflates to 16 MiB at most. */
const INFLATE_STEP = 16 * 1024;
const DEFLATE_STEP = 128 * 1024;

/** Inflates a data set of the deflated syntax (PS3.5 A.5). @throws DicomParseError; whatever the source throws. */
export async function* inflated(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  const stream = createInflateRaw({ chunkSize: PIECE });
  try {
    yield* through(source, stream, INFLATE_STEP);
  } catch (error) {
    if (errorCode(error) === 'Z_BUF_ERROR')
      throw new DicomParseError('truncated', 'the deflated stream ends early', { cause: error });
    if (errorCode(error)?.startsWith('Z_') === true)
      throw new DicomParseError('inflate', 'no valid deflated stream', { cause: error });
    throw error;
  }
}

/** Deflates a data set, with a byte of padding where its length would be odd (PS3.5 A.5). */
export async function* deflated(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  let length = 0;
  for await (const piece of through(source, createDeflateRaw({ chunkSize: PIECE }), DEFLATE_STEP)) {
    length += piece.length;
    yield piece;
  }
  if (length % 2 === 1) yield Buffer.alloc(1);
}

/** Sends a source through zlib, `step` bytes at a time, which bounds what can come out at once. Bytes behind the end are passed over. */
async function* through(
  source: AsyncIterable<Buffer>,
  stream: InflateRaw | DeflateRaw,
  step: number,
): AsyncGenerator<Buffer, void, undefined> {
  const state: { pieces: Buffer[]; ended: boolean; resolve: () => void; reject: (error: Error) => void } = {
    pieces: [],
    ended: false,
    resolve: () => undefined,
    reject: () => undefined,
  };
  stream.on('data', (piece: Buffer) => state.pieces.push(piece));
  stream.on('end', () => {
    state.ended = true;
    state.resolve();
  });
  stream.on('error', (error) => {
    state.reject(error);
  });
  /** Until zlib is done with what it was given, or with everything. */
  const settled = (give: (done: (error?: Error | null) => void) => void): Promise<void> =>
    new Promise((resolve, reject) => {
      state.resolve = resolve;
      state.reject = reject;
      give((error) => {
        if (error) reject(stream.errored ?? error);
        else resolve();
      });
    });
  const take = (): Buffer[] => state.pieces.splice(0);
  try {
    // To its last byte, whatever zlib makes of it: only then the source knows that its bytes were right.
    for await (const chunk of source) {
      for (let at = 0; at < chunk.length && !state.ended; at += step) {
        const part = chunk.subarray(at, at + step);
        await settled((done) => stream.write(part, done));
        yield* take();
      }
    }
    if (!state.ended) await settled(() => stream.end());
    yield* take();
  } finally {
    stream.destroy();
  }
}
