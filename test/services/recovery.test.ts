import fs from 'node:fs';
import path from 'node:path';
import Database from 'better-sqlite3';
import type { RecoveryReport } from '../../src/services/recovery';
import type { SentObject } from '../support/data-sets';
import { sha256 } from '../support/ledger-scu';
import { violations } from './invariants';
import {
  cleanUp,
  filesIn,
  flipLastByte,
  newDirectory,
  object,
  openArchive,
  pathIn,
  statusOf,
  storeError,
  type Opened,
  type OpenOptions,
} from './kit';

let directory: string;

beforeEach(() => {
  directory = newDirectory();
});

afterEach(cleanUp);

const NOTHING: RecoveryReport = { segments: 0, adopted: 0, removed: 0, quarantined: 0, missing: 0, left: 0 };

/** Stores, and is killed: nothing is settled. */
async function killedAfter(
  work: (opened: Opened) => Promise<unknown>,
  options: OpenOptions = {},
): Promise<void> {
  const opened = await openArchive(directory, options);
  await work(opened);
  await opened.abandon();
}

/** Starts again, and tells what recovery found. */
async function start(options: OpenOptions = {}): Promise<Opened & { report: RecoveryReport }> {
  const opened = await openArchive(directory, { ...options, recover: false });
  return { ...opened, report: await opened.archive.recover() };
}

/** Takes an object as far as the seal, or as far as the last write: what a killed process leaves. */
async function interrupted(
  opened: Opened,
  one: SentObject,
  at: 'writer.seal' | 'catalog.record',
): Promise<void> {
  const reached = Promise.withResolvers<undefined>();
  opened.steps.hook = ({ name }) => {
    if (name !== at) return undefined;
    reached.resolve(undefined);
    return new Promise(() => undefined);
  };
  void opened.take(one);
  await reached.promise;
  opened.steps.hook = () => undefined;
}

/** The newest rows are lost, as in a power cut. */
function forget(...uids: string[]): void {
  const database = new Database(path.join(directory, 'catalog.sqlite'));
  for (const uid of uids) database.prepare('DELETE FROM instances WHERE SOPInstanceUID = ?').run(uid);
  database.close();
}

async function current(opened: Opened, one: SentObject): Promise<string | undefined> {
  const [held] = await opened.catalog.locate(one.SOPInstanceUID);
  return held === undefined ? undefined : filesIn(directory, 'instances').get(held.arrivalId);
}

