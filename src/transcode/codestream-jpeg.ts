import { RecodeProblem } from '../dicom/recode-problem';
import { CUT, FrameBytes, type Codestream } from './codestream';

const SOI = 0xd8;
const EOI = 0xd9;
const SOS = 0xda;
const APP0 = 0xe0;
const APP14 = 0xee;
/** Frame header of JPEG-LS. */
const SOF55 = 0xf7;

/** Reads the head of a JPEG or JPEG-LS frame (ITU-T T.81 Annex B, T.87 Annex C). @throws RecodeProblem */
export function readJpeg(frame: Uint8Array): Codestream {
  const bytes = new FrameBytes(frame);
  if (bytes.u16(0) !== (0xff00 | SOI)) throw new RecodeProblem('a frame is no JPEG stream');
  let header: { at: number; ls: boolean } | undefined;
  let jfif = false;
  let adobe: number | undefined;
  for (let at = 2; ;) {
    if (bytes.u8(at) !== 0xff) throw new RecodeProblem('a JPEG stream has no marker where one has to be');
    while (bytes.u8(at) === 0xff) at++;
    const marker = bytes.u8(at++);
    if (marker === EOI) throw new RecodeProblem(CUT);
    const content = at + 2;
    if (isFrameHeader(marker)) header ??= { at: content, ls: marker === SOF55 };
    else if (marker === APP0 && bytes.hasText('JFIF\0', content)) jfif = true;
    else if (marker === APP14 && bytes.hasText('Adobe', content)) adobe = bytes.u8(content + 11);
    else if (marker === SOS) {
      if (header === undefined) throw new RecodeProblem('a JPEG stream has no frame header');
      // The decoder of JPEG-LS may not come to an end without it.
      if (header.ls && !bytes.endsWith(0xff00 | EOI)) throw new RecodeProblem(CUT);
      return {
        ...describe(bytes, header.at),
        planar: header.ls && bytes.u8(header.at + 5) > 1 && interleaveMode(bytes, content) === 0,
        looksLikeYbr: jfif || (adobe === undefined ? !namesRgb(bytes, header.at) : adobe !== 0),
      };
    }
    at += bytes.u16(at);
  }
}

/** SOF0 to SOF15 without DHT, JPG and DAC between them. */
function isFrameHeader(marker: number): boolean {
  return (
    marker === SOF55 ||
    (marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc)
  );
}

function describe(bytes: FrameBytes, at: number): Omit<Codestream, 'planar' | 'looksLikeYbr'> {
  return {
    bytes: bytes.bytes,
    precision: bytes.u8(at),
    rows: bytes.u16(at + 1),
    columns: bytes.u16(at + 3),
    samples: bytes.u8(at + 5),
    signed: false,
    transformed: false,
  };
}

function interleaveMode(bytes: FrameBytes, scan: number): number {
  return bytes.u8(scan + 2 + 2 * bytes.u8(scan));
}

function namesRgb(bytes: FrameBytes, at: number): boolean {
  return 'RGB'.split('').every((name, index) => bytes.u8(at + 6 + 3 * index) === name.charCodeAt(0));
}

/** An APP0 segment that makes decoders take three components for YCbCr, before anything else that could tell them. */
const JFIF = Buffer.from('ffe000104a46494600010100000100010000', 'hex');

/** The same stream with its components told to be YCbCr. */
export function asYbr(frame: Uint8Array): Uint8Array {
  return Buffer.concat([frame.subarray(0, 2), JFIF, frame.subarray(2)]);
}
