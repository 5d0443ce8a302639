import { FileMetaScanner, MAX_FILE_META, metaEncodingAt, type MetaElement } from './file-meta-scanner';
import { UNDEFINED_LENGTH } from './element-visitor';
import { DicomParseError } from './parse-error';
import { IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, UID, trimUid } from './uids';
import { trimValue } from './values';
import { valueRepresentation, valueRepresentationOfCode } from './vr';

/** What a file says of its instance (PS3.10 7.1). */
export interface FileMetaGroup {
  readonly MediaStorageSOPClassUID: string;
  readonly MediaStorageSOPInstanceUID: string;
  readonly TransferSyntaxUID: string;
  /** (0002,0016); left out where empty. */
  readonly SourceApplicationEntityTitle: string;
  /** (0002,0018); left out where empty. */
  readonly ReceivingApplicationEntityTitle: string;
}

export interface PrivateInformation {
  /** (0002,0100). */
  readonly creator: string;
  /** (0002,0102). */
  readonly data: Buffer;
}

const PREAMBLE_LENGTH = 128;
const PREFIX = 'DICM';

/**
 * Preamble of zeros, prefix and file meta group, always Explicit VR Little Endian: what stands before the data set in a file
 * (PS3.10 7.1). The private information comes last, so that its data end where the data set begins.
 */
export function encodeFileMeta(meta: FileMetaGroup, privateInformation?: PrivateInformation): Buffer {
  const elements = [
    metaElement(0x0001, 'OB', Buffer.of(0, 1)),
    metaElement(0x0002, 'UI', meta.MediaStorageSOPClassUID),
    metaElement(0x0003, 'UI', meta.MediaStorageSOPInstanceUID),
    metaElement(0x0010, 'UI', meta.TransferSyntaxUID),
    metaElement(0x0012, 'UI', IMPLEMENTATION_CLASS_UID),
    metaElement(0x0013, 'SH', IMPLEMENTATION_VERSION_NAME),
  ];
  if (meta.SourceApplicationEntityTitle !== '')
    elements.push(metaElement(0x0016, 'AE', meta.SourceApplicationEntityTitle));
  if (meta.ReceivingApplicationEntityTitle !== '')
    elements.push(metaElement(0x0018, 'AE', meta.ReceivingApplicationEntityTitle));
  if (privateInformation !== undefined) {
    elements.push(
      metaElement(0x0100, 'UI', privateInformation.creator),
      metaElement(0x0102, 'OB', privateInformation.data),
    );
  }
  const group = Buffer.concat(elements);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(group.length);
  return Buffer.concat([
    Buffer.alloc(PREAMBLE_LENGTH),
    Buffer.from(PREFIX, 'latin1'),
    metaElement(0x0000, 'UL', length),
    group,
  ]);
}

function metaElement(element: number, vr: string, value: string | Buffer): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value, 'latin1') : value;
  const long = valueRepresentation(vr)?.long === true;
  const start = long ? 12 : 8;
  const length = bytes.length + (bytes.length % 2);
  const encoded = Buffer.alloc(start + length, vr === 'SH' || vr === 'AE' ? 0x20 : 0);
  encoded.fill(0, 0, start);
  encoded.writeUInt16LE(0x0002, 0);
  encoded.writeUInt16LE(element, 2);
  encoded.write(vr, 4, 'latin1');
  if (long) encoded.writeUInt32LE(length, 8);
  else encoded.writeUInt16LE(length, 6);
  bytes.copy(encoded, start);
  return encoded;
}

export interface DecodedFileMeta {
  /** What the group says; empty where there is none, and without what it leaves out. */
  readonly meta: Partial<FileMetaGroup> & {
    readonly ImplementationClassUID?: string;
    readonly ImplementationVersionName?: string;
  };
  /** Where the data set begins in the file. */
  readonly dataSetOffset: number;
  /** `offset`: where the data stand in the file. */
  readonly privateInformation: (PrivateInformation & { readonly offset: number }) | undefined;
}

/**
 * Reads what stands before the data set, from the first bytes of a file. Takes what is found in the field: no preamble, no or a wrong
 * group length, a group in another encoding, none at all. `need-more`: the bytes end before that is known; where they are the whole
 * file, it is no DICOM file or a cut one.
 * @throws DicomParseError `malformed` when the group has more than 64 KiB.
 */
