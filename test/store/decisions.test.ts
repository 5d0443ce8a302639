import fc from 'fast-check';
import fsp from 'node:fs/promises';
import path from 'node:path';
import type { FilesystemStore } from '../../src/store/filesystem';
import type { Decision } from '../../src/store/types';
import { failure, FakeCalls, openStore, removeScratch, scratch, systemError } from './fake-calls';

function decision(number: number, reason = `reason ${number}`): Decision {
  return {
    action: 'delete',
    arrivalId: `00000001-${String(number).padStart(6, '0')}-0123456789abcdef`,
    reason,
    time: '2026-01-02T03:04:05.678Z',
  };
}

describe('decisions', () => {
  let fake: FakeCalls;
  let store: FilesystemStore;
  let file: string;

  beforeEach(async () => {
    fake = new FakeCalls();
    const directory = path.join(await scratch(), 'data');
    store = await openStore({ directory, calls: fake.calls });
    file = path.join(directory, 'decisions.jsonl');
    await fake.idle();
  });

  afterEach(async () => {
    fake.heal();
    await store.close();
    await removeScratch();
  });

  it('are on the disk when they are made, and read in their order', async () => {
    const made = [
      decision(1),
      { ...decision(2), other: decision(1).arrivalId },
      { ...decision(4), action: 'quarantine', kind: 'damaged' } as const,
      decision(3, 'umlauts äöü, "quotes", a\nnewline and \u2028'),
    ];
    for (const one of made) await store.decide(one);
    const appends = fake.record.filter(
      (call) => call.path === file && ['writev', 'fdatasync'].includes(call.name),
    );
    expect(appends.map((call) => call.name)).toEqual([
      'fdatasync',
      ...made.flatMap(() => ['writev', 'fdatasync']),
    ]);
    expect(await store.decisions()).toEqual(made);
    expect((await fsp.readFile(file, 'utf8')).split('\n')).toHaveLength(5);
  });

  it('share a sync when they come together', async () => {
    const many = Array.from({ length: 500 }, (_, index) => decision(index + 1));
    await Promise.all(many.map((one) => store.decide(one)));
    expect(fake.record.filter((call) => call.path === file && call.name === 'fdatasync').length).toBeLessThan(
      6,
    );
    expect(await store.decisions()).toEqual(many);
  });

  it('pass over a line that was cut off, at every byte, and put the next one in its place', async () => {
    await store.decide(decision(1));
    const whole = await fsp.readFile(file);
    const torn = Buffer.from(JSON.stringify(decision(2)));
    await store.close();
    const directory = path.dirname(file);
    for (let length = 1; length <= torn.length; length += 7) {
      await fsp.writeFile(file, Buffer.concat([whole, torn.subarray(0, length)]));
      store = await openStore({ directory, calls: fake.calls });
      expect(await store.decisions()).toEqual([decision(1)]);
      await store.decide(decision(3));
      expect(await store.decisions()).toEqual([decision(1), decision(3)]);
      await store.close();
    }
    for (const rest of [Buffer.alloc(200_000), torn]) {
      await fsp.writeFile(file, rest);
      store = await openStore({ directory, calls: fake.calls });
      expect(await store.decisions()).toEqual([]);
      await store.decide(decision(3));
      expect(await fsp.readFile(file, 'utf8')).toBe(`${JSON.stringify(decision(3))}\n`);
      await store.close();
    }
  });

  it('are read whole however the pieces of the file fall', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 12_000 }), { minLength: 1, maxLength: 25 }),
        async (lengths) => {
          const made = lengths.map((length, index) => decision(index + 1, 'x'.repeat(length)));
          await fsp.writeFile(file, made.map((one) => `${JSON.stringify(one)}\n`).join(''));
          expect(await store.decisions()).toEqual(made);
        },
      ),
      { numRuns: 30 },
    );
  });

  it('are not guessed where a line is damaged', async () => {
    const lines = [decision(1), decision(2), decision(3)].map((one) => JSON.stringify(one));
    for (const bad of [
      '',
      '{}',
      'null',
      '[]',
      lines[1]!.replace('delete', 'forget'),
      lines[1]!.replace('00000001', '../00001'),
      JSON.stringify({ ...decision(2), kind: 'whim' }),
      lines[1]!.slice(0, -1),
      JSON.stringify(decision(2, 'x'.repeat(300_000))),
    ]) {
      await fsp.writeFile(file, [lines[0], bad, lines[2], ''].join('\n'));
      expect(await failure(store.decisions())).toMatchObject({
        code: 'STORE_DAMAGED',
        message: 'line 2 of decisions.jsonl is not a decision',
      });
    }
  });

  it('have a bounded length', async () => {
    expect(await failure(store.decide(decision(1, 'x'.repeat(20_000))))).toMatchObject({
      code: 'STORE_FAILED',
    });
    expect(await store.decisions()).toEqual([]);
  });

  it('leave no part of a line when the volume is full in the middle of it', async () => {
    await store.decide(decision(1));
    let calls = 0;
    fake.hook = (call) => (call.name !== 'writev' ? undefined : ++calls === 1 ? 20 : systemError('ENOSPC'));
    expect(await failure(store.decide(decision(2)))).toMatchObject({ code: 'STORE_FULL' });
    fake.heal();
    expect(await store.decisions()).toEqual([decision(1)]);
    await store.decide(decision(3));
    expect(await store.decisions()).toEqual([decision(1), decision(3)]);
    expect(store.stopped).toBeUndefined();
  });

  it('are not there when they were refused, however many shared the write', async () => {
    await store.decide(decision(1));
    const both = JSON.stringify(decision(3)).length + 1 + JSON.stringify(decision(4)).length + 1;
    for (const truncates of [true, false]) {
      let cut = false;
      fake.hook = (call) => {
        if (call.name === 'ftruncate' && !truncates) return systemError('EIO');
        if (call.name !== 'writev') return undefined;
        if (cut) return systemError('ENOSPC');
        if (call.bytes < both) return undefined;
        cut = true;
        return both - 10;
      };
      // The first has begun to be written when the others come, which then share a write.
      const first = store.decide(decision(2));
      const refused = [store.decide(decision(3)), store.decide(decision(4))].map(failure);
      await first;
      for (const error of await Promise.all(refused)) expect(error).toMatchObject({ code: 'STORE_FULL' });
      if (truncates)
        expect((await store.decisions()).map((one) => one.arrivalId)).not.toContain(decision(3).arrivalId);
      fake.heal();
      await store.decide(decision(5));
      expect(new Set((await store.decisions()).map((one) => one.reason))).toEqual(
        new Set(['reason 1', 'reason 2', 'reason 5']),
      );
    }
  });

  it('are refused where the file became shorter: a hole would be no line', async () => {
    await store.decide(decision(1));
    fake.fail('writev', 'ENOSPC', { once: true });
    await failure(store.decide(decision(2)));
    fake.heal();
    await fsp.truncate(file, 10);
    expect(await failure(store.decide(decision(3)))).toMatchObject({ code: 'STORE_FAILED' });
    expect((await fsp.readFile(file)).length).toBe(10);
  });

  it('stop everything when their sync fails', async () => {
    fake.fail('fdatasync', 'EIO', { once: true });
    expect(await failure(store.decide(decision(1)))).toMatchObject({ code: 'STORE_SYNC_FAILED' });
    expect(store.stopped).toContain('decisions.jsonl');
    expect(await failure(store.decide(decision(2)))).toMatchObject({ code: 'STORE_STOPPED' });
  });

  it('are not written to a bare mount point', async () => {
    await fsp.rm(file);
    expect(await failure(store.decide(decision(1)))).toMatchObject({ code: 'STORE_FAILED' });
    await expect(fsp.lstat(file)).rejects.toThrow('ENOENT');
  });
});
