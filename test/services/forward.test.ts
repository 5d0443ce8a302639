import fs from 'node:fs';
import type { Job } from '../../src/catalog/jobs';
import type { InstanceLocation } from '../../src/catalog/types';
import { deliver, forwardHandler, type ForwardParts } from '../../src/services/forward';
import { isUnreached, type JobOutcome } from '../../src/services/jobs';
import type { OutgoingInstance } from '../../src/services/outgoing';
import { DestinationTurns } from '../../src/services/retrieve-turns';
import type { SendResult } from '../../src/services/send-types';
import { CT, arrival } from '../catalog/arrivals';
import { cleanUp, deleteCurrent, newDirectory, object, openArchive, type Opened } from './kit';

const never = new AbortController().signal;
const CONTEXT = { destination: 'pacs', stopping: never, signal: never };

function job(id: number, SOPInstanceUID: unknown): Job {
  return {
    id,
    kind: 'forward',
    destination: 'pacs',
    state: 'running',
    payload: { SOPInstanceUID },
    attempts: 1,
    addedAt: 0,
    dueAt: 0,
    lastError: undefined,
  };
}

function located(uid: string, more: Partial<InstanceLocation> = {}): InstanceLocation {
  const { arrivalId, TransferSyntaxUID, dataSetOffset, dataSetLength, sha256 } = arrival();
  return {
    arrivalId: `${uid}@${arrivalId}`,
    SOPClassUID: CT,
    SOPInstanceUID: uid,
    StudyInstanceUID: '1',
    SeriesInstanceUID: '1.1',
    TransferSyntaxUID,
    dataSetOffset,
    dataSetLength,
    sha256,
    state: 'current',
    damaged: undefined,
    ...more,
  };
}

const instanceOf = ({ arrivalId, ...rest }: InstanceLocation): OutgoingInstance => ({
  name: arrivalId,
  ...rest,
  read: () => {
    throw new Error('nobody reads here');
  },
});

type Answer = Omit<SendResult, 'instance'>;

/** Runs jobs against a destination that answers so. */
async function outcomes(
  jobs: readonly Job[],
  held: Readonly<Record<string, InstanceLocation[]>>,
  answer: (uid: string) => Answer | undefined = () => ({ outcome: 'completed', status: 0 }),
  more: Partial<ForwardParts> = {},
): Promise<{ outcomes: JobOutcome[]; sent: string[]; logs: string[]; thrown: unknown }> {
  const sent: string[] = [];
  const logs: string[] = [];
  const handler = forwardHandler({
    catalog: { locate: async (uid) => held[uid] ?? [] },
    instanceOf,
    async *send(_destination, instances) {
      for (const instance of instances) {
        const result = answer(instance.SOPInstanceUID);
        if (result === undefined) return;
        sent.push(instance.name);
        yield { instance, ...result };
      }
    },
    log: (level, message, fields) => logs.push(`${level} ${message} ${JSON.stringify(fields)}`),
    ...more,
  });
  const found: JobOutcome[] = [];
  let thrown: unknown;
  try {
    for await (const outcome of handler.run(jobs, CONTEXT)) found.push(outcome);
  } catch (error) {
    thrown = error;
  }
  return { outcomes: found, sent, logs, thrown };
}

