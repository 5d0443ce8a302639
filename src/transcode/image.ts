import { isNumeric, numberOf, numericValues, trimValue } from '../dicom/values';
import type { Tag } from '../dicom/types';
import { RecodeProblem } from '../dicom/recode-problem';
import { checkModule, frameSize, type Codec, type Colours, type PixelModule } from './pixel-module';

export const PHOTOMETRIC_INTERPRETATION = 0x00280004;
export const PLANAR_CONFIGURATION = 0x00280006;

const KEYWORDS: Readonly<Record<Tag, keyof PixelModule | 'NumberOfFrames'>> = {
  0x00280002: 'SamplesPerPixel',
  [PHOTOMETRIC_INTERPRETATION]: 'PhotometricInterpretation',
  [PLANAR_CONFIGURATION]: 'PlanarConfiguration',
  0x00280008: 'NumberOfFrames',
  0x00280010: 'Rows',
  0x00280011: 'Columns',
  0x00280100: 'BitsAllocated',
  0x00280101: 'BitsStored',
  0x00280103: 'PixelRepresentation',
};

/** An attribute that tells how pixels are to be decoded. */
export function isOfImage(tag: Tag): boolean {
  return tag in KEYWORDS;
}

/** The largest value of an element with a length field of 32 bits, even as it has to be. */
const LONGEST_VALUE = 0xfffffffe;

/** An image whose pixel data are compressed, and what its frames became. */
export interface CompressedImage {
  readonly module: PixelModule;
  readonly frames: number;
  readonly frameSize: number;
  /** Bytes of its native pixel data, padding included. */
  readonly length: number;
  /** What became of the colours, once the first frame is decoded. */
  first: Colours | undefined;
}

/** What a data set or an item says of the pixels in it. */
export class ImageLevel {
  /** Known from when its pixel data begin. */
  image: CompressedImage | undefined;
  /** It has ended. */
  complete = false;
  private readonly values = new Map<string, string | number>();

  /** Takes an attribute's little-endian value. */
  set(tag: Tag, vr: string, bytes: Buffer): void {
    const keyword = KEYWORDS[tag];
    if (keyword === undefined) return;
    // Left as UN by whoever had no dictionary.
    const read = vr === 'UN' ? 'US' : vr;
    const text = trimValue(bytes.toString('latin1'), 'CS');
    if (keyword === 'PhotometricInterpretation') this.values.set(keyword, text);
    else {
      const isText = keyword === 'NumberOfFrames' || !isNumeric(read);
      const number = isText ? numberOf(text) : numericValues(bytes, read)[0];
      if (number !== undefined) this.values.set(keyword, number);
    }
  }

  /** Its pixel data begin. @throws RecodeProblem where nobody can decode them. */
  begin(codec: Codec): CompressedImage {
    const module: PixelModule = {
      Rows: this.number('Rows', 0),
      Columns: this.number('Columns', 0),
      SamplesPerPixel: this.number('SamplesPerPixel', 1),
      BitsAllocated: this.number('BitsAllocated', 0),
      BitsStored: this.number('BitsStored', 0),
      PixelRepresentation: this.number('PixelRepresentation', 0),
      PlanarConfiguration: this.number('PlanarConfiguration', 0),
      PhotometricInterpretation: String(this.values.get('PhotometricInterpretation') ?? ''),
    };
    checkModule(codec, module);
    const frames = this.number('NumberOfFrames', 1);
    if (!Number.isInteger(frames) || frames < 1)
      throw new RecodeProblem('Number of Frames is no count of frames');
    const size = frameSize(module);
    // Padded to even length (PS3.5 8.1.1).
    const length = frames * size + ((frames * size) % 2);
    if (length > LONGEST_VALUE)
      throw new RecodeProblem('its pixels are more than an uncompressed value can have, 4 GiB');
    this.image = { module, frames, frameSize: size, length, first: undefined };
    return this.image;
  }

  private number(keyword: string, otherwise: number): number {
    const value = this.values.get(keyword);
    return typeof value === 'number' ? value : otherwise;
  }
}
