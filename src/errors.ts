/** Failures that a user meets at the command line, each with its exit code (interface: "Exit codes"). */
export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  warnings: 3,
  refused: 4,
  network: 5,
  notRunning: 69,
  locked: 75,
  configuration: 78,
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/**
 * An error with a sentence for its reader: what happened, to whom, and what mends it. `hint` names the command or
 * the configuration key. Recognise it by `code`, never by `instanceof`: test realms have classes of their own.
 */
export class IsocenterError extends Error {
  readonly code: string;
  readonly exitCode: ExitCode;
  readonly hint: string | undefined;

  constructor(
    code: string,
    message: string,
    options: { exitCode?: ExitCode; hint?: string; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'IsocenterError';
    this.code = code;
    this.exitCode = options.exitCode ?? EXIT.failed;
    this.hint = options.hint;
  }
}

/**
 * A failure that is answered to the peer (PS3.7 Annex C). Services throw it; the dispatcher alone turns it into a
 * response. `comment` becomes Error Comment (0000,0902): at most 64 characters, no patient data.
 */
export class DimseError extends Error {
  readonly code = 'DIMSE';
  readonly status: number;
  readonly comment: string;
  /** Tags for Offending Element (0000,0901). */
  readonly offendingElements: readonly number[];

  constructor(
    status: number,
    comment: string,
    options: { offendingElements?: readonly number[]; cause?: unknown } = {},
  ) {
    super(comment, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'DimseError';
    this.status = status;
    this.comment = comment;
    this.offendingElements = options.offendingElements ?? [];
  }
}

/** The `code` of anything thrown, or undefined: node's system errors, ours and SQLite's all carry one. */
export function errorCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** The message of anything thrown. */
export function errorMessage(error: unknown): string {
  return typeof error === 'object' && error !== null && 'message' in error
    ? String(error.message)
    : String(error);
}
