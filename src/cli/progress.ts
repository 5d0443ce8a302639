import { displayWidth } from './output';

/** Between two lines where there is no terminal to draw a bar on. */
const LINE_INTERVAL = 10_000;
/** A bar is drawn again at most so often. */
const DRAW_INTERVAL = 100;
const BAR = 24;

export interface ProgressOptions {
  /** What is being done: `import`. */
  readonly label: string;
  /** What is counted: `files`. */
  readonly unit: string;
  /** Undefined where the end isn't known. */
  readonly total?: number | undefined;
  readonly stream?: NodeJS.WriteStream;
  /** Milliseconds of a clock that only goes forward. */
  readonly now?: () => number;
}

/** How far a long command is: a bar on a terminal, elsewhere a line each 10 s. On stderr, so that data stays clean. */
export class Progress {
  private readonly label: string;
  private readonly unit: string;
  private readonly total: number | undefined;
  private readonly stream: NodeJS.WriteStream;
  private readonly now: () => number;
  private readonly started: number;
  private last: number;
  private drawn = false;
  private done = 0;

  constructor(options: ProgressOptions) {
    this.label = options.label;
    this.unit = options.unit;
    this.total = options.total;
    this.stream = options.stream ?? process.stderr;
    this.now = options.now ?? (() => performance.now());
    this.started = this.now();
    this.last = this.stream.isTTY ? -Infinity : this.started;
  }

  /** `done` of the whole so far; `note` is a few words, such as a count of failures. */
  update(done: number, note = ''): void {
    this.done = done;
    const now = this.now();
    if (now - this.last < (this.stream.isTTY ? DRAW_INTERVAL : LINE_INTERVAL)) return;
    this.last = now;
    if (!this.stream.isTTY) {
      this.stream.write(`${this.line(note)}\n`);
      return;
    }
    const width = (this.stream.columns || 80) - 1;
    let text = this.bar() + this.line(note);
    while (displayWidth(text) > width) text = text.slice(0, -1);
    this.stream.write(`\r${text}\x1b[K`);
    this.drawn = true;
  }

  /** Clears the bar: what is printed next starts on an empty line. */
  clear(): void {
    if (!this.drawn) return;
    this.stream.write('\r\x1b[K');
    this.drawn = false;
    this.last = -Infinity;
  }

  private bar(): string {
    if (this.total === undefined || this.total === 0) return '';
    const filled = Math.min(BAR, Math.round((this.done / this.total) * BAR));
    return `[${'#'.repeat(filled)}${'-'.repeat(BAR - filled)}] `;
  }

  private line(note: string): string {
    const seconds = (this.now() - this.started) / 1000;
    const rate = seconds >= 1 ? `, ${(this.done / seconds).toFixed(1)} ${this.unit}/s` : '';
    const of = this.total === undefined ? '' : ` of ${this.total}`;
    return `${this.label}: ${this.done}${of} ${this.unit}${rate}${note === '' ? '' : `, ${note}`}`;
  }
}
