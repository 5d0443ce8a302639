import fs from 'node:fs';
import type { SentObject } from '../support/data-sets';
import { violations, type Promises } from './invariants';
import {
  cleanUp,
  deleteCurrent,
  flipLastByte,
  newDirectory,
  object,
  openArchive,
  pathIn,
  statusOf,
  type Opened,
  type OpenOptions,
} from './kit';

/**
 * The process ends after every single step of what it does; the next start has to bring files, rows and decisions
 * together again, lose nothing, and a reindex has to find the same.
 */
interface Scenario {
  readonly name: string;
  /** Least number of steps: a scenario that fails early proves nothing. */
  readonly steps: number;
  readonly options?: OpenOptions;
  /** Before the watch. Returns what the archive owes whatever happens, and the act. */
  readonly prepare: (
    opened: Opened,
    directory: string,
  ) => Promise<Promises & { act: (opened: Opened) => Promise<unknown> }>;
  /** What the caller, who got no answer, does at the next start. */
  readonly retry?: (opened: Opened) => Promise<unknown>;
  /** Ends the process after `prepare`: the act is the next start's recovery. */
  readonly restart?: true;
}

const UID = '2.25.5';
const one = object({ SOPInstanceUID: UID, seed: 1, PatientName: 'A' });
const two = object({ SOPInstanceUID: UID, seed: 2, PatientName: 'B' });
const three = object({ SOPInstanceUID: UID, seed: 3, PatientName: 'C' });
const elsewhere = object({
  SOPInstanceUID: UID,
  seed: 4,
  PatientID: 'ELSE',
  StudyInstanceUID: '2.25.6',
  SeriesInstanceUID: '2.25.6.1',
});
const beside = object({ SOPInstanceUID: '2.25.7', PatientName: 'D' });

const replacing = { duplicates: 'replace' } as const;

async function held(opened: Opened, ...objects: SentObject[]): Promise<void> {
  for (const each of objects) await opened.take(each, replacing);
}

/** Refused: its arrival id in quarantine. */
async function refused(opened: Opened, each: SentObject): Promise<string> {
  expect(await statusOf(opened.take(each))).toBe(0x0111);
  const { rows } = await opened.catalog.quarantined({ limit: 100 });
  return rows.at(-1)!.arrivalId;
}

async function idOf(opened: Opened, uid: string): Promise<string> {
  return (await opened.catalog.locate(uid))[0]!.arrivalId;
}

