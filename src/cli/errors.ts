import { CommanderError } from 'commander';
import { EXIT, errorCode, errorMessage } from '../errors';
import type { ExitCode, IsocenterError } from '../errors';
import { printable } from '../printable';
import { say } from './output';

/** Codes of system errors that mean the network, not this machine. */
const NETWORK_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
]);

/** Ctrl-C on the way. */
const CANCELLED_CODES = new Set(['CONNECT_CANCELLED', 'REQUEST_CANCELLED']);

const MAX_LINE = 2000;

/**
 * Ends an action with the exit code of its failure, and one or two lines on stderr: what happened, and what mends it. A number that the
 * action returns is its exit code.
 */
export function withErrors<Args extends unknown[]>(
  action: (...args: Args) => Promise<ExitCode | undefined> | Promise<void> | ExitCode | undefined,
): (...args: Args) => Promise<void> {
  return async (...args) => {
    try {
      const code = await action(...args);
      if (typeof code === 'number') process.exitCode = code;
    } catch (error) {
      process.exitCode = reportError(error);
    }
  };
}

/** Prints an error and returns its exit code. */
export function reportError(error: unknown): ExitCode {
  if (error instanceof CommanderError) return usageCode(error);
  const ours = explained(error);
  if (ours !== undefined && CANCELLED_CODES.has(ours.code)) {
    say('isocenter: interrupted');
    return EXIT.interrupted;
  }
  const lines = errorMessage(error)
    .split('\n')
    .map((line) => printable(line, MAX_LINE));
  // Lines of a list (FILE:LINE:COLUMN: …) stand alone, so that editors find them; the hint sums up.
  const list = lines.length > 1 || ours?.code === 'CONFIG_INVALID';
  for (const line of lines) say(list ? line : `isocenter: ${line}`);
  const hint = printable(ours?.hint ?? '', MAX_LINE);
  if (hint !== '') say(list ? `isocenter: ${hint}` : `  ${hint}`);
  if (ours === undefined && errorCode(error) === undefined)
    say('  this is a defect of isocenter: ISOCENTER_DEBUG=1 shows where it happened');
  if (process.env['ISOCENTER_DEBUG'] && error instanceof Error && error.stack !== undefined) say(error.stack);
  return ours?.exitCode ?? (NETWORK_CODES.has(errorCode(error) ?? '') ? EXIT.network : EXIT.failed);
}

/** What an IsocenterError says, of whichever realm it is. */
type Explained = Pick<IsocenterError, 'code' | 'hint' | 'exitCode'>;

function explained(error: unknown): Explained | undefined {
  return error instanceof Error && error.name === 'IsocenterError' ? (error as Error & Explained) : undefined;
}

/** commander has said what is wrong; help and version that were asked for are no errors. */
function usageCode(error: CommanderError): ExitCode {
  return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
}
