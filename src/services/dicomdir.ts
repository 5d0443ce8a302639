import { createHash } from 'node:crypto';
import { encodeDataSet, isSequence, type DataElement, type DataSet } from '../dicom/data-set';
import { tagOf, vrOf } from '../dicom/dictionary';
import { encodeFileMeta } from '../dicom/part10';
import type { Tag } from '../dicom/types';
import { UID } from '../dicom/uids';
import { trimValue } from '../dicom/values';
import type { HeaderElements } from './dicomdir-header';
import { RECORD_KEYS, recordOf, SUBSTITUTES, type RecordKey, type RecordType } from './dicomdir-records';

const SPECIFIC_CHARACTER_SET = 0x00080005;
const VERIFICATION_DATE_TIME = 0x0040a030;

/** An instance that a DICOMDIR is to name. */
export interface DirectoryInstance {
  /** Components of its path (PS3.10 8.2). */
  readonly file: readonly string[];
  readonly SOPClassUID: string;
  readonly SOPInstanceUID: string;
  readonly TransferSyntaxUID: string;
  /** Those of `HEADER_KEYWORDS`. */
  readonly header: HeaderElements;
  /** Keys of the records above it. */
  readonly patient: string;
  readonly StudyInstanceUID: string;
  readonly SeriesInstanceUID: string;
}

/** A directory record; its keys are encoded already. */
interface DirectoryRecord {
  readonly elements: DataSet;
  readonly below: DirectoryRecord[];
  /** Siblings stand in the order of this number, then in that of their coming. */
  readonly order: number;
}

interface Branch {
  readonly record: DirectoryRecord;
  readonly branches: Map<string, Branch>;
}

/**
 * A DICOMDIR as it is put together (PS3.10 8.6, PS3.3 Annex F): records of patients, studies, series and instances with the keys that the standard
 * asks for, values as they stand in the instances, in their own character set. Where an instance lacks a value that a record must
 * have, one is made up. Memory: about a kilobyte an instance.
 */
export class DicomDirectory {
  private readonly roots: DirectoryRecord[] = [];
  private readonly patients = new Map<string, Branch>();

  add(instance: DirectoryInstance): void {
    const place = recordOf(instance.SOPClassUID);
    if (place.root) {
      this.roots.push(leaf(place.type, instance, this.roots.length + 1));
      return;
    }
    const { header } = instance;
    const patient = branch(this.patients, instance.patient, this.roots, 'PATIENT', header);
    const study = branch(patient.branches, instance.StudyInstanceUID, patient.record.below, 'STUDY', header);
    const series = branch(study.branches, instance.SeriesInstanceUID, study.record.below, 'SERIES', header);
    series.record.below.push(leaf(place.type, instance, series.record.below.length + 1));
  }

  /** The whole file. The same instances in the same order make the same bytes, its UID included. */
  encode(): Buffer {
    const items: Item[] = [];
    const roots = layOut(this.roots, items);
    const digest = createHash('sha256');
    for (const { bytes } of items) digest.update(bytes);
    const meta = encodeFileMeta({
      MediaStorageSOPClassUID: UID.MediaStorageDirectoryStorage,
      MediaStorageSOPInstanceUID: uidFrom(digest.digest()),
      TransferSyntaxUID: UID.ExplicitVRLittleEndian,
      SourceApplicationEntityTitle: '',
      ReceivingApplicationEntityTitle: '',
    });
    const top = (first: number, last: number): Buffer =>
      encodeDataSet(
        [
          { tag: 0x00041130, vr: 'CS', value: Buffer.alloc(0) },
          { tag: 0x00041200, vr: 'UL', value: u32(first) },
          { tag: 0x00041202, vr: 'UL', value: u32(last) },
          // PS3.3 F.3.2.2: no known inconsistencies.
          { tag: 0x00041212, vr: 'US', value: Buffer.alloc(2) },
        ],
        UID.ExplicitVRLittleEndian,
      );
    const length = items.reduce((sum, { bytes }) => sum + bytes.length, 0);
    const sequence = Buffer.alloc(12);
    sequence.writeUInt16LE(0x0004, 0);
    sequence.writeUInt16LE(0x1220, 2);
    sequence.write('SQ', 4, 'latin1');
    sequence.writeUInt32LE(length, 8);
    // Offsets count from the first byte of the file (PS3.3 F.2.2.2).
    let offset = meta.length + top(0, 0).length + sequence.length;
    const offsets = new Map<Item, number>();
    for (const item of items) {
      offsets.set(item, offset);
      offset += item.bytes.length;
    }
    const at = (item: Item | undefined): number => (item === undefined ? 0 : (offsets.get(item) ?? 0));
    for (const item of items) {
      item.bytes.writeUInt32LE(at(item.next), NEXT_OFFSET);
      item.bytes.writeUInt32LE(at(item.below), BELOW_OFFSET);
    }
    return Buffer.concat([
      meta,
      top(at(roots[0]), at(roots.at(-1))),
      sequence,
      ...items.map(({ bytes }) => bytes),
    ]);
  }
}

