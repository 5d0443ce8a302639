import { RecodeProblem } from '../dicom/recode-problem';
import { frameSize, type PixelModule } from './pixel-module';

const HEADER = 64;
const MAX_SEGMENTS = 15;

/**
 * Decodes an RLE frame (PS3.5 Annex G) into little-endian samples, arranged as Planar Configuration says. Every segment must yield
 * exactly its bytes: one that is cut must not pass for an image with black in it.
 * @throws RecodeProblem
 */
export function decodeRle(data: Uint8Array, module: PixelModule): Uint8Array {
  const { SamplesPerPixel, BitsAllocated } = module;
  const pixels = module.Rows * module.Columns;
  const bytes = BitsAllocated / 8;
  const segments = segmentsOf(data, SamplesPerPixel * bytes);
  const out = new Uint8Array(frameSize(module));
  const planar = module.PlanarConfiguration === 1;
  segments.forEach(([start, end], index) => {
    // Planes of bytes, sample by sample, the most significant first.
    const sample = Math.floor(index / bytes);
    const significance = bytes - 1 - (index % bytes);
    const first = (planar ? sample * pixels * bytes : sample * bytes) + significance;
    const step = planar ? bytes : bytes * SamplesPerPixel;
    unpack(data, start, end, out, first, step, pixels);
  });
  return out;
}

function segmentsOf(data: Uint8Array, expected: number): [start: number, end: number][] {
  if (data.length < HEADER) throw new RecodeProblem('the RLE header is cut');
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const count = view.getUint32(0, true);
  if (count !== expected || count > MAX_SEGMENTS)
    throw new RecodeProblem(`an RLE frame has ${count} segments instead of ${expected}`);
  const segments: [number, number][] = [];
  for (let index = 0; index < count; index++) {
    const start = view.getUint32(4 + 4 * index, true);
    const end = index + 1 < count ? view.getUint32(8 + 4 * index, true) : data.length;
    if (start < HEADER || end < start || end > data.length)
      throw new RecodeProblem('an RLE segment lies outside its frame');
    segments.push([start, end]);
  }
  return segments;
}

/** PackBits (PS3.5 G.3.2): `count` bytes to every `step`th place from `first`. */
function unpack(
  data: Uint8Array,
  start: number,
  end: number,
  out: Uint8Array,
  first: number,
  step: number,
  count: number,
): void {
  let at = start;
  let to = first;
  const last = first + count * step;
  while (to < last) {
    if (at >= end) throw new RecodeProblem('an RLE segment is cut');
    const control = data[at++] ?? 0;
    if (control === 128) continue;
    const run = control < 128 ? control + 1 : 257 - control;
    if (to + run * step > last) throw new RecodeProblem('an RLE segment has more bytes than the image');
    if (control < 128) {
      if (at + run > end) throw new RecodeProblem('an RLE segment is cut');
      for (const stop = at + run; at < stop; at++, to += step) out[to] = data[at] ?? 0;
    } else {
      if (at >= end) throw new RecodeProblem('an RLE segment is cut');
      const value = data[at++] ?? 0;
      for (const stop = to + run * step; to < stop; to += step) out[to] = value;
    }
  }
}
