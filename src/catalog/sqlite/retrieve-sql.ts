import type Database from 'better-sqlite3';
import type { KindCount, LocationPage, Selection, SurveyPage } from '../query-types';
import type { InstanceLocation } from '../types';
import { badCursor, withoutId } from './cursor';
import { readLocation } from './ledger';
import { locationSelect } from './sql';

export interface RetrieveParts {
  statement(text: string): Database.Statement;
}

/** Values of a list that one page looks at: with thousands of them the others on the thread would wait. */
const VALUES = 64;
/** Series that one page looks at, which may hold nothing but old versions. */
const SERIES = 256;
/** Instances of one page of a survey: some milliseconds. */
const SURVEYED = 1000;

const FROM = {
  patients:
    'patients CROSS JOIN studies ON studies.patient = patients.id CROSS JOIN series ON series.study = studies.id',
  studies:
    'studies CROSS JOIN series ON series.study = studies.id CROSS JOIN patients ON patients.id = studies.patient',
  series:
    'series CROSS JOIN studies ON studies.id = series.study CROSS JOIN patients ON patients.id = studies.patient',
} as const;

/** Where a walk goes on: in which part of the list, in which series, behind which instance. */
interface Place {
  readonly part: number;
  readonly series: number;
  readonly instance: number;
}

interface Found {
  readonly id: number;
}

/** Locations of the current instances that a selection names. */
export function retrievePage(
  parts: RetrieveParts,
  selection: Selection,
  page: { readonly limit: number; readonly after?: string; readonly until?: string },
): LocationPage {
  const select = `${locationSelect().replace('SELECT', 'SELECT instances.id,')} CROSS JOIN patients ON patients.id = studies.patient`;
  const { rows, next } = walk(parts, selection, { ...page, select });
  return { rows: rows.map((row) => readLocation(withoutId(row as InstanceLocation & Found))), next };
}

/** What a selection names, counted by kind, a slice at a time. */
export function surveyPage(
  parts: RetrieveParts,
  selection: Selection,
  { after, until }: { readonly after?: string; readonly until?: string },
): SurveyPage {
  const bound = until ?? String(parts.statement('SELECT coalesce(max(id), 0) FROM instances').pluck().get());
  const select = `SELECT instances.id, instances.SOPClassUID, instances.TransferSyntaxUID FROM instances
    CROSS JOIN series ON series.id = instances.series CROSS JOIN studies ON studies.id = series.study
    CROSS JOIN patients ON patients.id = studies.patient`;
  const { rows, next } = walk(parts, selection, {
    limit: SURVEYED,
    until: bound,
    select,
    ...(after === undefined ? {} : { after }),
  });
  const kinds = new Map<string, KindCount>();
  for (const { SOPClassUID, TransferSyntaxUID } of rows as (KindCount & Found)[]) {
    const key = `${SOPClassUID} ${TransferSyntaxUID}`;
    const count = (kinds.get(key)?.count ?? 0) + 1;
    kinds.set(key, { SOPClassUID, TransferSyntaxUID, count });
  }
  return { kinds: [...kinds.values()], until: bound, next };
}

interface Walk {
  /** Up to and without WHERE; names `instances`, `series`, `studies` and `patients`. */
  readonly select: string;
  readonly limit: number;
  readonly after?: string;
  readonly until?: string;
}

function walk(
  parts: RetrieveParts,
  selection: Selection,
  { select, limit, after, until }: Walk,
): { rows: Found[]; next: string | undefined } {
  const bound = until === undefined ? Number.MAX_SAFE_INTEGER : readNumber(until);
  const place = after === undefined ? { part: 0, series: 0, instance: 0 } : readPlace(after);
  const list = listOf(selection);
  const values = list?.values.slice(place.part * VALUES, (place.part + 1) * VALUES) ?? [];
  const last = list === undefined || (place.part + 1) * VALUES >= list.values.length;
  const following = last ? undefined : writePlace({ part: place.part + 1, series: 0, instance: 0 });
  const conditions = conditionsOf(selection, list, values);
  if (list?.column === 'instances.SOPInstanceUID') {
    // The plus signs keep SQLite from going through all rows in the order that is asked for.
    const text = `${select} WHERE ${conditions.text} AND instances.version = 0 AND +instances.id > ?
      AND +instances.id <= ? ORDER BY +instances.id LIMIT ?`;
    const rows = parts
      .statement(text)
      .all(...conditions.parameters, place.instance, bound, limit + 1) as Found[];
    if (rows.length <= limit) return { rows, next: following };
    const kept = rows.slice(0, limit);
    return { rows: kept, next: writePlace({ ...place, instance: kept.at(-1)?.id ?? 0 }) };
  }
  const from =
    FROM[
      selection.SeriesInstanceUID !== undefined
        ? 'series'
        : selection.StudyInstanceUID !== undefined
          ? 'studies'
          : 'patients'
    ];
  const found = parts
    .statement(
      `SELECT series.id FROM ${from} WHERE ${conditions.text} AND +series.id >= ? ORDER BY +series.id LIMIT ?`,
    )
    .pluck()
    .all(...conditions.parameters, place.series, SERIES + 1) as number[];
  return walkSeries(parts, { select, limit, bound, place, found, following });
}