/** Where the two offsets stand in an item: behind its header of 8 bytes come (0004,1400), (0004,1410) and (0004,1420), each with one of 8. */
const NEXT_OFFSET = 8 + 8;
const BELOW_OFFSET = 8 + 12 + 10 + 8;

interface Item {
  readonly bytes: Buffer;
  next: Item | undefined;
  below: Item | undefined;
}

/** Depth first: each record before those below it. */
function layOut(records: readonly DirectoryRecord[], items: Item[]): Item[] {
  const sorted = [...records].sort((a, b) => a.order - b.order);
  const row = sorted.map((record): Item => {
    const content = encodeDataSet(record.elements, UID.ExplicitVRLittleEndian);
    const header = Buffer.alloc(8);
    header.writeUInt16LE(0xfffe, 0);
    header.writeUInt16LE(0xe000, 2);
    header.writeUInt32LE(content.length, 4);
    const item: Item = { bytes: Buffer.concat([header, content]), next: undefined, below: undefined };
    items.push(item);
    [item.below] = layOut(record.below, items);
    return item;
  });
  row.forEach((item, index) => (item.next = row[index + 1]));
  return row;
}

function branch(
  known: Map<string, Branch>,
  key: string,
  siblings: DirectoryRecord[],
  type: RecordType,
  header: HeaderElements,
): Branch {
  let found = known.get(key);
  if (found === undefined) {
    const number = known.size + 1;
    const record = {
      elements: recordElements(type, header, number, []),
      below: [],
      order: type === 'SERIES' ? numberIn(header, 'SeriesNumber') : 0,
    };
    found = { record, branches: new Map() };
    known.set(key, found);
    siblings.push(record);
  }
  return found;
}

function leaf(type: RecordType, instance: DirectoryInstance, number: number): DirectoryRecord {
  const { file, SOPClassUID, SOPInstanceUID, TransferSyntaxUID, header } = instance;
  const reference: DataElement[] = [
    ...(type === 'PRIVATE' ? [text(0x00041432, 'UI', SOPClassUID)] : []),
    text(0x00041500, 'CS', file.join('\\')),
    text(0x00041510, 'UI', SOPClassUID),
    text(0x00041511, 'UI', SOPInstanceUID),
    text(0x00041512, 'UI', TransferSyntaxUID),
  ];
  return {
    elements: recordElements(type, header, number, reference),
    below: [],
    order: numberIn(header, 'InstanceNumber'),
  };
}

function numberIn(header: HeaderElements, keyword: string): number {
  const value = Number(textIn(header, keyword));
  return Number.isFinite(value) ? value : 0;
}

function textIn(header: HeaderElements, keyword: string): string {
  const element = header.get(tagOf(keyword) ?? 0);
  return element === undefined || isSequence(element)
    ? ''
    : trimValue(element.value.toString('latin1'), element.vr);
}

function recordElements(
  type: RecordType,
  header: HeaderElements,
  number: number,
  reference: readonly DataElement[],
): DataSet {
  const keys = (RECORD_KEYS.get(type) ?? []).flatMap((key) => keyElement(key, header, number));
  const charset = header.get(SPECIFIC_CHARACTER_SET);
  return [
    { tag: 0x00041400, vr: 'UL', value: u32(0) },
    // In use (PS3.3 table F.3-3).
    { tag: 0x00041410, vr: 'US', value: Buffer.of(0xff, 0xff) },
    { tag: 0x00041420, vr: 'UL', value: u32(0) },
    text(0x00041430, 'CS', type),
    ...reference,
    ...(charset === undefined || isEmpty(charset) ? [] : [charset]),
    ...keys,
  ];
}

