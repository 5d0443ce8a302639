import fs from 'node:fs';
import type { DimseError } from '../../src/errors';
import type { Taken } from '../../src/services/ingest';
import { fileCalls } from '../../src/store/file-calls';
import type { imageElements } from '../support/data-sets';
import { encode, header, imageObject, SOP, TS, type SentObject } from '../support/data-sets';
import { nested, otherThanTheCommand, randomBytes, withoutElement } from '../support/hostile-data-sets';
import { sha256 } from '../support/ledger-scu';
import {
  bytesOf,
  candidate,
  cleanUp,
  filesIn,
  newDirectory,
  object,
  openArchive,
  pathIn,
  statusOf,
  storeError,
  type Hook,
  type Opened,
  type OpenOptions,
} from './kit';

let directory: string;
let opened: Opened;

async function open(options: OpenOptions = {}): Promise<Opened> {
  directory = newDirectory();
  opened = await openArchive(directory, options);
  return opened;
}

afterEach(cleanUp);

/** Fails one step by name. */
function fail(name: string, code: string, times = Infinity): Hook {
  let left = times;
  return (step) => (step.name === name && left-- > 0 ? storeError(code) : undefined);
}

async function refusal(taking: Promise<unknown>): Promise<DimseError> {
  try {
    await taking;
  } catch (error) {
    return error as DimseError;
  }
  throw new Error('it was taken');
}

async function settledSegments(): Promise<number[]> {
  const next = await openArchive(directory, { recover: false });
  const marks = await next.catalog.segments();
  await next.close();
  return marks.filter((mark) => mark.settled).map((mark) => mark.segment);
}