describe('a batch of forwards', () => {
  it('sends what is current now, once for all jobs of an instance', async () => {
    const held = {
      a: [located('a', { arrivalId: 'new' }), located('a', { arrivalId: 'old', state: 'version' })],
      b: [located('b')],
    };
    const { outcomes: found, sent } = await outcomes([job(1, 'a'), job(2, 'b'), job(3, 'a')], held);
    expect(sent).toEqual(['new', held.b[0]!.arrivalId]);
    expect(found).toEqual([
      { id: 1, outcome: 'done' },
      { id: 3, outcome: 'done' },
      { id: 2, outcome: 'done' },
    ]);
  });

  it('has nothing to do for what is not held any more', async () => {
    const held = { b: [located('b', { state: 'version' })] };
    const { outcomes: found, sent } = await outcomes([job(1, 'a'), job(2, 'b')], held);
    expect(sent).toEqual([]);
    expect(found).toEqual(
      [1, 2].map((id) => ({ id, outcome: 'done', note: 'the instance is not held any more' })),
    );
  });

  it('tells failures of an instance from those of the destination', async () => {
    const answers: Record<string, Answer> = {
      warning: { outcome: 'warning', status: 0xb000, reason: 'B000' },
      refused: { outcome: 'failed', status: 0xc123, reason: 'C123' },
      full: { outcome: 'failed', status: 0xa712, reason: 'A712' },
      lost: { outcome: 'failed', lost: 'ended', reason: 'gone' },
      silent: { outcome: 'failed', lost: 'silent', reason: 'late' },
      cut: { outcome: 'failed', lost: 'cut', reason: 'damaged' },
      context: { outcome: 'failed', reason: 'not taken' },
    };
    const names = Object.keys(answers);
    const held = Object.fromEntries(names.map((uid) => [uid, [located(uid)]]));
    const { outcomes: found } = await outcomes(
      names.map((uid, i) => job(i, uid)),
      held,
      (uid) => answers[uid],
    );
    expect(found).toEqual([
      { id: 0, outcome: 'done' },
      { id: 1, outcome: 'failed', reason: 'C123', destination: false },
      { id: 2, outcome: 'failed', reason: 'A712', destination: true },
      { id: 3, outcome: 'failed', reason: 'gone', destination: true },
      { id: 4, outcome: 'failed', reason: 'late', destination: true },
      { id: 5, outcome: 'failed', reason: 'damaged', destination: false },
      { id: 6, outcome: 'failed', reason: 'not taken', destination: false },
    ]);
  });

  it('is not tried where nobody can be reached', async () => {
    const held = { a: [located('a')], b: [located('b')] };
    const {
      outcomes: found,
      thrown,
      logs,
    } = await outcomes([job(1, 'a'), job(2, 'b')], held, (uid) =>
      uid === 'a' ? { outcome: 'completed' } : { outcome: 'failed', unreachable: new Error('refused') },
    );
    expect(found).toEqual([{ id: 1, outcome: 'done' }]);
    expect(isUnreached(thrown)).toBe(true);
    expect(logs).toEqual([expect.stringContaining('"completed":1,"failed":0') as string]);
  });

  it('leaves open what was not begun', async () => {
    const held = { a: [located('a')], b: [located('b')] };
    const { outcomes: found, thrown } = await outcomes([job(1, 'a'), job(2, 'b')], held, (uid) =>
      uid === 'a' ? { outcome: 'completed' } : undefined,
    );
    expect(thrown).toBeUndefined();
    expect(found).toEqual([{ id: 1, outcome: 'done' }]);
  });

  it('is hopeless for a remote that is not configured, and for a payload that says nothing', async () => {
    const reason = expect.any(String) as string;
    const { outcomes: found } = await outcomes([job(1, 'a'), job(2, 7)], { a: [located('a')] }, undefined, {
      send: () => undefined,
    });
    expect(found).toEqual([
      { id: 2, outcome: 'hopeless', reason },
      { id: 1, outcome: 'hopeless', reason },
    ]);
  });
});

