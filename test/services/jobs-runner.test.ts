import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type Job, type JobState, type NewJob } from '../../src/catalog/jobs';
import { NodeEventBus, type AlertEvent } from '../../src/events';
import { unreached, type JobContext, type JobHandler, type JobOutcome } from '../../src/services/jobs';
import { MOST_TRIES } from '../../src/services/jobs-batch';
import { JobRunner } from '../../src/services/jobs-runner';
import { FakeClock } from '../support/fake-clock';
import { DirectCatalog } from './direct-catalog';

const HOUR = 3_600_000;

let folder: string;
let catalog: DirectCatalog;
let clock: FakeClock;
let alerts: AlertEvent[];
let lines: string[];
let runner: JobRunner | undefined;

beforeEach(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isocenter-jobs-'));
  catalog = new DirectCatalog(path.join(folder, 'catalog.sqlite'));
  await catalog.open();
  clock = new FakeClock();
  alerts = [];
  lines = [];
});

afterEach(async () => {
  await runner?.stop(0);
  runner = undefined;
  await catalog.close();
  fs.rmSync(folder, { recursive: true, force: true });
});

/** What was handed to the handler, and what it says. */
class Handler implements JobHandler {
  readonly kind = 'forward';
  batch = 100;
  parallel: (destination: string) => number = () => 1;
  readonly calls: { destination: string; names: string[] }[] = [];
  running = 0;
  most = 0;
  answer: (job: Job, context: JobContext) => Promise<JobOutcome> | JobOutcome = ({ id }) => ({
    id,
    outcome: 'done',
  });
  before: (jobs: readonly Job[], context: JobContext) => unknown = () => undefined;

  async *run(jobs: readonly Job[], context: JobContext): AsyncGenerator<JobOutcome> {
    this.calls.push({ destination: context.destination, names: jobs.map(nameOf) });
    this.running++;
    this.most = Math.max(this.most, this.running);
    try {
      await this.before(jobs, context);
      for (const job of jobs) {
        if (context.stopping.aborted) return;
        yield await this.answer(job, context);
      }
    } finally {
      this.running--;
    }
  }

  get names(): string[] {
    return this.calls.flatMap(({ names }) => names);
  }
}

const nameOf = ({ payload }: Pick<Job, 'payload'>): string => String(payload['name']);

function job(name: string, more: Partial<NewJob> = {}): NewJob {
  return { kind: 'forward', destination: 'pacs', payload: { name }, dueAt: clock.now(), ...more };
}

function run(...handlers: JobHandler[]): Promise<void> {
  const events = new NodeEventBus((error) => {
    throw error;
  });
  events.on('alert', (alert) => alerts.push(alert));
  runner = new JobRunner({
    queue: catalog.jobs,
    handlers,
    events,
    log: (level, message, fields) => lines.push(`${level} ${message} ${JSON.stringify(fields ?? {})}`),
    clock,
    random: () => 0,
  });
  return runner.start();
}

/** Lets everything happen that needs no time. */
async function settle(): Promise<void> {
  for (let i = 0; i < 30; i++) await new Promise((resolve) => setImmediate(resolve));
}

async function pass(milliseconds: number): Promise<void> {
  clock.advance(milliseconds);
  await settle();
}

async function states(): Promise<Record<string, JobState>> {
  const { rows } = await catalog.jobs.list({}, { limit: 10_000 });
  return Object.fromEntries(rows.map((row) => [nameOf(row), row.state]));
}

async function one(name: string): Promise<Job> {
  const { rows } = await catalog.jobs.list({}, { limit: 10_000 });
  const found = rows.find((row) => nameOf(row) === name);
  if (found === undefined) throw new Error(`no job ${name}`);
  return found;
}

