import { RecodeProblem } from '../dicom/recode-problem';

/** What a decoder has to know of an image (PS3.3 C.7.6.3), by keyword. */
export interface PixelModule {
  readonly Rows: number;
  readonly Columns: number;
  readonly SamplesPerPixel: number;
  readonly BitsAllocated: number;
  readonly BitsStored: number;
  readonly PixelRepresentation: number;
  /** 0 where the data set doesn't say. */
  readonly PlanarConfiguration: number;
  readonly PhotometricInterpretation: string;
}

/** The ways of compression that can be undone. */
export type Codec = 'rle' | 'jpeg' | 'jpeg-ls' | 'jpeg-2000' | 'htj2k';

/** Transfer syntaxes that can be decompressed (PS3.5 A.4). */
export const CODECS: ReadonlyMap<string, Codec> = new Map<string, Codec>([
  ['1.2.840.10008.1.2.5', 'rle'],
  ['1.2.840.10008.1.2.4.50', 'jpeg'],
  ['1.2.840.10008.1.2.4.57', 'jpeg'],
  ['1.2.840.10008.1.2.4.70', 'jpeg'],
  ['1.2.840.10008.1.2.4.80', 'jpeg-ls'],
  ['1.2.840.10008.1.2.4.81', 'jpeg-ls'],
  ['1.2.840.10008.1.2.4.90', 'jpeg-2000'],
  ['1.2.840.10008.1.2.4.91', 'jpeg-2000'],
  ['1.2.840.10008.1.2.4.201', 'htj2k'],
  ['1.2.840.10008.1.2.4.202', 'htj2k'],
  ['1.2.840.10008.1.2.4.203', 'htj2k'],
]);

/** A compressed frame and what belongs to it. The bytes are handed over, not copied. */
export interface EncodedFrame {
  readonly codec: Codec;
  readonly module: PixelModule;
  readonly bytes: ArrayBuffer;
}

/** What the header has to say of decoded pixels. */
export interface Colours {
  readonly PhotometricInterpretation: string;
  readonly PlanarConfiguration: number;
}

/** A frame as native pixel data, little endian, of `frameSize` bytes. */
export interface DecodedFrame extends Colours {
  readonly bytes: ArrayBuffer;
}

/** The largest frame that is decoded, in bytes of native pixels: four times a mammogram. A decoder needs up to eight times as much. */
export const MAX_FRAME = 224 * 1024 * 1024;

/** Bytes of one native frame. */
export function frameSize(module: PixelModule): number {
  return module.Rows * module.Columns * module.SamplesPerPixel * (module.BitsAllocated / 8);
}

/** @throws RecodeProblem an image that no decoder here can do anything with. */
export function checkModule(codec: Codec, module: PixelModule): void {
  const { Rows, Columns, SamplesPerPixel, BitsAllocated } = module;
  if (Rows === 0 || Columns === 0) throw new RecodeProblem('Rows or Columns is missing or 0');
  if (SamplesPerPixel !== 1 && SamplesPerPixel !== 3)
    throw new RecodeProblem(`images of ${SamplesPerPixel} samples a pixel can't be decompressed`);
  const allowed = codec === 'rle' ? [8, 16, 32] : [8, 16];
  if (!allowed.includes(BitsAllocated))
    throw new RecodeProblem(`images of ${BitsAllocated} bits allocated can't be decompressed`);
  if (frameSize(module) > MAX_FRAME)
    throw new RecodeProblem(`a frame of more than ${MAX_FRAME / 1024 / 1024} MiB can't be decompressed`);
}