const SCENARIOS: readonly Scenario[] = [
  {
    name: 'storing',
    steps: 4,
    prepare: async (opened) => {
      await held(opened, one);
      return { current: [one], act: (now) => now.take(beside) };
    },
  },
  {
    name: 'storing the same again',
    steps: 5,
    prepare: async (opened) => {
      await held(opened, one);
      return { current: [one], act: (now) => now.take(one) };
    },
  },
  {
    name: 'refusing other bytes',
    steps: 7,
    prepare: async (opened) => {
      await held(opened, one, beside);
      return { current: [one, beside], act: (now) => statusOf(now.take(two)) };
    },
  },
  {
    name: 'refusing other bytes again',
    steps: 6,
    prepare: async (opened) => {
      await held(opened, one, beside);
      await refused(opened, two);
      return { current: [one, beside], kept: [two], act: (now) => statusOf(now.take(two)) };
    },
  },
  {
    name: 'replacing',
    steps: 6,
    prepare: async (opened) => {
      await held(opened, one, two, beside);
      return { current: [beside], kept: [one, two], act: (now) => now.take(three, replacing) };
    },
  },
  {
    name: 'mending a damaged file',
    steps: 9,
    prepare: async (opened, directory) => {
      await held(opened, one, beside);
      flipLastByte(pathIn(directory, await idOf(opened, UID), 'instances'));
      return { current: [one, beside], act: (now) => now.take(one) };
    },
    retry: (now) => now.take(one),
  },
  {
    name: 'replacing a file that is gone',
    steps: 7,
    prepare: async (opened, directory) => {
      await held(opened, one, beside);
      fs.rmSync(pathIn(directory, await idOf(opened, UID), 'instances'));
      return { current: [one, beside], act: (now) => now.take(one) };
    },
    retry: (now) => now.take(one),
  },
  {
    name: 'releasing',
    steps: 6,
    prepare: async (opened) => {
      await held(opened, one, beside);
      const aside = await refused(opened, two);
      return {
        current: [beside],
        kept: [one, two],
        act: (now) => now.api.quarantineRelease(aside, 'the resend is right'),
      };
    },
  },
  {
    name: 'releasing to another patient',
    steps: 6,
    prepare: async (opened) => {
      await held(opened, one, beside);
      const aside = await refused(opened, elsewhere);
      return {
        current: [beside],
        kept: [one, elsewhere],
        act: (now) => now.api.quarantineRelease(aside, 'it is hers'),
      };
    },
  },
  {
    name: 'releasing over a version and a higher one',
    steps: 11,
    prepare: async (opened) => {
      await held(opened, one);
      const aside = await refused(opened, elsewhere);
      await held(opened, two, three, beside);
      return {
        current: [beside],
        kept: [one, two, three, elsewhere],
        act: (now) => now.api.quarantineRelease(aside, 'after all'),
      };
    },
  },
  {
    name: 'releasing what nothing is held of',
    steps: 4,
    prepare: async (opened) => {
      await held(opened, one, beside);
      const aside = await refused(opened, two);
      await deleteCurrent(opened, UID);
      return {
        current: [beside],
        kept: [two],
        act: (now) => now.api.quarantineRelease(aside, 'back'),
      };
    },
  },
  {
    name: 'discarding',
    steps: 3,
    prepare: async (opened) => {
      await held(opened, one, beside);
      const aside = await refused(opened, two);
      return { current: [one, beside], act: (now) => now.api.quarantineDiscard(aside, 'a test') };
    },
  },
  {
    name: 'recovering',
    steps: 12,
    restart: true,
    prepare: async (opened, directory) => {
      await held(opened, one, beside);
      const lost = object({ seed: 9 });
      const broken = [object(), object()];
      const distrusted = object({ seed: 10 });
      const unsealed = object();
      const aside = await refused(opened, two);
      const other = await refused(opened, three);
      await opened.store.decide({ action: 'discard', arrivalId: other, reason: 'x', time: 'now' });
      await opened.store.decide({ action: 'release', arrivalId: aside, reason: 'y', time: 'now' });
      // Sealed, and then the process ended.
      opened.steps.hook = ({ name }) =>
        name === 'catalog.record' ? new Promise(() => undefined) : undefined;
      for (const each of [lost, ...broken, distrusted]) void opened.take(each).catch(() => undefined);
      await until(() => opened.steps.names.filter((name) => name === 'catalog.record').length === 8);
      opened.steps.hook = ({ name }) => (name === 'writer.seal' ? new Promise(() => undefined) : undefined);
      void opened.take(unsealed).catch(() => undefined);
      await until(() => opened.steps.names.at(-1) === 'writer.seal');
      for (const { arrivalId } of await opened.store.files(1)) {
        const check = await opened.store.check(arrivalId);
        if (check.state !== 'sealed') continue;
        const uid = check.meta.MediaStorageSOPInstanceUID;
        if (broken.some((each) => each.SOPInstanceUID === uid))
          flipLastByte(pathIn(directory, arrivalId, 'instances'));
        if (uid === distrusted.SOPInstanceUID)
          await opened.store.decide({ action: 'distrust', arrivalId, reason: 'sync', time: 'now' });
      }
      return {
        current: [two, beside, lost, distrusted],
        kept: [one],
        act: (now) => now.archive.recover(),
      };
    },
  },
];

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

afterEach(cleanUp);

describe.each(SCENARIOS)('a crash while $name', ({ prepare, restart, retry, options, steps }) => {
  it('loses nothing, whatever its moment', async () => {
    const wrong: Record<string, string[]> = {};
    let number = 0;
    for (let ended = false; !ended;) {
      number++;
      const directory = newDirectory();
      const first = await openArchive(directory, options);
      const { act, ...promises } = await prepare(first, directory);
      let acting = first;
      if (restart === true) {
        await first.abandon();
        acting = await openArchive(directory, { ...options, recover: false });
      }
      acting.steps.start();
      acting.steps.crashAfter = number;
      const how = await Promise.race([act(acting).then(() => 'ended'), acting.steps.crashed]);
      const step = acting.steps.names.at(-1) ?? '';
      await acting.abandon();
      if (retry !== undefined) {
        const next = await openArchive(directory, options);
        await retry(next);
        await next.close();
      }
      const found = await violations(directory, promises, options);
      if (found.length > 0) wrong[`${number} ${step}`] = found;
      if (how === 'ended') ended = true;
    }
    expect(wrong).toEqual({});
    expect(number).toBeGreaterThan(steps);
  });
});
