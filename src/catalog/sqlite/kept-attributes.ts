import type Database from 'better-sqlite3';
import type { AttributeValue } from '../../dicom/types';
import type { BackfillState, BackfillStep, StoredArrival } from '../types';
import { corrupt } from './failure';
import { LEVELS, isNumeric, rowValues, type CatalogAttribute, type Layout, type LevelLayout } from './layout';
import type { Ledger } from './ledger';

/**
 * Which attributes the rows speak of. `filled` is 0 while arrivals from before an attribute was kept have no value for it; the walk over
 * their files has its place in `backfill`, and begins anew when another attribute is added.
 */
export function createKeptAttributes(database: Database.Database, layout: Layout): void {
  database.exec(`
    CREATE TABLE attributes (
      keyword TEXT PRIMARY KEY,
      level TEXT NOT NULL,
      vr TEXT NOT NULL,
      filled INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE backfill (
      id INTEGER PRIMARY KEY CHECK (id = 1),
      position TEXT NOT NULL,
      until TEXT NOT NULL,
      done INTEGER NOT NULL,
      total INTEGER NOT NULL,
      skipped INTEGER NOT NULL
    ) STRICT;
  `);
  const insert = database.prepare('INSERT INTO attributes VALUES (?, ?, ?, 1)');
  for (const level of LEVELS) {
    const found = columnsOf(database, layout[level].table);
    for (const { keyword, vr } of layout[level].attributes)
      if (found.has(keyword)) insert.run(keyword, level, vr);
  }
}

/**
 * Brings the columns in line with the attributes that are wanted now, in one transaction: nothing of a table is rewritten. What isn't wanted
 * any more keeps its column, unkept from now on; wanted again, it gets a fresh one, because nobody knows what became of its values.
 * @throws IsocenterError `CATALOG_CORRUPT`
 */
export function keepAttributes(database: Database.Database, layout: Layout): void {
  const wanted = LEVELS.flatMap((level) => layout[level].attributes);
  const kept = database.prepare<[], CatalogAttribute>('SELECT keyword, level, vr FROM attributes').all();
  const left = kept.filter((one) => !wanted.some((other) => isSame(one, other)));
  const added = wanted.filter((one) => !kept.some((other) => isSame(one, other)));
  for (const level of LEVELS) requireColumns(database, layout[level], added);
  if (left.length === 0 && added.length === 0) return;
  database
    .transaction(() => {
      for (const { keyword } of left) {
        database.prepare('DELETE FROM attributes WHERE keyword = ?').run(keyword);
        database.prepare('DELETE FROM conflicts WHERE keyword = ?').run(keyword);
      }
      for (const attribute of added) addColumns(database, layout[attribute.level], attribute);
      // Without arrivals nothing is missing.
      if (database.prepare('SELECT 1 FROM instances').get() === undefined)
        database.exec('UPDATE attributes SET filled = 1');
      const missing = database.prepare('SELECT 1 FROM attributes WHERE filled = 0').get() !== undefined;
      if (!missing) database.exec('DELETE FROM backfill');
      else if (added.length > 0)
        database.exec(`
          INSERT OR REPLACE INTO backfill
            SELECT 1, '', max(arrivalId), 0, count(*), 0 FROM instances`);
    })
    .immediate();
}

function isSame(a: CatalogAttribute, b: CatalogAttribute): boolean {
  return a.keyword === b.keyword && a.level === b.level && a.vr === b.vr;
}

function columnsOf(database: Database.Database, table: string): Set<string> {
  return new Set(
    database.prepare<[string], string>('SELECT name FROM pragma_table_info(?)').pluck().all(table),
  );
}

function requireColumns(
  database: Database.Database,
  { table, attributes }: LevelLayout,
  added: readonly CatalogAttribute[],
): void {
  const found = columnsOf(database, table);
  const missing = attributes.find((one) => !found.has(one.keyword) && !added.includes(one));
  if (missing !== undefined) throw corrupt(database.name, `it has no column for ${missing.keyword}`);
}

