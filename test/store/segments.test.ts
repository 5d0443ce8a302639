import fsp from 'node:fs/promises';
import path from 'node:path';
import { FilesystemStore } from '../../src/store/filesystem';
import { DATA_SET, failure, FakeCalls, META, openStore, put, removeScratch, scratch } from './fake-calls';

describe('segments', () => {
  let fake: FakeCalls;
  let store: FilesystemStore;
  let directory: string;
  let settled: number[];
  let opened: number[];
  let clock: number;

  const open = async (limits: { files: number; milliseconds: number }, interval = 0): Promise<void> => {
    fake = new FakeCalls();
    settled = [];
    opened = [];
    clock = 0;
    directory = path.join(await scratch(), 'data');
    store = new FilesystemStore({
      directory,
      reserve: { bytes: 0 },
      interval,
      patience: 50,
      segment: limits,
      elapsed: () => clock,
      calls: fake.calls,
    });
    store.onSettled((segment) => settled.push(segment));
    store.onOpened((segment) => opened.push(segment));
    await store.open(0);
  };

  afterEach(async () => {
    fake.heal();
    await store.close();
    await removeScratch();
  });

  it('are closed at their number of files, and settled when the last writer has ended', async () => {
    await open({ files: 3, milliseconds: 1e9 });
    const writers = [];
    for (let i = 0; i < 7; i++) {
      const writer = await store.begin(META);
      await writer.write(DATA_SET);
      await writer.seal();
      writers.push(writer);
    }
    expect(writers.map((writer) => Number(writer.arrivalId.slice(0, 8)))).toEqual([1, 1, 1, 2, 2, 2, 3]);
    expect(writers.map((writer) => writer.arrivalId)).toEqual(
      writers.map((writer) => writer.arrivalId).sort(),
    );
    expect(opened).toEqual([1, 2, 3]);
    expect(settled).toEqual([]);
    for (const writer of writers.slice(3, 6)) writer.finish();
    // Oldest first.
    expect(settled).toEqual([]);
    writers[0]!.finish();
    await writers[1]!.revoke();
    writers[1]!.finish();
    expect(settled).toEqual([]);
    writers[2]!.finish();
    expect(settled).toEqual([1, 2]);
    writers[2]!.finish();
    writers[6]!.finish();
    await store.close();
    expect(settled).toEqual([1, 2, 3]);
  });

  it('are closed by their age, on a clock that does not jump, once they hold a file', async () => {
    await open({ files: 1000, milliseconds: 3_600_000 });
    clock = 4_000_000;
    expect((await put(store, DATA_SET)).segment).toBe(1);
    clock = 3_599_999 + 4_000_000;
    expect((await put(store, DATA_SET)).segment).toBe(2);
    clock += 3_599_999;
    expect((await put(store, DATA_SET)).segment).toBe(2);
    clock += 1;
    expect((await put(store, DATA_SET)).segment).toBe(3);
    expect(settled).toEqual([1, 2]);
  });

  it('are closed by their age also when nothing comes any more', async () => {
    await open({ files: 1000, milliseconds: 1000 }, 1);
    await put(store, DATA_SET);
    clock = 1000;
    while (settled.length === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(settled).toEqual([1]);
    // An empty one stays in use: an idle node makes no folders.
    clock = 1e6;
    const looks = fake.named('statfs').length;
    while (fake.named('statfs').length < looks + 3) await new Promise((resolve) => setImmediate(resolve));
    expect(opened).toEqual([1, 2]);
  });

  it('are on the disk, with their parent, before their first file is created', async () => {
    await open({ files: 2, milliseconds: 1e9 });
    for (let i = 0; i < 5; i++) await put(store, DATA_SET);
    for (const number of ['00000001', '00000002', '00000003']) {
      const folder = path.join(directory, 'instances', number);
      const at = (test: (call: (typeof fake.record)[number]) => boolean): number =>
        fake.record.findIndex(test);
      const made = fake.record[at((call) => call.name === 'mkdir' && call.path === folder)]!;
      const synced = fake.record[at((call) => call.name === 'fsync' && call.path === folder)]!;
      const parent = fake.record.find(
        (call, index) =>
          call.name === 'fsync' && call.path === path.dirname(folder) && index > fake.record.indexOf(synced),
      )!;
      const file = at((call) => call.name === 'open' && call.path.startsWith(`${folder}/`));
      expect(made.ended).toBeLessThan(synced.ended!);
      expect(synced.ended).toBeLessThan(parent.ended!);
      expect(fake.record.indexOf(parent)).toBeLessThan(file);
    }
  });

  it('are made ready ahead: a file that opens the next one waits for no folder', async () => {
    await open({ files: 2, milliseconds: 1e9 });
    await put(store, DATA_SET);
    await put(store, DATA_SET);
    await fake.idle();
    fake.record.length = 0;
    const writer = await store.begin(META);
    expect(writer.arrivalId.startsWith('00000002-')).toBe(true);
    const file = fake.record.findIndex((call) => call.name === 'open' && call.path.endsWith('.dcm'));
    expect(fake.record.slice(0, file).filter((call) => call.name === 'fsync')).toEqual([]);
    await writer.revoke();
  });

  it('are not listed before they are used: a walk would call them settled, and their files would be lost to it', async () => {
    await open({ files: 2, milliseconds: 1e9 });
    await fake.idle();
    expect(await fsp.readdir(path.join(directory, 'instances'))).toEqual(['00000001', '00000002']);
    expect(await store.segments()).toEqual([1]);
    for (let i = 0; i < 3; i++) await put(store, DATA_SET);
    expect(await store.segments()).toEqual([1, 2]);
    // Left behind by a stop, the one made ready is a folder like the others.
    await fake.idle();
    const looking = new FilesystemStore({ directory, reserve: { bytes: 0 }, receives: false });
    await looking.open(0);
    expect(await looking.segments()).toEqual([1, 2, 3]);
    expect(await failure(looking.begin(META))).toMatchObject({ code: 'STORE_CLOSED' });
    await looking.close();
    expect(await fsp.readdir(path.join(directory, 'instances'))).toHaveLength(3);
  });

  it('can be made again after a failure', async () => {
    await open({ files: 1, milliseconds: 1e9 });
    await fake.idle();
    await put(store, DATA_SET);
    await put(store, DATA_SET);
    fake.fail('mkdir', 'ENOSPC');
    await put(store, DATA_SET).catch(() => undefined);
    expect(await failure(store.begin(META))).toMatchObject({ code: 'STORE_FULL' });
    fake.heal();
    await put(store, DATA_SET);
    expect(store.stopped).toBeUndefined();
  });

  it('stop the store when their folder cannot be synced', async () => {
    await open({ files: 1, milliseconds: 1e9 });
    await fake.idle();
    fake.fail('fsync', 'EIO', { once: true });
    await put(store, DATA_SET);
    await put(store, DATA_SET).catch(() => undefined);
    await fake.idle();
    expect(await failure(store.begin(META))).toMatchObject({
      code: expect.stringMatching(/STOPPED|SYNC_FAILED/),
    });
    expect(store.stopped).toContain('EIO');
  });

  it('serve many that come at once, each number once', async () => {
    await open({ files: 3, milliseconds: 1e9 });
    const files = await Promise.all(Array.from({ length: 20 }, () => put(store, DATA_SET)));
    const places = files.map((file) => file.arrivalId.slice(0, 15));
    expect(new Set(places).size).toBe(20);
    await store.close();
    expect(settled).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  it('leave no empty folders behind', async () => {
    await open({ files: 10, milliseconds: 1e9 });
    await put(store, DATA_SET);
    await store.close();
    expect(await fsp.readdir(path.join(directory, 'instances'))).toEqual(['00000001']);
    const again = await openStore({ directory }, 1);
    await again.close();
    expect(await fsp.readdir(path.join(directory, 'instances'))).toEqual(['00000001']);
  });

  it('are never settled while nobody knows whether a file has its row; closing does not wait for ever', async () => {
    await open({ files: 10, milliseconds: 1e9 });
    const writer = await store.begin(META);
    await writer.write(DATA_SET);
    await writer.seal();
    await store.close();
    expect(settled).toEqual([]);
  });

  it('wait for their writers when the store is closed', async () => {
    await open({ files: 10, milliseconds: 1e9 });
    const writer = await store.begin(META);
    await writer.write(DATA_SET);
    const closed = store.close();
    expect(await failure(store.begin(META))).toMatchObject({ code: 'STORE_CLOSED' });
    await writer.seal();
    writer.finish();
    await closed;
    expect(settled).toEqual([1]);
  });
});