describe('Recovery', () => {
  it('finds nothing after a clean stop, and opens no file', async () => {
    const first = await openArchive(directory, { segment: 2 });
    for (let count = 0; count < 5; count++) await first.take(object());
    await first.close();
    const next = await openArchive(directory, { recover: false });
    const opened: string[] = [];
    next.steps.hook = ({ name }) => {
      if (name === 'store.check' || name === 'store.files') opened.push(name);
      return undefined;
    };
    expect(await next.archive.needsRecovery()).toBe(false);
    expect(await next.archive.recover()).toEqual(NOTHING);
    expect(opened).toEqual([]);
    expect(next.alerts).toEqual([]);
  });

  it('looks only through segments that are not settled, and opens only files without a row', async () => {
    const one = object();
    await killedAfter(
      async (opened) => {
        for (let count = 0; count < 4; count++) await opened.take(object());
        await opened.take(one);
        await interrupted(opened, object(), 'catalog.record');
        await opened.catalog.settle(1);
      },
      { segment: 2 },
    );
    const next = await openArchive(directory, { recover: false });
    const calls: string[] = [];
    next.steps.hook = ({ name, args }) => {
      if (name === 'store.files' || name === 'store.check')
        calls.push(`${name} ${String(args[0]).slice(0, 15)}`);
      return undefined;
    };
    expect(await next.archive.needsRecovery()).toBe(true);
    // The fourth was made ready and never used.
    expect(await next.archive.recover()).toMatchObject({ segments: 2, adopted: 1 });
    expect(calls).toEqual(['store.files 3', 'store.check 00000003-000002', 'store.files 4']);
    expect(await next.archive.needsRecovery()).toBe(false);
  });

  it('leaves the segment alone that this process writes to', async () => {
    await killedAfter((opened) => opened.take(object()));
    const next = await start();
    expect(next.report).toEqual({ ...NOTHING, segments: 2 });
    await interrupted(next, object(), 'writer.seal');
    // Asked again while something is under way in its own segment.
    expect(await next.archive.recover()).toEqual(NOTHING);
    expect(filesIn(directory, 'instances').size).toBe(2);
  });

  it('removes what was never finished, and adopts what was sealed', async () => {
    const sealed = object();
    await killedAfter(async (opened) => {
      await interrupted(opened, object(), 'writer.seal');
      await interrupted(opened, sealed, 'catalog.record');
    });
    fs.writeFileSync(pathIn(directory, '00000001-000009-0123456789abcdef', 'instances'), '');
    const next = await start();
    expect(next.report).toEqual({ ...NOTHING, segments: 2, adopted: 1, removed: 2 });
    expect(await current(next, sealed)).toBe(sha256(sealed.dataSet));
    expect(filesIn(directory, 'instances').size).toBe(1);
    expect(next.alerts).toEqual([]);
    await next.abandon();
    expect(await violations(directory, { current: [sealed] })).toEqual([]);
  });

  it('syncs file and folder before it writes the row: cached pages prove nothing', async () => {
    await killedAfter((opened) => interrupted(opened, object(), 'catalog.record'));
    const next = await openArchive(directory, { recover: false });
    await next.archive.recover();
    const { names } = next.steps;
    expect(names.indexOf('store.sync')).toBeGreaterThanOrEqual(0);
    expect(names.indexOf('store.sync')).toBeLessThan(names.indexOf('catalog.record'));
  });

  it('adopts in arrival order what lost its row', async () => {
    const objects = Array.from({ length: 6 }, (_, index) =>
      object({ StudyDescription: `description ${index}` }),
    );
    let before: string[] = [];
    await killedAfter(async (opened) => {
      for (const one of objects) await opened.take(one);
      before = await opened.dump();
    });
    fs.rmSync(path.join(directory, 'catalog.sqlite'));
    fs.rmSync(path.join(directory, 'catalog.sqlite-wal'), { force: true });
    const next = await start();
    expect(next.report).toMatchObject({ adopted: 6 });
    expect(await next.dump()).toEqual(before);
  });

  it('adopts the newest arrivals whose rows are gone', async () => {
    const [old, lost, lostToo] = [object(), object(), object()];
    await killedAfter(async (opened) => {
      for (const one of [old, lost, lostToo]) await opened.take(one);
    });
    forget(lost.SOPInstanceUID, lostToo.SOPInstanceUID);
    const next = await start();
    expect(next.report).toMatchObject({ adopted: 2 });
    for (const one of [old, lost, lostToo]) expect(await current(next, one)).toBe(sha256(one.dataSet));
  });

  it.each<[string, (file: string) => void]>([
    ['a flipped bit', flipLastByte],
    ['a cut', (file) => fs.truncateSync(file, fs.statSync(file).size - 1)],
    ['a cut header', (file) => fs.truncateSync(file, 200)],
    ['more bytes', (file) => fs.appendFileSync(file, 'x')],
    [
      'other contents',
      (file) => fs.writeFileSync(file, 'something else, longer than the preamble'.repeat(10)),
    ],
  ])('moves a file without a row and with %s to quarantine, and says so', async (_what, harm) => {
    const one = object();
    await killedAfter((opened) => interrupted(opened, one, 'catalog.record'));
    const [arrivalId] = [...filesIn(directory, 'instances').keys()];
    harm(pathIn(directory, arrivalId!, 'instances'));
    const next = await start();
    expect(next.report).toMatchObject({ quarantined: 1, adopted: 0, removed: 0 });
    expect(next.alerts).toMatchObject([{ code: 'FILE_SET_ASIDE', details: { arrivalId } }]);
    expect((await next.api.quarantineList({ limit: 9 })).rows).toMatchObject([
      { arrivalId, reason: 'damaged' },
    ]);
    await next.abandon();
    expect(await violations(directory, {})).toEqual([]);
  });

  it('lists every damaged file, not only the first', async () => {
    await killedAfter(async (opened) => {
      for (let count = 0; count < 3; count++) await interrupted(opened, object(), 'catalog.record');
    });
    for (const arrivalId of filesIn(directory, 'instances').keys())
      flipLastByte(pathIn(directory, arrivalId, 'instances'));
    const next = await start();
    expect((await next.api.quarantineList({ limit: 9 })).rows).toHaveLength(3);
    await next.abandon();
    expect(await violations(directory, {})).toEqual([]);
  });

  it('marks a row whose file is gone, and never removes it', async () => {
    const [gone, there] = [object(), object()];
    await killedAfter(async (opened) => {
      for (const one of [gone, there]) await opened.take(one);
      fs.rmSync((await opened.api.show(gone.SOPInstanceUID)).files[0]!.path);
    });
    const next = await start();
    expect(next.report).toMatchObject({ missing: 1 });
    expect(next.alerts).toMatchObject([{ code: 'FILE_MISSING' }]);
    expect((await next.catalog.locate(gone.SOPInstanceUID))[0]).toMatchObject({
      damaged: 'the file is missing',
    });
    expect((await next.take(gone)).outcome).toBe('replaced');
    expect((await next.catalog.locate(gone.SOPInstanceUID))[0]!.damaged).toBeUndefined();
  });

  it('marks the rows of a segment whose folder is gone', async () => {
    await killedAfter(async (opened) => {
      await opened.take(object());
      await opened.take(object());
    });
    fs.rmSync(path.join(directory, 'instances', '00000001'), { recursive: true });
    const next = await start();
    expect(next.report).toMatchObject({ missing: 2 });
  });

  it('looks through a folder that the catalog does not know: an older catalog was put back', async () => {
    const [old, newer] = [object(), object()];
    await killedAfter((opened) => opened.take(old));
    const copy = `${directory}-copy.sqlite`;
    const database = new Database(path.join(directory, 'catalog.sqlite'));
    database.pragma('wal_checkpoint(TRUNCATE)');
    database.close();
    fs.copyFileSync(path.join(directory, 'catalog.sqlite'), copy);
    const second = await openArchive(directory);
    await second.take(newer);
    await second.close();
    for (const suffix of ['-wal', '-shm'])
      fs.rmSync(path.join(directory, `catalog.sqlite${suffix}`), { force: true });
    fs.copyFileSync(copy, path.join(directory, 'catalog.sqlite'));
    const next = await start();
    expect(next.report).toMatchObject({ adopted: 1 });
    for (const one of [old, newer]) expect(await current(next, one)).toBe(sha256(one.dataSet));
    // And no number is given twice.
    expect(
      (await next.take(object())).arrivalId > [...filesIn(directory, 'instances').keys()].sort()[1]!,
    ).toBe(true);
  });

  it('puts an older catalog right about a release and a discard', async () => {
    const UID = '2.25.61';
    const kinds = [1, 2, 3].map((seed) => object({ SOPInstanceUID: UID, seed }));
    await killedAfter(async (opened) => {
      for (const kind of kinds) await statusOf(opened.take(kind));
    });
    const copy = `${directory}-copy.sqlite`;
    const database = new Database(path.join(directory, 'catalog.sqlite'));
    database.pragma('wal_checkpoint(TRUNCATE)');
    database.close();
    fs.copyFileSync(path.join(directory, 'catalog.sqlite'), copy);
    await killedAfter(async (opened) => {
      const [second, third] = (await opened.api.quarantineList({ limit: 9 })).rows;
      await opened.api.quarantineRelease(second!.arrivalId, 'x');
      await opened.api.quarantineDiscard(third!.arrivalId, 'x');
    });
    for (const suffix of ['-wal', '-shm'])
      fs.rmSync(path.join(directory, `catalog.sqlite${suffix}`), { force: true });
    fs.copyFileSync(copy, path.join(directory, 'catalog.sqlite'));
    const next = await start();
    expect(await current(next, kinds[1]!)).toBe(sha256(kinds[1]!.dataSet));
    expect((await next.api.quarantineList({ limit: 9 })).rows).toMatchObject([
      { sha256: sha256(kinds[0]!.dataSet), reason: 'replaced' },
    ]);
    await next.abandon();
    expect(await violations(directory, { current: [kinds[1]!], kept: [kinds[0]!] })).toEqual([]);
  });
});

