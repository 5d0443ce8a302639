import { setImmediate } from 'node:timers/promises';
import type { InstanceReference } from '../catalog/commitments';
import {
  DataSetBuilder,
  encodeDataSet,
  isSequence,
  type DataElement,
  type DataSet,
  type ValueElement,
} from '../dicom/data-set';
import { ElementWalker } from '../dicom/element-walker';
import type { DicomParseError } from '../dicom/parse-error';
import type { Tag } from '../dicom/types';
import { encodingOf, isStorableUid, trimUid, UID } from '../dicom/uids';
import { numericValues } from '../dicom/values';
import { STATUS } from '../dimse/status';
import type { IncomingDataSet } from '../dimse/types';
import { DimseError, errorCode } from '../errors';

/** Storage Commitment Push Model, and the one instance of it that there is (PS3.4 J.3.5). */
export const COMMITMENT_CLASS = UID.StorageCommitmentPushModel;
export const COMMITMENT_INSTANCE = UID.StorageCommitmentPushModelInstance;

/** Action Type ID of a request (PS3.4 table J.3-1). */
export const REQUEST_COMMITMENT = 1;
/** Event Type IDs of a report (PS3.4 table J.3-2). */
export const ALL_COMMITTED = 1;
export const FAILURES_EXIST = 2;

/** Of a request or report: 20,000 references have some 2.6 MB. */
export const MAX_DATA_SET = 4 * 1024 * 1024;
/** References of one request: ten times what large studies have. */
export const MAX_REFERENCES = 20_000;

/** What elements cost in memory beside their values lets a data set of small ones grow to this. */
const MOST_COLLECTED = 3 * MAX_DATA_SET;

/** Items that are read or written in one go: some milliseconds. */
const ITEMS_AT_ONCE = 500;

const TAG = {
  RetrieveAETitle: 0x00080054,
  ReferencedSOPClassUID: 0x00081150,
  ReferencedSOPInstanceUID: 0x00081155,
  TransactionUID: 0x00081195,
  FailureReason: 0x00081197,
  FailedSOPSequence: 0x00081198,
  ReferencedSOPSequence: 0x00081199,
} as const;

/** A reference that isn't committed, with its Failure Reason (PS3.3 C.14.1.1). */
export interface FailedReference extends InstanceReference {
  readonly reason: number;
}

/** What is asked for (PS3.4 table J.3-1). */
export interface RequestData {
  readonly TransactionUID: string;
  readonly references: readonly InstanceReference[];
}

/** What came of it (PS3.4 table J.3-2). */
export interface ReportData {
  readonly TransactionUID: string;
  readonly committed: readonly InstanceReference[];
  readonly failed: readonly FailedReference[];
}

/** Reads the data set of a request or report whole. @throws DimseError 0114 where there is none, 0213 where it is too large, 0110 where it can't be read. */
export async function readDataSet(
  incoming: IncomingDataSet | undefined,
  transferSyntax: string,
): Promise<DataSet> {
  if (incoming === undefined)
    throw new DimseError(STATUS.NoSuchArgument, 'No data set: a Transaction UID and references are needed');
  const builder = new DataSetBuilder(MOST_COLLECTED);
  const walker = new ElementWalker(encodingOf(transferSyntax), builder, { keptValue: MAX_DATA_SET });
  let length = 0;
  try {
    // As it comes: a list of thousands holds nobody else up.
    for await (const chunk of incoming) {
      length += chunk.length;
      if (length > MAX_DATA_SET) throw tooLarge();
      walker.push(chunk);
    }
    walker.finish();
  } catch (error) {
    if (errorCode(error) !== 'DICOM_PARSE') throw error;
    throw new DimseError(
      STATUS.ProcessingFailure,
      `The data set can not be read: ${(error as DicomParseError).reason}`,
      { cause: error },
    );
  }
  if (builder.overflowed) throw tooLarge();
  return builder.elements;
}