function keyElement({ keyword, type }: RecordKey, header: HeaderElements, number: number): DataElement[] {
  const tag = tagOf(keyword) ?? 0;
  const own = header.get(tag);
  if (own !== undefined && !isEmpty(own)) {
    return [keyword === 'ContentSequence' && isSequence(own) ? titleModifiers(own.items) : [own]].flat();
  }
  if (keyword === 'VerificationDateTime') return lastVerification(header);
  if (type === 'C') return [];
  const vr = vrOf(tag);
  if (type === '2') return [vr === 'SQ' ? { tag, vr, items: [] } : { tag, vr, value: Buffer.alloc(0) }];
  for (const other of SUBSTITUTES[keyword] ?? []) {
    const element = header.get(tagOf(other) ?? 0);
    if (element !== undefined && !isEmpty(element) && !isSequence(element)) return [{ ...element, tag, vr }];
  }
  return [madeUp(keyword, tag, vr, number)];
}

/** Of a report only what modifies its title (PS3.3 F.5.21). */
function titleModifiers(items: readonly DataSet[]): DataElement[] {
  const modifiers = items.filter((item) =>
    item.some(
      (element) =>
        element.tag === 0x0040a010 &&
        !isSequence(element) &&
        trimValue(element.value.toString('latin1'), 'CS') === 'HAS CONCEPT MOD',
    ),
  );
  return modifiers.length === 0 ? [] : [{ tag: 0x0040a730, vr: 'SQ', items: modifiers }];
}

/** Of the most recent verification (PS3.3 F.5.21): each verifying observer has one of its own. */
function lastVerification(header: HeaderElements): DataElement[] {
  const observers = header.get(tagOf('VerifyingObserverSequence') ?? 0);
  if (observers === undefined || !isSequence(observers)) return [];
  return observers.items
    .flatMap((item) => item.filter(({ tag }) => tag === VERIFICATION_DATE_TIME))
    .filter((element) => !isSequence(element) && !isEmpty(element))
    .sort((a, b) => valueText(b).localeCompare(valueText(a)))
    .slice(0, 1);
}

function valueText(element: DataElement): string {
  return isSequence(element) ? '' : element.value.toString('latin1');
}

const MADE_UP: Readonly<Record<string, string>> = {
  CompletionFlag: 'PARTIAL',
  VerificationFlag: 'UNVERIFIED',
  Modality: 'OT',
  DoseSummationType: 'PLAN',
  MIMETypeOfEncapsulatedDocument: 'application/octet-stream',
};

/** Dates and times by VR; they can't be told from true ones but by being so old. */
const MADE_UP_BY_VR: Readonly<Record<string, string>> = {
  DA: '19000101',
  TM: '000000',
  DT: '19000101000000',
};

function madeUp(keyword: string, tag: Tag, vr: string, number: number): DataElement {
  if (vr === 'SQ') return { tag, vr, items: [] };
  if (vr === 'US') return { tag, vr, value: Buffer.alloc(2) };
  if (vr === 'UL') return { tag, vr, value: Buffer.alloc(4) };
  if (vr === 'IS') return text(tag, vr, String(number));
  const known = MADE_UP[keyword] ?? MADE_UP_BY_VR[vr];
  return text(tag, vr, known ?? `UNKNOWN${String(number).padStart(5, '0')}`);
}

function isEmpty(element: DataElement): boolean {
  if (isSequence(element)) return element.items.length === 0;
  return element.value.every((byte) => byte === 0x20 || byte === 0) && !isBinary(element.vr, element.value);
}

/** Zeros are a value in a binary VR. */
function isBinary(vr: string, value: Buffer): boolean {
  return value.length > 0 && /^(?:US|SS|UL|SL|FL|FD|UV|SV|AT|O.)$/.test(vr);
}

function text(tag: Tag, vr: string, value: string): DataElement {
  return { tag, vr, value: Buffer.from(value, 'latin1') };
}

function u32(number: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(number);
  return bytes;
}

/** A UID from 128 bits (PS3.5 B.2). */
function uidFrom(digest: Buffer): string {
  return `2.25.${BigInt(`0x${digest.toString('hex', 0, 16)}`).toString()}`;
}