describe('duplicates met by recovery', () => {
  const UID = '2.25.62';
  const [one, two] = [object({ SOPInstanceUID: UID, seed: 1 }), object({ SOPInstanceUID: UID, seed: 2 })];

  it('the same is removed', async () => {
    await killedAfter(async (opened) => {
      await opened.take(one);
      await interrupted(opened, one, 'catalog.record');
    });
    const next = await start();
    expect(next.report).toMatchObject({ removed: 1, adopted: 0 });
    await next.abandon();
    expect(await violations(directory, { current: [one] })).toEqual([]);
  });

  it('other bytes go to quarantine, or replace, as the node is told', async () => {
    for (const duplicates of ['refuse', 'replace'] as const) {
      directory = newDirectory();
      await killedAfter(async (opened) => {
        await opened.take(one);
        await interrupted(opened, two, 'catalog.record');
      });
      const next = await start({ duplicates });
      expect(next.report).toMatchObject(duplicates === 'refuse' ? { quarantined: 1 } : { adopted: 1 });
      await next.abandon();
      expect(await violations(directory, { current: [duplicates === 'refuse' ? one : two] })).toEqual([]);
    }
  });

  it('a replacement that was decided on is not decided again', async () => {
    await killedAfter(async (opened) => {
      await opened.take(one);
      const reached = Promise.withResolvers<undefined>();
      let records = 0;
      opened.steps.hook = ({ name }) => {
        if (name !== 'catalog.record' || ++records < 2) return undefined;
        reached.resolve(undefined);
        return new Promise(() => undefined);
      };
      void opened.take(two, { duplicates: 'replace' });
      await reached.promise;
    });
    const next = await start({ duplicates: 'refuse' });
    expect(next.report).toMatchObject({ adopted: 1 });
    await next.abandon();
    expect(await violations(directory, { current: [two], kept: [one] })).toEqual([]);
  });

  it('the one that was answered stays, though the other had begun before it', async () => {
    await killedAfter(async (opened) => {
      const [writing, goOn, recording] = [0, 1, 2].map(() => Promise.withResolvers<undefined>());
      let writes = 0;
      opened.steps.hook = ({ name }) => {
        if (name !== 'writer.write' || writes++ > 0) return undefined;
        writing?.resolve(undefined);
        return goOn?.promise;
      };
      void opened.take(one);
      await writing?.promise;
      await opened.take(two);
      opened.steps.hook = ({ name }) => {
        if (name !== 'catalog.record') return undefined;
        recording?.resolve(undefined);
        return new Promise(() => undefined);
      };
      goOn?.resolve(undefined);
      await recording?.promise;
    });
    // A power cut takes the rows that were not synced.
    for (const name of fs.readdirSync(directory)) {
      if (name.startsWith('catalog.sqlite')) fs.rmSync(path.join(directory, name));
    }
    const next = await start();
    expect(next.report).toMatchObject({ adopted: 1, quarantined: 1 });
    expect(next.alerts.map(({ code }) => code)).toEqual(['DUPLICATE_DIFFERS']);
    await next.abandon();
    expect(await violations(directory, { current: [two], kept: [one] })).toEqual([]);
  });

  it('a damaged held copy is mended by what is adopted', async () => {
    let arrivalId = '';
    await killedAfter(async (opened) => {
      ({ arrivalId } = await opened.take(one));
      await interrupted(opened, one, 'catalog.record');
    });
    flipLastByte(pathIn(directory, arrivalId, 'instances'));
    const next = await start();
    expect(next.report).toMatchObject({ adopted: 1 });
    await next.abandon();
    expect(await violations(directory, { current: [one] })).toEqual([]);
  });
});

