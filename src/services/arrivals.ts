import type { Arrival, QuarantineEntry, QuarantineReason, StoredArrival } from '../catalog/types';
import type { AttributeTable } from '../dicom/attributes';
import { HeaderReader } from '../dicom/header';
import type { InstanceHeader } from '../dicom/types';
import { IsocenterError } from '../errors';
import type { Decision, FileMeta, SealedFile, Store } from '../store/types';

/** Character set assumed for data sets without (0008,0005), by who sent them (`defaultCharset` of a remote). */
export type AssumedCharset = (sourceAETitle: string) => string | undefined;

/** How headers are read: by the same rules whoever reads them, so that rows are a function of the files. */
export interface HeaderRules {
  readonly assumed: AssumedCharset;
  readonly attributes: AttributeTable;
}

type Place = 'instances' | 'quarantine';

/**
 * Reads back from its file what ingest knew of an arrival.
 * @throws IsocenterError `FILE_DAMAGED` when the seal and the bytes disagree; `DicomParseError` when the header can't be read.
 */
export async function readArrival(
  store: Store,
  arrivalId: string,
  rules: HeaderRules,
  place: Place = 'instances',
): Promise<Arrival> {
  const check = await store.check(arrivalId, place);
  if (check.state !== 'sealed') {
    throw new IsocenterError(
      'FILE_DAMAGED',
      `${arrivalId} is not the file that was sealed: ${check.state === 'mismatch' ? check.reason : 'never finished'}`,
    );
  }
  return headerOf(store, check.file, check.meta, rules, place);
}

/** The same for a file whose seal was just checked. */
export async function headerOf(
  store: Store,
  file: SealedFile,
  meta: FileMeta,
  rules: HeaderRules,
  place: Place = 'instances',
): Promise<Arrival> {
  const reader = readerFor(meta.TransferSyntaxUID, meta.SourceApplicationEntityTitle, rules);
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

function readerFor(transferSyntaxUID: string, sourceAETitle: string, rules: HeaderRules): HeaderReader {
  const defaultCharacterSet = rules.assumed(sourceAETitle);
  return new HeaderReader({
    transferSyntaxUID,
    attributes: rules.attributes,
    ...(defaultCharacterSet === undefined ? {} : { defaultCharacterSet }),
  });
}

/** A header ends before that as a rule. */
const FIRST_READ = 64 * 1024;
const LARGEST_READ = 1024 * 1024;
/** To leave less out than that costs more than to read it. */
const LEAST_LEFT_OUT = 256 * 1024;

/**
 * The header alone: large values that nobody wants are left out, pixel data above all. The seal is not looked at.
 * @throws as `readArrival`
 */
export async function skimHeader(
  store: Store,
  arrival: StoredArrival,
  rules: HeaderRules,
): Promise<InstanceHeader> {
  const { arrivalId, dataSetOffset, dataSetLength } = arrival;
  const reader = readerFor(arrival.TransferSyntaxUID, arrival.sourceAETitle, rules);
  let size = FIRST_READ;
  for (let at = 0; at < dataSetLength;) {
    const length = Math.min(size, dataSetLength - at);
    const part = { arrivalId, dataSetOffset: dataSetOffset + at, dataSetLength: length };
    for await (const chunk of store.readDataSet(part)) {
      const parsed = reader.push(chunk);
      if (parsed !== undefined) await parsed;
    }
    at += length;
    const rest = Math.min(reader.skippable, dataSetLength - at);
    if (rest < LEAST_LEFT_OUT && at + rest < dataSetLength) {
      size = Math.min(size * 2, LARGEST_READ);
      continue;
    }
    reader.skip(rest);
    at += rest;
    size = FIRST_READ;
  }
  return reader.finish();
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
