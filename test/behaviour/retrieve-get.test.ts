import fsp from 'node:fs/promises';
import { imageObject, SOP, TS } from '../support/data-sets';
import { removeFolder, startNode, type NodeProcess } from '../support/node-process';
import {
  caller,
  destination,
  expectSums,
  newStudy,
  remotesConfig,
  STORAGE,
  store,
  study,
  summary,
} from '../support/retrieve-kit';
import { RetrieveCaller, type CallerOptions } from '../support/retrieve-scu';
import { StorePeer } from '../support/store-peer';
import { storedFiles } from '../support/stored-files';
import { eventually } from '../support/upper-layer';

/** C-GET on the real node, and what becomes of retrieves when it stops. */
let node: NodeProcess;
const open: RetrieveCaller[] = [];

beforeAll(async () => {
  node = await startNode({
    config: {
      ...remotesConfig({
        finder: caller('FINDER', { allow: ['find', 'move'] }),
        plain: caller('PLAIN', { transcode: 'never' }),
      }),
      timeouts: { response: '2s', pending: '100ms' },
    },
  });
});

afterEach(async () => {
  await Promise.all(open.splice(0).map((one) => one.release()));
});

afterAll(async () => {
  const { code } = await node.stop();
  await removeFolder(node.folder);
  expect(code).toBe(0);
});

async function call(more: Partial<CallerOptions> = {}): Promise<RetrieveCaller> {
  const one = await RetrieveCaller.open({ port: node.port, storage: STORAGE, ...more });
  open.push(one);
  return one;
}

async function stored(count: number, more?: Parameters<typeof newStudy>[1]) {
  const made = newStudy(count, more);
  await store(node.port, made.objects);
  return made;
}

it('sends every object on the same association, byte for byte, and says nothing of a move', async () => {
  const { uid, objects } = await stored(5);
  const tester = await call();
  const result = await tester.retrieve('C-GET', study(uid), { priority: 1 });
  expect(summary(result)).toBe('0000 5/0/0');
  expect(result.failedUids).toBeUndefined();
  expectSums(result, 5);
  expect(tester.received.map(({ dataSet }) => dataSet)).toEqual(objects.map(({ dataSet }) => dataSet));
  for (const { command } of tester.received) {
    expect(command.Priority).toBe(1);
    expect(command.MoveOriginatorApplicationEntityTitle).toBeUndefined();
    expect(command.MoveOriginatorMessageID).toBeUndefined();
  }
  // And again on it, and another service.
  expect(summary(await tester.retrieve('C-GET', study(uid)))).toBe('0000 5/0/0');
  expect(await tester.session.scu.echo()).toBe(0);
});

it.each(['patient', 'patientStudy'] as const)('serves the model %s', async (model) => {
  const patient = `GET-${model}`;
  const { uid } = await stored(2, { patient });
  const tester = await call({ model });
  const byPatient = await tester.retrieve('C-GET', { QueryRetrieveLevel: 'PATIENT', PatientID: patient });
  expect(summary(byPatient)).toBe('0000 2/0/0');
  expect(summary(await tester.retrieve('C-GET', { ...study(uid), PatientID: patient }))).toBe('0000 2/0/0');
  expect(summary(await tester.retrieve('C-GET', { ...study(uid), PatientID: 'ANOTHER' }))).toBe('0000 0/0/0');
});

it('T86: without role items nothing can be sent: A702, all failed', async () => {
  const { uid, objects } = await stored(3);
  for (const roles of ['none', [1, 0]] as const) {
    const tester = await call({ roles });
    const result = await tester.retrieve('C-GET', study(uid));
    expect(summary(result)).toBe('a702 0/3/0');
    expect(result.failedUids).toEqual(objects.map(({ SOPInstanceUID }) => SOPInstanceUID));
    expect(tester.received).toEqual([]);
  }
});

it('fails what no context was offered for, and sends the rest', async () => {
  const { uid, objects } = await stored(2);
  const report = imageObject({
    SOPClassUID: SOP.sr,
    StudyInstanceUID: uid,
    SeriesInstanceUID: `${uid}.2`,
    SOPInstanceUID: `${uid}.2.1`,
    PatientID: 'P1',
    size: 0,
  });
  await store(node.port, [report]);
  const tester = await call({ storage: [[SOP.ct, TS.explicit]] });
  const result = await tester.retrieve('C-GET', study(uid));
  expect(summary(result)).toBe('b000 2/1/0');
  expect(result.failedUids).toEqual([report.SOPInstanceUID]);
  expect(tester.received).toHaveLength(objects.length);
});

