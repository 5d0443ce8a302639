import type { Arrival, QuarantineEntry, QuarantineReason } from '../catalog/types';
import { HeaderReader } from '../dicom/header';
import { IsocenterError } from '../errors';
import type { Decision, FileMeta, SealedFile, Store } from '../store/types';

/** Character set assumed for data sets without (0008,0005), by who sent them (`defaultCharset` of a remote). */
export type AssumedCharset = (sourceAETitle: string) => string | undefined;

type Place = 'instances' | 'quarantine';

/**
 * Reads back from its file what ingest knew of an arrival.
 * @throws IsocenterError `FILE_DAMAGED` when the seal and the bytes disagree; `DicomParseError` when the header can't be read.
 */
export async function readArrival(
  store: Store,
  arrivalId: string,
  assumed: AssumedCharset,
  place: Place = 'instances',
): Promise<Arrival> {
  const check = await store.check(arrivalId, place);
  if (check.state !== 'sealed') {
    throw new IsocenterError(
      'FILE_DAMAGED',
      `${arrivalId} is not the file that was sealed: ${check.state === 'mismatch' ? check.reason : 'never finished'}`,
    );
  }
  return headerOf(store, check.file, check.meta, assumed, place);
}

/** The same for a file whose seal was just checked. */
export async function headerOf(
  store: Store,
  file: SealedFile,
  meta: FileMeta,
  assumed: AssumedCharset,
  place: Place = 'instances',
): Promise<Arrival> {
  const defaultCharacterSet = assumed(meta.SourceApplicationEntityTitle);
  const reader = new HeaderReader({
    transferSyntaxUID: meta.TransferSyntaxUID,
    ...(defaultCharacterSet === undefined ? {} : { defaultCharacterSet }),
  });
  for await (const chunk of store.readDataSet(file, place)) {
    const parsed = reader.push(chunk);
    if (parsed !== undefined) await parsed;
  }
  return {
    arrivalId: file.arrivalId,
    segment: file.segment,
    arrivedAt: file.arrivedAt,
    header: await reader.finish(),
    TransferSyntaxUID: meta.TransferSyntaxUID,
    dataSetOffset: file.dataSetOffset,
    dataSetLength: file.dataSetLength,
    sha256: file.sha256,
    sourceAETitle: meta.SourceApplicationEntityTitle,
  };
}

/** What the quarantine's list says of an arrival. */
export function quarantineEntry(
  arrival: Arrival,
  reason: QuarantineReason,
  detail: string,
  conflictsWith: string | undefined,
  time = new Date().toISOString(),
): Omit<QuarantineEntry, 'count'> {
  return {
    arrivalId: arrival.arrivalId,
    SOPInstanceUID: arrival.header.SOPInstanceUID,
    SOPClassUID: arrival.header.SOPClassUID,
    StudyInstanceUID: arrival.header.StudyInstanceUID,
    sha256: arrival.sha256,
    dataSetLength: arrival.dataSetLength,
    reason,
    detail,
    conflictsWith,
    sourceAETitle: arrival.sourceAETitle,
    time,
  };
}

/** The same for a file of which no more is known than its name. */
export function unreadableEntry(
  arrivalId: string,
  reason: QuarantineReason,
  detail: string,
  time = new Date().toISOString(),
): Omit<QuarantineEntry, 'count'> {
  return {
    arrivalId,
    SOPInstanceUID: '',
    SOPClassUID: '',
    StudyInstanceUID: '',
    sha256: '',
    dataSetLength: 0,
    reason,
    detail,
    conflictsWith: undefined,
    sourceAETitle: '',
    time,
  };
}

/** The decision from which the list can be made again. */
export function quarantineDecision(entry: Omit<QuarantineEntry, 'count'>): Decision {
  return {
    action: 'quarantine',
    arrivalId: entry.arrivalId,
    ...(entry.conflictsWith === undefined ? {} : { other: entry.conflictsWith }),
    reason: entry.detail,
    kind: entry.reason,
    time: entry.time,
  };
}
