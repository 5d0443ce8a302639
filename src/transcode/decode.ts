import { Context, NativeCodecs } from 'dcmjs-codecs';
import { RecodeProblem } from '../dicom/recode-problem';
import type { Codestream } from './codestream';
import { readJpeg2000 } from './codestream-j2k';
import { asYbr, readJpeg } from './codestream-jpeg';
import { frameSize, type DecodedFrame, type EncodedFrame, type PixelModule } from './pixel-module';
import { decodeRle } from './rle';

/** Samples as a decoder gives them. */
interface Samples {
  readonly bytes: Uint8Array;
  /** Bytes of a sample. */
  readonly size: 1 | 2;
  readonly planar: boolean;
  /** Bits of a sample below which a signed one ends; undefined where all bits are right. */
  readonly signedBits?: number;
}

/**
 * Decodes one frame. What comes out fits the pixel module but for colours: `PhotometricInterpretation` and `PlanarConfiguration` say
 * what they are now.
 * @throws RecodeProblem for a frame that doesn't fit the module or is cut; whatever the codec throws at broken ones, and then no
 * frame may be decoded by the same codec any more.
 */
export function decodeFrame({ codec, module, bytes }: EncodedFrame): DecodedFrame {
  const frame = new Uint8Array(bytes);
  switch (codec) {
    case 'rle':
      return decoded(decodeRle(frame, module), fullResolution(module), module.PlanarConfiguration);
    case 'jpeg':
      return decodeJpeg(readJpeg(frame), module);
    case 'jpeg-ls':
      return decodeJpegLs(readJpeg(frame), module);
    case 'jpeg-2000':
    case 'htj2k':
      return decodeJpeg2000(readJpeg2000(frame), module, codec);
  }
}

function decodeJpeg(stream: Codestream, module: PixelModule): DecodedFrame {
  checkStream(stream, module);
  const convert = module.SamplesPerPixel === 3 && isYbr(module.PhotometricInterpretation);
  // PS3.5 8.2.1: Photometric Interpretation tells the colour space, not markers that some encoders write without thinking.
  const bytes = convert && !stream.looksLikeYbr ? asYbr(stream.bytes) : stream.bytes;
  const size = stream.precision <= 8 ? 1 : 2;
  const context = contextOf(module, bytes, { size, signed: module.PixelRepresentation === 1 });
  const samples = take(NativeCodecs.decodeJpeg(context, { convertColorspaceToRgb: convert }));
  return decoded(
    arrange({ bytes: samples, size, planar: false }, module, false),
    convert ? 'RGB' : module.PhotometricInterpretation,
    0,
  );
}

function decodeJpegLs(stream: Codestream, module: PixelModule): DecodedFrame {
  checkStream(stream, module);
  const size = stream.precision <= 8 ? 1 : 2;
  const bytes = take(NativeCodecs.decodeJpegLs(contextOf(module, stream.bytes, { size, signed: false })));
  const planar = module.PlanarConfiguration === 1;
  return decoded(
    arrange({ bytes, size, planar: stream.planar }, module, planar),
    fullResolution(module),
    module.PlanarConfiguration,
  );
}

function decodeJpeg2000(stream: Codestream, module: PixelModule, codec: 'jpeg-2000' | 'htj2k'): DecodedFrame {
  checkStream(stream, module);
  if (codec === 'jpeg-2000' && stream.samples === 3 && stream.precision > 8)
    throw new RecodeProblem('the decoder knows no JPEG 2000 colours of more than 8 bits');
  // OpenJPH cuts signed samples off at the range of the type that it writes.
  const size = stream.precision <= 8 && !(codec === 'htj2k' && stream.signed) ? 1 : 2;
  const context = contextOf(module, stream.bytes, { size, signed: stream.signed });
  const bytes = take(
    codec === 'htj2k' ? NativeCodecs.decodeHtJpeg2000(context) : NativeCodecs.decodeJpeg2000(context),
  );
  const signedBits = module.PixelRepresentation === 1 ? stream.precision : undefined;
  return decoded(
    arrange(
      { bytes, size, planar: false, ...(signedBits === undefined ? {} : { signedBits }) },
      module,
      false,
    ),
    isReversed(stream, module) ? 'RGB' : fullResolution(module),
    0,
  );
}

