import type Database from 'better-sqlite3';
import type { Level } from '../../../src/catalog/types';
import type { Condition, EntityQuery, Match, QueryRow } from '../../../src/catalog/query-types';
import { registerMatches, type Matchers } from '../../../src/catalog/sqlite/query-functions';
import { queryPage } from '../../../src/catalog/sqlite/query-pages';
import type { Direct } from './direct';
import { layout } from './direct';

/** The attribute that tells an entity of a level. */
export const UNIQUE = {
  PATIENT: 'PatientID',
  STUDY: 'StudyInstanceUID',
  SERIES: 'SeriesInstanceUID',
  IMAGE: 'SOPInstanceUID',
} as const satisfies Record<Level, string>;

export const exactly = (...values: string[]): Match => ({ kind: 'values', values });
export const like = (...patterns: string[]): Match => ({ kind: 'wildcard', patterns });
export const between = (from?: string, to?: string): Match => ({
  kind: 'range',
  ...(from === undefined ? {} : { from }),
  ...(to === undefined ? {} : { to }),
});

export function query(
  level: Level,
  matches: Readonly<Record<string, Match>>,
  columns: readonly string[] = [UNIQUE[level]],
): EntityQuery {
  const conditions = Object.entries(matches).map(([keyword, match]): Condition => ({ keyword, match }));
  return { level, conditions, columns };
}

/** More pages than any test has; a query that goes in circles fails. */
const MOST_PAGES = 2_000;

/** Every row of a query, page by page. */
export function allRows(direct: Pick<Direct, 'reader'>, asked: EntityQuery, limit = 100): QueryRow[] {
  const rows: QueryRow[] = [];
  let after: string | undefined;
  let pages = 0;
  do {
    expect(++pages).toBeLessThan(MOST_PAGES);
    const page = direct.reader.query({
      query: asked,
      page: { limit, ...(after === undefined ? {} : { after }) },
    });
    expect(page.rows.length).toBeLessThanOrEqual(limit);
    rows.push(...page.rows);
    after = page.next;
  } while (after !== undefined);
  return rows;
}

/** Runs a query on a connection of its own. @returns its rows, and every text of SQL that it took. */
export function traced(
  database: Database.Database,
  asked: EntityQuery,
  { limit = 100, window = 256, now = () => 0 }: { limit?: number; window?: number; now?: () => number } = {},
): { rows: QueryRow[]; texts: string[] } {
  let present: Matchers | undefined;
  registerMatches(database, () => present);
  const texts = new Set<string>();
  const parts = {
    layout,
    statement: (text: string): Database.Statement => {
      texts.add(text);
      return database.prepare(text);
    },
    present: (matchers: Matchers) => (present = matchers),
    now,
    window,
  };
  const rows: QueryRow[] = [];
  let after: string | undefined;
  let pages = 0;
  do {
    expect(++pages).toBeLessThan(MOST_PAGES);
    const page = queryPage(parts, asked, limit, after);
    rows.push(...page.rows);
    after = page.next;
  } while (after !== undefined);
  return { rows, texts: [...texts] };
}
