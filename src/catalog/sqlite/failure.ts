import { EXIT, IsocenterError, errorCode, errorMessage, type ExitCode } from '../../errors';

/** An error as it crosses a thread: structured clones of errors lose their fields. */
export interface WireError {
  readonly code: string | undefined;
  readonly message: string;
  readonly exitCode?: ExitCode;
  readonly hint?: string;
  readonly cause?: WireError;
}

export function toWire(error: unknown): WireError {
  const ours = error as Partial<IsocenterError>;
  const cause = error instanceof Error ? error.cause : undefined;
  return {
    code: errorCode(error),
    message: errorMessage(error),
    ...(ours.exitCode === undefined ? {} : { exitCode: ours.exitCode }),
    ...(ours.hint === undefined ? {} : { hint: ours.hint }),
    ...(cause === undefined ? {} : { cause: toWire(cause) }),
  };
}

export function fromWire(wire: WireError): IsocenterError {
  return new IsocenterError(wire.code ?? 'CATALOG_FAILED', wire.message, {
    exitCode: wire.exitCode ?? EXIT.failed,
    ...(wire.hint === undefined ? {} : { hint: wire.hint }),
    ...(wire.cause === undefined ? {} : { cause: fromWire(wire.cause) }),
  });
}

/** Certainly nothing was written. */
export function rolledBack(cause: unknown): IsocenterError {
  return new IsocenterError(
    'CATALOG_ROLLED_BACK',
    `The catalog did not take the change: ${errorMessage(cause)}`,
    { cause },
  );
}

/** Nobody knows until the next start has read the database: ingest must stop. */
export function unknownOutcome(cause: unknown): IsocenterError {
  return new IsocenterError(
    'CATALOG_UNKNOWN',
    `It is not known whether the catalog holds the change: ${errorMessage(cause)}`,
    { hint: 'restart the node: recovery compares the catalog with the files', cause },
  );
}

export function corrupt(file: string, why: string, cause?: unknown): IsocenterError {
  return new IsocenterError('CATALOG_CORRUPT', `The catalog ${file} can't be used: ${why}`, {
    hint: 'isocenter reindex',
    ...(cause === undefined ? {} : { cause }),
  });
}

/** The disk or the database file is broken: no write after it can be trusted (reliability.md, gate 10). */
export function isFatal(error: unknown): boolean {
  const code = errorCode(error) ?? '';
  return code.startsWith('SQLITE_IOERR') || isCorrupt(error);
}

export function isCorrupt(error: unknown): boolean {
  const code = errorCode(error) ?? '';
  return code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB';
}

/**
 * Whether a failed COMMIT left nothing behind for certain. A full disk and a lock stop it before the commit frame is
 * whole. After anything else the frame may lie in the write-ahead log, and a restart would find it there.
 */
export function certainlyRolledBack(commitError: unknown): boolean {
  const code = errorCode(commitError) ?? '';
  return code === 'SQLITE_FULL' || code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_CONSTRAINT');
}
