import { printable } from '../printable';

/** Where a command writes: data to `stdout`, everything else to `stderr`. */
export interface Streams {
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
}

const process_: Streams = process;
let watched = false;

/** Writes data. A reader that has seen enough (`| head`) ends the command without a complaint. */
export function writeData(text: string, streams: Streams = process_): void {
  if (!watched && streams === process_) {
    watched = true;
    streams.stdout.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(process.exitCode ?? 0);
      throw error;
    });
  }
  streams.stdout.write(text);
}

/** A line for the person at the terminal. */
export function say(text: string, streams: Streams = process_): void {
  streams.stderr.write(`${text}\n`);
}

/** One JSON value, indented for eyes on a terminal and on one line in a pipe. */
export function printJson(value: unknown, streams: Streams = process_): void {
  writeData(`${JSON.stringify(value, undefined, streams.stdout.isTTY ? 2 : undefined)}\n`, streams);
}

export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => string | number | null | undefined;
  readonly align?: 'right';
}

/** Columns narrower than this are not cut any further. */
const MIN_WIDTH = 8;
const GAP = 2;

/**
 * Rows as a table: aligned and cut to the width of a terminal, or one line a row with tabs between the values, uncut, where a program reads. Control
 * characters are escaped in both.
 */
export function printTable<Row>(
  columns: readonly Column<Row>[],
  rows: Iterable<Row>,
  streams: Streams = process_,
): void {
  const cells = [...rows].map((row) =>
    columns.map((column) => printable(String(column.value(row) ?? ''), 4096)),
  );
  const lines = [columns.map((column) => column.title), ...cells];
  if (!streams.stdout.isTTY) {
    writeData(lines.map((line) => `${line.join('\t')}\n`).join(''), streams);
    return;
  }
  const widths = fitWidths(lines, streams.stdout.columns || 80);
  const text = lines.map((line) =>
    line
      .map((cell, i) => pad(cut(cell, widths[i] ?? 0), widths[i] ?? 0, columns[i]?.align === 'right'))
      .join(' '.repeat(GAP))
      .trimEnd(),
  );
  writeData(`${text.join('\n')}\n`, streams);
}

/** Takes from the widest column until the line fits, or all are at their minimum. */
function fitWidths(lines: readonly (readonly string[])[], available: number): number[] {
  const widths = (lines[0] ?? []).map((_, i) =>
    Math.max(...lines.map((line) => displayWidth(line[i] ?? ''))),
  );
  const total = (): number => widths.reduce((sum, width) => sum + width + GAP, -GAP);
  while (total() > available) {
    const widest = Math.max(...widths);
    if (widest <= MIN_WIDTH) break;
    const i = widths.indexOf(widest);
    const others = widths.filter((width) => width < widest);
    widths[i] = Math.max(MIN_WIDTH, ...others, widest - (total() - available));
    if (widths[i] === widest) widths[i] = widest - 1;
  }
  return widths;
}

function pad(text: string, width: number, right: boolean): string {
  const space = ' '.repeat(Math.max(0, width - displayWidth(text)));
  return right ? space + text : text + space;
}

function cut(text: string, width: number): string {
  if (displayWidth(text) <= width) return text;
  let kept = '';
  let used = 0;
  for (const character of text) {
    used += characterWidth(character);
    if (used > width - 1) break;
    kept += character;
  }
  return `${kept}…`;
}

/** Columns that a text takes on a terminal: East Asian wide characters take two, combining marks none. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const character of text) width += characterWidth(character);
  return width;
}

/** Wide and fullwidth ranges of UAX #11, as far as names and descriptions use them. */
const WIDE: readonly (readonly [number, number])[] = [
  [0x1100, 0x115f],
  [0x2e80, 0x303e],
  [0x3041, 0x33ff],
  [0x3400, 0x4dbf],
  [0x4e00, 0x9fff],
  [0xa000, 0xa4cf],
  [0xa960, 0xa97c],
  [0xac00, 0xd7a3],
  [0xf900, 0xfaff],
  [0xfe30, 0xfe6f],
  [0xff00, 0xff60],
  [0xffe0, 0xffe6],
  [0x1f300, 0x1faff],
  [0x20000, 0x3fffd],
];

function characterWidth(character: string): number {
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x300) return 1;
  if (/\p{M}/u.test(character)) return 0;
  return WIDE.some(([first, last]) => code >= first && code <= last) ? 2 : 1;
}
