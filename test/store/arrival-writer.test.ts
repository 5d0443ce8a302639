import fc from 'fast-check';
import { createHash, randomBytes } from 'node:crypto';
import fsp from 'node:fs/promises';
import path from 'node:path';
import type { FilesystemStore } from '../../src/store/filesystem';
import {
  DATA_SET,
  failure,
  FakeCalls,
  type RecordedCall,
  META,
  offer,
  openStore,
  put,
  readAll,
  removeScratch,
  systemError,
  writeAll,
} from './fake-calls';

const KIB = 1024;

function split(bytes: Buffer, size: number): Buffer[] {
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size));
  return chunks;
}

describe('arrival writer', () => {
  let fake: FakeCalls;
  let store: FilesystemStore;
  let root: string;

  beforeEach(async () => {
    fake = new FakeCalls();
    store = await openStore({ calls: fake.calls });
    await fake.idle();
    root = path.dirname(path.dirname(path.dirname(store.pathOf('00000001-000001-0123456789abcdef'))));
  });

  afterEach(async () => {
    fake.heal();
    await store.close();
    await removeScratch();
  });

  const filesIn = async (folder: string): Promise<string[]> =>
    (await fsp.readdir(path.join(root, folder), { recursive: true })).filter((name) => name.endsWith('.dcm'));

  it.each([
    ['one chunk', 1, 128 * KIB],
    ['PDVs of 64 KiB', 16, 64 * KIB],
    ['many small ones', 3000, 700],
  ])(
    'puts data, then the seal, then one fdatasync on the disk before it says so: %s',
    async (_, count, size) => {
      // Slow calls: an order that only holds by luck breaks.
      fake.hook = (call) =>
        call.path.endsWith('.dcm') ? new Promise((resolve) => setImmediate(resolve)) : undefined;
      const before = fake.record.length;
      const writer = await store.begin(META);
      await writeAll(
        writer,
        Array.from({ length: count }, () => randomBytes(size)),
      );
      const file = await writer.seal();
      const made = fake.record.slice(before).filter((call) => call.path.endsWith('.dcm'));
      const writes = made.filter((call) => call.name === 'writev');
      const seal = writes.at(-1)!;
      const sync = made.filter((call) => call.name === 'fdatasync');
      expect(seal).toMatchObject({ bytes: 128, position: file.dataSetOffset - 128 });
      expect(sync).toHaveLength(1);
      expect(sync[0]!.ended).toBeDefined();
      const index = (call: (typeof made)[number]): number => fake.record.indexOf(call);
      for (const write of writes.slice(0, -1)) {
        expect(write.ended).toBeLessThan(seal.ended!);
        expect(index(write)).toBeLessThan(index(seal));
      }
      // Begun only when the seal was down.
      expect(seal.ended).toBeLessThan(sync[0]!.ended!);
      expect(index(seal)).toBeLessThan(index(sync[0]!));
      expect(writes.slice(0, -1).reduce((sum, write) => sum + write.bytes, 0)).toBe(
        file.dataSetOffset + file.dataSetLength,
      );
      writer.finish();
    },
  );

  it('never begins a call before the one that it depends on has ended', async () => {
    let release: () => void = () => undefined;
    const isOurs = (call: RecordedCall): boolean => call.path.endsWith('.dcm') && call.name !== 'close';
    fake.hook = (call) => (isOurs(call) ? new Promise<void>((resolve) => (release = resolve)) : undefined);
    const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
    const writer = await store.begin(META);
    offer(writer, DATA_SET);
    let done = false;
    const sealed = writer.seal().then(() => (done = true));
    const seen: string[][] = [];
    for (let step = 1; step <= 4; step++) {
      while (fake.record.filter(isOurs).length < step) await turn();
      // Enough turns for whatever does not wait to get ahead; the held call lets nothing through.
      for (let i = 0; i < 20; i++) await turn();
      expect(done).toBe(false);
      seen.push(fake.record.filter(isOurs).map((call) => call.name));
      release();
    }
    await sealed;
    expect(seen).toEqual([
      ['open'],
      ['open', 'writev'],
      ['open', 'writev', 'writev'],
      ['open', 'writev', 'writev', 'fdatasync'],
    ]);
    writer.finish();
  });

  it('writes a small object in one call besides its seal', async () => {
    await put(store, ...split(randomBytes(128 * KIB), 64 * KIB));
    expect(fake.named('writev').filter((call) => call.path.endsWith('.dcm'))).toHaveLength(2);
  });

  it('stores the concatenation of the chunks, however they are cut', async () => {
    const sizes = fc.array(fc.oneof(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 200 * KIB })), {
      maxLength: 20,
    });
    await fc.assert(
      fc.asyncProperty(sizes, fc.infiniteStream(fc.boolean()), async (lengths, waits) => {
        const chunks = lengths.map((length) => randomBytes(length));
        const all = Buffer.concat(chunks);
        const writer = await store.begin(META);
        for (const chunk of chunks) {
          const behind = writer.write(chunk);
          if (behind !== undefined) await behind;
          else if (waits.next().value) await new Promise((resolve) => setImmediate(resolve));
        }
        const file = await writer.seal();
        writer.finish();
        expect(file.dataSetLength).toBe(all.length);
        expect(file.sha256).toBe(createHash('sha256').update(all).digest('hex'));
        const bytes = await fsp.readFile(store.pathOf(file.arrivalId));
        expect(bytes.subarray(file.dataSetOffset).equals(all)).toBe(true);
        expect(await store.check(file.arrivalId)).toEqual({ state: 'sealed', file, meta: META });
        expect((await readAll(store.readDataSet(file))).equals(all)).toBe(true);
      }),
      { numRuns: 40 },
    );
  });

  it('goes on after short writes, of any length and anywhere', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 30 }),
        async (cuts) => {
          const left = [...cuts];
          fake.hook = (call) => {
            if (call.name !== 'writev' || !call.path.endsWith('.dcm')) return undefined;
            const cut = left.pop();
            return cut === undefined ? undefined : Math.min(cut, call.bytes);
          };
          const all = randomBytes(20_000);
          const file = await put(store, ...split(all, 3000));
          fake.heal();
          expect((await store.check(file.arrivalId)).state).toBe('sealed');
          expect((await readAll(store.readDataSet(file))).equals(all)).toBe(true);
        },
      ),
      { numRuns: 40 },
    );
  });

  it('gives up where a write takes nothing and says nothing', async () => {
    fake.hook = (call) => (call.name === 'writev' && call.path.endsWith('.dcm') ? 0 : undefined);
    const writer = await store.begin(META);
    expect(await failure(writer.seal())).toMatchObject({ code: 'STORE_FAILED', arrivalId: writer.arrivalId });
    await writer.revoke();
  });

  it('asks its caller to wait when about 1 MiB waits for the disk, and not before', async () => {
    let open: () => void = () => undefined;
    fake.hook = (call) =>
      call.name === 'open' && call.path.endsWith('.dcm')
        ? new Promise<void>((resolve) => (open = resolve))
        : undefined;
    const writer = await store.begin(META);
    let taken = 0;
    let behind: Promise<void> | undefined;
    while (behind === undefined) {
      behind = writer.write(Buffer.alloc(64 * KIB));
      taken += 64 * KIB;
    }
    expect(taken).toBeGreaterThanOrEqual(512 * KIB);
    expect(taken).toBeLessThanOrEqual(1024 * KIB);
    open();
    await behind;
    expect(await writer.seal()).toMatchObject({ dataSetLength: taken });
    writer.finish();
  });

  it('asks its caller to wait when many tiny fragments wait', async () => {
    let open: () => void = () => undefined;
    fake.hook = (call) =>
      call.name === 'open' && call.path.endsWith('.dcm')
        ? new Promise<void>((resolve) => (open = resolve))
        : undefined;
    const writer = await store.begin(META);
    let fragments = 1;
    let behind = writer.write(Buffer.of(0));
    for (; behind === undefined; fragments++) behind = writer.write(Buffer.of(0));
    expect(fragments).toBeLessThanOrEqual(1000);
    open();
    await behind;
    expect(await writer.seal()).toMatchObject({ dataSetLength: fragments });
    writer.finish();
  });

  it('lets others have their turn while it takes one huge chunk', async () => {
    const writer = await store.begin(META);
    let turns = 0;
    const timer = setInterval(() => turns++, 0);
    await writer.write(Buffer.alloc(64 * 1024 * KIB));
    clearInterval(timer);
    expect(turns).toBeGreaterThan(5);
    await writer.revoke();
  });

  it('makes files of mode 0600 in folders of mode 0700', async () => {
    const file = await put(store, DATA_SET);
    const mode = async (of: string): Promise<number> => (await fsp.lstat(of)).mode & 0o777;
    const name = store.pathOf(file.arrivalId);
    expect(await mode(name)).toBe(0o600);
    for (const folder of [
      path.dirname(name),
      path.join(root, 'instances'),
      path.join(root, 'quarantine'),
      root,
    ])
      expect(await mode(folder)).toBe(0o700);
    for (const own of ['store.json', 'decisions.jsonl']) expect(await mode(path.join(root, own))).toBe(0o600);
  });

  it('unlinks what is revoked, and syncs the folder where it had been sealed', async () => {
    const half = await store.begin(META);
    await writeAll(half, split(randomBytes(600 * KIB), 64 * KIB));
    const before = fake.named('fsync').length;
    await half.revoke();
    expect(fake.named('fsync')).toHaveLength(before);
    expect(await filesIn('instances')).toEqual([]);

    const whole = await store.begin(META);
    await whole.write(DATA_SET);
    await whole.seal();
    await whole.revoke();
    await whole.revoke();
    expect(await filesIn('instances')).toEqual([]);
    expect(fake.named('fsync')).toHaveLength(before + 1);
    expect(
      fake.record.findIndex((call) => call.name === 'unlink' && call.path.includes(whole.arrivalId)),
    ).toBeLessThan(fake.record.lastIndexOf(fake.named('fsync').at(-1)!));
    // Right after revoke, as the services do it.
    whole.finish();
  });

  it('waits for calls under way before it unlinks and closes', async () => {
    let end: () => void = () => undefined;
    const writer = await store.begin(META);
    await writer.write(Buffer.alloc(300 * KIB));
    fake.hook = (call) =>
      call.name === 'fdatasync' ? new Promise<void>((resolve) => (end = resolve)) : undefined;
    const sealed = writer.seal();
    while (!fake.record.some((call) => call.name === 'fdatasync' && call.path.includes(writer.arrivalId)))
      await new Promise((resolve) => setImmediate(resolve));
    const revoked = writer.revoke();
    await new Promise((resolve) => setImmediate(resolve));
    expect(fake.named('unlink').filter((call) => call.path.includes(writer.arrivalId))).toEqual([]);
    end();
    await sealed;
    await revoked;
    expect(await filesIn('instances')).toEqual([]);
  });

  it('does not let a file go that has its row', async () => {
    const writer = await store.begin(META);
    await writer.write(DATA_SET);
    await writer.seal();
    writer.finish();
    await expect(writer.revoke()).rejects.toThrow('has its row');
    expect(await filesIn('instances')).toHaveLength(1);
    expect(() => writer.write(DATA_SET)).toThrow();
    expect(() => writer.seal()).toThrow();
  });

  it.each([
    ['ENOSPC', 'open', 'STORE_FULL'],
    ['EDQUOT', 'open', 'STORE_FULL'],
    ['EMFILE', 'open', 'STORE_FAILED'],
    ['EROFS', 'open', 'STORE_FAILED'],
    ['ENOSPC', 'writev', 'STORE_FULL'],
    ['EDQUOT', 'writev', 'STORE_FULL'],
    ['EFBIG', 'writev', 'STORE_FAILED'],
  ] as const)('%s at %s is %s; nothing is left and the store goes on', async (code, call, expected) => {
    fake.fail(call, code, { path: /\.dcm$/ });
    const writer = await store.begin(META);
    offer(writer, DATA_SET);
    const error = await failure(writer.seal());
    expect(error).toMatchObject({ code: expected, arrivalId: writer.arrivalId });
    expect(error['hint']).toEqual(expect.any(String));
    expect(error.message).not.toContain(root);
    await writer.revoke();
    expect(await filesIn('instances')).toEqual([]);
    expect(store.stopped).toBeUndefined();
    fake.heal();
    const file = await put(store, DATA_SET);
    expect((await store.check(file.arrivalId)).state).toBe('sealed');
  });

  it('ENOSPC at the seal alone is STORE_FULL, too', async () => {
    fake.hook = (call) => (call.name === 'writev' && call.bytes === 128 ? systemError('ENOSPC') : undefined);
    const writer = await store.begin(META);
    offer(writer, DATA_SET);
    expect(await failure(writer.seal())).toMatchObject({ code: 'STORE_FULL' });
    await writer.revoke();
    expect(await filesIn('instances')).toEqual([]);
  });

  it('ENOSPC after part of a write leaves nothing', async () => {
    let calls = 0;
    fake.hook = (call) => {
      if (call.name !== 'writev' || !call.path.endsWith('.dcm')) return undefined;
      return ++calls === 1 ? 4096 : systemError('ENOSPC');
    };
    const writer = await store.begin(META);
    offer(writer, randomBytes(100_000));
    expect(await failure(writer.seal())).toMatchObject({ code: 'STORE_FULL' });
    await writer.revoke();
    expect(await filesIn('instances')).toEqual([]);
  });

  it('tells a failure in the middle at the next chunk', async () => {
    fake.fail('writev', 'ENOSPC', { path: /\.dcm$/ });
    const writer = await store.begin(META);
    const writing = async (): Promise<void> => {
      for (let i = 0; i < 1000; i++)
        await (writer.write(Buffer.alloc(64 * KIB)) ?? new Promise(setImmediate));
    };
    expect(await failure(writing())).toMatchObject({ code: 'STORE_FULL' });
    await writer.revoke();
  });

  it.each(['ENOENT', 'ESTALE', 'EIO'])(
    '%s while creating a file stops the store: the volume is gone',
    async (code) => {
      fake.fail('open', code, { path: /\.dcm$/ });
      const writer = await store.begin(META);
      expect(await failure(writer.seal())).toMatchObject({ code: 'STORE_FAILED' });
      await writer.revoke();
      expect(store.stopped).toMatch(/volume/);
    },
  );

  it('a sync that fails is final: unlinked, never repeated, nothing more is taken, reads go on', async () => {
    const kept = await put(store, DATA_SET);
    const other = await store.begin(META);
    await other.write(DATA_SET);
    fake.fail('fdatasync', 'EIO', { once: true });
    const before = fake.named('fdatasync').length;
    const writer = await store.begin(META);
    offer(writer, DATA_SET);
    expect(await failure(writer.seal())).toMatchObject({
      code: 'STORE_SYNC_FAILED',
      arrivalId: writer.arrivalId,
      unlinked: true,
    });
    expect((await filesIn('instances')).some((name) => name.includes(writer.arrivalId))).toBe(false);
    expect(store.stopped).toContain('EIO');
    await writer.revoke();
    expect(await failure(store.begin(META))).toMatchObject({ code: 'STORE_STOPPED' });
    // Begun before, and whole: the word of that disk is not taken for it either.
    expect(await failure(other.seal())).toMatchObject({ code: 'STORE_STOPPED' });
    await other.revoke();
    expect(fake.named('fdatasync')).toHaveLength(before + 1);
    expect((await readAll(store.readDataSet(kept))).equals(DATA_SET)).toBe(true);
    expect(await store.check(kept.arrivalId)).toMatchObject({ state: 'sealed' });
  });

  it('says so when the file of a failed sync stays, and still takes down that it is not to be trusted', async () => {
    fake.hook = (call) =>
      call.name === 'fdatasync' && call.path.endsWith('.dcm')
        ? systemError('EIO')
        : call.name === 'unlink'
          ? systemError('EROFS')
          : undefined;
    const writer = await store.begin(META);
    offer(writer, DATA_SET);
    expect(await failure(writer.seal())).toMatchObject({ code: 'STORE_SYNC_FAILED', unlinked: false });
    expect(await failure(writer.revoke())).toMatchObject({ code: 'STORE_FAILED', unlinked: false });
    const decision = {
      action: 'distrust',
      arrivalId: writer.arrivalId,
      reason: 'EIO',
      time: '2026-01-01T00:00:00Z',
    } as const;
    await store.decide(decision);
    expect(await store.decisions()).toEqual([decision]);
    fake.heal();
    await writer.revoke();
    expect(await filesIn('instances')).toEqual([]);
  });

  it('stops when the folder of a revoked file cannot be synced', async () => {
    const writer = await store.begin(META);
    await writer.write(DATA_SET);
    await writer.seal();
    fake.fail('fsync', 'EIO', { once: true });
    expect(await failure(writer.revoke())).toMatchObject({ code: 'STORE_SYNC_FAILED' });
    expect(store.stopped).toBeDefined();
  });

  it('never unlinks a file that it did not create', async () => {
    fake.hook = (call) =>
      call.name === 'open' && call.path.endsWith('.dcm')
        ? fsp.writeFile(call.path, 'somebody else')
        : undefined;
    const writer = await store.begin(META);
    expect(await failure(writer.seal())).toMatchObject({ code: 'STORE_FAILED' });
    await writer.revoke();
    expect(await filesIn('instances')).toHaveLength(1);
  });

  it('keeps no descriptor open', async () => {
    await put(store, DATA_SET);
    await fake.idle();
    const before = fake.openDescriptors;
    for (let i = 0; i < 20; i++) {
      const file = await put(store, DATA_SET);
      await store.check(file.arrivalId);
      for await (const piece of store.readDataSet(file)) {
        expect(piece.length).toBeGreaterThan(0);
        break;
      }
      const revoked = await store.begin(META);
      await revoked.revoke();
    }
    await fake.idle();
    expect(fake.openDescriptors).toBe(before);
  });
});
