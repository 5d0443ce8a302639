import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { LOG_FIELDS, createLogger } from '../src/log';
import type { LogFields, LogOptions } from '../src/log';
import { RotatingFile } from '../src/log-output';
import type { LogOutput } from '../src/log-output';

const now = () => new Date('2026-11-24T13:00:00.123Z');

const outputTo = (write: LogOutput['write']): LogOutput => ({
  write,
  reopen: () => undefined,
  close: () => Promise.resolve(),
});

function memory(options: Partial<LogOptions> = {}) {
  const lines: string[] = [];
  const output = outputTo((text, done) => {
    lines.push(...text.split('\n').filter((line) => line !== ''));
    done();
  });
  const logger = createLogger({ level: 'info', format: 'text', ...options }, { output, now });
  return { logger, lines };
}

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'isocenter-log-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('lines', () => {
  it('are one line of text with the association first', async () => {
    const { logger, lines } = memory();
    const child = logger.child({ association: 'A1b2-3', remote: 'ct1' });
    child.log('info', 'association accepted', { callingAETitle: 'CT_ROOM1', contexts: 3 });
    child.log('warn', 'refused', { reason: 'no room: "5%"', callingAETitle: undefined });
    logger.log('error', 'no association');
    logger.log('debug', 'not at this level');
    await logger.close();
    expect(lines).toEqual([
      '2026-11-24T13:00:00.123Z info  A1b2-3 association accepted remote=ct1 callingAETitle=CT_ROOM1 contexts=3',
      '2026-11-24T13:00:00.123Z warn  A1b2-3 refused remote=ct1 reason="no room: \\"5%\\""',
      '2026-11-24T13:00:00.123Z error - no association',
    ]);
  });

  it('are one JSON object each', async () => {
    const { logger, lines } = memory({ format: 'json', level: 'debug' });
    logger.log('debug', 'stored', { association: 'A1-1', SOPInstanceUID: '1.2.3', bytes: 12 });
    await logger.close();
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      {
        time: '2026-11-24T13:00:00.123Z',
        level: 'debug',
        association: 'A1-1',
        message: 'stored',
        SOPInstanceUID: '1.2.3',
        bytes: 12,
      },
    ]);
  });

  it('leave out fields that are not in the list', async () => {
    const { logger, lines } = memory();
    logger.log('info', 'stored', { PatientName: 'CANARY', bytes: 1, __proto__: { x: 1 } } as LogFields);
    await logger.close();
    expect(lines).toEqual(['2026-11-24T13:00:00.123Z info  - stored bytes=1']);
    expect(LOG_FIELDS.filter((name) => /patient|birth|name/i.test(name))).toEqual([]);
  });

  it.each(['text', 'json'] as const)('hold no control byte and no second line as %s', async (format) => {
    const { logger, lines } = memory({ format });
    const hostile = 'A\r\n2026 info forged\x1b[2J\x00\x7f\x9b31m\u2028\u202e\ud800';
    logger.log('info', hostile, { callingAETitle: hostile, association: hostile });
    await logger.close();
    expect(lines).toHaveLength(1);
    expect(lines[0]).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/u);
    expect(lines[0]).toContain('forged');
  });

  it.each(['text', 'json'] as const)('cap long values as %s', async (format) => {
    const { logger, lines } = memory({ format });
    logger.log('info', 'm'.repeat(100_000), {
      calledAETitle: 'v'.repeat(100_000),
      error: '\x00'.repeat(100_000),
    });
    await logger.close();
    expect(lines[0]?.length).toBeLessThan(4096);
    expect(lines[0]).toContain('…');
  });

  it('are printable whatever the message is', async () => {
    const { logger, lines } = memory();
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary' }), async (text) => {
        lines.length = 0;
        logger.log('info', text, { reason: text });
        await new Promise(setImmediate);
        expect(lines).toHaveLength(1);
        expect(lines[0]).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u);
      }),
      { numRuns: 200 },
    );
  });
});

