/** What every benchmark says beside its numbers, and how numbers are summed up. */
import { execFileSync } from 'node:child_process';
import { cpus, release, totalmem } from 'node:os';
import path from 'node:path';

export interface Machine {
  readonly processor: string;
  readonly memory: string;
  readonly kernel: string;
  readonly filesystem: string;
  readonly node: string;
  readonly commit: string;
  readonly time: string;
}

function output(program: string, ...words: string[]): string {
  try {
    return execFileSync(program, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return 'unknown';
  }
}

/** The machine as far as it bears on the numbers. `directory` is where the data go. */
export function describeMachine(directory: string): Machine {
  const root = path.join(path.dirname(process.argv[1]!), '../..');
  const changed = output('git', '-C', root, 'status', '--porcelain', '--', 'src', 'package-lock.json') !== '';
  return {
    processor: `${cpus().length} x ${cpus()[0]?.model.trim() ?? 'unknown'}`,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    kernel: release(),
    filesystem: output('findmnt', '-n', '-o', 'FSTYPE', '-T', directory),
    node: process.version,
    commit: `${output('git', '-C', root, 'rev-parse', '--short', 'HEAD')}${changed ? ' with changes' : ''}`,
    time: new Date().toISOString(),
  };
}

/** One line for people. */
export function machineLine(machine: Machine): string {
  const { processor, memory, kernel, filesystem, node, commit, time } = machine;
  return `${processor}, ${memory}, Linux ${kernel}, ${filesystem}, Node ${node}, commit ${commit}, ${time}`;
}

/** The value below which `share` (0 to 1) of the values lie; nearest rank. NaN of nothing. */
export function quantile(values: readonly number[], share: number): number {
  if (values.length === 0) return NaN;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))]!;
}

export function median(values: readonly number[]): number {
  if (values.length === 0) return NaN;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** A table in Markdown, columns aligned; all but the first to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) =>
    Math.max(3, title.length, ...rows.map((row) => (row[column] ?? '').length)),
  );
  const line = (cells: readonly string[]): string =>
    `| ${widths.map((width, i) => (i === 0 ? (cells[i] ?? '').padEnd(width) : (cells[i] ?? '').padStart(width))).join(' | ')} |`;
  const rule = widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`));
  return [line(head), line(rule), ...rows.map(line)].join('\n');
}

export const fixed = (value: number, digits = 0): string =>
  Number.isFinite(value) ? value.toFixed(digits) : '-';