describe('files that are not to be trusted', () => {
  const UID = '2.25.63';
  const one = object({ SOPInstanceUID: UID, seed: 1 });
  const two = object({ SOPInstanceUID: UID, seed: 2 });

  async function distrusted(opened: Opened, each: SentObject): Promise<string> {
    await interrupted(opened, each, 'catalog.record');
    const arrivalId = [...filesIn(directory, 'instances').keys()].sort().at(-1)!;
    await opened.store.decide({ action: 'distrust', arrivalId, reason: 'EIO', time: 'now' });
    return arrivalId;
  }

  it('are written anew as arrivals of their own', async () => {
    let arrivalId = '';
    await killedAfter(async (opened) => {
      arrivalId = await distrusted(opened, one);
    });
    const next = await start();
    expect(next.report).toMatchObject({ adopted: 1 });
    const [held] = await next.catalog.locate(UID);
    expect(held!.arrivalId > arrivalId).toBe(true);
    expect([...filesIn(directory, 'instances')]).toEqual([[held!.arrivalId, sha256(one.dataSet)]]);
    await next.abandon();
    expect(await violations(directory, { current: [one] })).toEqual([]);
  });

  it('beside a resend that was stored meanwhile are forgotten', async () => {
    await killedAfter(async (opened) => {
      await opened.take(one);
      await distrusted(opened, one);
    });
    await (await start()).abandon();
    expect(filesIn(directory, 'instances').size).toBe(1);
    expect(await violations(directory, { current: [one] })).toEqual([]);
  });

  it('with other bytes than those held go to quarantine, and the node starts', async () => {
    await killedAfter(async (opened) => {
      await opened.take(one);
      await distrusted(opened, two);
    });
    const next = await start();
    expect(next.report).toMatchObject({ quarantined: 1 });
    expect(next.archive.unavailable).toBeUndefined();
    await next.abandon();
    expect(await violations(directory, { current: [one], kept: [two] })).toEqual([]);
  });

  it('stay for the next start where there is no room', async () => {
    let arrivalId = '';
    await killedAfter(async (opened) => {
      arrivalId = await distrusted(opened, one);
    });
    const next = await openArchive(directory, { recover: false });
    next.steps.hook = ({ name }) => (name === 'store.begin' ? storeError('STORE_RESERVE') : undefined);
    expect(await next.archive.recover()).toMatchObject({ left: 1, adopted: 0 });
    expect(next.alerts).toMatchObject([{ code: 'FILE_LEFT', details: { arrivalId } }]);
    expect(filesIn(directory, 'instances').has(arrivalId)).toBe(true);
    await next.close();
    expect(await violations(directory, { current: [one] })).toEqual([]);
  });
});

