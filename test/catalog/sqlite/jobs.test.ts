import fc from 'fast-check';
import Database from 'better-sqlite3';
import fs from 'node:fs';
import path from 'node:path';
import { forwardJob, type Job } from '../../../src/catalog/jobs';
import { SqliteCatalog } from '../../../src/catalog/sqlite/catalog';
import { openConnection } from '../../../src/catalog/sqlite/connection';
import { setCatalogAside } from '../../../src/catalog/sqlite/set-aside';
import { DirectCatalog } from '../../services/direct-catalog';
import { arrival, scratch } from '../arrivals';
import { jobsContract } from '../contract-jobs';

const PACS = { destination: 'pacs', kind: 'forward' };

let place: ReturnType<typeof scratch>;
let file: string;

beforeEach(() => {
  place = scratch();
  file = path.join(place.folder, 'catalog.sqlite');
});

afterEach(() => place.remove());

async function uids(catalog: { jobs: SqliteCatalog['jobs'] }): Promise<unknown[]> {
  const { rows } = await catalog.jobs.list({}, { limit: 1000 });
  return rows.map(({ payload }) => payload['SOPInstanceUID']);
}

describe('the queue of the SQLite catalog', () => {
  let catalog: SqliteCatalog;

  beforeEach(async () => {
    catalog = new SqliteCatalog({ path: file });
    await catalog.open();
  });

  afterEach(async () => {
    expect(await catalog.quickCheck()).toEqual([]);
    await catalog.close();
  });

  jobsContract(
    () => catalog,
    async () => {
      await catalog.close();
      catalog = new SqliteCatalog({ path: file });
      await catalog.open();
      return catalog;
    },
  );

  it('keeps what was added when the process is gone in the next moment', async () => {
    await catalog.record(arrival(), { jobs: [forwardJob('pacs', '1')] });
    // What a kill leaves: the file and its log, as they are now.
    const copy = path.join(place.folder, 'copy.sqlite');
    for (const suffix of ['', '-wal']) fs.copyFileSync(file + suffix, copy + suffix);
    const after = new SqliteCatalog({ path: copy });
    await after.open();
    expect(await uids(after)).toEqual(['1']);
    expect((await after.counts()).instances).toBe(1);
    await after.close();
  });
});

describe('durability', () => {
  it.each([
    ['an arrival alone', 'NORMAL', (one: DirectCatalog) => one.record(arrival())],
    [
      'an arrival with a job',
      'FULL',
      (one: DirectCatalog) => one.record(arrival(), { jobs: [forwardJob('pacs', '1')] }),
    ],
    ['jobs', 'FULL', (one: DirectCatalog) => one.jobs.add([forwardJob('pacs', '1')])],
    ['a claim', 'NORMAL', (one: DirectCatalog) => one.jobs.claim(PACS, { now: 1, limit: 1 })],
    ['a release', 'NORMAL', (one: DirectCatalog) => one.jobs.end([{ id: 1, end: 'released' }])],
    ['an end', 'FULL', (one: DirectCatalog) => one.jobs.end([{ id: 1, end: 'done' }])],
    ['a retry', 'FULL', (one: DirectCatalog) => one.jobs.retry({ ids: [1] }, 1)],
    ['a cancellation', 'FULL', (one: DirectCatalog) => one.jobs.cancel({ destination: 'pacs' })],
  ] as const)('commits %s with synchronous %s', async (_what, mode, act) => {
    const catalog = new DirectCatalog(file);
    await catalog.open();
    const { writer } = (catalog as unknown as { opened: { writer: object } }).opened;
    await act(catalog);
    expect(Reflect.get(writer, 'mode')).toBe(mode);
    await catalog.close();
  });
});

