import type Database from 'better-sqlite3';
import { EXIT, IsocenterError } from '../../errors';
import type { AttributeValue } from '../../dicom/types';
import type { JobCount, JobFilter, JobPage } from '../jobs';
import type { EntityQuery, LocationPage, QueryPage, Selection, SurveyPage } from '../query-types';
import type {
  Catalog,
  Conflict,
  FindFilter,
  FindPage,
  InstanceLocation,
  QuarantineEntry,
  SegmentMark,
} from '../types';
import { openConnection } from './connection';
import { readCursor, toPage, withoutId } from './cursor';
import { dumpPage, type DumpPage } from './dump';
import { countJobs, listJobs } from './jobs-reading';
import type { EntityLevel } from './entities';
import type { Layout } from './layout';
import { readLocation } from './ledger';
import { queryOf } from './find';
import { registerMatches, type Matchers } from './query-functions';
import { queryPage, type QueryParts } from './query-pages';
import { retrievePage, surveyPage } from './retrieve-sql';
import { locationSelect } from './sql';

export interface PageRequest {
  readonly limit: number;
  readonly after?: string;
}

export interface RetrieveRequest {
  readonly selection: Selection;
  readonly page: PageRequest & { readonly until?: string };
}

export interface SurveyRequest {
  readonly selection: Selection;
  readonly page: { readonly after?: string; readonly until?: string };
}

/** Upper bound of a reader's page cache, in KiB: the upper pages of the indexes and one page of answers. */
export const READER_CACHE = 8 * 1024;

/** Largest page: its rows are held whole, here and on their way. */
const LARGEST_PAGE = 10_000;

/** Little enough even where each row has a long sequence to be read, or dozens of patterns to be tried. */
const FIRST_WINDOW = 64;

/** Prepared texts: a query takes some for each table on its way, alike for all queries with the same keys. */
const MOST_STATEMENTS = 256;

type QuarantineRow = Omit<QuarantineEntry, 'conflictsWith'> & { id: number; conflictsWith: string | null };

interface ConflictRow {
  id: number;
  level: EntityLevel;
  entity: number;
  keyword: string;
  differing: AttributeValue;
  arrivalId: string;
}

/** One connection that answers. Every call is a read transaction of its own, ended when it returns. */
export class Reader {
  private readonly database: Database.Database;
  private readonly layout: Layout;
  private readonly statements = new Map<string, Database.Statement>();
  private readonly retrieving = { statement: (text: string) => this.statement(text) };
  /** Of the query that is being answered. */
  private matchers: Matchers | undefined;

  constructor(file: string, layout: Layout) {
    this.database = openConnection(file, { readonly: true, cache: READER_CACHE });
    this.layout = layout;
    registerMatches(this.database, () => this.matchers);
  }

  find({ filter, page }: { filter: FindFilter; page: PageRequest }): FindPage {
    const { rows, next } = this.query({ query: queryOf(this.layout, filter), page });
    return { rows: [...rows], next };
  }

  query({ query, page }: { query: EntityQuery; page: PageRequest }): QueryPage {
    const parts: QueryParts = {
      layout: this.layout,
      statement: (text) => this.statement(text),
      present: (matchers) => (this.matchers = matchers),
      now: () => performance.now(),
      window: FIRST_WINDOW,
    };
    const limit = checkLimit(page.limit);
    // A page takes several statements: one transaction keeps them to one state.
    return this.database.transaction(() => queryPage(parts, query, limit, page.after))();
  }

  locate(SOPInstanceUID: string): InstanceLocation[] {
    const text = `${locationSelect()} WHERE instances.SOPInstanceUID = ? ORDER BY version = 0 DESC, arrivalId DESC`;
    return (this.statement(text).all(SOPInstanceUID) as InstanceLocation[]).map(readLocation);
  }

  retrieve({ selection, page }: RetrieveRequest): LocationPage {
    const limit = checkLimit(page.limit);
    return this.database.transaction(() => retrievePage(this.retrieving, selection, { ...page, limit }))();
  }

  survey({ selection, page }: SurveyRequest): SurveyPage {
    return this.database.transaction(() => surveyPage(this.retrieving, selection, page))();
  }

  arrivals(segment: number): string[] {
    return this.statement('SELECT arrivalId FROM instances WHERE segment = ?')
      .pluck()
      .all(segment) as string[];
  }

  segments(): SegmentMark[] {
    const rows = this.statement('SELECT segment, settled FROM segments ORDER BY segment').all();
    return (rows as { segment: number; settled: number }[]).map(({ segment, settled }) => ({
      segment,
      settled: settled === 1,
    }));
  }

  counts(): Awaited<ReturnType<Catalog['counts']>> {
    return this.statement(
      `SELECT patients, studies, series, instances, bytes, (SELECT count(*) FROM quarantine) AS quarantined FROM totals`,
    ).get() as Awaited<ReturnType<Catalog['counts']>>;
  }

