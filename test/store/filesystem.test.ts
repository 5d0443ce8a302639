import { randomBytes } from 'node:crypto';
import fsp from 'node:fs/promises';
import path from 'node:path';
import { FilesystemStore } from '../../src/store/filesystem';
import type { SealedFile } from '../../src/store/types';
import {
  DATA_SET,
  failure,
  FakeCalls,
  META,
  openStore,
  put,
  readAll,
  removeScratch,
  scratch,
  systemError,
} from './fake-calls';

const UNKNOWN = '00000001-000001-0123456789abcdef';

afterAll(removeScratch);

describe('opening a store', () => {
  const failureOf = (directory: string, lastKnownSegment = 0): ReturnType<typeof failure> =>
    failure(openStore({ directory }, lastKnownSegment));

  it('keeps its id, and begins above every folder and above what the catalog knows', async () => {
    const directory = path.join(await scratch(), 'data');
    const first = await openStore({ directory });
    const { id } = first;
    expect(await first.segments()).toContain(1);
    const file = await put(first, DATA_SET);
    expect(file.segment).toBe(1);
    await first.close();
    const second = await openStore({ directory }, 1);
    expect(second.id).toBe(id);
    expect((await put(second, DATA_SET)).segment).toBe(2);
    await second.close();
    const third = await openStore({ directory }, 40);
    expect((await put(third, DATA_SET)).segment).toBe(41);
    await third.close();
  });

  it('refuses a directory without sentinel that a catalog knows files of: the volume is not mounted', async () => {
    const directory = path.join(await scratch(), 'data');
    await fsp.mkdir(directory, 0o700);
    expect(await failureOf(directory, 3)).toMatchObject({ code: 'STORE_MISSING' });
    // Nothing was put on the bare mount point.
    expect(await fsp.readdir(directory)).toEqual([]);
    expect(await failureOf(path.join(directory, 'isocenter'), 3)).toMatchObject({ code: 'STORE_MISSING' });
    expect(await failureOf(path.join(directory, 'no/such'))).toMatchObject({ code: 'STORE_MISSING' });
    expect(await fsp.readdir(directory)).toEqual([]);
  });

  it('is on the disk with every folder above it, whoever made those', async () => {
    const folder = await scratch();
    const directory = path.join(folder, 'a/b/data');
    await fsp.mkdir(directory, { recursive: true, mode: 0o700 });
    const fake = new FakeCalls();
    const store = await openStore({ directory, calls: fake.calls });
    const synced = fake.named('fsync').map((call) => call.path);
    for (let at = directory; at !== '/'; at = path.dirname(at)) expect(synced).toContain(at);
    await store.close();
  });

  it('refuses a sentinel that it does not understand', async () => {
    const directory = path.join(await scratch(), 'data');
    for (const text of ['', '{', '{"format":"isocenter-store","version":2,"id":"x"}', 'null']) {
      await fsp.mkdir(directory, { recursive: true, mode: 0o700 });
      await fsp.writeFile(path.join(directory, 'store.json'), text);
      expect(await failureOf(directory)).toMatchObject({ code: 'STORE_UNSAFE' });
    }
  });

  it.each(['instances', 'quarantine', 'instances/00000001', 'store.json', 'decisions.jsonl'])(
    'refuses a link in the place of %s',
    async (name) => {
      const folder = await scratch();
      const directory = path.join(folder, 'data');
      const store = await openStore({ directory });
      await put(store, DATA_SET);
      await store.close();
      await fsp.rename(path.join(directory, name), path.join(folder, 'elsewhere'));
      await fsp.symlink(path.join(folder, 'elsewhere'), path.join(directory, name));
      expect(await failureOf(directory, 1)).toMatchObject({ code: 'STORE_UNSAFE' });
    },
  );

  it('refuses a directory that every user may write to', async () => {
    const directory = path.join(await scratch(), 'data');
    await fsp.mkdir(directory);
    await fsp.chmod(directory, 0o777);
    expect(await failureOf(directory)).toMatchObject({
      code: 'STORE_UNSAFE',
      hint: `chmod o-w ${directory}`,
    });
  });

  it('follows a link to the directory itself: where it lies is the choice of the sysadmin', async () => {
    const folder = await scratch();
    await fsp.mkdir(path.join(folder, 'volume'), 0o700);
    await fsp.symlink('volume', path.join(folder, 'data'));
    const store = await openStore({ directory: path.join(folder, 'data') });
    const file = await put(store, DATA_SET);
    expect(store.pathOf(file.arrivalId).startsWith(path.join(folder, 'volume'))).toBe(true);
    await store.close();
  });

  it('can be tried again after a failure, and leaves nothing half', async () => {
    const directory = path.join(await scratch(), 'data');
    for (const name of ['mkdir', 'open', 'writev', 'rename'] as const) {
      const fake = new FakeCalls();
      fake.fail(name, 'ENOSPC');
      const error = await failure(openStore({ directory, calls: fake.calls }));
      expect(error).toMatchObject({ code: 'STORE_FULL' });
    }
    const store = await openStore({ directory });
    await put(store, DATA_SET);
    await store.close();
  });

  it('takes nothing before it is open and after it is closed', async () => {
    const directory = path.join(await scratch(), 'data');
    const store = new FilesystemStore({ directory, reserve: { percent: 5 } });
    expect(await failure(store.begin(META))).toMatchObject({ code: 'STORE_CLOSED' });
    await store.open(0);
    await store.close();
    await store.close();
    expect(await failure(store.begin(META))).toMatchObject({ code: 'STORE_CLOSED' });
    expect(await failure(store.check(UNKNOWN))).toMatchObject({ code: 'STORE_CLOSED' });
  });
});

