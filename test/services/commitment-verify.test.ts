import fs from 'node:fs';
import { Verifier, type VerifyOptions } from '../../src/services/commitment-verify';
import { NodeEventBus } from '../../src/events';
import { SOP, type SentObject } from '../support/data-sets';
import { cleanUp, flipLastByte, newDirectory, object, openArchive, type Opened } from './kit';

let opened: Opened;
let verifier: Verifier;
let events: NodeEventBus;
let alerts: string[];
const never = new AbortController().signal;

beforeEach(async () => {
  opened = await openArchive(newDirectory());
  alerts = [];
  events = new NodeEventBus((error) => {
    throw error;
  });
  events.on('alert', ({ code, details }) => alerts.push(`${code} ${String(details?.['SOPInstanceUID'])}`));
  verifier = new Verifier({ catalog: opened.catalog, store: opened.store, events });
});

afterEach(cleanUp);

const reference = ({ SOPClassUID, SOPInstanceUID }: SentObject, SOPClass = SOPClassUID) => ({
  SOPClassUID: SOPClass,
  SOPInstanceUID,
});

async function verify(
  list: readonly ReturnType<typeof reference>[],
  options: Partial<VerifyOptions> = {},
): Promise<string[] | undefined> {
  const failed = await verifier.verify(list, { until: 0, signal: never, ...options });
  return failed?.map(({ SOPInstanceUID, reason }) => `${SOPInstanceUID} ${reason.toString(16)}`).sort();
}

async function fileOf({ SOPInstanceUID }: SentObject): Promise<string> {
  const [held] = await opened.catalog.locate(SOPInstanceUID);
  return opened.store.pathOf(held!.arrivalId);
}

async function hold(count: number): Promise<SentObject[]> {
  const objects = Array.from({ length: count }, () => object());
  for (const one of objects) await opened.take(one);
  return objects;
}

it('has nothing against what is held as it was sealed', async () => {
  const objects = await hold(100);
  expect(await verify(objects.map((one) => reference(one)))).toEqual([]);
  expect(alerts).toEqual([]);
});

it('tells what is not held, of another class, damaged and gone; marks and alarms once', async () => {
  const [good, other, harmed, gone] = (await hold(4)) as [SentObject, SentObject, SentObject, SentObject];
  flipLastByte(await fileOf(harmed));
  fs.rmSync(await fileOf(gone));
  const unknown = object();
  const list = [
    reference(good),
    reference(other, SOP.mr),
    reference(harmed),
    reference(gone),
    reference(unknown),
  ];
  const expected = [
    `${other.SOPInstanceUID} 119`,
    `${harmed.SOPInstanceUID} 110`,
    `${gone.SOPInstanceUID} 112`,
    `${unknown.SOPInstanceUID} 112`,
  ].sort();
  expect(await verify(list)).toEqual(expected);
  expect(alerts).toEqual([`FILE_DAMAGED ${harmed.SOPInstanceUID}`, `FILE_DAMAGED ${gone.SOPInstanceUID}`]);
  expect((await opened.catalog.locate(harmed.SOPInstanceUID))[0]!.damaged).toMatch(/other bytes than sealed/);
  expect(await verify(list)).toEqual(expected);
  expect(alerts).toHaveLength(2);
});

it('sees a header that was changed, and a file that was swapped for another whole one', async () => {
  const [first, second] = (await hold(2)) as [SentObject, SentObject];
  const file = await fileOf(first);
  fs.copyFileSync(await fileOf(second), file);
  expect(await verify([reference(first), reference(second)])).toEqual([`${first.SOPInstanceUID} 110`]);
});

it('does not take an instance that is refused or in quarantine for held', async () => {
  const [one] = (await hold(1)) as [SentObject];
  const differing = object({ SOPInstanceUID: one.SOPInstanceUID, seed: 9 });
  await expect(opened.take(differing)).rejects.toMatchObject({ status: 0x0111 });
  // What is held stays committed.
  expect(await verify([reference(one)])).toEqual([]);
});

