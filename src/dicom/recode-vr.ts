import type { ElementHeader } from './element-visitor';
import type { Tag } from './types';

export const BITS_ALLOCATED = 0x00280100;
export const PIXEL_REPRESENTATION = 0x00280103;
export const PIXEL_DATA = 0x7fe00010;
const WAVEFORM_BITS_ALLOCATED = 0x54001004;
const WAVEFORM_DATA = 0x54001010;

/** What the elements of one data set or item say of the values that follow in it. */
export interface ValueContext {
  /** (0028,0100) Bits Allocated. */
  pixelBits?: number;
  /** (5400,1004) Waveform Bits Allocated. */
  waveformBits?: number;
  /** (0028,0103) Pixel Representation; that of the data set around counts where an item has none. */
  signed: boolean;
}

/** An element that decides the VR of others. */
export function isDeciding(tag: Tag): boolean {
  return tag === BITS_ALLOCATED || tag === PIXEL_REPRESENTATION || tag === WAVEFORM_BITS_ALLOCATED;
}

/** Takes note of such an element's number. */
export function decide(context: ValueContext, tag: Tag, number: number): void {
  if (tag === BITS_ALLOCATED) context.pixelBits = number;
  else if (tag === WAVEFORM_BITS_ALLOCATED) context.waveformBits = number;
  else context.signed = number === 1;
}

/** US or SS by PS3.6, as (0028,0103) says. */
const UNSIGNED_OR_SIGNED: ReadonlySet<Tag> = new Set([
  0x00189810, 0x00221452, 0x00280071, 0x00280104, 0x00280105, 0x00280106, 0x00280107, 0x00280108, 0x00280109,
  0x00280110, 0x00280111, 0x00280120, 0x00280121, 0x00281100, 0x00281101, 0x00281102, 0x00281103, 0x00281111,
  0x00281112, 0x00281113, 0x00283002, 0x00409211, 0x00409216, 0x00603004, 0x00603006,
]);

/**
 * The VR under which an element is written in an explicit syntax: the one it had, or what PS3.5 A.2 chooses where the implicit syntax
 * left it open. Native Pixel Data of more than 8 bits are OW, whatever a writer called them.
 */
export function explicitVr(header: ElementHeader, context: ValueContext): string {
  const { tag, vr } = header;
  if (tag === PIXEL_DATA && (vr === 'OW' || vr === 'OB'))
    return header.vrCode === 0 ? byBits(context.pixelBits) : (context.pixelBits ?? 0) > 8 ? 'OW' : vr;
  if (header.vrCode !== 0) return vr;
  if (tag === WAVEFORM_DATA) return byBits(context.waveformBits);
  return context.signed && UNSIGNED_OR_SIGNED.has(tag) ? 'SS' : vr;
}

function byBits(bits: number | undefined): string {
  return bits !== undefined && bits <= 8 ? 'OB' : 'OW';
}