describe('Ingest', () => {
  it('writes, seals, records, and only then says that it is stored', async () => {
    await open();
    const one = object();
    const taken = await opened.take(one);
    expect(opened.steps.names).toEqual([
      'store.begin',
      'writer.write',
      'writer.seal',
      'catalog.record',
      'writer.finish',
    ]);
    expect(taken).toEqual({
      outcome: 'stored',
      arrivalId: expect.stringMatching(/^00000001-000001-[0-9a-f]{16}$/) as string,
      bytes: one.dataSet.length,
      strippedGroupTwo: false,
    });
    expect(opened.stored).toEqual([
      {
        arrivalId: taken.arrivalId,
        associationId: 'a1',
        remoteName: 'ct1',
        SOPClassUID: SOP.ct,
        SOPInstanceUID: one.SOPInstanceUID,
        bytes: one.dataSet.length,
        outcome: 'stored',
      },
    ]);
    expect(filesIn(directory, 'instances')).toEqual(new Map([[taken.arrivalId, sha256(one.dataSet)]]));
  });

  it.each(['writer.seal', 'catalog.record'])('says nothing before %s has ended', async (name) => {
    await open();
    const gate = Promise.withResolvers<undefined>();
    const reached = Promise.withResolvers<undefined>();
    opened.steps.hook = (step) => {
      if (step.name !== name) return undefined;
      reached.resolve(undefined);
      return gate.promise;
    };
    let answered = false;
    const taking = opened.take(object()).then(() => (answered = true));
    await reached.promise;
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(answered).toBe(false);
    expect(opened.stored).toEqual([]);
    gate.resolve(undefined);
    await taking;
    expect(opened.stored).toHaveLength(1);
  });

  it('keeps the bytes in whatever pieces they come', async () => {
    await open();
    for (const piece of [1, 7, 131072]) {
      const one = object({ size: 8 });
      const { arrivalId } = await opened.take(one, { dataSet: bytesOf(one.dataSet, piece) });
      expect(filesIn(directory, 'instances').get(arrivalId)).toBe(sha256(one.dataSet));
    }
  });

  it('leaves out a group 0002 in front of the data set and keeps the rest exactly', async () => {
    await open();
    const one = object();
    const group = encode([
      { tag: 0x00020000, vr: 'UL', value: [28] },
      { tag: 0x00020010, vr: 'UI', value: TS.explicit },
    ]);
    for (const front of [group, Buffer.concat([Buffer.alloc(128), Buffer.from('DICM'), group])]) {
      const { SOPInstanceUID } = object();
      const sent = imageObject({ ...one, SOPInstanceUID, size: 2 });
      const taken = await opened.take(sent, { dataSet: bytesOf(Buffer.concat([front, sent.dataSet]), 5) });
      expect(taken.strippedGroupTwo).toBe(true);
      expect(filesIn(directory, 'instances').get(taken.arrivalId)).toBe(sha256(sent.dataSet));
      expect(taken.bytes).toBe(sent.dataSet.length);
    }
  });

  it.each<[string, SentObject, number[]]>([
    ['instance', otherThanTheCommand('instance'), [0x00080018]],
    ['class', otherThanTheCommand('class'), [0x00080016]],
  ])('ST-07: refuses another %s UID than the command said with A900', async (_what, sent, offending) => {
    await open();
    const error = await refusal(opened.take(sent));
    expect(error).toMatchObject({ status: 0xa900, offendingElements: offending });
    expect(filesIn(directory, 'instances').size).toBe(0);
    expect(opened.archive.ingest.stopped).toBeUndefined();
  });

  it.each<[string, SentObject]>([
    ['no study', withoutElement(0x0020000d)],
    ['no series', withoutElement(0x0020000e)],
    ['no instance UID', withoutElement(0x00080018)],
    ['no class', withoutElement(0x00080016)],
    ['random bytes', randomBytes(5000)],
    ['nothing at all', { ...object(), dataSet: Buffer.alloc(0) }],
    ['65 levels', nested(65)],
    ['an end in the middle', { ...object(), dataSet: object().dataSet.subarray(0, 250) }],
    ['a UID with a slash in the command', { ...object(), SOPInstanceUID: '../../etc/passwd' }],
    ['an empty UID in the command', { ...object(), SOPInstanceUID: '' }],
    ['a UID too long', { ...object(), SOPInstanceUID: '1'.repeat(65) }],
    ['a class with a star', { ...object(), SOPClassUID: '1.2.*' }],
  ])('ST-07: answers C000 to %s, keeps nothing and goes on', async (_what, sent) => {
    await open();
    const error = await refusal(opened.take(sent));
    expect(error.status).toBe(0xc000);
    expect(error.comment).toMatch(/^[\x20-\x7e]{1,64}$/);
    expect(filesIn(directory, 'instances').size).toBe(0);
    expect(opened.stored).toEqual([]);
    expect((await opened.take(object())).outcome).toBe('stored');
  });

  it('removes the file of a sender that went away', async () => {
    await open();
    const lost = new Error('the association ended');
    let pieces = 3;
    const dataSet = {
      read: () => (pieces-- > 0 ? Promise.resolve(object().dataSet.subarray(0, 100)) : Promise.reject(lost)),
    };
    expect(await refusal(opened.take(object(), { dataSet }))).toBe(lost);
    expect(filesIn(directory, 'instances').size).toBe(0);
    expect(opened.archive.ingest.stopped).toBeUndefined();
    await opened.close();
    expect(await settledSegments()).toEqual([1]);
  });
});

interface Failure {
  readonly step: string;
  readonly code: string;
  readonly comment: RegExp;
  /** Whether nothing more is taken. */
  readonly stops: boolean;
  /** Whether the file stays for recovery. */
  readonly stays?: true;
}

const FULL = /^Storage full: free disk space or lower storage\.reserve$/;
const FAILED = /^Storage failed; see the log of the node$/;