function tooLarge(): DimseError {
  return new DimseError(STATUS.ResourceLimitation, 'More than 4 MiB: ask for fewer instances at a time');
}

/**
 * Understands the data set of an N-ACTION request. An instance that is named twice is asked for once.
 * @throws DimseError 0114 with the element that is missing, 0115 with the one that is empty or no UID, 0213 for too many references.
 */
export async function parseRequest(dataSet: DataSet): Promise<RequestData> {
  const TransactionUID = transactionOf(dataSet);
  const sequence = find(dataSet, TAG.ReferencedSOPSequence);
  if (sequence === undefined) throw missing(TAG.ReferencedSOPSequence, 'Referenced SOP Sequence is missing');
  const references = await referencesIn(sequence);
  if (references.length === 0) throw invalid(TAG.ReferencedSOPSequence, 'Referenced SOP Sequence is empty');
  return { TransactionUID, references };
}

/**
 * Understands the data set of an N-EVENT-REPORT request.
 * @throws DimseError as `parseRequest`; either sequence may be missing.
 */
export async function parseReport(dataSet: DataSet): Promise<ReportData> {
  const TransactionUID = transactionOf(dataSet);
  const committed = find(dataSet, TAG.ReferencedSOPSequence);
  const failed = find(dataSet, TAG.FailedSOPSequence);
  return {
    TransactionUID,
    committed: committed === undefined ? [] : await referencesIn(committed),
    failed: failed === undefined ? [] : await failuresIn(failed),
  };
}

/** The data set of an N-ACTION request; explicit or implicit little endian. */
export async function encodeRequest(
  { TransactionUID, references }: RequestData,
  transferSyntax: string,
): Promise<Buffer> {
  return Buffer.concat([
    encodeDataSet([uid(TAG.TransactionUID, TransactionUID)], transferSyntax),
    ...(await encodeSequence(TAG.ReferencedSOPSequence, references, itemOf, transferSyntax)),
  ]);
}

/**
 * The data set of an N-EVENT-REPORT request; its event type is `FAILURES_EXIST` where any failed.
 * @param aeTitle From whom the instances can be retrieved.
 */
export async function encodeReport(
  { TransactionUID, committed, failed }: ReportData,
  aeTitle: string,
  transferSyntax: string,
): Promise<Buffer> {
  const title: ValueElement = { tag: TAG.RetrieveAETitle, vr: 'AE', value: Buffer.from(aeTitle, 'latin1') };
  const failedItem = (one: FailedReference): DataSet => [...itemOf(one), reasonElement(one.reason)];
  return Buffer.concat([
    encodeDataSet([title, uid(TAG.TransactionUID, TransactionUID)], transferSyntax),
    ...(await encodeSequence(TAG.FailedSOPSequence, failed, failedItem, transferSyntax)),
    ...(await encodeSequence(TAG.ReferencedSOPSequence, committed, itemOf, transferSyntax)),
  ]);
}

/** A sequence in pieces, with others' turns in between; nothing where it has no items. */
async function encodeSequence<T>(
  tag: Tag,
  list: readonly T[],
  toItem: (one: T) => DataSet,
  transferSyntax: string,
): Promise<Buffer[]> {
  if (list.length === 0) return [];
  const head = encodeDataSet([{ tag, vr: 'SQ', items: [] }], transferSyntax);
  const pieces = [head];
  let length = 0;
  for (let first = 0; first < list.length; first += ITEMS_AT_ONCE) {
    const items = list.slice(first, first + ITEMS_AT_ONCE).map(toItem);
    const piece = encodeDataSet([{ tag, vr: 'SQ', items }], transferSyntax).subarray(head.length);
    pieces.push(piece);
    length += piece.length;
    await setImmediate();
  }
  // The length ends the header, in either encoding.
  head.writeUInt32LE(length, head.length - 4);
  return pieces;
}

function find(dataSet: DataSet, tag: Tag): DataElement | undefined {
  return dataSet.find((element) => element.tag === tag);
}