describe('stored files', () => {
  let fake: FakeCalls;
  let store: FilesystemStore;
  let file: SealedFile;

  beforeEach(async () => {
    fake = new FakeCalls();
    store = await openStore({ calls: fake.calls });
    file = await put(store, DATA_SET);
    await fake.idle();
    fake.record.length = 0;
  });

  afterEach(async () => {
    fake.heal();
    await store.close();
  });

  const moves = (): string[] =>
    fake
      .named('rename', 'unlink', 'mkdir', 'fsync', 'fdatasync')
      .map((call) => `${call.name} ${call.path.replace(/^.*\/data\/?/, '').replace(file.arrivalId, 'ID')}`);

  it('are listed in arrival order, and nothing else is', async () => {
    const more = [await put(store, DATA_SET), await put(store, DATA_SET, DATA_SET)];
    const folder = path.dirname(store.pathOf(file.arrivalId));
    await fsp.writeFile(path.join(folder, 'notes.txt'), '');
    await fsp.writeFile(path.join(folder, UNKNOWN.replace('00000001', '00000007') + '.dcm'), '');
    const listed = await store.files(1);
    expect(listed.map((one) => one.arrivalId)).toEqual([file, ...more].map((one) => one.arrivalId));
    expect(listed[2]).toEqual({
      arrivalId: more[1]!.arrivalId,
      path: store.pathOf(more[1]!.arrivalId),
      size: more[1]!.dataSetOffset + more[1]!.dataSetLength,
    });
    expect(await store.files(99)).toEqual([]);
  });

  it('go to quarantine and back, the new name synced before the old one is forgotten', async () => {
    await store.quarantine(file.arrivalId);
    expect(moves()).toEqual([
      'rename instances/00000001/ID.dcm',
      'fsync quarantine',
      'fsync instances/00000001',
    ]);
    expect(await store.quarantined()).toEqual([file.arrivalId]);
    expect(await store.exists(file.arrivalId)).toBe(false);
    expect(await store.exists(file.arrivalId, 'quarantine')).toBe(true);
    expect(await store.check(file.arrivalId, 'quarantine')).toMatchObject({ state: 'sealed' });
    expect((await readAll(store.readDataSet(file, 'quarantine'))).equals(DATA_SET)).toBe(true);
    fake.record.length = 0;
    await store.release(file.arrivalId);
    expect(moves()).toEqual(['rename quarantine/ID.dcm', 'fsync instances/00000001', 'fsync quarantine']);
    expect(await store.quarantined()).toEqual([]);
    expect(await store.check(file.arrivalId)).toMatchObject({ state: 'sealed' });
  });

  it('come back into a folder that is gone', async () => {
    await store.quarantine(file.arrivalId);
    await fsp.rmdir(path.dirname(store.pathOf(file.arrivalId)));
    fake.record.length = 0;
    await store.release(file.arrivalId);
    expect(moves()).toEqual([
      'mkdir instances/00000001',
      'fsync instances/00000001',
      'fsync instances',
      'rename quarantine/ID.dcm',
      'fsync instances/00000001',
      'fsync quarantine',
    ]);
    expect(await store.check(file.arrivalId)).toMatchObject({ state: 'sealed' });
  });

  it('complete a move that was cut off, and never overwrite one another', async () => {
    fake.fail('fsync', 'EMFILE', { once: true });
    await failure(store.quarantine(file.arrivalId));
    fake.heal();
    await store.quarantine(file.arrivalId);
    expect(await store.quarantined()).toEqual([file.arrivalId]);
    await fsp.copyFile(store.pathOf(file.arrivalId, 'quarantine'), store.pathOf(file.arrivalId));
    expect(await failure(store.quarantine(file.arrivalId))).toMatchObject({ code: 'STORE_FAILED' });
    expect(await failure(store.quarantine(UNKNOWN))).toMatchObject({
      code: 'STORE_FAILED',
      arrivalId: UNKNOWN,
    });
  });

  it('are removed with the folder synced, also where they are gone already', async () => {
    await store.remove(file.arrivalId);
    expect(moves()).toEqual(['unlink instances/00000001/ID.dcm', 'fsync instances/00000001']);
    await store.remove(file.arrivalId);
    expect(await store.exists(file.arrivalId)).toBe(false);
  });

  it('are synced with their folder', async () => {
    await store.sync(file.arrivalId);
    expect(moves()).toEqual(['fdatasync instances/00000001/ID.dcm', 'fsync instances/00000001']);
    fake.fail('fdatasync', 'EIO');
    expect(await failure(store.sync(file.arrivalId))).toMatchObject({ code: 'STORE_SYNC_FAILED' });
    expect(store.stopped).toBeDefined();
  });

  it('have no path but that of an id of ours', async () => {
    for (const name of [
      '../../etc/passwd',
      '..',
      '/etc/passwd',
      `${UNKNOWN}/../x`,
      '',
      '1.2.3',
      `${UNKNOWN}\0`,
    ]) {
      expect(() => store.pathOf(name)).toThrow(expect.objectContaining({ code: 'STORE_BAD_ID' }));
      for (const use of [
        store.check(name),
        store.sync(name),
        store.remove(name, 'quarantine'),
        store.quarantine(name),
        store.release(name),
        store.exists(name),
      ]) {
        expect(await failure(use)).toMatchObject({ code: 'STORE_BAD_ID' });
      }
    }
    expect(fake.record).toEqual([]);
  });

  it('are read in pieces, the next one ahead of the reader', async () => {
    const big = await put(store, randomBytes(1_000_000));
    await fake.idle();
    fake.record.length = 0;
    const pieces = store.readDataSet(big)[Symbol.asyncIterator]();
    const first = await pieces.next();
    expect(first.value).toHaveLength(256 * 1024);
    await fake.idle();
    expect(fake.named('read')).toHaveLength(2);
    await pieces.return?.();
    await fake.idle();
    expect(fake.named('close')).toHaveLength(1);
  });

  it('tell which one could not be read', async () => {
    const { arrivalId, dataSetOffset } = file;
    const longer = { ...file, dataSetLength: file.dataSetLength + 1 };
    expect(await failure(readAll(store.readDataSet(longer)))).toMatchObject({
      code: 'STORE_DAMAGED',
      arrivalId,
    });
    fake.fail('read', 'EIO');
    expect(await failure(readAll(store.readDataSet(file)))).toMatchObject({
      code: 'STORE_FAILED',
      arrivalId,
    });
    // A read error says nothing about the bytes: not a mismatch, on which a file would be moved.
    expect(await failure(store.check(arrivalId))).toMatchObject({ code: 'STORE_FAILED', arrivalId });
    fake.heal();
    await fsp.rm(store.pathOf(arrivalId));
    expect(await failure(readAll(store.readDataSet(file)))).toMatchObject({
      code: 'STORE_NO_FILE',
      arrivalId,
    });
    expect(await failure(store.check(arrivalId))).toMatchObject({ code: 'STORE_NO_FILE', arrivalId });
    await fsp.symlink('/etc/hostname', store.pathOf(arrivalId));
    expect(
      await failure(readAll(store.readDataSet({ arrivalId, dataSetOffset, dataSetLength: 1 }))),
    ).toMatchObject({
      code: 'STORE_FAILED',
    });
    expect(await store.check(arrivalId)).toEqual({ state: 'mismatch', reason: 'it is not a regular file' });
  });

  it('are checked in bounded pieces', async () => {
    const big = await put(store, randomBytes(3_000_000));
    await fake.idle();
    fake.record.length = 0;
    expect(await store.check(big.arrivalId)).toMatchObject({ state: 'sealed' });
    const reads = fake.named('read').map((call) => call.bytes);
    expect(reads.length).toBeGreaterThan(3);
    expect(Math.max(...reads)).toBeLessThanOrEqual(1024 * 1024);
  });
});

