import type Database from 'better-sqlite3';
import { errorCode, errorMessage } from '../../errors';
import { openConnection, setSynchronous } from './connection';
import { readNote, removeNote } from './set-aside';

/** What came of taking over, from a catalog that was set aside, what no file can tell again. */
export interface CarriedOver {
  readonly rows: number;
  /** Why some or all of them could not be read. */
  readonly problem: string | undefined;
}

/** In KiB. */
const CACHE = 2 * 1024;

/** Tables whose rows move to a new catalog, what others refer to first: each has an `id`. */
const CARRIED = ['jobs', 'commitments'] as const;

/**
 * Takes over what the catalog that was set aside held, as far as it can be read, in one transaction. Nothing has worked on the new one before.
 * @returns undefined where none was set aside.
 */
export function carryOver(database: Database.Database): CarriedOver | undefined {
  const aside = readNote(database.name);
  if (aside === undefined) return undefined;
  setSynchronous(database, 'FULL');
  const result = database.transaction(() => copyAll(aside, database)).immediate();
  setSynchronous(database, 'NORMAL');
  removeNote(database.name);
  return result;
}

function copyAll(aside: string, into: Database.Database): CarriedOver {
  let rows = 0;
  let old: Database.Database | undefined;
  try {
    old = openConnection(aside, { readonly: true, cache: CACHE });
    for (const table of CARRIED) for (const inserted of copy(table, old, into)) rows += inserted;
    return { rows, problem: undefined };
  } catch (error) {
    if (error instanceof NotWritten) throw error.cause;
    return { rows, problem: errorMessage(error) };
  } finally {
    old?.close();
  }
}

/** The new catalog failed, not the old one. */
class NotWritten extends Error {}

function* copy(table: string, from: Database.Database, into: Database.Database): Iterable<number> {
  const known = new Set(columnsOf(from, table));
  const columns = columnsOf(into, table).filter((name) => known.has(name));
  // An older catalog has no such table.
  if (columns.length === 0) return;
  const list = columns.join(', ');
  into.prepare(`DELETE FROM ${table}`).run();
  const insert = into.prepare(`INSERT INTO ${table} (${list}) VALUES (${columns.map(() => '?').join(', ')})`);
  for (const row of from.prepare<[], unknown[]>(`SELECT ${list} FROM ${table} ORDER BY id`).raw().iterate()) {
    try {
      yield insert.run(...row).changes;
    } catch (error) {
      // A row that no table takes was damaged.
      if (!(errorCode(error) ?? '').startsWith('SQLITE_CONSTRAINT'))
        throw new NotWritten(errorMessage(error), { cause: error });
    }
  }
}

function columnsOf(database: Database.Database, table: string): string[] {
  return database.prepare<[string], string>('SELECT name FROM pragma_table_info(?)').pluck().all(table);
}