describe('what fails', () => {
  it.each<Failure>([
    { step: 'store.begin', code: 'STORE_RESERVE', comment: FULL, stops: false },
    { step: 'store.begin', code: 'STORE_FULL', comment: FULL, stops: false },
    { step: 'store.begin', code: 'STORE_FAILED', comment: FAILED, stops: false },
    { step: 'writer.write', code: 'STORE_RESERVE', comment: FULL, stops: false },
    { step: 'writer.write', code: 'STORE_FULL', comment: FULL, stops: false },
    { step: 'writer.write', code: 'STORE_FAILED', comment: FAILED, stops: false },
    { step: 'writer.seal', code: 'STORE_FULL', comment: FULL, stops: false },
    { step: 'writer.seal', code: 'STORE_FAILED', comment: FAILED, stops: false },
    { step: 'catalog.record', code: 'CATALOG_ROLLED_BACK', comment: FAILED, stops: false },
    { step: 'catalog.record', code: 'CATALOG_BUSY', comment: FAILED, stops: false },
    { step: 'catalog.record', code: 'CATALOG_UNKNOWN', comment: FAILED, stops: true, stays: true },
  ])('$step with $code is answered A700', async ({ step, code, comment, stops, stays }) => {
    await open();
    opened.steps.hook = fail(step, code, 1);
    const error = await refusal(opened.take(object()));
    expect(error).toMatchObject({ status: 0xa700, comment: expect.stringMatching(comment) as string });
    expect(error.comment).toMatch(/^[\x20-\x7e]{1,64}$/);
    expect(filesIn(directory, 'instances').size).toBe(stays ? 1 : 0);
    expect(opened.stored).toEqual([]);
    expect(opened.archive.ingest.stopped !== undefined).toBe(stops);
    expect(opened.alerts.map((alert) => alert.code)).toEqual(stops ? ['INGEST_STOPPED'] : []);
    expect(await statusOf(opened.take(object()))).toBe(stops ? 0xa700 : 0);
    expect(await opened.store.decisions()).toEqual([]);
    await opened.close();
    // What recovery has to look at must not be settled.
    expect(await settledSegments()).toEqual(stays ? [] : [1]);
  });

  it('an unknown outcome is told by the next start', async () => {
    await open();
    // The row was written, and the answer was lost.
    const one = object();
    const two = object();
    opened.steps.hook = fail('catalog.record', 'CATALOG_UNKNOWN', 1);
    await refusal(opened.take(one));
    expect(await opened.catalog.locate(one.SOPInstanceUID)).toEqual([]);
    await opened.close();
    const next = await openArchive(directory);
    expect((await next.catalog.locate(one.SOPInstanceUID)).map(({ state }) => state)).toEqual(['current']);
    expect((await next.take(two)).outcome).toBe('stored');
  });

  it('a sync that fails ends it: the file goes, nothing more is taken', async () => {
    let broken = false;
    const eio = Object.assign(new Error('EIO'), { code: 'EIO' });
    await open({ calls: { fdatasync: () => (broken ? Promise.reject(eio) : Promise.resolve()) } });
    await opened.take(object());
    broken = true;
    expect(await refusal(opened.take(object()))).toMatchObject({ status: 0xa700 });
    broken = false;
    expect(filesIn(directory, 'instances').size).toBe(1);
    expect(opened.archive.ingest.stopped).toMatch(/sync/);
    expect(opened.alerts.map((alert) => alert.code)).toEqual(['INGEST_STOPPED']);
    expect(await refusal(opened.take(object()))).toMatchObject({ status: 0xa700 });
    expect(opened.alerts).toHaveLength(1);
    // Reads go on.
    expect((await opened.api.status()).instances).toBe(1);
    expect((await opened.api.status()).stopped).toMatch(/sync/);
  });

  it('a sync that fails, and an unlink, too: the next start must not believe the page cache', async () => {
    let broken = false;
    const eio = Object.assign(new Error('EIO'), { code: 'EIO' });
    await open({
      calls: {
        fdatasync: () => {
          if (!broken) return Promise.resolve();
          broken = false;
          return Promise.reject(eio);
        },
        unlink: (name) => (name.endsWith('.dcm') ? Promise.reject(eio) : fileCalls.unlink(name)),
      },
    });
    broken = true;
    const one = object();
    await refusal(opened.take(one));
    const [left] = [...filesIn(directory, 'instances').keys()];
    expect(await opened.store.decisions()).toMatchObject([{ action: 'distrust', arrivalId: left }]);
    await opened.abandon();
    const next = await openArchive(directory);
    const [current] = await next.catalog.locate(one.SOPInstanceUID);
    expect(current!.arrivalId).not.toBe(left);
    expect([...filesIn(directory, 'instances')]).toEqual([[current!.arrivalId, sha256(one.dataSet)]]);
  });

  it.each(['writer.seal', 'catalog.record'])(
    '%s, and the file can not be removed: stops, and says what not to trust',
    async (step) => {
      await open();
      opened.steps.hook = ({ name }) => {
        if (name === 'writer.revoke') return storeError('STORE_FAILED');
        if (name !== step) return undefined;
        return storeError(step === 'writer.seal' ? 'STORE_FAILED' : 'CATALOG_ROLLED_BACK');
      };
      expect(await refusal(opened.take(object()))).toMatchObject({ status: 0xa700 });
      expect(opened.archive.ingest.stopped).toMatch(/could not be removed/);
      expect(await opened.store.decisions()).toMatchObject([{ action: 'distrust' }]);
      expect(await statusOf(opened.take(object()))).toBe(0xa700);
    },
  );

  it('says so where not even that can be written down', async () => {
    await open();
    opened.steps.hook = ({ name }) =>
      ['writer.seal', 'writer.revoke', 'store.decide'].includes(name)
        ? storeError('STORE_FAILED')
        : undefined;
    await refusal(opened.take(object()));
    expect(opened.logs.join('\n')).toMatch(/error a refused file could not be marked/);
  });

  it('a catalog that died stops it', async () => {
    await open();
    opened.archive.ingest.stop('the writer ended');
    expect(await refusal(opened.take(object()))).toMatchObject({
      status: 0xa700,
      comment: 'Storage stopped after a failure; see the log of the node',
    });
    expect(opened.alerts).toMatchObject([
      { code: 'INGEST_STOPPED', message: expect.stringMatching(/the writer ended/) as string },
    ]);
  });
});