describe('what is taken', () => {
  it('is what waited at the start, what is added, and what becomes due', async () => {
    const handler = new Handler();
    await catalog.jobs.add([job('a'), job('later', { dueAt: clock.now() + 5000 })]);
    await run(handler);
    await settle();
    expect(handler.names).toEqual(['a']);
    await catalog.jobs.add([job('b')]);
    await settle();
    expect(handler.names).toEqual(['a', 'b']);
    await pass(4999);
    expect(handler.names).toEqual(['a', 'b']);
    await pass(1);
    expect(handler.names).toEqual(['a', 'b', 'later']);
    expect(await states()).toEqual({});
  });

  it('leaves nothing running in an idle node: no timer, no question to the catalog', async () => {
    const handler = new Handler();
    await run(handler);
    await catalog.jobs.add([job('a')]);
    await settle();
    const claim = jest.spyOn(catalog.jobs, 'claim');
    expect(clock.pending).toBe(0);
    await pass(24 * HOUR);
    expect(claim).not.toHaveBeenCalled();
  });

  it('comes in batches, never more in memory than that', async () => {
    const handler = new Handler();
    handler.batch = 10;
    await catalog.jobs.add(Array.from({ length: 35 }, (_, i) => job(String(i))));
    await run(handler);
    await settle();
    expect(handler.calls.map(({ names }) => names.length)).toEqual([10, 10, 10, 5]);
    expect(handler.names).toEqual(Array.from({ length: 35 }, (_, i) => String(i)));
    expect(handler.most).toBe(1);
  });

  it('runs side by side where the destination may', async () => {
    const handler = new Handler();
    handler.batch = 1;
    handler.parallel = (destination) => (destination === 'pacs' ? 3 : 1);
    const gate = Promise.withResolvers<undefined>();
    handler.before = () => gate.promise;
    await catalog.jobs.add(Array.from({ length: 6 }, (_, i) => job(String(i))));
    await catalog.jobs.add(Array.from({ length: 2 }, (_, i) => job(`o${i}`, { destination: 'other' })));
    await run(handler);
    await settle();
    expect(handler.names.sort()).toEqual(['0', '1', '2', 'o0']);
    gate.resolve(undefined);
    await settle();
    expect(new Set(handler.names).size).toBe(8);
    expect(handler.calls).toHaveLength(8);
    expect(handler.most).toBe(4);
    expect(await states()).toEqual({});
  });

  it('is not missed where it is added while the lane asks for more', async () => {
    const handler = new Handler();
    await run(handler);
    const inner = catalog.jobs.claim.bind(catalog.jobs);
    let adding = true;
    jest.spyOn(catalog.jobs, 'claim').mockImplementation(async (...args) => {
      const claimed = await inner(...args);
      // The answer is under way, and knows nothing of this one.
      if (adding) {
        adding = false;
        await catalog.jobs.add([job('b')]);
      }
      return claimed;
    });
    await catalog.jobs.add([job('a')]);
    await settle();
    expect(handler.names).toEqual(['a', 'b']);
  });

  it('waits for a version that knows its kind', async () => {
    await catalog.jobs.add([job('a', { kind: 'strange' }), job('b', { kind: 'strange' })]);
    await run(new Handler());
    await settle();
    expect(await states()).toEqual({ a: 'waiting', b: 'waiting' });
    expect(lines.filter((line) => line.includes('kind strange'))).toHaveLength(1);
  });
});

