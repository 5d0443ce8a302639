import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Arrival, Catalog, QuarantineEntry, RecordOutcome } from '../../src/catalog/types';
import type { AttributeValue } from '../../src/dicom/types';

export interface Sketch {
  /** Place in arrival order. */
  readonly number?: number;
  readonly segment?: number;
  readonly uid?: string;
  readonly study?: string;
  readonly series?: string;
  readonly sopClass?: string;
  readonly values?: Readonly<Record<string, AttributeValue>>;
  readonly bytes?: number;
  readonly sha256?: string;
}

export const CT = '1.2.840.10008.5.1.4.1.1.2';
export const SR = '1.2.840.10008.5.1.4.1.1.88.11';

export function arrivalId(number: number, segment = 1): string {
  const digits = (value: number, width: number): string => String(value).padStart(width, '0');
  return `${digits(segment, 8)}-${digits(number, 6)}-${digits(number, 16)}`;
}

/** A CT image unless said otherwise; every number is an instance of its own in one series. */
export function arrival(sketch: Sketch = {}): Arrival {
  const { number = 1, segment = 1, study = '1.2.3', bytes = 1000, sopClass = CT } = sketch;
  const series = sketch.series ?? `${study}.1`;
  return {
    arrivalId: arrivalId(number, segment),
    segment,
    arrivedAt: 1_700_000_000_000 + number,
    header: {
      SOPClassUID: sopClass,
      SOPInstanceUID: sketch.uid ?? `${series}.${number}`,
      StudyInstanceUID: study,
      SeriesInstanceUID: series,
      values: { PatientID: 'P1', PatientName: 'Doe^John', Modality: 'CT', ...sketch.values },
    },
    TransferSyntaxUID: '1.2.840.10008.1.2.1',
    dataSetOffset: 542,
    dataSetLength: bytes,
    sha256: sketch.sha256 ?? String(number).padStart(64, '0'),
    sourceAETitle: 'CT1',
  };
}

export function quarantineEntry(
  number: number,
  more: Partial<QuarantineEntry> = {},
): Omit<QuarantineEntry, 'count'> {
  return {
    arrivalId: arrivalId(number),
    SOPInstanceUID: '1.2.3.1.1',
    SOPClassUID: CT,
    StudyInstanceUID: '1.2.3',
    sha256: 'f'.repeat(64),
    dataSetLength: 1000,
    reason: 'duplicate',
    detail: 'other bytes',
    conflictsWith: arrivalId(1),
    sourceAETitle: 'CT1',
    time: '2024-01-17T10:00:00.000Z',
    ...more,
  };
}

/** `duplicates: replace` for every arrival: what comes out depends on the set of arrivals alone. */
export async function put(catalog: Pick<Catalog, 'record'>, one: Arrival): Promise<void> {
  let outcome: RecordOutcome = await catalog.record(one);
  while (outcome.kind === 'exists') {
    outcome = await catalog.record(one, { replaces: outcome.current.arrivalId });
  }
}

export async function dumpOf(catalog: Pick<Catalog, 'dump'>): Promise<string[]> {
  const lines: string[] = [];
  for await (const line of catalog.dump()) lines.push(line);
  return lines;
}

export function scratch(): { readonly folder: string; remove(): void } {
  const folder = mkdtempSync(path.join(tmpdir(), 'catalog-test-'));
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

type Line = Readonly<Record<string, string | number>>;

/** Counters and derived sets that don't follow from the instances of a dump; one sentence each. */
export function wrongCounters(lines: readonly string[]): string[] {
  const rows = lines.map((line) => JSON.parse(line) as Line);
  const of = (table: string): Line[] => rows.filter((row) => row['table'] === table);
  const current = of('instance').filter((row) => row['state'] === 'current');
  const distinct = (of: readonly Line[], ...keys: string[]): string[] =>
    [...new Set(of.map((row) => JSON.stringify(keys.map((key) => row[key]))))].sort();
  const wrong: string[] = [];
  const check = (row: Line, key: string, expected: number | string): void => {
    const found = row[key] ?? '';
    if (found !== expected) wrong.push(`${JSON.stringify(row)}: ${key} should be ${expected}`);
  };
  for (const patient of of('patient')) {
    const own = current.filter((row) => row['identity'] === patient['identity']);
    check(patient, 'NumberOfPatientRelatedStudies', distinct(own, 'StudyInstanceUID').length);
    check(
      patient,
      'NumberOfPatientRelatedSeries',
      distinct(own, 'StudyInstanceUID', 'SeriesInstanceUID').length,
    );
    check(patient, 'NumberOfPatientRelatedInstances', own.length);
  }
  for (const study of of('study')) {
    const inside = (row: Line): boolean =>
      row['identity'] === study['identity'] && row['StudyInstanceUID'] === study['StudyInstanceUID'];
    const own = current.filter(inside);
    const series = distinct(own, 'SeriesInstanceUID');
    const modalities = of('series').filter(
      (row) => inside(row) && own.some((one) => one['SeriesInstanceUID'] === row['SeriesInstanceUID']),
    );
    check(study, 'NumberOfStudyRelatedSeries', series.length);
    check(study, 'NumberOfStudyRelatedInstances', own.length);
    check(
      study,
      'SOPClassesInStudy',
      distinct(own, 'SOPClassUID')
        .map((key) => (JSON.parse(key) as string[])[0])
        .join('\\'),
    );
    const found = modalities.flatMap((row) =>
      row['Modality'] === undefined ? [] : [String(row['Modality'])],
    );
    check(study, 'ModalitiesInStudy', [...new Set(found)].sort().join('\\'));
  }
  for (const series of of('series')) {
    const own = current.filter((row) =>
      ['identity', 'StudyInstanceUID', 'SeriesInstanceUID'].every((key) => row[key] === series[key]),
    );
    check(series, 'NumberOfSeriesRelatedInstances', own.length);
  }
  return wrong;
}
