import type { InstanceReference } from '../catalog/commitments';
import {
  decodeDataSet,
  encodeDataSet,
  isSequence,
  type DataElement,
  type DataSet,
  type SequenceElement,
  type ValueElement,
} from '../dicom/data-set';
import type { DicomParseError } from '../dicom/parse-error';
import type { Tag } from '../dicom/types';
import { isStorableUid, trimUid, UID } from '../dicom/uids';
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
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of incoming) {
    length += chunk.length;
    if (length > MAX_DATA_SET)
      throw new DimseError(STATUS.ResourceLimitation, 'More than 4 MiB: ask for fewer instances at a time');
    chunks.push(chunk);
  }
  try {
    return decodeDataSet(Buffer.concat(chunks, length), transferSyntax, { bytes: MAX_DATA_SET });
  } catch (error) {
    if (errorCode(error) !== 'DICOM_PARSE') throw error;
    throw new DimseError(
      STATUS.ProcessingFailure,
      `The data set can not be read: ${(error as DicomParseError).reason}`,
      { cause: error },
    );
  }
}

/**
 * Understands the data set of an N-ACTION request. An instance that is named twice is asked for once.
 * @throws DimseError 0114 with the element that is missing, 0115 with the one that is empty or no UID, 0213 for too many references.
 */
export function parseRequest(dataSet: DataSet): RequestData {
  const TransactionUID = transactionOf(dataSet);
  const sequence = find(dataSet, TAG.ReferencedSOPSequence);
  if (sequence === undefined) throw missing(TAG.ReferencedSOPSequence, 'Referenced SOP Sequence is missing');
  const references = referencesIn(sequence);
  if (references.length === 0) throw invalid(TAG.ReferencedSOPSequence, 'Referenced SOP Sequence is empty');
  return { TransactionUID, references };
}

/**
 * Understands the data set of an N-EVENT-REPORT request.
 * @throws DimseError as `parseRequest`; either sequence may be missing.
 */
export function parseReport(dataSet: DataSet): ReportData {
  const TransactionUID = transactionOf(dataSet);
  const committed = find(dataSet, TAG.ReferencedSOPSequence);
  const failed = find(dataSet, TAG.FailedSOPSequence);
  return {
    TransactionUID,
    committed: committed === undefined ? [] : referencesIn(committed),
    failed:
      failed === undefined
        ? []
        : itemsOf(failed).map((item) => ({
            ...referenceIn(item),
            reason: reasonIn(item) ?? STATUS.ProcessingFailure,
          })),
  };
}

/** The data set of an N-ACTION request. */
export function encodeRequest({ TransactionUID, references }: RequestData, transferSyntax: string): Buffer {
  return encodeDataSet(
    [uid(TAG.TransactionUID, TransactionUID), sequenceOf(TAG.ReferencedSOPSequence, references.map(itemOf))],
    transferSyntax,
  );
}

/**
 * The data set of an N-EVENT-REPORT request; its event type is `FAILURES_EXIST` where any failed.
 * @param aeTitle From whom the instances can be retrieved.
 */
export function encodeReport(
  { TransactionUID, committed, failed }: ReportData,
  aeTitle: string,
  transferSyntax: string,
): Buffer {
  const elements: DataElement[] = [
    { tag: TAG.RetrieveAETitle, vr: 'AE', value: Buffer.from(aeTitle, 'latin1') },
    uid(TAG.TransactionUID, TransactionUID),
  ];
  if (failed.length > 0) {
    const items = failed.map((reference) => [...itemOf(reference), reasonElement(reference.reason)]);
    elements.push(sequenceOf(TAG.FailedSOPSequence, items));
  }
  if (committed.length > 0) elements.push(sequenceOf(TAG.ReferencedSOPSequence, committed.map(itemOf)));
  return encodeDataSet(elements, transferSyntax);
}

function find(dataSet: DataSet, tag: Tag): DataElement | undefined {
  return dataSet.find((element) => element.tag === tag);
}

function transactionOf(dataSet: DataSet): string {
  const element = find(dataSet, TAG.TransactionUID);
  if (element === undefined) throw missing(TAG.TransactionUID, 'Transaction UID is missing');
  return uidOf(element, 'Transaction UID');
}

function referencesIn(sequence: DataElement): InstanceReference[] {
  const references = new Map<string, InstanceReference>();
  for (const item of itemsOf(sequence)) {
    const reference = referenceIn(item);
    references.set(`${reference.SOPClassUID}\\${reference.SOPInstanceUID}`, reference);
  }
  return [...references.values()];
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

function sequenceOf(tag: Tag, items: readonly DataSet[]): SequenceElement {
  return { tag, vr: 'SQ', items };
}