describe('a try that fails', () => {
  it('is repeated after 10 s, then twice as long each time, at most an hour', async () => {
    const handler = new Handler();
    handler.answer = ({ id }) => ({ id, outcome: 'failed', reason: 'no' });
    await catalog.jobs.add([job('a')]);
    await run(handler);
    await settle();
    const waits: number[] = [];
    for (let tries = 1; tries < 12; tries++) {
      expect(handler.calls).toHaveLength(tries);
      const before = clock.now();
      const { dueAt, attempts, lastError } = await one('a');
      expect({ attempts, lastError }).toEqual({ attempts: tries, lastError: 'no' });
      waits.push(dueAt - before);
      await pass(dueAt - before - 1);
      expect(handler.calls).toHaveLength(tries);
      await pass(1);
    }
    expect(waits).toEqual(
      [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600].map((seconds) => seconds * 1000),
    );
  });

  it('parks the job at the 20th time, with one alert', async () => {
    const handler = new Handler();
    handler.answer = ({ id }) => ({ id, outcome: 'failed', reason: 'no' });
    await catalog.jobs.add([job('a'), job('b')]);
    await run(handler);
    await settle();
    for (let i = 0; i < 30; i++) await pass(HOUR);
    expect(MOST_TRIES).toBe(20);
    expect(handler.calls).toHaveLength(20);
    expect(await one('a')).toMatchObject({ state: 'parked', attempts: 20, lastError: 'no' });
    expect(alerts).toEqual([
      {
        code: 'JOB_PARKED',
        message: expect.stringContaining('isocenter jobs retry') as string,
        details: { remote: 'pacs', count: 2 },
      },
    ]);
    expect(runner!.counters()).toEqual([
      { destination: 'pacs', kind: 'forward', done: 0, failed: 40, parked: 2, failing: false },
    ]);
    // Somebody mended it.
    handler.answer = ({ id }) => ({ id, outcome: 'done' });
    await catalog.jobs.retry({ destination: 'pacs' }, clock.now());
    await settle();
    expect(await states()).toEqual({});
  });

  it('parks at once what is hopeless, and holds up nothing behind it', async () => {
    const handler = new Handler();
    handler.batch = 2;
    handler.answer = (given) =>
      nameOf(given).startsWith('bad')
        ? { id: given.id, outcome: 'hopeless', reason: 'never' }
        : { id: given.id, outcome: 'done' };
    await catalog.jobs.add([job('bad1'), job('bad2'), job('good')]);
    await run(handler);
    await settle();
    expect(await states()).toEqual({ bad1: 'parked', bad2: 'parked' });
    expect(handler.names).toEqual(['bad1', 'bad2', 'good']);
    expect(alerts).toHaveLength(1);
  });

  it('fails a job of which nothing is said, and what a handler throws', async () => {
    const handler = new Handler();
    handler.answer = (given) => {
      if (nameOf(given) === 'b') throw new Error('broken');
      return { id: given.id, outcome: 'done' };
    };
    await catalog.jobs.add([job('a'), job('b'), job('c')]);
    await run(handler);
    await settle();
    expect(await one('b')).toMatchObject({ state: 'waiting', attempts: 1, lastError: 'broken' });
    expect(await one('c')).toMatchObject({ state: 'waiting', attempts: 1, lastError: 'broken' });
    const silent: JobHandler = { kind: 'report', async *run() {} };
    await runner!.stop(0);
    await catalog.jobs.add([job('s', { kind: 'report' })]);
    await run(silent);
    await settle();
    expect(await one('s')).toMatchObject({ attempts: 1, lastError: 'nothing was said of it' });
  });

  it('parks a job that ends the process each time', async () => {
    await catalog.jobs.add([job('a'), job('b', { dueAt: clock.now() + 1 })]);
    for (let i = 0; i < MOST_TRIES; i++) {
      await catalog.jobs.claim({ destination: 'pacs', kind: 'forward' }, { now: clock.now(), limit: 1 });
      await catalog.close();
      await catalog.open();
    }
    const handler = new Handler();
    await run(handler);
    await pass(10);
    expect(handler.names).toEqual(['b']);
    expect(await one('a')).toMatchObject({
      state: 'parked',
      lastError: expect.stringContaining('again and again'),
    });
  });
});

