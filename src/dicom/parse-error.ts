import { formatTag } from './dictionary';
import type { Tag } from './types';

/**
 * `truncated`: the bytes end inside an element or item. `nesting`: sequences deeper than the limit. `too-large`: a limit on size.
 * `inflate`: the compressed stream is broken or grows out of proportion. `missing-uid`: a UID that identifies the instance is absent,
 * empty or can't be kept. `malformed`: anything else that no reader could make sense of.
 */
export type DicomParseReason =
  'truncated' | 'nesting' | 'too-large' | 'inflate' | 'malformed' | 'missing-uid';

/**
 * A data set that can't be read. The message names what is wrong, the element and the byte, and never quotes a value: values
 * are patient data. Recognise it by `code`.
 */
export class DicomParseError extends Error {
  readonly code = 'DICOM_PARSE';
  readonly reason: DicomParseReason;
  /** The element at fault, where one is known. */
  readonly tag: Tag | undefined;
  /** Its offset in the data set, in bytes from 0. */
  readonly offset: number | undefined;

  constructor(
    reason: DicomParseReason,
    what: string,
    place: { tag?: Tag | undefined; offset?: number | undefined; cause?: unknown } = {},
  ) {
    const tag = place.tag === undefined ? '' : ` ${formatTag(place.tag)}`;
    const offset = place.offset === undefined ? '' : ` at byte ${place.offset}`;
    super(`${what}${tag}${offset}`, place.cause === undefined ? undefined : { cause: place.cause });
    this.name = 'DicomParseError';
    this.reason = reason;
    this.tag = place.tag;
    this.offset = place.offset;
  }
}