describe('an output that fails', () => {
  it('is no error of the caller, even with values that cannot be turned into text', async () => {
    const { logger, lines } = memory();
    const bad = {
      toString: () => {
        throw new Error('no');
      },
    };
    expect(() => logger.log('info', 'x', { reason: bad } as unknown as LogFields)).not.toThrow();
    expect(() => logger.log('info', bad as unknown as string)).not.toThrow();
    expect(() => logger.log('info', 'x', { bytes: 1n } as unknown as LogFields)).not.toThrow();
    logger.log('info', 'fine');
    await logger.close();
    expect(lines.at(-1)).toContain('fine');
  });

  it('drops and counts lines while it takes none, and says so afterwards', async () => {
    const lines: string[] = [];
    const waiting: (() => void)[] = [];
    let blocked = true;
    const output = outputTo((text, done) => {
      lines.push(...text.trimEnd().split('\n'));
      if (blocked) waiting.push(done);
      else done();
    });
    const logger = createLogger({ level: 'info', format: 'text' }, { output, now });
    for (let i = 0; i < 20_000; i++) logger.log('info', 'x'.repeat(100));
    await new Promise(setImmediate);
    const { dropped } = logger;
    expect(dropped).toBeGreaterThan(10_000);
    blocked = false;
    waiting.forEach((done) => done());
    await new Promise(setImmediate);
    logger.log('info', 'again');
    await logger.close();
    expect(lines.slice(-2)).toEqual([
      `2026-11-24T13:00:00.123Z warn  - log lines were dropped because the output did not take them count=${dropped}`,
      '2026-11-24T13:00:00.123Z info  - again',
    ]);
  });

  it('does not hold up the end for ever', async () => {
    const logger = createLogger(
      { level: 'info', format: 'text' },
      { output: outputTo(() => undefined), now },
    );
    logger.log('info', 'never written');
    await logger.close(20);
  });

  const child = (script: string) =>
    spawn(process.execPath, ['-e', script], {
      cwd: join(__dirname, '..'),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  const textOf = async (stream: NodeJS.ReadableStream): Promise<string> => {
    let text = '';
    for await (const chunk of stream) text += String(chunk);
    return text;
  };

  it('neither kills nor blocks the process when nobody reads standard output, or its reader goes away', async () => {
    // 20 MB into a pipe that holds 64 KiB; the timer shows whether the event loop went on.
    const run = child(`
      const { createLogger } = require('./dist/log.js');
      const log = createLogger({ level: 'info', format: 'text' });
      let turns = 0;
      const timer = setInterval(() => {
        turns += 1;
        for (let i = 0; i < 10000; i++) log.log('info', 'x'.repeat(200));
        if (turns === 10) {
          clearInterval(timer);
          log.close(50).then(() => { require('fs').writeSync(2, 'dropped ' + log.dropped); process.exit(0); });
        }
      }, 1);`);
    const code = new Promise((resolve) => run.once('exit', resolve));
    expect(await textOf(run.stderr)).toMatch(/^dropped \d{5}/);
    expect(await code).toBe(0);
    run.stdout.destroy();

    const orphan = child(`
      const { createLogger } = require('./dist/log.js');
      const log = createLogger({ level: 'info', format: 'text' });
      let turns = 0;
      const timer = setInterval(() => {
        log.log('info', 'line');
        if (log.dropped > 3 || (turns += 1) > 5000) { clearInterval(timer); require('fs').writeSync(2, 'dropped ' + log.dropped); process.exit(0); }
      }, 1);`);
    const orphanCode = new Promise((resolve) => orphan.once('exit', resolve));
    orphan.stdout.destroy();
    expect(await textOf(orphan.stderr)).toMatch(/^dropped \d$/);
    expect(await orphanCode).toBe(0);
  });
});

describe('a file', () => {
  const read = (name: string): string => readFileSync(join(folder, name), 'utf8');

  it.each([
    ['in one burst', 0],
    ['one by one', 1],
  ])('is rotated by size without the loss of a line, written %s', async (_how, pause) => {
    const file = join(folder, 'node.log');
    const logger = createLogger({ level: 'info', format: 'text', file, size: 2000, count: 1000 });
    for (let i = 0; i < 500; i++) {
      logger.log('info', `line ${i} ${'x'.repeat(80)}`);
      if (pause === 1) await new Promise(setImmediate);
    }
    await logger.close();
    const names = readdirSync(folder);
    const numbers = names.flatMap((name) =>
      [...read(name).matchAll(/line (\d+) /g)].map(([, n]) => Number(n)),
    );
    expect(numbers.sort((a, b) => a - b)).toEqual(Array.from({ length: 500 }, (_, i) => i));
    expect(logger.dropped).toBe(0);
  });

  it('keeps no more files than asked for, the newest lines in the current one', async () => {
    const output = new RotatingFile(join(folder, 'node.log'), 2000, 3);
    for (let i = 0; i < 200; i++)
      await new Promise<void>((resolve) => output.write(`line ${i} ${'x'.repeat(80)}\n`, () => resolve()));
    await output.close();
    expect(readdirSync(folder).sort()).toEqual(['node.log', 'node.log.1', 'node.log.2']);
    expect(read('node.log')).toContain('line 199');
    expect(read('node.log').length).toBeLessThanOrEqual(2000);
    expect(read('node.log.2')).not.toContain('line 199');
  });

  it('is opened anew after it was renamed', async () => {
    const file = join(folder, 'node.log');
    const logger = createLogger({ level: 'info', format: 'text', file });
    logger.log('info', 'first');
    await until(() => existsSync(file) && read('node.log').includes('first'));
    renameSync(file, `${file}.1`);
    logger.reopen();
    logger.log('info', 'second');
    await logger.close();
    expect(read('node.log.1')).toContain('first');
    expect(read('node.log')).toContain('second');
    expect(logger.dropped).toBe(0);
  });

  it('that cannot be written is said at the start, with the key that mends it', () => {
    writeFileSync(join(folder, 'plain'), '');
    const file = join(folder, 'plain', 'node.log');
    expect(() => createLogger({ level: 'info', format: 'text', file })).toThrow(
      expect.objectContaining({
        code: 'LOG_UNWRITABLE',
        exitCode: 78,
        hint: expect.stringContaining('log.file'),
      }),
    );
  });

  it('on a full disk costs lines, not the process, and is written again afterwards', async () => {
    const file = join(folder, 'node.log');
    symlinkSync('/dev/full', file);
    const logger = createLogger({ level: 'info', format: 'text', file });
    for (let i = 0; i < 10; i++) {
      logger.log('info', 'lost');
      await until(() => logger.dropped > i);
    }
    unlinkSync(file);
    logger.log('info', 'there is room again');
    await logger.close();
    expect(read('node.log')).toMatch(/log lines were dropped .* count=[1-9]/);
    expect(read('node.log')).toMatch(/there is room again\n$/);
  });
});

/** Polls a condition that the file system, not an event, brings about. */
async function until(condition: () => boolean): Promise<void> {
  const end = Date.now() + 5000;
  while (!condition()) {
    if (Date.now() > end) throw new Error('the condition never became true');
    await new Promise(setImmediate);
  }
}