describe('beside a duplicate', () => {
  const UID = '2.25.99';
  const first = object({ SOPInstanceUID: UID, seed: 1 });
  const other = object({ SOPInstanceUID: UID, seed: 2 });

  beforeEach(async () => {
    await open();
    await opened.take(first);
  });

  it.each([
    ['catalog.addQuarantine', 'CATALOG_ROLLED_BACK'],
    ['store.decide', 'STORE_FULL'],
    ['store.check', 'STORE_FAILED'],
    ['store.decide', 'STORE_SYNC_FAILED'],
  ])('%s with %s: A700, nothing is left of it, and nobody else suffers', async (step, code) => {
    opened.steps.hook = fail(step, code);
    expect(await statusOf(opened.take(other))).toBe(0xa700);
    opened.steps.hook = () => undefined;
    expect(filesIn(directory, 'instances').size).toBe(1);
    expect(filesIn(directory, 'quarantine').size).toBe(0);
    expect((await opened.api.quarantineList({ limit: 10 })).rows).toEqual([]);
    expect(opened.archive.ingest.stopped).toBeUndefined();
    expect(await statusOf(opened.take(other))).toBe(0x0111);
  });

  it('a file that can not be moved to quarantine is moved by the next start', async () => {
    opened.steps.hook = fail('store.quarantine', 'STORE_FAILED');
    expect(await statusOf(opened.take(other))).toBe(0xa700);
    expect(opened.archive.ingest.stopped).toBeDefined();
    await opened.close();
    const next = await openArchive(directory);
    expect((await next.api.quarantineList({ limit: 10 })).rows).toMatchObject([{ reason: 'duplicate' }]);
    expect([...filesIn(directory, 'quarantine').values()]).toEqual([sha256(other.dataSet)]);
    expect((await next.catalog.locate(UID)).map(({ sha256: digest }) => digest)).toEqual([
      sha256(first.dataSet),
    ]);
  });

  it('that it can not be read now says nothing about the held copy', async () => {
    // Too many open files, say: the first copy must not give way to other bytes.
    opened.steps.hook = fail('store.check', 'STORE_FAILED');
    expect(await statusOf(opened.take(other, { duplicates: 'replace' }))).toBe(0xa700);
    const [held] = await opened.catalog.locate(UID);
    expect(held).toMatchObject({ sha256: sha256(first.dataSet), damaged: undefined });
    // The very same bytes may.
    expect((await opened.take(first)).outcome).toBe('replaced');
    opened.steps.hook = () => undefined;
    expect((await opened.catalog.locate(UID)).map(({ sha256: digest }) => digest)).toEqual([
      sha256(first.dataSet),
    ]);
  });

  it('a resend whose own file can not be removed is no Success', async () => {
    opened.steps.hook = fail('writer.revoke', 'STORE_FAILED');
    expect(await statusOf(opened.take(first))).toBe(0xa700);
    expect(opened.archive.ingest.stopped).toBeDefined();
    await opened.close();
    const next = await openArchive(directory);
    expect(await next.catalog.locate(UID)).toHaveLength(1);
    expect(filesIn(directory, 'instances').size).toBe(1);
  });

  it('bytes that no other reader can walk do not stop it', async () => {
    // An element that is cut by a wrong length inside a private sequence of unknown VR: the header is read, the canonical form isn't.
    const syntaxes = [TS.explicit, TS.implicit];
    for (const [index, syntax] of syntaxes.entries()) {
      const hostile = object({ SOPInstanceUID: '2.25.100', extra: hostileElements(index) }, syntax);
      const status = await statusOf(opened.take(hostile));
      expect([0, 0x0111, 0xc000]).toContain(status);
    }
    expect(opened.archive.ingest.stopped).toBeUndefined();
  });
});

