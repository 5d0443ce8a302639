import { Recoder } from '../dicom/recode';
import type { NativeEncoding } from '../dicom/recode-visitor';
import { encodingOf, transferSyntax, UID } from '../dicom/uids';
import { errorCode, errorMessage, IsocenterError } from '../errors';
import { deflated, inflated } from './deflate';
import { Decoder, type After } from './decoder';
import { CODECS } from './pixel-module';
import { spliced } from './spliced';

/** What data sets can be brought into, the first of them the one that most peers read without guessing. */
const TARGETS: readonly string[] = [
  UID.ExplicitVRLittleEndian,
  UID.ImplicitVRLittleEndian,
  UID.ExplicitVRBigEndian,
  UID.DeflatedExplicitVRLittleEndian,
];

export interface TranscoderOptions {
  /** A frame that takes longer is given up, in milliseconds; 30 s if not given. */
  readonly frameTimeout?: number;
  /** The decoder's thread ends when it had nothing to do for so long, in milliseconds; 2 minutes if not given. */
  readonly idleTimeout?: number;
  /** Time for tests. */
  readonly after?: After;
}

/**
 * Brings data sets into another transfer syntax without loss (PS3.5 10, Annex A): uncompressed ones into each other, compressed ones into
 * uncompressed ones. Nothing is ever compressed, but by deflation. Costs nothing until it is used.
 */
export interface LosslessTranscoder {
  /** Transfer syntaxes that `from` can be brought into, the preferred one first; none where it must go out as it is. */
  targets(from: string): readonly string[];
  /**
   * The data set in the syntax `to`. Its pieces have to stay as they are: slices of them are handed on.
   * @throws IsocenterError `TRANSCODE_FAILED`; whatever the data set throws.
   */
  transcode(dataSet: AsyncIterable<Buffer>, from: string, to: string): AsyncIterable<Buffer>;
  /** Whether the decoder's thread is there. */
  readonly decoding: boolean;
  /** Ends the thread; what it has to do fails. */
  close(): Promise<void>;
}

const defaultAfter: After = (milliseconds, callback) => {
  const timer = setTimeout(callback, milliseconds);
  timer.unref();
  return () => {
    clearTimeout(timer);
  };
};

export function createTranscoder(options: TranscoderOptions = {}): LosslessTranscoder {
  const decoder = new Decoder({
    frameTimeout: options.frameTimeout ?? 30_000,
    idleTimeout: options.idleTimeout ?? 120_000,
    after: options.after ?? defaultAfter,
  });
  return {
    targets,
    transcode: (dataSet, from, to) => transcode(dataSet, from, to, decoder),
    get decoding() {
      return decoder.running;
    },
    close: () => decoder.close(),
  };
}

function targets(from: string): readonly string[] {
  if (!TARGETS.includes(from) && !CODECS.has(from)) return [];
  return TARGETS.filter((uid) => uid !== from);
}

async function* transcode(
  dataSet: AsyncIterable<Buffer>,
  from: string,
  to: string,
  decoder: Decoder,
): AsyncGenerator<Buffer, void, undefined> {
  if (!targets(from).includes(to)) throw failure(from, to, 'there is no way between them');
  const source = encodingOf(from);
  const target = encodingOf(to);
  const codec = CODECS.get(from);
  let bytes = source.deflated ? inflated(dataSet) : dataSet;
  if (codec !== undefined) bytes = spliced(bytes, codec, target, (frame) => decoder.decode(frame));
  // Deflated or not, the data set itself is the same.
  else if (source.explicit !== target.explicit || source.littleEndian !== target.littleEndian)
    bytes = recoded(bytes, source, target);
  if (target.deflated) bytes = deflated(bytes);
  try {
    yield* bytes;
  } catch (error) {
    const code = errorCode(error);
    throw code === 'RECODE' || code === 'DICOM_PARSE' ? failure(from, to, errorMessage(error), error) : error;
  }
}

async function* recoded(
  source: AsyncIterable<Buffer>,
  from: NativeEncoding,
  to: NativeEncoding,
): AsyncGenerator<Buffer, void, undefined> {
  const recoder = new Recoder(from, to);
  for await (const chunk of source) yield* recoder.push(chunk);
  yield* recoder.finish();
}

function failure(from: string, to: string, reason: string, cause?: unknown): IsocenterError {
  const name = (uid: string): string => transferSyntax(uid)?.name ?? 'an unknown transfer syntax';
  return new IsocenterError(
    'TRANSCODE_FAILED',
    `Can't bring it from ${name(from)} to ${name(to)}: ${reason}`,
    {
      hint: 'the stored bytes are untouched: send it to a peer that takes the stored transfer syntax',
      ...(cause === undefined ? {} : { cause }),
    },
  );
}
