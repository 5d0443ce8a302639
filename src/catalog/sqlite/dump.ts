import type Database from 'better-sqlite3';
import type { Layout } from './layout';

/** Some lines of the dump and where it goes on. */
export interface DumpPage {
  readonly lines: string[];
  readonly next: string | undefined;
}

const LINES = 500;

interface Part {
  readonly name: string;
  readonly from: string;
  readonly columns: readonly string[];
  /** Together unique, and made of content only. */
  readonly order: readonly string[];
  /** Attributes of an entity, in their order. */
  readonly keywords?: readonly string[];
}

/** Every table by content: without row ids, without `segments`, which count on while nothing changes, and without how often a quarantined file came, which no file tells. */
function parts(layout: Layout): Part[] {
  const entity = (level: 'PATIENT' | 'STUDY' | 'SERIES'): string[] => {
    const { table, counted, attributes } = layout[level];
    return [...attributes.map(({ keyword }) => keyword), ...counted, 'firstArrival', 'sources'].map(
      (column) => `${table}.${column}`,
    );
  };
  const keywords = (level: 'PATIENT' | 'STUDY' | 'SERIES'): string[] =>
    layout[level].attributes.map(({ keyword }) => keyword);
  const upToPatient = `CROSS JOIN studies ON studies.id = series.study
    CROSS JOIN patients ON patients.id = studies.patient`;
  return [
    {
      name: 'patient',
      from: 'patients',
      columns: entity('PATIENT'),
      order: ['patients.identity'],
      keywords: keywords('PATIENT'),
    },
    {
      name: 'study',
      from: 'studies CROSS JOIN patients ON patients.id = studies.patient',
      columns: entity('STUDY'),
      order: ['studies.StudyInstanceUID', 'patients.identity'],
      keywords: keywords('STUDY'),
    },
    {
      name: 'series',
      from: `series ${upToPatient}`,
      columns: entity('SERIES'),
      order: ['series.SeriesInstanceUID', 'studies.StudyInstanceUID', 'patients.identity'],
      keywords: keywords('SERIES'),
    },
    {
      name: 'instance',
      from: `instances CROSS JOIN series ON series.id = instances.series ${upToPatient}`,
      columns: [
        'patients.identity',
        'studies.StudyInstanceUID',
        'series.SeriesInstanceUID',
        "CASE instances.version WHEN 0 THEN 'current' ELSE 'version' END AS state",
        ...[
          'segment',
          'arrivedAt',
          'dataSetOffset',
          'dataSetLength',
          'sha256',
          'TransferSyntaxUID',
          'sourceAETitle',
          'damaged',
          ...layout.IMAGE.attributes.map(({ keyword }) => keyword),
        ].map((column) => `instances.${column}`),
      ],
      order: ['instances.arrivalId'],
    },
    {
      name: 'conflict',
      from: `(SELECT conflicts.*, coalesce(own.identity, patients.identity) AS identity,
          coalesce(studies.StudyInstanceUID, '') AS StudyInstanceUID,
          coalesce(series.SeriesInstanceUID, '') AS SeriesInstanceUID
        FROM conflicts
        LEFT JOIN series ON conflicts.level = 'SERIES' AND series.id = conflicts.entity
        LEFT JOIN studies ON studies.id = CASE conflicts.level WHEN 'STUDY' THEN conflicts.entity ELSE series.study END
        LEFT JOIN patients ON patients.id = studies.patient
        LEFT JOIN patients AS own ON conflicts.level = 'PATIENT' AND own.id = conflicts.entity)`,
      columns: [],
      order: ['identity', 'StudyInstanceUID', 'SeriesInstanceUID', 'level', 'keyword', 'value', 'arrivalId'],
    },
    {
      name: 'quarantine',
      from: 'quarantine',
      columns: [
        'SOPInstanceUID',
        'SOPClassUID',
        'StudyInstanceUID',
        'sha256',
        'dataSetLength',
        'reason',
        'detail',
        'conflictsWith',
        'sourceAETitle',
        'time',
      ],
      order: ['arrivalId'],
    },
  ];
}

/** @param cursor `next` of the page before; the text is this module's own. */
export function dumpPage(
  layout: Layout,
  statement: (text: string) => Database.Statement,
  cursor: string | undefined,
): DumpPage {
  const all = parts(layout);
  const [index, after] =
    cursor === undefined ? [0, undefined] : (JSON.parse(cursor) as [number, (string | number)[] | undefined]);
  const part = all[index];
  if (part === undefined) return { lines: [], next: undefined };
  const order = part.order.join(', ');
  const resumed = after === undefined ? '' : `WHERE (${order}) > (${part.order.map(() => '?').join(', ')})`;
  const keys = part.order.map((column, position) => `${column} AS key${position}`);
  const rows = statement(
    `SELECT ${[...keys, ...part.columns].join(', ')} FROM ${part.from} ${resumed} ORDER BY ${order} LIMIT ${LINES}`,
  ).all(...(after ?? [])) as Record<string, string | number | null>[];
  const last = rows.at(-1);
  const next: [number, (string | number)[]?] =
    rows.length < LINES || last === undefined
      ? [index + 1]
      : [index, part.order.map((_, position) => last[`key${position}`] ?? '')];
  return {
    lines: rows.map((row) => line(part, row)),
    next: next[0] < all.length ? JSON.stringify(next) : undefined,
  };
}

/** Names sorted, nulls left out; a key goes by the name of its column. */
function line(part: Part, row: Readonly<Record<string, string | number | null>>): string {
  const named = Object.entries(row).flatMap(([name, value]): [string, string | number][] => {
    if (value === null) return [];
    const position = /^key(\d+)$/.exec(name)?.[1];
    if (position === undefined) {
      const shown = name === 'sources' ? sources(part, row, String(value)) : value;
      return shown === undefined ? [] : [[name, shown]];
    }
    return [[(part.order[Number(position)] ?? name).replace(/^\w+\./, ''), value]];
  });
  const sorted = named.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return JSON.stringify({ table: part.name, ...Object.fromEntries(sorted) });
}

/** Without those of attributes that are no longer kept: the text is written anew with the row only. */
function sources(
  part: Part,
  row: Readonly<Record<string, string | number | null>>,
  text: string,
): string | undefined {
  const all = JSON.parse(text) as Readonly<Record<string, string>>;
  const kept = (part.keywords ?? []).filter((keyword) => keyword in all && row[keyword] !== null);
  if (kept.length === 0) return undefined;
  return JSON.stringify(Object.fromEntries(kept.map((keyword) => [keyword, all[keyword]])));
}