describe('a changed file', () => {
  let store: FilesystemStore;
  let file: SealedFile;
  let bytes: Buffer;
  let name: string;

  beforeAll(async () => {
    store = await openStore();
    file = await put(store, DATA_SET);
    name = store.pathOf(file.arrivalId);
    bytes = await fsp.readFile(name);
  });

  afterAll(() => store.close());

  const stateOf = async (changed: Buffer): Promise<string> => {
    await fsp.writeFile(name, changed);
    const check = await store.check(file.arrivalId);
    if (check.state === 'mismatch') expect(check.reason).toMatch(/^(it|its) /);
    return check.state;
  };

  it('is never called sealed, whichever bit is flipped', async () => {
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = Buffer.from(bytes);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      if ((await stateOf(flipped)) !== 'mismatch') throw new Error(`bit ${bit} passed`);
    }
    expect(await stateOf(bytes)).toBe('sealed');
  });

  it('is never called sealed, wherever it is cut or however it grew', async () => {
    expect(await stateOf(Buffer.alloc(0))).toBe('unsealed');
    for (let length = 1; length < bytes.length; length++) {
      if ((await stateOf(bytes.subarray(0, length))) !== 'mismatch')
        throw new Error(`${length} bytes passed`);
    }
    expect(await stateOf(Buffer.concat([bytes, Buffer.of(0)]))).toBe('mismatch');
    expect(await stateOf(Buffer.alloc(bytes.length))).toBe('mismatch');
  });

  it('is called unsealed only while its seal is all zeros', async () => {
    const unsealed = Buffer.from(bytes);
    unsealed.fill(0, file.dataSetOffset - 128, file.dataSetOffset);
    expect(await stateOf(unsealed)).toBe('unsealed');
    expect(await stateOf(unsealed.subarray(0, file.dataSetOffset + 5))).toBe('unsealed');
    unsealed[file.dataSetOffset - 1] = 1;
    expect(await stateOf(unsealed)).toBe('mismatch');
  });

  it('does not pass under the name of another arrival', async () => {
    const other = await put(store, DATA_SET);
    await fsp.copyFile(store.pathOf(other.arrivalId), name);
    expect(await store.check(file.arrivalId)).toEqual({
      state: 'mismatch',
      reason: 'its seal is that of another arrival',
    });
  });

  it('is not taken for one of ours without our seal', async () => {
    const foreign = Buffer.from(bytes);
    // (0002,0100) is the last text before the seal: another creator.
    foreign[bytes.indexOf('2.25.3289', 0, 'latin1')] = 0x31;
    foreign.fill(0, file.dataSetOffset - 128, file.dataSetOffset);
    expect(await stateOf(foreign)).toBe('mismatch');
    expect(await stateOf(randomBytes(5000))).toBe('mismatch');
  });
});

