import type { ElementHeader, ElementVisitor, ValueHandling } from '../dicom/element-visitor';
import { RecodeOutput } from '../dicom/recode-output';
import { RecodeProblem } from '../dicom/recode-problem';
import { RecodeVisitor, type NativeEncoding } from '../dicom/recode-visitor';
import { PIXEL_DATA } from '../dicom/recode-vr';
import { ElementWriter } from '../dicom/recode-writer';
import type { Tag } from '../dicom/types';
import { codeOf, swapUnits } from '../dicom/vr';
import { FrameAssembler } from './fragments';
import {
  ImageLevel,
  isOfImage,
  PHOTOMETRIC_INTERPRETATION,
  PLANAR_CONFIGURATION,
  type CompressedImage,
} from './image';
import type { Codec, Colours, DecodedFrame } from './pixel-module';

const EXTENDED_OFFSET_TABLE = 0x7fe00001;
/** Extended Offset Table Lengths and Encapsulated Pixel Data Value Total Length: of no use, and wrong afterwards. */
const OTHER_TABLES: readonly Tag[] = [0x7fe00002, 0x7fe00003];
const GROUP_LENGTHS: readonly Tag[] = [0x00280000, 0x7fe00000];

/** An attribute whose value depends on how the frames of its level come out. */
export interface Hole {
  readonly kind: 'hole';
  readonly tag: Tag;
  readonly vr: string;
  readonly value: Buffer;
  readonly level: ImageLevel;
}

/** A compressed frame on its way to the decoder. */
export interface Frame {
  readonly kind: 'frame';
  readonly image: CompressedImage;
  readonly depth: number;
  /** Undefined once they were handed over. */
  bytes: ArrayBuffer | undefined;
  decoded: Promise<DecodedFrame> | undefined;
}

export type Entry = Buffer | Hole | Frame;

/** What is written in an encapsulated transfer syntax (PS3.5 A.4). */
const ENCAPSULATED: NativeEncoding = { explicit: true, littleEndian: true };

/**
 * Takes compressed images out of a data set and leaves room for what they become; all other elements it writes as they are, in the
 * encoding asked for. `entries` is what comes out, in order.
 */
export class Splicer implements ElementVisitor {
  entries: Entry[] = [];
  /** Something was handed on, so nothing written before can be changed any more. */
  handedOn = false;
  private readonly codec: Codec;
  private readonly to: NativeEncoding;
  private readonly out = new RecodeOutput();
  private readonly inner: RecodeVisitor;
  private readonly levels: ImageLevel[] = [new ImageLevel()];
  private innerKeeps = false;
  private extendedTable: readonly number[] | undefined;
  private assembler: FrameAssembler | undefined;
  private image: CompressedImage | undefined;
  private inBasicTable = false;

  constructor(codec: Codec, to: NativeEncoding) {
    this.codec = codec;
    this.to = to;
    this.inner = new RecodeVisitor(ENCAPSULATED, to, this.out);
  }

  element(header: ElementHeader): ValueHandling {
    const { tag, depth, vrCode } = header;
    if (depth === 0) {
      if (GROUP_LENGTHS.includes(tag) || OTHER_TABLES.includes(tag)) return 'skip';
      if (tag === EXTENDED_OFFSET_TABLE) return 'keep';
      if (tag === PIXEL_DATA)
        throw new RecodeProblem('its pixel data are not in fragments, which its transfer syntax asks for');
    }
    if ((tag === PHOTOMETRIC_INTERPRETATION || tag === PLANAR_CONFIGURATION) && vrCode !== 0) return 'keep';
    const handling = this.inner.element(header);
    this.innerKeeps = handling === 'keep';
    return isOfImage(tag) && handling === 'stream' ? 'keep' : handling;
  }

  value(header: ElementHeader, bytes: Buffer): void {
    const { tag, vr } = header;
    if (tag === EXTENDED_OFFSET_TABLE && header.depth === 0) {
      this.extendedTable = offsets(bytes, 8);
      return;
    }
    if (this.inBasicTable) {
      this.inBasicTable = false;
      this.assembler?.table(offsets(bytes, 4));
      return;
    }
    this.level.set(tag, vr, bytes);
    if ((tag === PHOTOMETRIC_INTERPRETATION || tag === PLANAR_CONFIGURATION) && header.vrCode !== 0) {
      this.flush();
      this.entries.push({ kind: 'hole', tag, vr, value: Buffer.from(bytes), level: this.level });
    } else if (this.innerKeeps) this.inner.value(header, bytes);
    else {
      this.inner.part(header, bytes);
      this.inner.valueEnd();
    }
  }