/** Keywords are those of the dictionary: what becomes a column's name was never typed by anybody. */
function addColumns(database: Database.Database, layout: LevelLayout, attribute: CatalogAttribute): void {
  const { table, attributes, names } = layout;
  const { keyword, level, vr } = attribute;
  const position = attributes.indexOf(attribute);
  const folded = names.find((name) => name.position === position)?.columns ?? [];
  for (const [column, type] of [
    [keyword, isNumeric(attribute) ? 'ANY' : 'TEXT'],
    ...folded.map((name) => [name, 'TEXT'] as const),
  ] as const) {
    const found = columnsOf(database, table);
    if (found.has(column)) {
      let number = 1;
      while (found.has(`${column}_left${number}`)) number++;
      database.exec(`ALTER TABLE ${table} RENAME COLUMN ${column} TO ${column}_left${number}`);
    }
    database.exec(`ALTER TABLE ${table} ADD COLUMN ${column} ${type}`);
  }
  database.prepare('INSERT OR REPLACE INTO attributes VALUES (?, ?, ?, 0)').run(keyword, level, vr);
}

/** Arrivals behind `after` up to `until`, in their order: what a backfill walks over. */
export function arrivalsAfter(
  database: Database.Database,
  range: { readonly after: string; readonly until: string; readonly limit: number },
): StoredArrival[] {
  return database
    .prepare<[string, string, number], Omit<StoredArrival, 'damaged'> & { damaged: string | null }>(
      `SELECT arrivalId, TransferSyntaxUID, dataSetOffset, dataSetLength, sourceAETitle, damaged
       FROM instances WHERE arrivalId > ? AND arrivalId <= ? ORDER BY arrivalId LIMIT ?`,
    )
    .all(range.after, range.until, range.limit)
    .map((row) => ({ ...row, damaged: row.damaged ?? undefined }));
}

/** Merges what files say of attributes that are kept since later than they came. Part of the writer. */
export class Backfiller {
  private readonly database: Database.Database;
  private readonly ledger: Ledger;
  private readonly rowOf: Database.Statement<[string], number>;
  private readonly update: Database.Statement<(AttributeValue | null)[]> | undefined;
  private readonly missing: ReadonlySet<string>;
  /** Those of the instances themselves. */
  private readonly own: LevelLayout;

  constructor(database: Database.Database, layout: Layout, ledger: Ledger) {
    this.database = database;
    this.ledger = ledger;
    this.rowOf = database.prepare<[string], number>('SELECT id FROM instances WHERE arrivalId = ?').pluck();
    this.missing = new Set(
      database
        .prepare<[], string>('SELECT keyword FROM attributes WHERE filled = 0 ORDER BY keyword')
        .pluck()
        .all(),
    );
    const attributes = layout.IMAGE.attributes.filter(({ keyword }) => this.missing.has(keyword));
    this.own = { ...layout.IMAGE, attributes };
    const set = attributes.map(({ keyword }) => `${keyword} = ?`).join(', ');
    if (set !== '') this.update = database.prepare(`UPDATE instances SET ${set} WHERE id = ?`);
  }

  /** Where the walk is; undefined where every value is there. */
  state(): BackfillState | undefined {
    const row = this.database
      .prepare<[], Omit<BackfillState, 'keywords' | 'finished'>>(
        'SELECT position AS after, until, done, total, skipped FROM backfill',
      )
      .get();
    return row === undefined ? undefined : { ...row, keywords: [...this.missing], finished: false };
  }

  /**
   * One step: values, and with them the place behind them. An arrival that has left meanwhile is passed over: it counts no more, and where it came
   * back it came with all its values. To merge a value twice changes nothing. `Entities.flush` must have run.
   */
  run(step: BackfillStep): BackfillState | undefined {
    const before = this.state();
    if (before === undefined) return undefined;
    for (const { arrivalId, values } of step.arrivals) {
      const id = this.rowOf.get(arrivalId);
      if (id === undefined) continue;
      const known = Object.fromEntries(
        Object.entries(values).filter(([keyword]) => this.missing.has(keyword)),
      );
      this.update?.run(...rowValues(this.own, known), id);
      this.ledger.say(id, arrivalId, known);
    }
    const unreadable = step.unreadable.filter((arrivalId) => this.rowOf.get(arrivalId) !== undefined);
    const after: BackfillState = {
      ...before,
      after: step.to,
      done: Math.min(before.total, before.done + step.walked),
      skipped: before.skipped + unreadable.length,
      finished: step.last,
    };
    if (step.last) {
      this.database.prepare('DELETE FROM backfill').run();
      this.database.prepare('UPDATE attributes SET filled = 1').run();
    } else {
      this.database
        .prepare('UPDATE backfill SET position = ?, done = ?, skipped = ?')
        .run(after.after, after.done, after.skipped);
    }
    return after;
  }
}