describe('space', () => {
  const volume = { blocks: 1000, bsize: 4096, bavail: 500, files: 1000, ffree: 900 };

  const withVolume = async (
    reserve: { bytes: number } | { percent: number },
  ): Promise<{ store: FilesystemStore; volume: typeof volume; fake: FakeCalls }> => {
    const fake = new FakeCalls();
    const current = { ...volume };
    const calls = { ...fake.calls, statfs: async () => ({ ...current }) as never };
    return { store: await openStore({ calls, reserve, interval: 1 }), volume: current, fake };
  };

  it('is refused at the reserve, told in bytes, and taken again when there is space', async () => {
    const { store, volume: current } = await withVolume({ percent: 50 });
    expect(store.space()).toEqual({ free: 500 * 4096, reserve: 500 * 4096, total: 1000 * 4096 });
    expect(await failure(store.begin(META))).toMatchObject({ code: 'STORE_RESERVE' });
    current.bavail = 600;
    // The timer looks again by itself.
    while (store.space().free !== 600 * 4096) await new Promise((resolve) => setImmediate(resolve));
    await put(store, DATA_SET);
    await store.close();
  });

  it('counts what was written since the last look, also within one object', async () => {
    const fake = new FakeCalls();
    const calls = { ...fake.calls, statfs: async () => ({ ...volume }) as never };
    const store = await openStore({ calls, reserve: { bytes: 400 * 4096 } });
    const writer = await store.begin(META);
    await writer.write(Buffer.alloc(90 * 4096));
    await writer.write(Buffer.alloc(20 * 4096));
    expect(await failure(writer.write(Buffer.alloc(1)))).toMatchObject({
      code: 'STORE_RESERVE',
      arrivalId: writer.arrivalId,
    });
    await writer.revoke();
    expect(await failure(store.begin(META))).toMatchObject({ code: 'STORE_RESERVE' });
    await store.close();
  });

  it('minds the inodes, except where a file system has none to count', async () => {
    const { store, volume: current } = await withVolume({ percent: 5 });
    await put(store, DATA_SET);
    const seen = async (change: () => void): Promise<void> => {
      change();
      const before = current.bavail;
      current.bavail = before - 1;
      while (store.space().free > current.bavail * 4096)
        await new Promise((resolve) => setImmediate(resolve));
    };
    await seen(() => (current.ffree = 50));
    expect(await failure(store.begin(META))).toMatchObject({ code: 'STORE_RESERVE' });
    await seen(() => ([current.files, current.ffree] = [0, 0]));
    await put(store, DATA_SET);
    await store.close();
  });

  it('keeps its last answer when the system gives none', async () => {
    const fake = new FakeCalls();
    const store = await openStore({ calls: fake.calls, interval: 1 });
    fake.hook = (call) => (call.name === 'statfs' ? systemError('EIO') : undefined);
    const before = fake.named('statfs').length;
    while (fake.named('statfs').length < before + 3) await new Promise((resolve) => setImmediate(resolve));
    expect(store.space().total).toBeGreaterThan(0);
    await put(store, DATA_SET);
    await store.close();
  });
});