function transactionOf(dataSet: DataSet): string {
  const element = find(dataSet, TAG.TransactionUID);
  if (element === undefined) throw missing(TAG.TransactionUID, 'Transaction UID is missing');
  return uidOf(element, 'Transaction UID');
}

async function referencesIn(sequence: DataElement): Promise<InstanceReference[]> {
  const references = new Map<string, InstanceReference>();
  for await (const item of slowly(itemsOf(sequence))) {
    const reference = referenceIn(item);
    references.set(`${reference.SOPClassUID}\\${reference.SOPInstanceUID}`, reference);
  }
  return [...references.values()];
}

async function failuresIn(sequence: DataElement): Promise<FailedReference[]> {
  const failures: FailedReference[] = [];
  for await (const item of slowly(itemsOf(sequence)))
    failures.push({ ...referenceIn(item), reason: reasonIn(item) ?? STATUS.ProcessingFailure });
  return failures;
}

/** With others' turns in between. */
async function* slowly(items: readonly DataSet[]): AsyncGenerator<DataSet> {
  for (const [index, item] of items.entries()) {
    if (index > 0 && index % ITEMS_AT_ONCE === 0) await setImmediate();
    yield item;
  }
}

function itemsOf(element: DataElement): readonly DataSet[] {
  if (!isSequence(element)) {
    // An empty sequence of unknown VR reads as a value without bytes.
    if (element.value.length === 0) return [];
    throw invalid(element.tag, 'No sequence where one has to be');
  }
  if (element.items.length > MAX_REFERENCES)
    throw new DimseError(
      STATUS.ResourceLimitation,
      `More than ${MAX_REFERENCES} references: ask for fewer at a time`,
    );
  return element.items;
}

function referenceIn(item: DataSet): InstanceReference {
  const sopClass = find(item, TAG.ReferencedSOPClassUID);
  const instance = find(item, TAG.ReferencedSOPInstanceUID);
  if (sopClass === undefined) throw missing(TAG.ReferencedSOPClassUID, 'Referenced SOP Class UID is missing');
  if (instance === undefined)
    throw missing(TAG.ReferencedSOPInstanceUID, 'Referenced SOP Instance UID is missing');
  return {
    SOPClassUID: uidOf(sopClass, 'Referenced SOP Class UID'),
    SOPInstanceUID: uidOf(instance, 'Referenced SOP Instance UID'),
  };
}

function reasonIn(item: DataSet): number | undefined {
  const element = find(item, TAG.FailureReason);
  if (element === undefined || isSequence(element)) return undefined;
  const [reason] = numericValues(element.value, 'US');
  return reason;
}

function uidOf(element: DataElement, name: string): string {
  const text = isSequence(element) ? '' : trimUid(element.value.toString('latin1'));
  if (text === '') throw invalid(element.tag, `${name} is empty`);
  if (!isStorableUid(text)) throw invalid(element.tag, `${name} is no UID`);
  return text;
}

function missing(tag: Tag, comment: string): DimseError {
  return new DimseError(STATUS.NoSuchArgument, comment, { offendingElements: [tag] });
}

function invalid(tag: Tag, comment: string): DimseError {
  return new DimseError(STATUS.InvalidArgumentValue, comment, { offendingElements: [tag] });
}

function uid(tag: Tag, value: string): ValueElement {
  return { tag, vr: 'UI', value: Buffer.from(value, 'latin1') };
}

function reasonElement(reason: number): ValueElement {
  const value = Buffer.alloc(2);
  value.writeUInt16LE(reason);
  return { tag: TAG.FailureReason, vr: 'US', value };
}

function itemOf({ SOPClassUID, SOPInstanceUID }: InstanceReference): ValueElement[] {
  return [uid(TAG.ReferencedSOPClassUID, SOPClassUID), uid(TAG.ReferencedSOPInstanceUID, SOPInstanceUID)];
}
