import { pipeline } from 'node:stream/promises';
import { createDeflateRaw, createInflateRaw, type DeflateRaw, type InflateRaw } from 'node:zlib';
import { DicomParseError } from '../dicom/parse-error';
import { errorCode } from '../errors';

const PIECE = 64 * 1024;

/** Inflates a data set of the deflated syntax (PS3.5 A.5). @throws DicomParseError; whatever the source throws. */
export async function* inflated(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  const stream = createInflateRaw({ chunkSize: PIECE });
  try {
    yield* through(source, stream);
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
  for await (const piece of through(source, createDeflateRaw({ chunkSize: PIECE }))) {
    length += piece.length;
    yield piece;
  }
  if (length % 2 === 1) yield Buffer.alloc(1);
}

async function* through(
  source: AsyncIterable<Buffer>,
  stream: InflateRaw | DeflateRaw,
): AsyncGenerator<Buffer, void, undefined> {
  const pumped = pipeline(source, stream);
  // Met by the reading end; a consumer that leaves early is no failure.
  pumped.catch(() => undefined);
  try {
    for await (const piece of stream) yield piece as Buffer;
    await pumped;
  } finally {
    stream.destroy();
    // The source is closed when this is over.
    await pumped.catch(() => undefined);
  }
}