describe('a destination that fails', () => {
  const down = (handler: Handler): void => {
    handler.before = () => {
      throw unreached(new Error('connection refused'));
    };
  };

  it('is probed with one job after longer and longer pauses, and no try counts', async () => {
    const handler = new Handler();
    down(handler);
    await catalog.jobs.add(Array.from({ length: 50 }, (_, i) => job(String(i))));
    await run(handler);
    await settle();
    expect(handler.calls.map(({ names }) => names.length)).toEqual([50]);
    const pauses: number[] = [];
    for (let i = 1; i < 10; i++) {
      const before = clock.now();
      while (handler.calls.length === i) await pass(1000);
      pauses.push((clock.now() - before) / 1000);
    }
    expect(pauses).toEqual([5, 10, 20, 40, 80, 160, 300, 300, 300]);
    expect(handler.calls.slice(1).every(({ names }) => names.length === 1)).toBe(true);
    const { rows } = await catalog.jobs.list({}, { limit: 100 });
    expect(rows.every(({ state, attempts }) => state === 'waiting' && attempts === 0)).toBe(true);
    expect(runner!.counters()).toMatchObject([{ failing: true, failed: 0 }]);

    handler.before = () => undefined;
    await pass(300_000);
    expect(handler.calls.slice(10).map(({ names }) => names.length)).toEqual([1, 49]);
    expect(await states()).toEqual({});
    expect(lines).toEqual([
      'warn jobs do not get through; they wait and are tried again {"remote":"pacs","reason":"connection refused"}',
      'info jobs get through again {"remote":"pacs"}',
    ]);
    expect(alerts).toEqual([]);
  });

  it('never holds up another', async () => {
    const handler = new Handler();
    const stuck = Promise.withResolvers<undefined>();
    handler.before = ([first]) => {
      if (first?.destination === 'dead') throw unreached(new Error('no route'));
      return first?.destination === 'slow' ? stuck.promise : undefined;
    };
    await catalog.jobs.add(
      ['dead', 'slow', 'pacs'].flatMap((destination) => [
        job(`${destination}1`, { destination }),
        job(`${destination}2`, { destination }),
      ]),
    );
    await run(handler);
    await settle();
    expect(await states()).toEqual({
      dead1: 'waiting',
      dead2: 'waiting',
      slow1: 'running',
      slow2: 'running',
    });
    stuck.resolve(undefined);
    await settle();
    expect(await states()).toEqual({ dead1: 'waiting', dead2: 'waiting' });
  });

  it('is one that answers each job with its own trouble', async () => {
    const handler = new Handler();
    handler.answer = ({ id }) => ({ id, outcome: 'failed', reason: 'out of resources', destination: true });
    await catalog.jobs.add(Array.from({ length: 250 }, (_, i) => job(String(i))));
    await run(handler);
    await settle();
    // The first batch tells; then one at a time.
    expect(handler.calls.map(({ names }) => names.length)).toEqual([100]);
    await pass(5000);
    expect(handler.calls.map(({ names }) => names.length)).toEqual([100, 1]);
    handler.answer = ({ id }) => ({ id, outcome: 'done' });
    await pass(HOUR);
    await pass(HOUR);
    expect(await states()).toEqual({});
  });

  it('is not one that refuses some jobs among many', async () => {
    const handler = new Handler();
    handler.batch = 10;
    handler.answer = ({ id, payload }) =>
      Number(payload['name']) % 2 === 0
        ? { id, outcome: 'failed', reason: 'out of resources', destination: true }
        : { id, outcome: 'done' };
    await catalog.jobs.add(Array.from({ length: 40 }, (_, i) => job(String(i))));
    await run(handler);
    await settle();
    expect(handler.calls.map(({ names }) => names.length)).toEqual([10, 10, 10, 10]);
    expect(Object.keys(await states())).toHaveLength(20);
  });

  it('is tried at once when somebody asks for it', async () => {
    const handler = new Handler();
    down(handler);
    await catalog.jobs.add([job('a')]);
    await run(handler);
    await settle();
    for (let i = 0; i < 5; i++) await pass(300_000);
    const before = handler.calls.length;
    handler.before = () => undefined;
    await catalog.jobs.retry({ ids: [(await one('a')).id] }, clock.now());
    await settle();
    expect(handler.calls).toHaveLength(before + 1);
    expect(await states()).toEqual({});
  });

  it('has its jobs parked a week after they were added, once it has failed for an hour', async () => {
    const handler = new Handler();
    down(handler);
    // Rows bear the time of day; the clock of the runner goes on from there.
    clock.advance(Date.now() - clock.now());
    await catalog.jobs.add([job('a'), job('b')]);
    await run(handler);
    await settle();
    for (let hours = 0; hours < 24 * 7; hours += 4) await pass(4 * HOUR);
    expect(await states()).toEqual({ a: 'waiting', b: 'waiting' });
    await catalog.jobs.add([job('new')]);
    await pass(4 * HOUR);
    await pass(HOUR);
    expect(await states()).toMatchObject({ a: 'parked', b: 'parked' });
    expect(alerts).toMatchObject([{ code: 'JOB_PARKED', details: { remote: 'pacs', count: 3 } }]);
  });
});

