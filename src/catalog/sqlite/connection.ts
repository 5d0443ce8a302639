import Database from 'better-sqlite3';
import { IsocenterError } from '../../errors';

/** Up to 3.51.2 several connections in WAL could corrupt the file when the log was reset. */
const OLDEST_SQLITE = [3, 51, 3] as const;

/** How long a statement waits for another process's lock, in milliseconds, before the record is refused. */
export const BUSY_TIMEOUT = 5_000;

const NORMAL = 1;
const FULL = 2;

export interface ConnectionOptions {
  readonly readonly?: boolean;
  /** Upper bound of the page cache in KiB; pages are allocated as they are needed. */
  readonly cache: number;
}

/**
 * Opens one connection with the durability that architecture.md asks for.
 * @throws IsocenterError `CATALOG_SQLITE` where a setting did not take or SQLite is too old.
 */
export function openConnection(file: string, options: ConnectionOptions): Database.Database {
  const database = new Database(file, { readonly: options.readonly ?? false, timeout: BUSY_TIMEOUT });
  try {
    requireVersion(String(database.prepare('SELECT sqlite_version()').pluck().get()));
    if (options.readonly !== true) expect(database, 'journal_mode = WAL', 'wal');
    setSynchronous(database, 'FULL');
    setSynchronous(database, 'NORMAL');
    // Commits never checkpoint: the log is copied by the maintenance thread, beside them.
    expect(database, 'wal_autocheckpoint = 0', 0);
    // Mapped pages would turn a read error into a SIGBUS that ends the process, and count as its memory.
    database.pragma('mmap_size = 0');
    database.pragma(`cache_size = -${options.cache}`);
    // Sorting a large answer may spill to a temporary file; memory stays bounded.
    database.pragma('temp_store = FILE');
    // The writer is alone and keeps the references itself; checks would cost a probe for each row.
    database.pragma('foreign_keys = OFF');
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Sets and reads back; only outside of a transaction. */
export function setSynchronous(database: Database.Database, mode: 'NORMAL' | 'FULL'): void {
  database.pragma(`synchronous = ${mode}`);
  const wanted = mode === 'FULL' ? FULL : NORMAL;
  const found = database.pragma('synchronous', { simple: true });
  if (found !== wanted) throw refused(`synchronous = ${mode}`, found);
}

function expect(database: Database.Database, pragma: string, wanted: unknown): void {
  const found = database.pragma(pragma, { simple: true });
  if (found !== wanted) throw refused(pragma, found);
}

function refused(setting: string, found: unknown): IsocenterError {
  return new IsocenterError('CATALOG_SQLITE', `SQLite did not take "${setting}": it says ${String(found)}`, {
    hint: 'keep the storage directory on a local file system',
  });
}

/** @throws IsocenterError `CATALOG_SQLITE` below 3.51.3. */
export function requireVersion(version: string): void {
  const parts = version.split('.').map(Number);
  for (const [index, wanted] of OLDEST_SQLITE.entries()) {
    const part = parts[index] ?? 0;
    if (part > wanted) return;
    if (part < wanted) {
      throw new IsocenterError(
        'CATALOG_SQLITE',
        `SQLite ${version} can corrupt a catalog that several threads use; ${OLDEST_SQLITE.join('.')} is the oldest one allowed`,
        { hint: 'npm ci' },
      );
    }
  }
}