it('does not transcode for a remote with transcode: never', async () => {
  const { uid } = await stored(2);
  const tester = await call({ calling: 'PLAIN', storage: [[SOP.ct, TS.implicit]] });
  expect(summary(await tester.retrieve('C-GET', study(uid)))).toBe('a702 0/2/0');
});

it('counts failures and warnings of the caller', async () => {
  const { uid, objects } = await stored(4);
  const tester = await call({ answer: (_object, count) => [0, 0xa700, 0xb006, 0][count - 1] ?? 0 });
  const result = await tester.retrieve('C-GET', study(uid));
  expect(summary(result)).toBe('b000 2/1/1');
  expect(result.failedUids).toEqual([objects[1]!.SOPInstanceUID]);
  expectSums(result, 4);
});

it('refuses a caller without the right', async () => {
  const result = await (await call({ calling: 'FINDER' })).retrieve('C-GET', study('1.2'));
  expect(result.final.status).toBe(0x0124);
});

it('T87: C-CANCEL between objects: FE00, counters add up, the association goes on', async () => {
  const { uid } = await stored(40);
  const cancel = new AbortController();
  const tester = await call({
    answer: async (_object, count) => {
      if (count === 3) cancel.abort();
      await new Promise((resolve) => setTimeout(resolve, 10));
      return 0;
    },
  });
  const result = await tester.retrieve('C-GET', study(uid), { signal: cancel.signal });
  expect(result.final.status).toBe(0xfe00);
  // What was under way when it came is finished, no more.
  expect(tester.received.length).toBeLessThanOrEqual(5);
  expect(result.final.remaining).toBe(40 - tester.received.length);
  expectSums(result, 40);
  expect(await tester.session.scu.echo()).toBe(0);
});

it('sends Pending by the clock while the caller takes its time', async () => {
  const { uid } = await stored(2);
  const tester = await call({
    answer: () => new Promise((resolve) => setTimeout(() => resolve(0), 350)),
  });
  const result = await tester.retrieve('C-GET', study(uid));
  expect(summary(result)).toBe('0000 2/0/0');
  expect(result.pending.length).toBeGreaterThanOrEqual(4);
  expectSums(result, 2);
});

it('a caller that does not answer is given up', async () => {
  const { uid } = await stored(3);
  const tester = await call({ answer: () => new Promise(() => undefined) });
  await expect(tester.retrieve('C-GET', study(uid))).rejects.toMatchObject({ code: 'ASSOCIATION_ENDED' });
  open.length = 0;
});

it('fails damaged files alone', async () => {
  const { uid, objects } = await stored(3);
  const bad = objects[1]!.SOPInstanceUID;
  const file = (await storedFiles(node.dataDirectory)).find(({ SOPInstanceUID }) => SOPInstanceUID === bad)!;
  await fsp.truncate(file.path, file.dataSetOffset + 10);
  const tester = await call();
  const result = await tester.retrieve('C-GET', study(uid));
  expect(summary(result)).toBe('b000 2/1/0');
  expect(result.failedUids).toEqual([bad]);
  expect(tester.received).toHaveLength(2);
});

it('goes through a patient of several pages', async () => {
  const { objects } = await stored(700, { patient: 'MANY', size: 1 });
  const tester = await call({ model: 'patient' });
  const result = await tester.retrieve('C-GET', { QueryRetrieveLevel: 'PATIENT', PatientID: 'MANY' });
  expect(summary(result)).toBe('0000 700/0/0');
  expectSums(result, 700);
  expect(new Set(tester.received.map(({ SOPInstanceUID }) => SOPInstanceUID)).size).toBe(objects.length);
});

describe('a node that stops', () => {
  it('lets a move end, and ends', async () => {
    const dest = await StorePeer.start();
    const other = await startNode({ config: remotesConfig({ dest: destination('DEST', dest) }) });
    const { uid, objects } = newStudy(30);
    await store(other.port, objects);
    let begun = false;
    dest.behaviour = {
      answer: async () => {
        begun = true;
        await new Promise((resolve) => setTimeout(resolve, 30));
        return 0;
      },
    };
    const tester = await RetrieveCaller.open({ port: other.port });
    const moved = tester.retrieve('C-MOVE', study(uid));
    await eventually(() => begun);
    const stopped = other.stop();
    expect(summary(await moved)).toBe('0000 30/0/0');
    expect(dest.received).toHaveLength(30);
    expect((await stopped).code).toBe(0);
    await dest.close();
    await removeFolder(other.folder);
  });
});
