import { ElementWalker } from '../dicom/element-walker';
import { RecodeProblem } from '../dicom/recode-problem';
import type { NativeEncoding } from '../dicom/recode-visitor';
import type { Codec, DecodedFrame, EncodedFrame } from './pixel-module';
import type { CompressedImage } from './image';
import { Splicer, type Entry, type Frame } from './splicer';

/** Frames of one data set with the decoder at a time: one under work, one that follows at once. */
const AHEAD = 2;
/** What may stand before pixel data. It is held until the first frame is decoded, so that a bad one fails before anything went out. */
const MOST_HELD = 64 * 1024 * 1024;

export type Decode = (frame: EncodedFrame) => Promise<DecodedFrame>;

/**
 * An encapsulated data set with its images decompressed, frame by frame.
 * @throws RecodeProblem, DicomParseError; whatever the source throws.
 */
export async function* spliced(
  source: AsyncIterable<Buffer>,
  codec: Codec,
  to: NativeEncoding,
  decode: Decode,
): AsyncGenerator<Buffer, void, undefined> {
  const splicer = new Splicer(codec, to);
  const walker = new ElementWalker({ explicit: true, littleEndian: true }, splicer);
  const emitter = new Emitter(splicer, codec, decode);
  for await (const chunk of source) {
    walker.push(chunk);
    splicer.flush();
    if (await emitter.mayBegin()) yield* emitter.emit();
  }
  walker.finish();
  splicer.finish();
  emitter.begin();
  yield* emitter.emit();
}

class Emitter {
  private readonly splicer: Splicer;
  private readonly codec: Codec;
  private readonly decode: Decode;

  constructor(splicer: Splicer, codec: Codec, decode: Decode) {
    this.splicer = splicer;
    this.codec = codec;
    this.decode = decode;
  }

  /** Decodes the first frame of the image where it is there. */
  async mayBegin(): Promise<boolean> {
    const { splicer } = this;
    if (splicer.handedOn) return true;
    const first = splicer.entries.find(
      (entry): entry is Frame => 'kind' in entry && entry.kind === 'frame' && entry.depth === 0,
    );
    if (first === undefined) {
      const held = splicer.entries.reduce((sum, entry) => sum + ('kind' in entry ? 0 : entry.length), 0);
      if (held > MOST_HELD)
        throw new RecodeProblem(`more than ${MOST_HELD / 1024 / 1024} MiB stand before its pixel data`);
      return false;
    }
    await this.decoded(first);
    this.begin();
    return true;
  }

  begin(): void {
    this.splicer.handedOn = true;
  }

  /** What is ready, in order; stops at what the rest of the data set has to tell first. */
  async *emit(): AsyncGenerator<Buffer, void, undefined> {
    const { splicer } = this;
    const { entries } = splicer;
    splicer.entries = [];
    for (const [index, entry] of entries.entries()) {
      if (!('kind' in entry)) {
        yield entry;
      } else if (entry.kind === 'frame') {
        for (const frame of framesOf(entries, index, AHEAD)) void this.start(frame);
        const decoded = await this.decoded(entry);
        // A chunk may hold thousands of small ones.
        entry.decoded = undefined;
        yield splicer.ordered(decoded, entry.image);
      } else {
        const { image } = entry.level;
        const [first] = image?.first === undefined ? framesOf(entries, index, 1, image) : [];
        if (first !== undefined) await this.decoded(first);
        const filled = splicer.fill(entry);
        if (filled === undefined) {
          splicer.entries = entries.slice(index);
          return;
        }
        yield filled;
      }
    }
  }

  private start(frame: Frame): Promise<DecodedFrame> {
    if (frame.decoded !== undefined) return frame.decoded;
    const { bytes } = frame;
    if (bytes === undefined) throw new Error('spliced: a frame was to be decoded twice');
    frame.bytes = undefined;
    const decoded = this.decode({ codec: this.codec, module: frame.image.module, bytes });
    // Whoever awaits it sees the failure; the consumer may have gone by then.
    decoded.catch(() => undefined);
    frame.decoded = decoded;
    return decoded;
  }

  private async decoded(frame: Frame): Promise<DecodedFrame> {
    const decoded = await this.start(frame);
    const { image } = frame;
    const { PhotometricInterpretation, PlanarConfiguration } = decoded;
    if (decoded.bytes.byteLength !== image.frameSize)
      throw new RecodeProblem(
        `a frame came out with ${decoded.bytes.byteLength} instead of ${image.frameSize} bytes`,
      );
    image.first ??= { PhotometricInterpretation, PlanarConfiguration };
    if (image.first.PhotometricInterpretation !== PhotometricInterpretation)
      throw new RecodeProblem('its frames have colours of different kinds');
    return decoded;
  }
}

/** The next frames from an entry on, of a certain image or of any. */
function* framesOf(
  entries: readonly Entry[],
  from: number,
  count: number,
  image?: CompressedImage,
): Generator<Frame, void, undefined> {
  let left = count;
  for (let index = from; index < entries.length && left > 0; index++) {
    const entry = entries[index];
    if (entry === undefined || !('kind' in entry) || entry.kind !== 'frame') continue;
    if (image !== undefined && entry.image !== image) continue;
    left--;
    yield entry;
  }
}