it('waits for what comes later, and looks at that alone', async () => {
  const [held] = (await hold(1)) as [SentObject];
  const [early, late] = [object(), object()];
  events.emit('stored', {
    arrivalId: '',
    associationId: '',
    remoteName: '',
    SOPClassUID: '',
    SOPInstanceUID: 'somebody else',
    bytes: 0,
    outcome: 'stored',
  });
  opened.steps.start();
  let checks = 0;
  const store = {
    check: (id: string) => {
      checks++;
      return opened.store.check(id);
    },
    exists: (id: string) => opened.store.exists(id),
  };
  verifier = new Verifier({ catalog: opened.catalog, store, events });
  const verdict = verify(
    [held, early, late].map((one) => reference(one)),
    { until: Date.now() + 20_000 },
  );
  for (const one of [early, late]) {
    await opened.take(one);
    events.emit('stored', opened.stored.at(-1)!);
  }
  expect(await verdict).toEqual([]);
  expect(checks).toBe(3);
});

it('gives up what has not come when the time is over, and looks a last time', async () => {
  const [unnoticed, never_] = [object(), object()];
  const verdict = verify([reference(unnoticed), reference(never_)], { until: Date.now() + 100 });
  // Without an event, as what recovery adopts.
  await opened.take(unnoticed);
  expect(await verdict).toEqual([`${never_.SOPInstanceUID} 112`]);
});

it('stops at once when told to', async () => {
  const stop = new AbortController();
  const verdict = verify([reference(object())], { until: Date.now() + 20_000, signal: stop.signal });
  setImmediate(() => stop.abort());
  expect(await verdict).toBeUndefined();
});

it('does not read again what was read a short while ago, and asks the catalog all the same', async () => {
  const [one, other] = (await hold(2)) as [SentObject, SentObject];
  flipLastByte(await fileOf(one));
  expect(await verify([reference(one), reference(other, SOP.mr)], { bytes: false })).toEqual([
    `${other.SOPInstanceUID} 119`,
  ]);
});

it('looks for the new copy where the one held has been replaced meanwhile', async () => {
  const [one] = (await hold(1)) as [SentObject];
  const replacement = object({ SOPInstanceUID: one.SOPInstanceUID, seed: 9 });
  let first = true;
  const store = {
    check: async (id: string) => {
      if (first) {
        first = false;
        await opened.take(replacement, { duplicates: 'replace' });
        throw Object.assign(new Error('gone'), { code: 'STORE_NO_FILE' });
      }
      return opened.store.check(id);
    },
    exists: (id: string) => opened.store.exists(id),
  };
  verifier = new Verifier({ catalog: opened.catalog, store, events });
  expect(await verify([reference(one)])).toEqual([]);
  expect(alerts).toEqual([]);
});

it('takes a device that fails for damage, and throws what says nothing about the bytes', async () => {
  const [one] = (await hold(1)) as [SentObject];
  const failing = (code: string) => ({
    check: () =>
      Promise.reject(
        Object.assign(new Error('reading', { cause: Object.assign(new Error(code), { code }) }), {
          code: 'STORE_FAILED',
        }),
      ),
    exists: () => Promise.resolve(true),
  });
  verifier = new Verifier({ catalog: opened.catalog, store: failing('EMFILE'), events });
  await expect(verify([reference(one)])).rejects.toMatchObject({ code: 'STORE_FAILED' });
  expect(alerts).toEqual([]);
  verifier = new Verifier({ catalog: opened.catalog, store: failing('EIO'), events });
  expect(await verify([reference(one)])).toEqual([`${one.SOPInstanceUID} 110`]);
  expect(alerts).toEqual([`FILE_DAMAGED ${one.SOPInstanceUID}`]);
});

it('reads one file at a time, in turns where several ask', async () => {
  const objects = await hold(6);
  const order: string[] = [];
  let running = 0;
  const store = {
    check: async (id: string) => {
      running++;
      expect(running).toBe(1);
      const check = await opened.store.check(id);
      if (check.state === 'sealed') order.push(check.meta.MediaStorageSOPInstanceUID);
      running--;
      return check;
    },
    exists: (id: string) => opened.store.exists(id),
  };
  verifier = new Verifier({ catalog: opened.catalog, store, events });
  await Promise.all([
    verify(objects.slice(0, 4).map((one) => reference(one))),
    verify(objects.slice(4).map((one) => reference(one))),
  ]);
  // The short list does not wait for the end of the long one.
  expect(order.indexOf(objects[5]!.SOPInstanceUID)).toBeLessThan(5);
  expect(order).toHaveLength(6);
});
