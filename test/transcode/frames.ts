import type { PixelModule } from '../../src/transcode/pixel-module';
import { encode, header, type Element } from '../support/data-sets';

export const GREY: PixelModule = {
  Rows: 2,
  Columns: 3,
  SamplesPerPixel: 1,
  BitsAllocated: 8,
  BitsStored: 8,
  PixelRepresentation: 0,
  PlanarConfiguration: 0,
  PhotometricInterpretation: 'MONOCHROME2',
};

/** An RLE frame of given segments (PS3.5 G.5). */
export function rleOf(...segments: readonly Buffer[]): Buffer {
  const head = Buffer.alloc(64);
  head.writeUInt32LE(segments.length);
  let at = 64;
  segments.forEach((segment, index) => {
    head.writeUInt32LE(at, 4 + 4 * index);
    at += segment.length;
  });
  return Buffer.concat([head, ...segments]);
}

/** Bytes as literal runs. */
export function literal(values: readonly number[] | Buffer): Buffer {
  const bytes = Buffer.from(values);
  const runs: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += 128) {
    const run = bytes.subarray(at, at + 128);
    runs.push(Buffer.of(run.length - 1), run);
  }
  const all = Buffer.concat(runs);
  return all.length % 2 === 0 ? all : Buffer.concat([all, Buffer.alloc(1)]);
}

/** The image attributes of a data set, in the order of the tags. */
export function imageOf(
  module: Partial<PixelModule> & { readonly NumberOfFrames?: number | string },
): Element[] {
  const image = { ...GREY, ...module };
  const us = (tag: number, value: number): Element => ({ tag, vr: 'US', value: [value] });
  return [
    us(0x00280002, image.SamplesPerPixel),
    { tag: 0x00280004, vr: 'CS', value: image.PhotometricInterpretation },
    ...(image.SamplesPerPixel === 1 ? [] : [us(0x00280006, image.PlanarConfiguration)]),
    ...(image.NumberOfFrames === undefined
      ? []
      : [{ tag: 0x00280008, vr: 'IS', value: String(image.NumberOfFrames) }]),
    us(0x00280010, image.Rows),
    us(0x00280011, image.Columns),
    us(0x00280100, image.BitsAllocated),
    us(0x00280101, image.BitsStored),
    us(0x00280103, image.PixelRepresentation),
  ];
}

export interface Fragments {
  /** Offsets of the Basic Offset Table. */
  readonly table?: readonly number[];
  /** `false`: left out, the data set is cut. */
  readonly delimiter?: boolean;
}

/** Pixel Data in fragments (PS3.5 A.4). */
export function fragmentsOf(
  fragments: readonly Buffer[],
  { table = [], delimiter = true }: Fragments = {},
): Buffer {
  const offsets = Buffer.alloc(4 * table.length);
  table.forEach((offset, index) => offsets.writeUInt32LE(offset, 4 * index));
  return Buffer.concat([
    header(0x7fe00010, 'OB', 0xffffffff, 'explicit'),
    ...[offsets, ...fragments].flatMap((bytes) => [header(0xfffee000, '', bytes.length, 'explicit'), bytes]),
    ...(delimiter ? [header(0xfffee0dd, '', 0, 'explicit')] : []),
  ]);
}

export async function* pieces(bytes: Buffer, size = 1024): AsyncGenerator<Buffer, void, undefined> {
  for (let at = 0; at < bytes.length; at += size) yield Buffer.from(bytes.subarray(at, at + size));
}

export async function collect(source: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const bytes of source) all.push(bytes);
  return Buffer.concat(all);
}

export { encode };
