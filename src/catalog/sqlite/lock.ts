import Database from 'better-sqlite3';
import { EXIT, IsocenterError, errorCode } from '../../errors';

export interface LockHolder {
  readonly pid: number;
  readonly hostname: string;
  /** ISO 8601. */
  readonly since: string;
}

export interface Lock {
  /** Gives the lock up. Idempotent. */
  release(): void;
}

/** How long another process's short moments of writing its name are waited for, in milliseconds. */
const PATIENCE = 2_000;
/** Two that start together can overwrite each other's name once; the loser then finds the lock taken. */
const ATTEMPTS = 5;

/**
 * Takes the store for this process. The lock is SQLite's own on a database that holds the holder's name: the system drops it when the
 * process ends, however it ends, and everybody can read who has it.
 * @throws IsocenterError `STORE_LOCKED` (exit 75) naming the holder; `STORE_LOCK_DAMAGED` where the file is something else.
 */
export function acquireLock(path: string, holder: LockHolder): Lock {
  let database: Database.Database | undefined;
  try {
    database = new Database(path, { timeout: PATIENCE });
    // In WAL a writer's lock would be in shared memory, and survive nothing either; a rollback journal needs one file only.
    database.pragma('journal_mode = DELETE');
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      // Whoever holds the lock has it for as long as it lives: no waiting.
      database.pragma('busy_timeout = 0');
      database.exec('BEGIN IMMEDIATE');
      const name = read(database);
      if (name?.pid === holder.pid && name.hostname === holder.hostname && name.since === holder.since) {
        const held = database;
        return { release: () => held.close() };
      }
      database.exec(
        'CREATE TABLE IF NOT EXISTS holder (pid INTEGER, hostname TEXT, since TEXT); DELETE FROM holder',
      );
      database.prepare('INSERT INTO holder VALUES (?, ?, ?)').run(holder.pid, holder.hostname, holder.since);
      // Readers of the name finish before this can be written.
      database.pragma(`busy_timeout = ${PATIENCE}`);
      database.exec('COMMIT');
    }
    throw locked(path, undefined);
  } catch (error) {
    const name = (errorCode(error) ?? '').startsWith('SQLITE_BUSY') ? holderOf(database) : undefined;
    database?.close();
    throw explained(path, error, name);
  }
}

/** Who holds the lock, or held it last. */
function read(database: Database.Database): LockHolder | undefined {
  const table = database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'holder'").get();
  if (table === undefined) return undefined;
  return database.prepare<[], LockHolder>('SELECT pid, hostname, since FROM holder').get();
}

function holderOf(database: Database.Database | undefined): LockHolder | undefined {
  try {
    database?.pragma(`busy_timeout = ${PATIENCE}`);
    return database === undefined ? undefined : read(database);
  } catch {
    return undefined;
  }
}

function explained(path: string, error: unknown, holder: LockHolder | undefined): unknown {
  const code = errorCode(error) ?? '';
  if (code.startsWith('SQLITE_BUSY')) return locked(path, holder, error);
  if (code !== 'SQLITE_NOTADB' && !code.startsWith('SQLITE_CORRUPT')) return error;
  return new IsocenterError('STORE_LOCK_DAMAGED', `The lock file ${path} is damaged`, {
    exitCode: EXIT.locked,
    hint: `make sure that no isocenter runs on this store, then remove ${path}`,
    cause: error,
  });
}

function locked(path: string, holder: LockHolder | undefined, cause?: unknown): IsocenterError {
  const who =
    holder === undefined
      ? 'another process'
      : `process ${holder.pid} on ${holder.hostname} since ${holder.since}`;
  return new IsocenterError('STORE_LOCKED', `The store is in use by ${who} (${path})`, {
    exitCode: EXIT.locked,
    hint:
      holder === undefined
        ? 'wait for it to end'
        : `stop it first, or run the command on its node; "ps -p ${holder.pid}" shows it`,
    ...(cause === undefined ? {} : { cause }),
  });
}