describe('a catalog that is set aside', () => {
  async function filled(): Promise<void> {
    const catalog = new DirectCatalog(file);
    await catalog.open();
    await catalog.record(arrival(), { jobs: [forwardJob('pacs', '1')] });
    await catalog.jobs.add([forwardJob('pacs', '2'), { ...forwardJob('pacs', '3'), dueAt: 50 }]);
    const { jobs } = await catalog.jobs.claim(PACS, { now: 60, limit: 1 });
    await catalog.jobs.end([{ id: jobs[0]!.id, end: 'parked', reason: 'why' }]);
    await catalog.jobs.claim(PACS, { now: Date.now(), limit: 1 });
    await catalog.close();
  }

  async function opened(): Promise<DirectCatalog> {
    const catalog = new DirectCatalog(file);
    await catalog.open();
    return catalog;
  }

  it('hands its jobs to the next one, with all that is known of them', async () => {
    await filled();
    setCatalogAside(file);
    const fresh = await opened();
    expect(fresh.carriedOver).toEqual({ rows: 3, problem: undefined });
    const { rows } = await fresh.jobs.list({}, { limit: 10 });
    expect(rows).toMatchObject([
      { state: 'parked', attempts: 1, lastError: 'why', dueAt: 50, payload: { SOPInstanceUID: '3' } },
      { state: 'waiting', attempts: 1, payload: { SOPInstanceUID: '1' } },
      { state: 'waiting', attempts: 0, payload: { SOPInstanceUID: '2' } },
    ]);
    expect((await fresh.counts()).instances).toBe(0);
    // Numbers are never used again.
    const [next = 0] = await fresh.jobs.add([forwardJob('pacs', '4')]);
    expect(next).toBeGreaterThan(Math.max(...rows.map(({ id }) => id)));
    await fresh.close();
    const later = await opened();
    expect(later.carriedOver).toBeUndefined();
    expect(await uids(later)).toHaveLength(4);
    await later.close();
  });

  it('hands them on once more where the next one never got so far', async () => {
    await filled();
    setCatalogAside(file, new Date('2024-01-17T10:00:00Z'));
    // A process that created the file, and ended.
    new Database(file).close();
    fs.writeFileSync(file, '');
    setCatalogAside(file, new Date('2024-01-17T11:00:00Z'));
    const fresh = await opened();
    expect(await uids(fresh)).toHaveLength(3);
    await fresh.close();
  });

  it('is put together again where the process ended in the middle of it', async () => {
    await filled();
    // A log that holds what the file doesn't.
    const holder = openConnection(file, { cache: 1024 });
    holder.prepare("UPDATE jobs SET lastError = 'in the log' WHERE state = 'parked'").run();
    const copy = fs.mkdtempSync(path.join(place.folder, 'kill-'));
    for (const suffix of ['', '-wal'])
      fs.copyFileSync(file + suffix, path.join(copy, `catalog.sqlite${suffix}`));
    holder.close();
    file = path.join(copy, 'catalog.sqlite');
    fs.writeFileSync(`${file}.previous`, 'catalog.sqlite.2024-01-17T10-00-00-000Z\n');
    fs.renameSync(`${file}-wal`, `${file}.2024-01-17T10-00-00-000Z-wal`);
    const catalog = await opened();
    expect(catalog.carriedOver).toBeUndefined();
    expect((await catalog.jobs.list({}, { limit: 1 })).rows[0]?.lastError).toBe('in the log');
    expect((await catalog.counts()).instances).toBe(1);
    await catalog.close();
    expect(fs.readdirSync(copy)).toEqual(['catalog.sqlite']);
  });

  it('says what could not be read, and hands over the rest', async () => {
    const catalog = new DirectCatalog(file);
    await catalog.open();
    const padding = 'x'.repeat(2000);
    await catalog.jobs.add(
      Array.from({ length: 400 }, (_, i) => ({ ...PACS, payload: { SOPInstanceUID: String(i), padding } })),
    );
    await catalog.close();
    const bytes = fs.readFileSync(file);
    // Not its head, and none of the pages before the middle of the rows.
    const at = bytes.indexOf('"SOPInstanceUID":"200"');
    const page = at - (at % 4096);
    bytes.fill(0xff, page, page + 8 * 4096);
    fs.writeFileSync(file, bytes);
    setCatalogAside(file);
    const fresh = await opened();
    expect(fresh.carriedOver?.problem).toMatch(/malformed|corrupt/);
    expect(fresh.carriedOver?.rows).toBeGreaterThan(50);
    expect(await uids(fresh)).toHaveLength(fresh.carriedOver!.rows);
    await fresh.close();
  });

  it('may be no database at all', async () => {
    fs.writeFileSync(
      file,
      'no database at all, but a text that is long enough to be taken for one'.repeat(100),
    );
    setCatalogAside(file);
    const fresh = await opened();
    expect(fresh.carriedOver).toMatchObject({ rows: 0, problem: expect.stringContaining('not a database') });
    await fresh.jobs.add([forwardJob('pacs', '1')]);
    await fresh.close();
  });
});

/** What the queue has to be like after each step of a random history. */
class Model {
  readonly jobs = new Map<number, { uid: string; state: Job['state']; dueAt: number; attempts: number }>();
}