function hostileElements(seed: number): ReturnType<typeof imageElements> {
  return [
    {
      tag: 0x00091001,
      vr: 'UN',
      value: Buffer.concat([header(0xfffee000, '', 0xffff, 'explicit'), Buffer.from([seed, 0])]),
    },
    { tag: 0x00400275, vr: 'UN', value: Buffer.from([0xfe, 0xff, 0, 0xe0, 200, 0, 0, 0, seed, 0]) },
  ];
}

it('of two under one UID seals the second when the first has its row', async () => {
  await open();
  const recording = Promise.withResolvers<undefined>();
  const goOn = Promise.withResolvers<undefined>();
  opened.steps.hook = ({ name }) => {
    if (name !== 'catalog.record') return undefined;
    recording.resolve(undefined);
    return goOn.promise;
  };
  const [first, second] = [1, 2].map((seed) => object({ SOPInstanceUID: '2.25.63', seed }));
  const one = statusOf(opened.take(first!));
  await recording.promise;
  const two = statusOf(opened.take(second!));
  const other = statusOf(opened.take(object()));
  const seals = (): number => opened.steps.names.filter((name) => name === 'writer.seal').length;
  while (seals() < 2) await new Promise((resolve) => setImmediate(resolve));
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
  expect(seals()).toBe(2);
  opened.steps.hook = () => undefined;
  goOn.resolve(undefined);
  expect(await Promise.all([one, two, other])).toEqual([0, 0x0111, 0]);
  expect(seals()).toBe(3);
});

describe('more than the catalog takes', () => {
  it('waits without reading, and goes on in turn', async () => {
    await open();
    const { ingest } = opened.archive;
    const gate = Promise.withResolvers<undefined>();
    let recording = 0;
    opened.steps.hook = ({ name }) => {
      if (name !== 'catalog.record') return undefined;
      recording++;
      return gate.promise;
    };
    const running: Promise<Taken>[] = [];
    for (let count = 0; count < 1024; count++) running.push(opened.take(object({ size: 0 })));
    while (recording < 1024) await new Promise((resolve) => setImmediate(resolve));
    let read = 0;
    let answered = 0;
    const late = Array.from({ length: 40 }, (_, index) => {
      const one = object({ size: 0 });
      const source = bytesOf(one.dataSet);
      // Half of those that waited are refused before they reach the catalog: their turn must pass on.
      const broken = index % 2 === 0 ? { ...one, SOPClassUID: '1.2.3' } : one;
      return ingest
        .take(
          candidate(broken, {
            dataSet: {
              read: () => {
                read++;
                return source.read();
              },
            },
          }),
        )
        .then(
          () => answered++,
          () => answered++,
        );
    });
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(read).toBe(0);
    expect(recording).toBe(1024);
    opened.steps.hook = () => undefined;
    gate.resolve(undefined);
    await Promise.all([...running, ...late]);
    expect(answered).toBe(40);
    expect((await opened.catalog.counts()).instances).toBe(1024 + 20);
  });

  it('passes the turn on where all that waited are refused', async () => {
    await open();
    const gate = Promise.withResolvers<undefined>();
    let recording = 0;
    opened.steps.hook = ({ name }) => {
      if (name === 'catalog.record') {
        recording++;
        return gate.promise;
      }
      return undefined;
    };
    const running = Array.from({ length: 1024 }, () => statusOf(opened.take(object({ size: 0 }))));
    while (recording < 1024) await new Promise((resolve) => setImmediate(resolve));
    const late = Array.from({ length: 1100 }, () => statusOf(opened.take(object({ size: 0 }))));
    opened.archive.ingest.stop('the volume is gone');
    gate.resolve(undefined);
    expect(new Set(await Promise.all(running))).toEqual(new Set([0]));
    expect(new Set(await Promise.all(late))).toEqual(new Set([0xa700]));
  });
});

it('puts nothing that a peer sent into a path', async () => {
  await open();
  const { arrivalId } = await opened.take(object({ SOPInstanceUID: '..' }));
  expect(fs.existsSync(pathIn(directory, arrivalId, 'instances'))).toBe(true);
});