describe('stopping', () => {
  it('lets what runs end, and releases what has not begun', async () => {
    const handler = new Handler();
    const gates = new Map<string, PromiseWithResolvers<undefined>>();
    handler.answer = async (given) => {
      const gate = Promise.withResolvers<undefined>();
      gates.set(nameOf(given), gate);
      await gate.promise;
      return { id: given.id, outcome: 'done' };
    };
    await catalog.jobs.add([job('a'), job('b')]);
    await run(handler);
    await settle();
    const stopped = runner!.stop(30_000);
    gates.get('a')?.resolve(undefined);
    await stopped;
    expect(await states()).toEqual({ b: 'waiting' });
    expect(await one('b')).toMatchObject({ attempts: 0 });
    await catalog.jobs.add([job('c')]);
    await settle();
    expect(handler.calls).toHaveLength(1);
    expect(clock.pending).toBe(0);
  });

  it('cuts off what takes too long', async () => {
    const handler = new Handler();
    handler.answer = (given, { signal }) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(new Error(`cut ${given.id}`)));
      });
    await catalog.jobs.add([job('a')]);
    await run(handler);
    await settle();
    const stopped = runner!.stop(30_000);
    await pass(29_999);
    expect(await states()).toEqual({ a: 'running' });
    clock.advance(1);
    await stopped;
    expect(await one('a')).toMatchObject({ state: 'waiting', attempts: 0 });
  });
});

describe('a catalog that takes no change', () => {
  it('is asked again, and what was done is not done twice', async () => {
    const handler = new Handler();
    const end = jest.spyOn(catalog.jobs, 'end').mockRejectedValueOnce(new Error('disk full'));
    await catalog.jobs.add([job('a')]);
    await run(handler);
    await settle();
    expect(await states()).toEqual({ a: 'running' });
    await pass(10_000);
    expect(end).toHaveBeenCalledTimes(2);
    expect(await states()).toEqual({});
    expect(handler.names).toEqual(['a']);
  });

  it('is asked again for jobs', async () => {
    const handler = new Handler();
    await run(handler);
    jest.spyOn(catalog.jobs, 'claim').mockRejectedValueOnce(new Error('disk full'));
    await catalog.jobs.add([job('a')]);
    await settle();
    expect(handler.calls).toEqual([]);
    await pass(10_000);
    expect(handler.names).toEqual(['a']);
  });
});

it('says nothing of what is in a job', async () => {
  const handler = new Handler();
  handler.answer = (given) =>
    nameOf(given) === 'secret1'
      ? { id: given.id, outcome: 'failed', reason: 'no' }
      : nameOf(given) === 'secret2'
        ? { id: given.id, outcome: 'hopeless', reason: 'never' }
        : { id: given.id, outcome: 'done', note: 'nothing to do' };
  await catalog.jobs.add([job('secret1'), job('secret2'), job('secret3'), job('secret4')]);
  await run(handler);
  await settle();
  expect(lines).toEqual(['info jobs had nothing to do: nothing to do {"remote":"pacs","count":2}']);
  expect(JSON.stringify([lines, alerts])).not.toContain('secret');
});