/** Instances of some series, in the order of their indexes: a page costs what it holds. */
function walkSeries(
  parts: RetrieveParts,
  {
    select,
    limit,
    bound,
    place,
    found,
    following,
  }: {
    readonly select: string;
    readonly limit: number;
    readonly bound: number;
    readonly place: Place;
    readonly found: readonly number[];
    readonly following: string | undefined;
  },
): { rows: Found[]; next: string | undefined } {
  const instances = parts.statement(
    `${select} WHERE instances.series = ? AND instances.id > ? AND instances.id <= ? AND instances.version = 0
     ORDER BY instances.id LIMIT ?`,
  );
  const rows: Found[] = [];
  for (const series of found.slice(0, SERIES)) {
    const behind = series === place.series ? place.instance : 0;
    const left = limit - rows.length;
    const more = instances.all(series, behind, bound, left + 1) as Found[];
    rows.push(...more.slice(0, left));
    if (more.length <= left) continue;
    const instance = more[left - 1]?.id ?? behind;
    return { rows, next: writePlace({ part: place.part, series, instance }) };
  }
  const further = found[SERIES];
  if (further === undefined) return { rows, next: following };
  return { rows, next: writePlace({ part: place.part, series: further, instance: 0 }) };
}

interface List {
  readonly column: string;
  readonly values: readonly string[];
}

/** The list of the lowest level: pages walk along it. */
function listOf({ SOPInstanceUID, SeriesInstanceUID, StudyInstanceUID }: Selection): List | undefined {
  if (SOPInstanceUID !== undefined)
    return { column: 'instances.SOPInstanceUID', values: distinct(SOPInstanceUID) };
  if (SeriesInstanceUID !== undefined)
    return { column: 'series.SeriesInstanceUID', values: distinct(SeriesInstanceUID) };
  if (StudyInstanceUID !== undefined)
    return { column: 'studies.StudyInstanceUID', values: distinct(StudyInstanceUID) };
  return undefined;
}

function distinct(values: readonly string[]): string[] {
  return [...new Set(values)];
}

function conditionsOf(
  selection: Selection,
  list: List | undefined,
  values: readonly string[],
): { readonly text: string; readonly parameters: readonly string[] } {
  const terms: string[] = [];
  const parameters: string[] = [];
  const among = (column: string, allowed: readonly string[] | undefined): void => {
    if (allowed === undefined) return;
    terms.push(`${column} IN (SELECT value FROM json_each(?))`);
    parameters.push(JSON.stringify(allowed));
  };
  const own = (column: string, allowed: readonly string[] | undefined): void =>
    among(column, list?.column === column ? values : allowed);
  own('instances.SOPInstanceUID', selection.SOPInstanceUID);
  own('series.SeriesInstanceUID', selection.SeriesInstanceUID);
  own('studies.StudyInstanceUID', selection.StudyInstanceUID);
  const { PatientID, IssuerOfPatientID } = selection;
  if (PatientID !== undefined) {
    terms.push('patients.PatientID = ?');
    parameters.push(PatientID);
  }
  if (IssuerOfPatientID !== undefined) {
    terms.push('patients.IssuerOfPatientID = ?');
    parameters.push(IssuerOfPatientID);
  }
  if (PatientID === undefined && list === undefined)
    throw new Error('a selection names a patient, or studies, series or instances');
  return { text: terms.join(' AND '), parameters };
}

function writePlace({ part, series, instance }: Place): string {
  return `${part}.${series}.${instance}`;
}

function readPlace(after: string): Place {
  const [part, series, instance, ...rest] = after.split('.');
  if (part === undefined || series === undefined || instance === undefined || rest.length > 0)
    throw badCursor();
  return { part: readNumber(part), series: readNumber(series), instance: readNumber(instance) };
}

function readNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw badCursor();
  return Number(text);
}
