import { EXIT, IsocenterError } from '../errors';
import { printable } from '../printable';

/** Where a value stands in the file: keys and list positions from the root. */
export type Path = readonly (string | number)[];

/** One thing that is wrong with a configuration file, or, as a warning, without effect. */
export interface Problem {
  /** From 1; a column counts UTF-16 units. */
  readonly line: number;
  readonly column: number;
  readonly path: Path;
  /** What is wrong and what mends it. */
  readonly message: string;
}

/** More problems than this are counted, not listed. */
const MAX_LISTED = 50;

/** `remotes.ct1.allow[1]` */
export function pathText(path: Path): string {
  return path
    .map((part, i) =>
      typeof part === 'number' ? `[${String(part)}]` : `${i === 0 ? '' : '.'}${printable(part, 64)}`,
    )
    .join('');
}

/** `FILE:LINE:COLUMN: path: what is wrong` */
export function problemText(file: string, problem: Problem): string {
  const place = `${file}:${String(problem.line)}:${String(problem.column)}: `;
  return place + (problem.path.length === 0 ? '' : `${pathText(problem.path)}: `) + problem.message;
}

/** Lines in the file's order. */
export function problemLines(file: string, problems: readonly Problem[]): string[] {
  const sorted = [...problems].sort((a, b) => a.line - b.line || a.column - b.column);
  const lines = sorted.slice(0, MAX_LISTED).map((problem) => problemText(file, problem));
  if (sorted.length > MAX_LISTED) lines.push(`${file}: and ${String(sorted.length - MAX_LISTED)} more`);
  return lines;
}

/** The error that holds every problem of a file, one a line. */
export class ConfigInvalid extends IsocenterError {
  readonly file: string;
  readonly problems: readonly Problem[];

  constructor(file: string, problems: readonly Problem[]) {
    super('CONFIG_INVALID', problemLines(file, problems).join('\n'), {
      exitCode: EXIT.configuration,
      hint: problems.length === 1 ? `1 problem in ${file}` : `${String(problems.length)} problems in ${file}`,
    });
    this.file = file;
    this.problems = problems;
  }
}
