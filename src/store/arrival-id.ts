import { randomBytes } from 'node:crypto';
import { StoreError } from './errors';

/**
 * An arrival id names a file and sorts, as text, in arrival order: segment (8 digits), sequence in the segment
 * (6 digits), 64 random bits, so that a store put back from a backup can't give a name a second time. Always 32
 * characters of `0-9a-f-`; nothing that a peer sent goes into it.
 */
const PATTERN = /^(\d{8})-(\d{6})-[0-9a-f]{16}$/;
const SEGMENT = /^\d{8}$/;
const EXTENSION = '.dcm';

export const MAXIMUM_SEGMENT = 99_999_999;
export const MAXIMUM_SEQUENCE = 999_999;

export interface ArrivalIdParts {
  readonly segment: number;
  readonly sequence: number;
}

export function createArrivalId(segment: number, sequence: number, random: Buffer = randomBytes(8)): string {
  if (sequence < 1 || sequence > MAXIMUM_SEQUENCE)
    throw new RangeError(`no arrival has sequence ${sequence}`);
  return `${segmentName(segment)}-${String(sequence).padStart(6, '0')}-${random.toString('hex', 0, 8)}`;
}

/** The parts, or undefined where the text is not exactly an id of ours. */
export function parseArrivalId(text: string): ArrivalIdParts | undefined {
  const match = PATTERN.exec(text);
  return match === null ? undefined : { segment: Number(match[1]), sequence: Number(match[2]) };
}

/** @throws StoreError `STORE_BAD_ID`: ids come from operators too, and become paths. */
export function requireArrivalId(text: string): ArrivalIdParts {
  const parts = parseArrivalId(text);
  if (parts !== undefined) return parts;
  throw new StoreError('STORE_BAD_ID', 'this is not an arrival id', {
    hint: 'an arrival id looks like 00000012-000345-0123456789abcdef',
  });
}

/** Name of a segment's folder. */
export function segmentName(segment: number): string {
  if (!Number.isInteger(segment) || segment < 1 || segment > MAXIMUM_SEGMENT) {
    throw new RangeError(`no segment has number ${segment}`);
  }
  return String(segment).padStart(8, '0');
}

export function parseSegmentName(name: string): number | undefined {
  return SEGMENT.test(name) && Number(name) > 0 ? Number(name) : undefined;
}

export function fileName(arrivalId: string): string {
  return arrivalId + EXTENSION;
}

/** The arrival id of a file of ours, or undefined. */
export function parseFileName(name: string): string | undefined {
  if (!name.endsWith(EXTENSION)) return undefined;
  const arrivalId = name.slice(0, -EXTENSION.length);
  return parseArrivalId(arrivalId) === undefined ? undefined : arrivalId;
}