describe('any history of the queue', () => {
  const lanes = [PACS, { destination: 'pacs', kind: 'report' }, { destination: 'other', kind: 'forward' }];
  const step = fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({ do: fc.constant('add' as const), lane: fc.nat(2), dueIn: fc.nat(30) }),
    },
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant('claim' as const),
        lane: fc.nat(2),
        limit: fc.integer({ min: 1, max: 4 }),
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant('end' as const),
        which: fc.nat(20),
        how: fc.constantFrom('done', 'again', 'parked', 'released'),
        dueIn: fc.nat(30),
      }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('time' as const), by: fc.nat(20) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('crash' as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('retry' as const), lane: fc.nat(2) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel' as const), which: fc.nat(20) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('aside' as const) }) },
  );

  it('loses no job and runs none twice at once', async () => {
    let runs = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const own = path.join(place.folder, `${++runs}.sqlite`);
        let catalog = new DirectCatalog(own);
        await catalog.open();
        const { jobs } = new Model();
        let now = 1000;
        let serial = 0;
        const laneOf = new Map<number, number>();
        const waitsAgain = (): void => {
          for (const job of jobs.values()) if (job.state === 'running') job.state = 'waiting';
        };
        for (const one of steps) {
          switch (one.do) {
            case 'add': {
              const uid = String(++serial);
              const dueAt = now + one.dueIn;
              const [id = 0] = await catalog.jobs.add([{ ...lanes[one.lane]!, payload: { uid }, dueAt }]);
              expect(jobs.has(id)).toBe(false);
              jobs.set(id, { uid, state: 'waiting', dueAt, attempts: 0 });
              laneOf.set(id, one.lane);
              break;
            }
            case 'claim': {
              const due = [...jobs]
                .filter(([id, job]) => laneOf.get(id) === one.lane && job.state === 'waiting')
                .sort(([a, x], [b, y]) => x.dueAt - y.dueAt || a - b);
              const expected = due.filter(([, job]) => job.dueAt <= now).slice(0, one.limit);
              const claimed = await catalog.jobs.claim(lanes[one.lane]!, { now, limit: one.limit });
              expect(claimed.jobs.map(({ id }) => id)).toEqual(expected.map(([id]) => id));
              expect(claimed.nextDueAt).toBe(due[expected.length]?.[1].dueAt);
              for (const [, job] of expected) {
                job.state = 'running';
                job.attempts++;
              }
              break;
            }
            case 'end': {
              const running = [...jobs].filter(([, job]) => job.state === 'running');
              const picked = running[one.which % Math.max(1, running.length)];
              if (picked === undefined) break;
              const [id, job] = picked;
              const dueAt = now + one.dueIn;
              if (one.how === 'done') {
                await catalog.jobs.end([{ id, end: 'done' }]);
                jobs.delete(id);
              } else if (one.how === 'again') {
                await catalog.jobs.end([{ id, end: 'again', dueAt, reason: 'r' }]);
                Object.assign(job, { state: 'waiting', dueAt });
              } else if (one.how === 'parked') {
                await catalog.jobs.end([{ id, end: 'parked', reason: 'r' }]);
                job.state = 'parked';
              } else {
                await catalog.jobs.end([{ id, end: 'released' }]);
                Object.assign(job, { state: 'waiting', attempts: job.attempts - 1 });
              }
              break;
            }
            case 'time':
              now += one.by;
              break;
            case 'crash':
              await catalog.close();
              catalog = new DirectCatalog(own);
              await catalog.open();
              waitsAgain();
              break;
            case 'aside':
              await catalog.close();
              setCatalogAside(own, new Date(Date.UTC(2024, 0, 1) + ++serial));
              catalog = new DirectCatalog(own);
              await catalog.open();
              waitsAgain();
              break;
            case 'retry': {
              const { destination } = lanes[one.lane]!;
              await catalog.jobs.retry({ destination }, now);
              for (const [id, job] of jobs) {
                if (lanes[laneOf.get(id)!]!.destination !== destination || job.state === 'running') continue;
                if (job.state === 'parked' || job.dueAt > now)
                  Object.assign(job, { state: 'waiting', dueAt: now, attempts: 0 });
              }
              break;
            }
            case 'cancel': {
              const ids = [...jobs.keys()];
              const id = ids[one.which % Math.max(1, ids.length)];
              if (id === undefined) break;
              const gone = jobs.get(id)?.state !== 'running';
              expect(await catalog.jobs.cancel({ ids: [id] })).toEqual({
                changed: gone ? 1 : 0,
                left: gone ? [] : [id],
              });
              if (gone) jobs.delete(id);
              break;
            }
          }
          const { rows } = await catalog.jobs.list({}, { limit: 1000 });
          expect(
            rows
              .map(({ id, state, dueAt, attempts, payload }) => ({
                id,
                uid: payload['uid'],
                state,
                dueAt,
                attempts,
              }))
              .sort((a, b) => a.id - b.id),
          ).toEqual([...jobs].map(([id, job]) => ({ id, ...job })).sort((a, b) => a.id - b.id));
          const counted = (await catalog.jobs.counts()).reduce((sum, { count }) => sum + count, 0);
          expect(counted).toBe(jobs.size);
        }
        await catalog.close();
      }),
      { numRuns: 60 },
    );
  }, 30_000);
});