/** A decoder that is told one size and finds another writes or reads beyond its buffers. */
function checkStream(stream: Codestream, module: PixelModule): void {
  const { Rows, Columns, SamplesPerPixel, BitsAllocated } = module;
  if (stream.rows !== Rows || stream.columns !== Columns || stream.samples !== SamplesPerPixel)
    throw new RecodeProblem(
      `a frame of ${stream.rows} rows, ${stream.columns} columns and ${stream.samples} samples doesn't fit its data set, ` +
        `which says ${Rows}, ${Columns} and ${SamplesPerPixel}`,
    );
  if (stream.precision > BitsAllocated)
    throw new RecodeProblem(
      `a frame of ${stream.precision} bits doesn't fit ${BitsAllocated} bits allocated`,
    );
  if (stream.precision < 2)
    throw new RecodeProblem(`frames of ${stream.precision} bits can't be decompressed`);
}

function contextOf(
  module: PixelModule,
  encodedBuffer: Uint8Array,
  { size, signed }: { size: 1 | 2; signed: boolean },
): Context {
  return new Context({
    width: module.Columns,
    height: module.Rows,
    bitsAllocated: size * 8,
    bitsStored: Math.min(module.BitsStored, size * 8) || size * 8,
    samplesPerPixel: module.SamplesPerPixel,
    pixelRepresentation: signed ? 1 : 0,
    planarConfiguration: 0,
    // The codec wants one; nothing that is decoded depends on it.
    photometricInterpretation: module.SamplesPerPixel === 1 ? 'MONOCHROME2' : 'RGB',
    encodedBuffer,
  });
}

function take(context: Context): Uint8Array {
  const bytes = context.getDecodedBuffer();
  if (bytes === undefined) throw new RecodeProblem('the decoder gave nothing');
  return bytes;
}

/** Brings samples to the size and arrangement of native pixel data. */
function arrange(samples: Samples, module: PixelModule, planar: boolean): Uint8Array {
  const { SamplesPerPixel, Rows, Columns } = module;
  const size = module.BitsAllocated / 8;
  const pixels = Rows * Columns;
  const given = samples.bytes;
  if (given.length !== pixels * SamplesPerPixel * samples.size)
    throw new RecodeProblem(`the decoder gave ${given.length} bytes for a frame`);
  const extend = samples.signedBits !== undefined && samples.signedBits < size * 8;
  const moved = SamplesPerPixel > 1 && samples.planar !== planar;
  if (samples.size === size && !extend && !moved) return given;

  const from = samples.size === 1 ? given : new Uint16Array(given.buffer, given.byteOffset, given.length / 2);
  const out = new Uint8Array(frameSize(module));
  const to = size === 1 ? out : new Uint16Array(out.buffer);
  const shift = extend ? 32 - (samples.signedBits ?? 0) : 0;
  for (let sample = 0; sample < SamplesPerPixel; sample++) {
    let source = samples.planar ? sample * pixels : sample;
    let target = planar ? sample * pixels : sample;
    const sourceStep = samples.planar ? 1 : SamplesPerPixel;
    const targetStep = planar ? 1 : SamplesPerPixel;
    for (let pixel = 0; pixel < pixels; pixel++, source += sourceStep, target += targetStep)
      to[target] = ((from[source] ?? 0) << shift) >> shift;
  }
  return out;
}

function isYbr(interpretation: string): boolean {
  if (interpretation.startsWith('YBR_PARTIAL'))
    throw new RecodeProblem(`${interpretation} can't be decompressed`);
  return interpretation.startsWith('YBR_');
}

/** The decoder has undone the transformation that YBR_RCT and YBR_ICT stand for, or some writer has forgotten to name (PS3.5 8.2.4). */
function isReversed(
  { samples, transformed }: Codestream,
  { PhotometricInterpretation }: PixelModule,
): boolean {
  return samples === 3 && (transformed || /^YBR_(RCT|ICT)$/.test(PhotometricInterpretation));
}

/** Native YBR_FULL_422 has half the chroma samples (PS3.3 C.7.6.3.1.2); a decoded frame has all of them. */
function fullResolution({ PhotometricInterpretation }: PixelModule): string {
  return PhotometricInterpretation === 'YBR_FULL_422' ? 'YBR_FULL' : PhotometricInterpretation;
}

function decoded(
  bytes: Uint8Array,
  PhotometricInterpretation: string,
  PlanarConfiguration: number,
): DecodedFrame {
  // A view of the whole of it, which is what is handed over.
  return { bytes: bytes.buffer as ArrayBuffer, PhotometricInterpretation, PlanarConfiguration };
}