describe('jobs of what is stored', () => {
  let directory: string;
  let opened: Opened;

  const REMOTES = [
    { name: 'ct', aeTitle: 'CT1', forwardTo: ['pacs', 'backup'] },
    { name: 'pacs', aeTitle: 'PACS', port: 104 },
    { name: 'backup', aeTitle: 'BACKUP', port: 104 },
  ];

  beforeEach(async () => {
    directory = newDirectory();
    opened = await openArchive(directory, { remotes: REMOTES });
  });

  afterEach(cleanUp);

  const queued = async (): Promise<string[]> => {
    const { rows } = await opened.catalog.jobs.list({}, { limit: 100 });
    return rows.map(({ destination, payload }) => `${destination} ${String(payload['SOPInstanceUID'])}`);
  };

  const FORWARDS = { forwardTo: ['pacs'] };

  it('come with the row of an instance, not with a duplicate nor with a refused one', async () => {
    const one = object();
    const { SOPInstanceUID: uid } = one;
    await opened.take(one, FORWARDS);
    expect(await queued()).toEqual([`pacs ${uid}`]);
    expect((await opened.take(one, FORWARDS)).outcome).toBe('duplicate');
    const other = object({ SOPInstanceUID: uid, PatientID: 'OTHER' });
    await expect(opened.take(other, FORWARDS)).rejects.toMatchObject({ status: 0x0111 });
    expect(await queued()).toEqual([`pacs ${uid}`]);
    expect((await opened.take(other, { ...FORWARDS, duplicates: 'replace' })).outcome).toBe('replaced');
    expect(await queued()).toEqual([`pacs ${uid}`, `pacs ${uid}`]);
    await opened.take(object());
    expect(await queued()).toHaveLength(2);
  });

  it('come with what takes the place of a damaged file', async () => {
    const one = object();
    await opened.take(one);
    await opened.store.remove((await opened.catalog.locate(one.SOPInstanceUID))[0]!.arrivalId);
    expect((await opened.take(one, FORWARDS)).outcome).toBe('replaced');
    expect(await queued()).toEqual([`pacs ${one.SOPInstanceUID}`]);
  });

  it('are made up for by recovery where the process ended before the row', async () => {
    const [kept, lost] = [object(), object()];
    await opened.take(kept, FORWARDS);
    opened.steps.start();
    opened.steps.crashAfter = stepsUntil('writer.seal');
    await Promise.race([opened.take(lost, FORWARDS), opened.steps.crashed]);
    await opened.abandon();
    opened = await openArchive(directory, { remotes: REMOTES });
    expect(await opened.catalog.locate(lost.SOPInstanceUID)).toHaveLength(1);
    expect(await queued()).toEqual([
      `backup ${lost.SOPInstanceUID}`,
      `pacs ${kept.SOPInstanceUID}`,
      `pacs ${lost.SOPInstanceUID}`,
    ]);
  });

  /** Steps of a `take` up to one of that name; nothing else runs. */
  function stepsUntil(name: string): number {
    const names = ['store.begin', 'writer.write', 'writer.seal', 'catalog.record'];
    return names.indexOf(name) + 1;
  }

  it('stay what they are in a reindex, and none are made up', async () => {
    const sent = [object(), object(), object()];
    for (const one of sent) await opened.take(one, FORWARDS);
    const before = await queued();
    const { rows } = await opened.catalog.jobs.list({}, { limit: 1 });
    await opened.catalog.jobs.cancel({ ids: [rows[0]!.id] });
    await opened.close();
    opened = await openArchive(directory, { remotes: REMOTES, freshCatalog: true });
    expect((await opened.catalog.counts()).instances).toBe(3);
    expect(await queued()).toEqual(before.slice(1));
    expect(opened.logs).toContainEqual(expect.stringContaining('taken over'));
  });

  it('are not made up for the files of a catalog that is lost', async () => {
    await opened.take(object(), FORWARDS);
    await opened.close();
    for (const suffix of ['', '-wal', '-shm'])
      fs.rmSync(`${directory}/catalog.sqlite${suffix}`, { force: true });
    opened = await openArchive(directory, { remotes: REMOTES });
    expect((await opened.catalog.counts()).instances).toBe(1);
    expect(await queued()).toEqual([]);
  });

  it('end without sending where the instance was deleted', async () => {
    const one = object();
    await opened.take(one, FORWARDS);
    await deleteCurrent(opened, one.SOPInstanceUID);
    const handler = opened.archive.forwards({
      send: () => {
        throw new Error('nothing is to be sent');
      },
    });
    const { jobs } = await opened.archive.jobs.claim(
      { destination: 'pacs', kind: 'forward' },
      { now: Date.now(), limit: 10 },
    );
    const found: JobOutcome[] = [];
    for await (const outcome of handler.run(jobs, CONTEXT)) found.push(outcome);
    expect(found).toMatchObject([{ outcome: 'done', note: expect.any(String) as string }]);
  });
});

describe('the associations of a destination', () => {
  it('are given to a move that waits, and the rest goes out later', async () => {
    const turns = new DestinationTurns();
    const order: string[] = [];
    let wanted: Promise<void> | undefined;
    const connect = async (): Promise<never> => {
      order.push('forward');
      // While this one is being opened, a move gets in line.
      wanted ??= turns.take('pacs', 1, never).then((turn) => {
        order.push('move');
        turn?.end();
      });
      throw new Error('nobody there');
    };
    const instances = Array.from({ length: 25 }, (_, i) => instanceOf(located(String(i))));
    const results: SendResult[] = [];
    for await (const result of deliver(instances, {
      destination: 'pacs',
      associations: 1,
      turns,
      connect,
      signal: never,
    }))
      results.push(result);
    await wanted;
    expect(results.map(({ instance }) => instance.SOPInstanceUID)).toEqual(
      instances.map(({ SOPInstanceUID }) => SOPInstanceUID),
    );
    expect(order.slice(0, 3)).toEqual(['forward', 'move', 'forward']);
  });

  it('are not waited for when the node stops', async () => {
    const turns = new DestinationTurns();
    await turns.take('pacs', 1, never);
    const stopping = new AbortController();
    const results: SendResult[] = [];
    const work = (async () => {
      for await (const result of deliver([instanceOf(located('a'))], {
        destination: 'pacs',
        associations: 1,
        turns,
        connect: () => Promise.reject(new Error('not to be called')),
        signal: stopping.signal,
      }))
        results.push(result);
    })();
    stopping.abort();
    await work;
    expect(results).toEqual([]);
  });
});