  part(header: ElementHeader, bytes: Buffer): void {
    if (this.assembler === undefined) this.inner.part(header, bytes);
    else this.assembler.data(bytes);
  }

  valueEnd(): void {
    if (this.assembler === undefined) this.inner.valueEnd();
    else this.assembler.end();
  }

  sequenceStart(header: ElementHeader): void {
    this.inner.sequenceStart(header);
  }

  itemStart(header: ElementHeader): void {
    this.inner.itemStart(header);
    this.levels.push(new ImageLevel());
  }

  itemEnd(): void {
    this.inner.itemEnd();
    const level = this.levels.pop();
    if (level !== undefined) level.complete = true;
  }

  sequenceEnd(): void {
    this.inner.sequenceEnd();
  }

  strayDelimiter(header: ElementHeader): void {
    this.inner.strayDelimiter(header);
  }

  fragmentsStart(header: ElementHeader): void {
    const { tag, depth } = header;
    if (tag !== PIXEL_DATA || header.vrCode === 0 || this.level.image !== undefined)
      throw new RecodeProblem('it has fragments that are no pixel data');
    const image = this.level.begin(this.codec);
    if (depth > 0) {
      // An icon changes its size, and what it is in with it.
      if (this.handedOn) throw new RecodeProblem('it has compressed pixel data behind its image');
      this.inner.undefineLengths();
    }
    this.image = image;
    this.inner.insert(PIXEL_DATA, image.module.BitsAllocated > 8 ? 'OW' : 'OB', image.length);
    this.flush();
    this.assembler = new FrameAssembler(this.codec, image, (bytes) => {
      this.entries.push({ kind: 'frame', image, depth, bytes, decoded: undefined });
    });
    this.inBasicTable = true;
  }

  fragment(header: ElementHeader): ValueHandling {
    const { assembler } = this;
    if (this.inBasicTable) {
      if (header.length > 0) return 'keep';
      this.inBasicTable = false;
      if (header.depth === 0 && this.extendedTable !== undefined) assembler?.table(this.extendedTable);
      return 'skip';
    }
    assembler?.begin(header.offset, header.length);
    return 'stream';
  }

  fragmentsEnd(): void {
    this.assembler?.finish();
    this.assembler = undefined;
    const { image } = this;
    this.image = undefined;
    if (image !== undefined && image.length > image.frames * image.frameSize)
      this.entries.push(Buffer.alloc(1));
  }

  /** All that came in so far is among the entries. */
  flush(): void {
    this.entries.push(...this.out.take());
  }

  /** The data set has ended. */
  finish(): void {
    this.level.complete = true;
    this.flush();
  }

  /** A hole filled in: undefined as long as it isn't known with what. */
  fill(hole: Hole): Buffer | undefined {
    const { image, complete } = hole.level;
    if (image === undefined ? !complete : image.first === undefined) return undefined;
    const out = new RecodeOutput();
    const value =
      image?.first === undefined ? hole.value : became(hole, image.module.SamplesPerPixel, image.first);
    const writer = new ElementWriter(out);
    writer.header(hole.tag, this.to.explicit ? codeOf(hole.vr) : 0, value.length, this.to.littleEndian);
    writer.begin(hole.vr, !this.to.littleEndian);
    writer.part(value);
    writer.end();
    return Buffer.concat(out.take());
  }

  /** A decoded frame in the order of bytes asked for. */
  ordered(frame: DecodedFrame, image: CompressedImage): Buffer {
    const bytes = Buffer.from(frame.bytes);
    if (!this.to.littleEndian && image.module.BitsAllocated > 8) swapUnits(bytes, 2);
    return bytes;
  }

  private get level(): ImageLevel {
    const level = this.levels.at(-1);
    if (level === undefined) throw new Error('splicer: no data set is open');
    return level;
  }
}

function became({ tag, value }: Hole, samples: number, frame: Colours): Buffer {
  if (tag === PHOTOMETRIC_INTERPRETATION) {
    const name = frame.PhotometricInterpretation;
    return value.toString('latin1').trimEnd() === name
      ? value
      : Buffer.from(name + ' '.repeat(name.length % 2), 'latin1');
  }
  // Of grey images it says nothing.
  return samples === 1 ? value : Buffer.of(frame.PlanarConfiguration, 0);
}

function offsets(bytes: Buffer, size: 4 | 8): number[] {
  return Array.from({ length: Math.floor(bytes.length / size) }, (_, index) =>
    size === 4 ? bytes.readUInt32LE(4 * index) : Number(bytes.readBigUInt64LE(8 * index)),
  );
}