export function decodeFileMeta(prefix: Buffer): DecodedFileMeta | 'need-more' {
  const start = startOfMeta(prefix);
  if (start === 'need-more') return 'need-more';
  const none = { meta: {}, dataSetOffset: start, privateInformation: undefined };
  if (prefix.length < start + 8) return 'need-more';
  const encoding = metaEncodingAt(prefix, start);
  if (encoding === undefined) return none;
  const scanner = new FileMetaScanner(encoding, start);
  const end = scanner.scan(prefix);
  if (end === undefined) {
    if (prefix.length > start + MAX_FILE_META)
      throw new DicomParseError('malformed', `file meta group above ${MAX_FILE_META} bytes`);
    return 'need-more';
  }
  return {
    meta: fieldsOf(prefix, scanner.elements),
    dataSetOffset: end,
    privateInformation: privateInformationOf(prefix, scanner.elements),
  };
}

function startOfMeta(prefix: Buffer): number | 'need-more' {
  if (hasPrefix(prefix, PREAMBLE_LENGTH)) return PREAMBLE_LENGTH + PREFIX.length;
  if (hasPrefix(prefix, 0)) return PREFIX.length;
  const bare = metaEncodingAt(prefix, 0) !== undefined || guessTransferSyntax(prefix) !== undefined;
  if (!bare && prefix.length < PREAMBLE_LENGTH + PREFIX.length) return 'need-more';
  return 0;
}

function hasPrefix(b: Buffer, at: number): boolean {
  return b.toString('latin1', at, at + PREFIX.length) === PREFIX;
}

const FIELDS: Readonly<Record<number, { keyword: keyof DecodedFileMeta['meta']; vr: string }>> = {
  0x00020002: { keyword: 'MediaStorageSOPClassUID', vr: 'UI' },
  0x00020003: { keyword: 'MediaStorageSOPInstanceUID', vr: 'UI' },
  0x00020010: { keyword: 'TransferSyntaxUID', vr: 'UI' },
  0x00020012: { keyword: 'ImplementationClassUID', vr: 'UI' },
  0x00020013: { keyword: 'ImplementationVersionName', vr: 'SH' },
  0x00020016: { keyword: 'SourceApplicationEntityTitle', vr: 'AE' },
  0x00020018: { keyword: 'ReceivingApplicationEntityTitle', vr: 'AE' },
};

function fieldsOf(b: Buffer, elements: readonly MetaElement[]): DecodedFileMeta['meta'] {
  const meta: Partial<Record<keyof DecodedFileMeta['meta'], string>> = {};
  for (const { tag, offset, length } of elements) {
    const field = FIELDS[tag];
    if (field === undefined) continue;
    const value = trimValue(b.toString('latin1', offset, offset + length), field.vr);
    if (value !== '') meta[field.keyword] ??= value;
  }
  return meta;
}

function privateInformationOf(
  b: Buffer,
  elements: readonly MetaElement[],
): DecodedFileMeta['privateInformation'] {
  const creator = elements.find(({ tag }) => tag === 0x00020100);
  const data = elements.find(({ tag }) => tag === 0x00020102);
  if (creator === undefined || data === undefined) return undefined;
  return {
    creator: trimUid(b.toString('latin1', creator.offset, creator.offset + creator.length)),
    offset: data.offset,
    data: b.subarray(data.offset, data.offset + data.length),
  };
}

/** Data sets begin in one of the low groups. */
const LAST_FIRST_GROUP = 0x0040;
/** And with a short element. */
const LONGEST_FIRST_VALUE = 64 * 1024;

/**
 * The transfer syntax of a data set whose file doesn't say it, by its first element: Explicit VR Little or Big Endian, Implicit VR
 * Little Endian, or undefined where the bytes begin no data set. Needs 8 bytes.
 */
export function guessTransferSyntax(prefix: Buffer): string | undefined {
  if (prefix.length < 8) return undefined;
  const little = prefix.readUInt16LE(0);
  const big = prefix.readUInt16BE(0);
  if (Math.min(little, big) > LAST_FIRST_GROUP) return undefined;
  if (valueRepresentationOfCode(prefix.readUInt16BE(4)) !== undefined)
    return little <= big ? UID.ExplicitVRLittleEndian : UID.ExplicitVRBigEndian;
  if (little === 0 || little > LAST_FIRST_GROUP) return undefined;
  const length = prefix.readUInt32LE(4);
  return length <= LONGEST_FIRST_VALUE || length === UNDEFINED_LENGTH
    ? UID.ImplicitVRLittleEndian
    : undefined;
}
