import { Writable } from 'node:stream';
import winston from 'winston';
import { type LogOutput, RotatingFile, standardOutput } from './log-output';
import { printable } from './printable';

export const LOG_LEVELS = ['error', 'warn', 'info', 'debug'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/**
 * All that may stand on a log line beside the message: identifiers, titles, counts. No attribute of a patient has a name here, and a key
 * that is not in this list is left out at run time too.
 */
export const LOG_FIELDS = [
  'association',
  'remote',
  'destination',
  'role',
  'callingAETitle',
  'calledAETitle',
  'address',
  'host',
  'port',
  'implementation',
  'messageId',
  'command',
  'status',
  'contextId',
  'abstractSyntax',
  'SOPClassUID',
  'SOPInstanceUID',
  'StudyInstanceUID',
  'SeriesInstanceUID',
  'TransferSyntaxUID',
  'TransactionUID',
  'arrivalId',
  'segment',
  'sha256',
  'code',
  'reason',
  'outcome',
  'cause',
  'comment',
  'error',
  'stack',
  'hint',
  'file',
  'signal',
  'version',
  'pid',
  'contexts',
  'requests',
  'instances',
  'completed',
  'failed',
  'warnings',
  'remaining',
  'count',
  'bytes',
  'rate',
  'free',
  'reserve',
  'milliseconds',
] as const;
export type LogField = (typeof LOG_FIELDS)[number];
export type LogFields = { readonly [K in LogField]?: string | number | boolean | undefined };

export interface LogOptions {
  readonly level: LogLevel;
  readonly format: 'text' | 'json';
  /** Absolute path; standard output where there is none. */
  readonly file?: string;
  /** Bytes after which the file is renamed to FILE.1, FILE.2, …; default 20 MiB. */
  readonly size?: number;
  /** Files kept, the current one included; default 10. */
  readonly count?: number;
}

/** Writes one line. Never throws and never waits. */
export type LogFn = (level: LogLevel, message: string, fields?: LogFields) => void;

export interface Logger {
  readonly log: LogFn;
  /** A logger that adds these fields to each of its lines. */
  child(fields: LogFields): Logger;
}

/** The process's log: what `createLogger` returns and the composition root owns. */
export interface RootLogger extends Logger {
  /** Opens the file anew (SIGUSR2, after logrotate renamed it); nothing for standard output. */
  readonly reopen: () => void;
  /** Writes what is pending, for at most `milliseconds`. */
  close(milliseconds?: number): Promise<void>;
  /** Lines that the output did not take. */
  readonly dropped: number;
}

/** Pending text beyond this is dropped: an output that takes nothing must not grow the heap. */
const MAX_PENDING = 1024 * 1024;
const MAX_MESSAGE = 1024;
const MAX_FIELD = 256;
const MAX_STACK = 2048;
const DEFAULT_SIZE = 20 * 1024 * 1024;
const DEFAULT_COUNT = 10;

const FIELD_NAMES: ReadonlySet<string> = new Set(LOG_FIELDS);
const LEVELS: Readonly<Record<string, number>> = Object.fromEntries(LOG_LEVELS.map((name, i) => [name, i]));
const MESSAGE = Symbol.for('message');
const LEVEL = Symbol.for('level');

/**
 * Lines go through winston into one bounded queue. Nothing is thrown once the output is open: lines that it does not take are counted and
 * dropped, and the next line that gets through is preceded by their number.
 * @throws IsocenterError `LOG_UNWRITABLE` where the file can't be opened
 */
export function createLogger(
  options: LogOptions,
  deps: { readonly output?: LogOutput; readonly now?: () => Date } = {},
): RootLogger {
  const now = deps.now ?? (() => new Date());
  const threshold = LEVELS[options.level] ?? 0;
  const render = options.format === 'json' ? renderJson : renderText;
  const output = deps.output ?? outputOf(options);
  let pending = 0;
  let dropped = 0;
  let reported = 0;

  const take = (chunks: readonly string[], callback: () => void): void => {
    const text = chunks.join('');
    output.write(text, (error) => {
      pending -= text.length;
      if (error) dropped += chunks.length;
      callback();
    });
  };
  const sink = new Writable({
    decodeStrings: false,
    write: (chunk: string, _encoding, callback) => take([chunk], callback),
    writev: (chunks, callback) =>
      take(
        chunks.map(({ chunk }) => String(chunk)),
        callback,
      ),
  });
  const pipeline = createPipeline(sink);

  const write = (level: LogLevel, message: string, text: string): void => {
    pending += text.length + 1;
    pipeline.write({ level, message, [MESSAGE]: text, [LEVEL]: level });
  };
  const put = (level: LogLevel, message: string, fields: LogFields): void => {
    const time = now();
    const text = render(time, level, message, fields);
    if (pending + text.length > MAX_PENDING) {
      dropped += 1;
      return;
    }
    if (dropped > reported && pending < MAX_PENDING / 2) {
      const count = dropped - reported;
      reported = dropped;
      const notice = 'log lines were dropped because the output did not take them';
      write('warn', notice, render(time, 'warn', notice, { count }));
    }
    write(level, message, text);
  };

  const loggerWith = (bound: LogFields): Logger => ({
    log: (level, message, fields) => {
      if ((LEVELS[level] ?? 0) > threshold) return;
      try {
        put(level, message, fields === undefined ? bound : { ...bound, ...fields });
      } catch {
        dropped += 1;
      }
    },
    child: (fields) => loggerWith({ ...bound, ...fields }),
  });

  const finish = async (): Promise<void> => {
    await new Promise<void>((resolve) => {
      pipeline.once('finish', resolve);
      pipeline.end();
    });
    await new Promise<void>((resolve) => sink.end(resolve));
    await output.close();
  };
  return {
    ...loggerWith({}),
    reopen: () => output.reopen(),
    close: (milliseconds = 2000) => within(finish(), milliseconds),
    get dropped() {
      return dropped;
    },
  };
}

function outputOf({ file, size, count }: LogOptions): LogOutput {
  if (file === undefined) return standardOutput();
  return new RotatingFile(file, size ?? DEFAULT_SIZE, count ?? DEFAULT_COUNT);
}

function createPipeline(sink: Writable): winston.Logger {
  const pipeline = winston.createLogger({
    level: 'debug',
    levels: { ...LEVELS },
    format: winston.format((info) => info)(),
    // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- winston declares its transports as interfaces
    transports: [new winston.transports.Stream({ stream: sink, eol: '\n' })],
    exitOnError: false,
  });
  pipeline.on('error', () => undefined);
  return pipeline;
}

function within(promise: Promise<void>, milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    void promise.finally(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}

type Value = string | number | boolean;

function* entriesOf(fields: LogFields): Generator<[string, Value]> {
  for (const [key, value] of Object.entries(fields)) {
    if (value === undefined || key === 'association' || !FIELD_NAMES.has(key)) continue;
    yield [
      key,
      typeof value === 'string' ? printable(value, key === 'stack' ? MAX_STACK : MAX_FIELD) : value,
    ];
  }
}

function associationOf(fields: LogFields): string | undefined {
  return fields.association === undefined ? undefined : printable(String(fields.association), 64);
}

function renderText(time: Date, level: string, message: string, fields: LogFields): string {
  let line = `${time.toISOString()} ${level.padEnd(5)} ${associationOf(fields) ?? '-'} ${printable(message, MAX_MESSAGE)}`;
  for (const [key, value] of entriesOf(fields)) line += ` ${key}=${quoted(String(value))}`;
  return line;
}

/** A value with a space, a quote or an equals sign can't be told from the next key: it is quoted. */
function quoted(value: string): string {
  return /^[^\s"=]+$/.test(value) ? value : `"${value.replaceAll('"', '\\"')}"`;
}

function renderJson(time: Date, level: string, message: string, fields: LogFields): string {
  const association = associationOf(fields);
  return JSON.stringify({
    time: time.toISOString(),
    level,
    ...(association === undefined ? {} : { association }),
    message: printable(message, MAX_MESSAGE),
    ...Object.fromEntries(entriesOf(fields)),
  });
}