describe('what is in the way', () => {
  it('one file that can not be read does not keep the node from starting', async () => {
    const [bad, good] = [object(), object()];
    await killedAfter(async (opened) => {
      await interrupted(opened, bad, 'catalog.record');
      await interrupted(opened, good, 'catalog.record');
    });
    const [arrivalId] = [...filesIn(directory, 'instances').keys()].sort();
    const next = await openArchive(directory, { recover: false });
    next.steps.hook = ({ name, args }) =>
      name === 'store.check' && args[0] === arrivalId ? storeError('STORE_FAILED') : undefined;
    expect(await next.archive.recover()).toMatchObject({ left: 1, adopted: 1 });
    expect(next.alerts).toMatchObject([{ code: 'FILE_LEFT' }]);
    expect(await current(next, good)).toBe(sha256(good.dataSet));
    await next.close();
    // Its segment was not settled: it is looked at again.
    expect(await violations(directory, { current: [good, bad] })).toEqual([]);
  });

  it('a stop in the middle leaves the rest to the next start', async () => {
    const objects = Array.from({ length: 6 }, () => object());
    await killedAfter(async (opened) => {
      for (const one of objects) await interrupted(opened, one, 'catalog.record');
    });
    const next = await openArchive(directory, { recover: false });
    const reached = Promise.withResolvers<undefined>();
    const gate = Promise.withResolvers<undefined>();
    next.steps.hook = ({ name }) => {
      if (name !== 'catalog.record') return undefined;
      reached.resolve(undefined);
      return gate.promise;
    };
    const recovering = next.archive.recover();
    await reached.promise;
    const closing = next.close();
    gate.resolve(undefined);
    expect(await recovering).toMatchObject({ adopted: 1 });
    expect(next.archive.unavailable).toBeDefined();
    await closing;
    const again = await start();
    expect(again.report).toMatchObject({ adopted: 5 });
    await again.abandon();
    expect(await violations(directory, { current: objects })).toEqual([]);
  });

  it('nothing is changed by commands before it has ended', async () => {
    await killedAfter((opened) => opened.take(object()));
    const next = await openArchive(directory, { recover: false });
    expect(next.archive.unavailable).toBeDefined();
    for (const asked of [
      () => next.api.quarantineRelease('x', 'y'),
      () => next.api.quarantineDiscard('x', 'y'),
      async () => {
        const events = next.api.importPaths(['/nowhere'], new AbortController().signal);
        await events[Symbol.asyncIterator]().next();
      },
    ])
      expect(await statusOf(asked())).toBe('NOT_READY');
    await next.archive.recover();
    expect(await statusOf(next.api.quarantineRelease('x', 'y'))).toBe('QUARANTINE_UNKNOWN');
  });

  it('files in quarantine without a row or a decision are listed', async () => {
    const one = object();
    await killedAfter(async (opened) => {
      await interrupted(opened, one, 'catalog.record');
      const [arrivalId] = [...filesIn(directory, 'instances').keys()];
      await opened.store.quarantine(arrivalId!);
    });
    fs.writeFileSync(pathIn(directory, '00000001-000007-0123456789abcdef', 'quarantine'), 'no DICOM file');
    fs.writeFileSync(pathIn(directory, '00000001-000008-0123456789abcdef', 'quarantine'), 'no DICOM file');
    const next = await start();
    expect((await next.api.quarantineList({ limit: 9 })).rows.map(({ reason }) => reason)).toEqual([
      'replaced',
      'damaged',
      'damaged',
    ]);
    await next.abandon();
    expect(await violations(directory, { kept: [one] })).toEqual([]);
  });

  it('a quarantined file that is gone is taken off the list, and somebody is told', async () => {
    const UID = '2.25.64';
    await killedAfter(async (opened) => {
      for (const seed of [1, 2]) await statusOf(opened.take(object({ SOPInstanceUID: UID, seed })));
      const [row] = (await opened.api.quarantineList({ limit: 9 })).rows;
      fs.rmSync(pathIn(directory, row!.arrivalId, 'quarantine'));
    });
    const next = await start();
    expect(next.alerts).toMatchObject([{ code: 'FILE_MISSING' }]);
    expect((await next.api.quarantineList({ limit: 9 })).rows).toEqual([]);
  });

  it('a deletion that was decided is carried out', async () => {
    const one = object();
    await killedAfter(async (opened) => {
      await interrupted(opened, one, 'catalog.record');
      const [arrivalId] = [...filesIn(directory, 'instances').keys()];
      await opened.store.decide({ action: 'delete', arrivalId: arrivalId!, reason: 'x', time: 'now' });
    });
    const next = await start();
    expect(next.report).toMatchObject({ removed: 1 });
    expect(filesIn(directory, 'instances').size).toBe(0);
  });

  it('tells how far it is', async () => {
    await killedAfter(
      async (opened) => {
        for (let count = 0; count < 5; count++) await opened.take(object());
      },
      { segment: 2 },
    );
    const next = await openArchive(directory, { recover: false, segment: 2 });
    const seen: [number, number][] = [];
    await next.archive.recover(({ segments }, left) => seen.push([segments, left]));
    // The last one used, and the one that was made ready.
    expect(seen).toEqual([
      [1, 1],
      [2, 0],
    ]);
  });
});
