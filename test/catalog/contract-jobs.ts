import type { Job, JobFilter, JobNews, NewJob } from '../../src/catalog/jobs';
import { forwardJob, PAYLOAD_LIMIT } from '../../src/catalog/jobs';
import type { Catalog } from '../../src/catalog/types';
import { arrival, arrivalId } from './arrivals';

const PACS = { destination: 'pacs', kind: 'forward' };

function job(uid: string, more: Partial<NewJob> = {}): NewJob {
  return { ...forwardJob('pacs', uid), dueAt: 100, ...more };
}

async function listed(catalog: Catalog, filter: JobFilter = {}, limit = 1000): Promise<Job[]> {
  const rows: Job[] = [];
  let after: string | undefined;
  do {
    const page = await catalog.jobs.list(filter, { limit, ...(after === undefined ? {} : { after }) });
    rows.push(...page.rows);
    after = page.next;
  } while (after !== undefined);
  return rows;
}

const uidsOf = (jobs: readonly Job[]): unknown[] => jobs.map(({ payload }) => payload['SOPInstanceUID']);

/** What every adapter's queue must do. */
export function jobsContract(catalog: () => Catalog, reopen: () => Promise<Catalog>): void {
  const claim = (now: number, limit = 10, lane = PACS) => catalog().jobs.claim(lane, { now, limit });

  it('hands out what is due, the earliest first, and says when the next one is', async () => {
    await catalog().jobs.add([
      job('3', { dueAt: 300 }),
      job('1'),
      job('9', { dueAt: 900 }),
      job('2', { dueAt: 200 }),
      job('x', { destination: 'other' }),
      job('y', { kind: 'report' }),
    ]);
    expect(await claim(99)).toEqual({ jobs: [], nextDueAt: 100 });
    const first = await claim(300, 2);
    expect(uidsOf(first.jobs)).toEqual(['1', '2']);
    expect(first.nextDueAt).toBe(300);
    expect(first.jobs[0]).toMatchObject({
      ...PACS,
      state: 'running',
      attempts: 1,
      dueAt: 100,
      lastError: undefined,
    });
    const second = await claim(300);
    expect(uidsOf(second.jobs)).toEqual(['3']);
    expect(second.nextDueAt).toBe(900);
    expect(await claim(300)).toEqual({ jobs: [], nextDueAt: 900 });
    expect(uidsOf((await claim(1000)).jobs)).toEqual(['9']);
    expect(await claim(1000)).toEqual({ jobs: [], nextDueAt: undefined });
    expect(uidsOf((await claim(1000, 10, { destination: 'pacs', kind: 'report' })).jobs)).toEqual(['y']);
  });

  it('ends jobs as it is told, and leaves alone what does not run', async () => {
    const ids = await catalog().jobs.add(['a', 'b', 'c', 'd', 'e'].map((uid) => job(uid)));
    const [a = 0, b = 0, c = 0, d = 0, e = 0] = ids;
    await claim(100, 4);
    await catalog().jobs.end([
      { id: a, end: 'done' },
      { id: b, end: 'again', dueAt: 700, reason: `busy ${'x'.repeat(1000)}` },
      { id: c, end: 'parked', reason: 'no use' },
      { id: d, end: 'released' },
      { id: e, end: 'done' },
      { id: 99_999, end: 'done' },
    ]);
    const rows = await listed(catalog());
    expect(rows.map(({ id, state, attempts, dueAt }) => ({ id, state, attempts, dueAt }))).toEqual([
      { id: c, state: 'parked', attempts: 1, dueAt: 100 },
      { id: d, state: 'waiting', attempts: 0, dueAt: 100 },
      { id: e, state: 'waiting', attempts: 0, dueAt: 100 },
      { id: b, state: 'waiting', attempts: 1, dueAt: 700 },
    ]);
    expect(rows[0]?.lastError).toBe('no use');
    expect(rows[3]?.lastError).toHaveLength(300);
    // Once ended, a job can't be ended again.
    await catalog().jobs.end([{ id: b, end: 'done' }]);
    expect(await listed(catalog())).toHaveLength(4);
  });

  it('has what ran when it was closed due again', async () => {
    await catalog().jobs.add([job('1'), job('2')]);
    await claim(100, 1);
    const again = await reopen();
    const { jobs } = await again.jobs.claim(PACS, { now: 100, limit: 10 });
    expect(uidsOf(jobs)).toEqual(['1', '2']);
    expect(jobs.map(({ attempts }) => attempts)).toEqual([2, 1]);
    expect(await again.jobs.counts()).toMatchObject([{ state: 'running', count: 2 }]);
  });

  it('forgets a time that only a wrong clock can have written', async () => {
    await catalog().jobs.add([job('1', { dueAt: Date.now() + 400 * 24 * 3600_000 })]);
    const again = await reopen();
    expect(uidsOf((await again.jobs.claim(PACS, { now: Date.now(), limit: 10 })).jobs)).toEqual(['1']);
  });

  it('adds jobs with the row of an arrival, once', async () => {
    const one = arrival();
    const forwards = { jobs: [job('1'), job('1', { destination: 'other' })] };
    expect(await catalog().record(one, forwards)).toEqual({ kind: 'recorded' });
    expect(await catalog().record(one, forwards)).toEqual({ kind: 'recorded' });
    // Somebody else holds the UID: nothing happens.
    const other = arrival({ number: 2, uid: one.header.SOPInstanceUID });
    expect((await catalog().record(other, forwards)).kind).toBe('exists');
    expect(await listed(catalog())).toHaveLength(2);
    expect(await catalog().record(other, { ...forwards, replaces: arrivalId(1) })).toEqual({
      kind: 'recorded',
    });
    expect((await listed(catalog())).map(({ destination }) => destination)).toEqual([
      'other',
      'other',
      'pacs',
      'pacs',
    ]);
  });

  it('adds jobs with an exchange', async () => {
    await catalog().record(arrival());
    const comes = arrival({ number: 2, uid: arrival().header.SOPInstanceUID });
    const change = { leaves: arrivalId(1), replay: [comes], jobs: [job('1')] };
    expect(await catalog().exchange(change)).toBe('done');
    expect(uidsOf(await listed(catalog()))).toEqual(['1']);
  });

  it('tells of what was added and of what is tried again, after the commit', async () => {
    const news: JobNews[] = [];
    catalog().jobs.onNews((one) => news.push(one));
    await catalog().jobs.add([
      job('1', { dueAt: 500 }),
      job('2', { dueAt: 300 }),
      job('3', { kind: 'report' }),
    ]);
    expect(news).toEqual([
      { ...PACS, dueAt: 300, retried: false },
      { ...PACS, kind: 'report', dueAt: 100, retried: false },
    ]);
    news.length = 0;
    await catalog().record(arrival(), { jobs: [job('4')] });
    expect(news).toEqual([{ ...PACS, dueAt: 100, retried: false }]);
    news.length = 0;
    await catalog().jobs.retry({ destination: 'pacs' }, 200);
    expect(news).toEqual([{ ...PACS, dueAt: 200, retried: true }]);
  });

  it('lists by state, destination and time, page by page', async () => {
    const jobs = catalog().jobs;
    await jobs.add(
      Array.from({ length: 25 }, (_, i) =>
        job(String(i), { destination: i % 2 === 0 ? 'b' : 'a', dueAt: i }),
      ),
    );
    const { jobs: taken } = await jobs.claim({ destination: 'a', kind: 'forward' }, { now: 1000, limit: 3 });
    await jobs.end([{ id: taken[0]!.id, end: 'parked', reason: 'x' }]);
    const whole = await listed(catalog());
    expect(whole.map(({ state, destination }) => `${state} ${destination}`)).toEqual([
      'parked a',
      ...Array.from({ length: 2 }, () => 'running a'),
      ...Array.from({ length: 9 }, () => 'waiting a'),
      ...Array.from({ length: 13 }, () => 'waiting b'),
    ]);
    for (const limit of [1, 4, 12, 25]) expect(await listed(catalog(), {}, limit)).toEqual(whole);
    expect(await listed(catalog(), { destination: 'a' }, 2)).toEqual(whole.slice(0, 12));
    expect(await listed(catalog(), { state: 'waiting' }, 5)).toEqual(whole.slice(3));
    expect(await listed(catalog(), { state: 'waiting', destination: 'b' }, 5)).toEqual(whole.slice(12));
    expect(await listed(catalog(), { destination: "b' OR 1" })).toEqual([]);
    for (const after of ['', 'x', '&&', Buffer.from('[1]').toString('base64url')])
      await expect(jobs.list({}, { limit: 1, after })).rejects.toMatchObject({ code: 'CATALOG_CURSOR' });
  });

  it('ends a page early where its payloads are large', async () => {
    const text = 'x'.repeat(60_000);
    await catalog().jobs.add(Array.from({ length: 30 }, (_, i) => job(String(i), { payload: { text, i } })));
    const page = await catalog().jobs.list({}, { limit: 30 });
    expect(page.rows.length).toBeLessThan(25);
    expect(await listed(catalog(), {}, 30)).toHaveLength(30);
  });

  it('counts by lane and state, and knows the oldest', async () => {
    const jobs = catalog().jobs;
    const before = Date.now();
    await jobs.add([job('1'), job('2'), job('3', { destination: 'other' })]);
    const { jobs: taken } = await claim(100, 1);
    await jobs.end([{ id: taken[0]!.id, end: 'parked', reason: 'x' }]);
    const counts = await jobs.counts();
    expect(counts).toMatchObject([
      { destination: 'other', kind: 'forward', state: 'waiting', count: 1 },
      { ...PACS, state: 'parked', count: 1 },
      { ...PACS, state: 'waiting', count: 1 },
    ]);
    for (const { oldest } of counts) {
      expect(oldest).toBeGreaterThanOrEqual(before);
      expect(oldest).toBeLessThanOrEqual(Date.now());
    }
    await jobs.cancel({ destination: 'pacs' });
    expect(await jobs.counts()).toMatchObject([{ destination: 'other', count: 1 }]);
  });

  it('retries what is parked or waits, and forgets its tries', async () => {
    const jobs = catalog().jobs;
    const [a = 0, b = 0, c = 0] = await jobs.add(['a', 'b', 'c'].map((uid) => job(uid)));
    await claim(100, 3);
    await jobs.end([
      { id: a, end: 'parked', reason: 'x' },
      { id: b, end: 'again', dueAt: 9000, reason: 'y' },
    ]);
    expect(await jobs.retry({ ids: [a, c, 777, a] }, 500)).toEqual({ changed: 1, left: [c, 777] });
    expect(await jobs.retry({ destination: 'nobody' }, 500)).toEqual({ changed: 0, left: [] });
    expect(await jobs.retry({ destination: 'pacs' }, 600)).toEqual({ changed: 1, left: [] });
    const rows = await listed(catalog(), { state: 'waiting' });
    expect(rows.map(({ id, attempts, dueAt, lastError }) => ({ id, attempts, dueAt, lastError }))).toEqual([
      { id: a, attempts: 0, dueAt: 500, lastError: 'x' },
      { id: b, attempts: 0, dueAt: 600, lastError: 'y' },
    ]);
  });

  it('cancels what does not run', async () => {
    const jobs = catalog().jobs;
    const [a = 0, b = 0] = await jobs.add([job('a'), job('b', { dueAt: 900 })]);
    await claim(100);
    expect(await jobs.cancel({ ids: [a, b, 777] })).toEqual({ changed: 1, left: [a, 777] });
    expect((await listed(catalog())).map(({ id }) => id)).toEqual([a]);
    await jobs.end([{ id: a, end: 'again', dueAt: 900, reason: 'x' }]);
    expect(await jobs.cancel({ destination: 'pacs' })).toEqual({ changed: 1, left: [] });
    expect(await listed(catalog())).toEqual([]);
  });

  it('changes many as it changes few', async () => {
    const jobs = catalog().jobs;
    const ids = await jobs.add(Array.from({ length: 4500 }, (_, i) => job(String(i))));
    expect(new Set(ids).size).toBe(4500);
    expect(await jobs.parkOlder('pacs', Date.now() + 1000, 'old')).toBe(4500);
    expect(await jobs.parkOlder('pacs', Date.now() + 1000, 'old')).toBe(0);
    expect(await jobs.retry({ destination: 'pacs' }, 100)).toEqual({ changed: 4500, left: [] });
    expect(await jobs.parkOlder('pacs', 0, 'old')).toBe(0);
    expect(await jobs.cancel({ destination: 'pacs' })).toEqual({ changed: 4500, left: [] });
  });

  it('takes JSON of a bounded size', async () => {
    const jobs = catalog().jobs;
    const fits = { text: 'x'.repeat(PAYLOAD_LIMIT - '{"text":""}'.length) };
    await jobs.add([job('1', { payload: fits })]);
    const tooLarge = { text: `${fits.text}x` };
    await expect(jobs.add([job('2'), job('3', { payload: tooLarge })])).rejects.toMatchObject({
      code: 'JOB_INVALID',
    });
    await expect(
      catalog().record(arrival(), { jobs: [job('3', { payload: tooLarge })] }),
    ).rejects.toMatchObject({
      code: 'JOB_INVALID',
    });
    expect((await catalog().counts()).instances).toBe(0);
    expect(await listed(catalog())).toMatchObject([{ payload: fits }]);
  });
}
