import { RecodeProblem } from '../dicom/recode-problem';
import { CUT, FrameBytes, type Codestream } from './codestream';

const SOC_SIZ = 0xff4fff51;
const COD = 0xff52;
const SOT = 0xff90;
const EOC = 0xffd9;

/** Far more than images have: each tile costs a decoder some kilobytes before it has read a byte of it. */
const MAX_TILES = 16384;

/** Reads the head of a JPEG 2000 frame (ITU-T T.800 Annex A) and follows its tile-parts to the end. @throws RecodeProblem */
export function readJpeg2000(frame: Uint8Array): Codestream {
  const bytes = new FrameBytes(codestreamOf(new FrameBytes(frame)));
  if (bytes.u32(0) !== SOC_SIZ) throw new RecodeProblem('a frame is no JPEG 2000 codestream');
  const columns = bytes.u32(8) - bytes.u32(16);
  const rows = bytes.u32(12) - bytes.u32(20);
  const samples = bytes.u16(40);
  const [depth, ...others] = Array.from({ length: Math.min(samples, 4) }, (_, index) =>
    component(bytes, index),
  );
  if (depth === undefined || others.some((other) => other !== depth))
    throw new RecodeProblem('the components of a JPEG 2000 frame differ in depth');
  const tiles =
    Math.ceil((bytes.u32(8) - bytes.u32(32)) / bytes.u32(24)) *
    Math.ceil((bytes.u32(12) - bytes.u32(36)) / bytes.u32(28));
  if (!(tiles >= 1 && tiles <= MAX_TILES)) throw new RecodeProblem('a JPEG 2000 frame has too many tiles');
  return {
    bytes: bytes.bytes,
    columns,
    rows,
    samples,
    precision: (depth & 0x7f) + 1,
    signed: depth > 0x7f,
    planar: false,
    transformed: isTransformed(bytes),
    looksLikeYbr: false,
  };
}

/** Sign and depth of a component. */
function component(bytes: FrameBytes, index: number): number {
  const at = 42 + 3 * index;
  if (bytes.u8(at + 1) !== 1 || bytes.u8(at + 2) !== 1)
    throw new RecodeProblem('the components of a JPEG 2000 frame differ in size');
  return bytes.u8(at);
}

/** Whether COD asks for a transformation of components; then checks the tile-parts. */
function isTransformed(bytes: FrameBytes): boolean {
  let transformed = false;
  let at = 2;
  for (;;) {
    const marker = bytes.u16(at);
    if (marker === SOT) break;
    if (marker < 0xff00 || marker === EOC) throw new RecodeProblem(CUT);
    if (marker === COD) transformed = bytes.u8(at + 8) === 1;
    at += 2 + bytes.u16(at + 2);
  }
  followTileParts(bytes, at);
  return transformed;
}

/** A decoder may be content with less than the tile-parts announce; then part of the image would be made up. */
function followTileParts(bytes: FrameBytes, first: number): void {
  if (!bytes.endsWith(EOC)) throw new RecodeProblem(CUT);
  for (let at = first; at < bytes.length && bytes.u16(at) === SOT;) {
    const length = bytes.u32(at + 6);
    // To the end of the codestream.
    if (length === 0) return;
    if (length < 12) throw new RecodeProblem('a JPEG 2000 tile-part has no room for its header');
    at += length;
    if (at > bytes.length) throw new RecodeProblem(CUT);
  }
}

/** Out of a JP2 file (Annex I), which DICOM doesn't allow around it and some writers leave there. */
function codestreamOf(bytes: FrameBytes): Uint8Array {
  if (!bytes.hasText('jP  \r\n', 4)) return bytes.bytes;
  for (let at = 0; ;) {
    const length = bytes.u32(at);
    const header = length === 1 ? 16 : 8;
    if (bytes.hasText('jp2c', at + 4)) {
      const end = length === 0 ? bytes.length : at + (length === 1 ? bytes.u32(at + 12) : length);
      if (end > bytes.length) throw new RecodeProblem(CUT);
      return bytes.bytes.subarray(at + header, end);
    }
    if (length < header) throw new RecodeProblem('a JP2 file has no codestream');
    at += length;
  }
}