  conflicts(page: PageRequest): { rows: Conflict[]; next: string | undefined } {
    const limit = checkLimit(page.limit);
    // A page takes several statements: one transaction keeps them to one state.
    return this.database.transaction(() => {
      const found = this.statement(
        'SELECT id, level, entity, keyword, value AS differing, arrivalId FROM conflicts WHERE id > ? ORDER BY id LIMIT ?',
      ).all(readCursor(page.after), limit + 1) as ConflictRow[];
      const { rows, next } = toPage(found, limit);
      return { rows: rows.map((row) => this.conflict(row)), next };
    })();
  }

  arrivalsOfPatient(arrivalId: string): string[] {
    return this.statement(
      `SELECT instances.arrivalId FROM studies CROSS JOIN series ON series.study = studies.id
       CROSS JOIN instances ON instances.series = series.id
       WHERE studies.patient = (
         SELECT studies.patient FROM instances CROSS JOIN series ON series.id = instances.series
         CROSS JOIN studies ON studies.id = series.study WHERE instances.arrivalId = ?)
       ORDER BY instances.arrivalId`,
    )
      .pluck()
      .all(arrivalId) as string[];
  }

  quarantined(page: PageRequest): { rows: QuarantineEntry[]; next: string | undefined } {
    const limit = checkLimit(page.limit);
    const found = this.statement('SELECT * FROM quarantine WHERE id > ? ORDER BY id LIMIT ?').all(
      readCursor(page.after),
      limit + 1,
    ) as QuarantineRow[];
    const { rows, next } = toPage(found, limit);
    return { rows: rows.map(readQuarantine), next };
  }

  quarantineEntry(arrivalId: string): QuarantineEntry | undefined {
    const row = this.statement('SELECT * FROM quarantine WHERE arrivalId = ?').get(arrivalId) as
      QuarantineRow | undefined;
    return row === undefined ? undefined : readQuarantine(withoutId(row));
  }

  jobs({ filter, page }: { filter: JobFilter; page: PageRequest }): JobPage {
    return listJobs((text) => this.statement(text), filter, { ...page, limit: checkLimit(page.limit) });
  }

  jobCounts(): JobCount[] {
    return countJobs((text) => this.statement(text));
  }

  dump(cursor: string | undefined): DumpPage {
    return dumpPage(this.layout, (text) => this.statement(text), cursor);
  }

  close(): void {
    this.database.close();
  }

  private conflict({ level, entity, keyword, differing, arrivalId }: Omit<ConflictRow, 'id'>): Conflict {
    const { table } = this.layout[level];
    const text = {
      PATIENT: 'patients WHERE patients.id = ?',
      STUDY: 'studies CROSS JOIN patients ON patients.id = studies.patient WHERE studies.id = ?',
      SERIES: `series CROSS JOIN studies ON studies.id = series.study
        CROSS JOIN patients ON patients.id = studies.patient WHERE series.id = ?`,
    }[level];
    const study = level === 'PATIENT' ? 'NULL' : 'studies.StudyInstanceUID';
    const series = level === 'SERIES' ? 'series.SeriesInstanceUID' : 'NULL';
    // The keyword is a column's name: it came from the layout when it was written.
    const row = this.statement(
      `SELECT ${table}.${keyword} AS kept, patients.PatientID AS PatientID, ${study} AS study, ${series} AS series FROM ${text}`,
    ).get(entity) as {
      kept: AttributeValue;
      PatientID: string | null;
      study: string | null;
      series: string | null;
    };
    return {
      level,
      StudyInstanceUID: row.study ?? undefined,
      SeriesInstanceUID: row.series ?? undefined,
      PatientID: row.PatientID ?? '',
      keyword,
      kept: row.kept,
      differing,
      arrivalId,
    };
  }

  private statement(text: string): Database.Statement {
    const known = this.statements.get(text);
    if (known !== undefined) return known;
    if (this.statements.size >= MOST_STATEMENTS) {
      const [oldest] = this.statements.keys();
      if (oldest !== undefined) this.statements.delete(oldest);
    }
    const prepared = this.database.prepare(text);
    this.statements.set(text, prepared);
    return prepared;
  }
}

function readQuarantine({ conflictsWith, ...row }: Omit<QuarantineRow, 'id'>): QuarantineEntry {
  return { ...row, conflictsWith: conflictsWith ?? undefined };
}

function checkLimit(limit: number): number {
  if (Number.isInteger(limit) && limit >= 1 && limit <= LARGEST_PAGE) return limit;
  throw new IsocenterError('CATALOG_CURSOR', `A page has 1 to ${LARGEST_PAGE} rows`, {
    exitCode: EXIT.usage,
  });
}
