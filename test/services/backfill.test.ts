import fc from 'fast-check';
import fs from 'node:fs';
import type { BackfillStep, Catalog, StoredArrival } from '../../src/catalog/types';
import type { AddedAttribute } from '../../src/dicom/attributes';
import { BUILT_IN } from '../../src/dicom/attributes';
import { NodeEventBus } from '../../src/events';
import { Backfill } from '../../src/services/backfill';
import { fileCalls } from '../../src/store/file-calls';
import type { Store } from '../../src/store/types';
import { encode, TS, type Element, type ObjectFields, type SentObject } from '../support/data-sets';
import {
  cleanUp,
  newDirectory,
  object,
  openArchive,
  pathIn,
  reindexed,
  statusOf,
  type Opened,
  type OpenOptions,
} from './kit';

const ATTRIBUTES: readonly AddedAttribute[] = [
  { keyword: 'StudyComments', level: 'study' },
  { keyword: 'ManufacturerModelName', level: 'series' },
  { keyword: 'OperatorsName', level: 'series' },
  { keyword: 'PatientComments', level: 'patient' },
  { keyword: 'EchoNumbers', level: 'instance' },
  { keyword: 'SmallestImagePixelValue', level: 'instance' },
  { keyword: 'ViewCodeSequence', level: 'instance' },
];
const WITH: OpenOptions = { attributes: ATTRIBUTES };

let directory: string;

beforeEach(() => {
  directory = newDirectory();
});

afterEach(cleanUp);

/** Elements of the attributes above. */
function extra(comments: string, more: readonly Element[] = []): readonly Element[] {
  return [
    { tag: 0x00081090, vr: 'LO', value: `Model ${comments}` },
    { tag: 0x00081070, vr: 'PN', value: `Operator^${comments}\\Second` },
    { tag: 0x00104000, vr: 'LT', value: `patient ${comments}` },
    { tag: 0x00180086, vr: 'IS', value: '3' },
    { tag: 0x00280106, vr: 'US', value: [7] },
    { tag: 0x00324000, vr: 'LT', value: comments },
    {
      tag: 0x00540220,
      vr: 'SQ',
      value: { items: [[{ tag: 0x00080100, vr: 'SH', value: `C${comments}` }]], undefinedLength: true },
    },
    ...more,
  ];
}

function study(number: number, fields: ObjectFields = {}, syntax?: string): SentObject {
  const StudyInstanceUID = `2.25.60.${number}`;
  return object(
    {
      StudyInstanceUID,
      SeriesInstanceUID: `${StudyInstanceUID}.1`,
      PatientID: `P${number}`,
      ...fields,
    },
    syntax,
  );
}

/** Stores without the attributes, and stops. */
async function stored(objects: readonly SentObject[], options: OpenOptions = {}): Promise<void> {
  const opened = await openArchive(directory, options);
  for (const one of objects) await opened.take(one);
  await opened.close();
}

const many = (count: number): SentObject[] =>
  Array.from({ length: count }, (_, index) => study(index % 3, { extra: extra(`c${index % 5}`) }));

async function filled(opened: Opened): Promise<string[]> {
  await opened.archive.fillIn();
  expect(opened.catalog.backfill).toBeUndefined();
  return opened.dump();
}

describe('Backfill', () => {
  it('fills in what a reindex finds, of every syntax', async () => {
    await stored([
      ...many(7),
      ...Object.values(TS).map((syntax, index) =>
        study(5 + index, { extra: extra(`${index}`), size: 20 }, syntax),
      ),
      study(1, { size: 0 }),
      // Big values before and between what is wanted, and pixels that take some reading to be left out.
      study(2, {
        size: 600,
        extra: extra('big', [
          { tag: 0x00091010, vr: 'OB', value: Buffer.alloc(700_000, 1) },
          { tag: 0x00310010, vr: 'LO', value: 'ACME' },
          { tag: 0x00311010, vr: 'OB', value: Buffer.alloc(100_000, 1) },
        ]),
      }),
      study(3, { size: 400, extra: extra('fragments') }, TS.jpegBaseline),
    ]);
    const opened = await openArchive(directory, WITH);
    expect((await opened.api.status()).backfill).toEqual({
      attributes: ATTRIBUTES.map(({ keyword }) => keyword).sort(),
      done: 0,
      total: 20,
      skipped: 0,
    });
    const lines = await filled(opened);
    expect((await opened.api.status()).backfill).toBeUndefined();
    expect(opened.alerts).toEqual([]);
    expect(opened.logs.filter((line) => line.includes('filled in'))).toEqual([
      expect.stringMatching(/^info .*incomplete until that is done: EchoNumbers, .*"remaining":20/),
      expect.stringMatching(/^info attributes are filled in: .*"count":20/),
    ]);
    await opened.close();
    expect(lines).toEqual(await reindexed(directory, WITH));
    expect(lines.filter((line) => line.includes('"StudyComments"')).length).toBeGreaterThan(5);
  });

  it('finds what stands in the wrong place, behind the pixels', async () => {
    const plain = study(1, { size: 500 });
    const late = encode([{ tag: 0x00324000, vr: 'LT', value: 'late' }]);
    await stored([{ ...plain, dataSet: Buffer.concat([plain.dataSet, late]) }]);
    const opened = await openArchive(directory, WITH);
    expect((await filled(opened)).join('\n')).toContain('"StudyComments":"late"');
  });

  it('has nothing to do after a reindex, nor where nothing is stored', async () => {
    const empty = await openArchive(directory, WITH);
    expect(empty.catalog.backfill).toBeUndefined();
    await empty.archive.fillIn();
    expect(empty.logs).toEqual([]);
    await empty.close();
    await stored(many(2));
    const again = await openArchive(directory, { ...WITH, freshCatalog: true });
    expect(again.catalog.backfill).toBeUndefined();
    expect(await again.dump()).toEqual(
      expect.arrayContaining([expect.stringContaining('"StudyComments":"c1"')]),
    );
  });

  it('reads by the character set that is assumed for the sender', async () => {
    const remotes = [{ aeTitle: 'CT1', defaultCharset: 'ISO_IR 144' }];
    const cyrillic = Buffer.from([0xbb, 0xee, 0xda, 0x20]);
    await stored([study(1, { extra: [{ tag: 0x00324000, vr: 'LT', value: cyrillic }] })], { remotes });
    const opened = await openArchive(directory, { ...WITH, remotes });
    expect((await filled(opened)).join('\n')).toContain('"StudyComments":"Люк"');
  });

  it('reads little of large files', async () => {
    await stored([study(1, { size: 2000, extra: extra('a') }), study(2, { size: 2000, extra: extra('b') })]);
    let bytes = 0;
    const opened = await openArchive(directory, {
      ...WITH,
      calls: {
        read: async (fd, buffer, position) => {
          const read = await fileCalls.read(fd, buffer, position);
          bytes += read;
          return read;
        },
      },
    });
    bytes = 0;
    await opened.archive.fillIn();
    expect(opened.catalog.backfill).toBeUndefined();
    expect(bytes).toBeGreaterThan(0);
    expect(bytes).toBeLessThan(2 * 70_000);
  });

  it('goes on after a kill where it was', async () => {
    await stored(many(100));
    const first = await openArchive(directory, WITH);
    first.steps.crashAfter = 2;
    void first.archive.fillIn();
    await first.steps.crashed;
    await first.abandon();
    const second = await openArchive(directory, WITH);
    expect(second.catalog.backfill).toMatchObject({ done: 64, total: 100 });
    const seen: StoredArrival['arrivalId'][] = [];
    second.steps.hook = ({ name, args }) => {
      if (name === 'catalog.fill')
        seen.push(...(args[0] as BackfillStep).arrivals.map((one) => one.arrivalId));
    };
    const lines = await filled(second);
    expect(seen).toHaveLength(36);
    await second.close();
    expect(lines).toEqual(await reindexed(directory, WITH));
  });

  it('ends with the step under way when the archive is closed', async () => {
    await stored(many(100));
    const first = await openArchive(directory, WITH);
    let steps = 0;
    let closing: Promise<void> | undefined;
    first.steps.hook = ({ name }) => {
      if (name === 'catalog.fill' && ++steps === 1) closing = first.close();
    };
    await first.archive.fillIn();
    await closing;
    expect(steps).toBe(1);
    const second = await openArchive(directory, WITH);
    expect(second.catalog.backfill).toMatchObject({ done: 32 });
    await second.archive.fillIn();
    expect(second.catalog.backfill).toBeUndefined();
  });

  it('passes over files that can not be read, says so once, and is done with them', async () => {
    const objects = many(6);
    const opened = await openArchive(directory);
    const ids: string[] = [];
    for (const one of objects) ids.push((await opened.take(one)).arrivalId);
    await opened.close();
    const path = (index: number): string => pathIn(directory, ids[index]!, 'instances');
    fs.unlinkSync(path(0));
    fs.truncateSync(path(1), fs.statSync(path(1)).size - 200);
    fs.chmodSync(path(2), 0);
    const isRoot = process.getuid?.() === 0;
    const again = await openArchive(directory, WITH);
    await again.catalog.markDamaged(ids[3]!, 'test');
    const unreadable = isRoot ? 3 : 4;
    await again.archive.fillIn();
    expect(again.catalog.backfill).toBeUndefined();
    expect(again.alerts.map(({ code, details }) => [code, details])).toEqual([
      ['BACKFILL_SKIPPED', { count: unreadable }],
    ]);
    const rows = (await again.dump()).filter((line) => line.includes('"EchoNumbers":"3"'));
    expect(rows).toHaveLength(6 - unreadable);
    await again.close();
    const last = await openArchive(directory, WITH);
    await last.archive.fillIn();
    expect(last.alerts).toEqual([]);
  });

  it('stops where the volume can not be read, passes over nothing, and goes on after the next start', async () => {
    await stored(many(40));
    let isBroken = false;
    const calls: OpenOptions['calls'] = {
      open: (path, flags, mode) =>
        isBroken && path.endsWith('.dcm')
          ? Promise.reject(Object.assign(new Error('EIO: i/o error'), { code: 'EIO' }))
          : fileCalls.open(path, flags, mode),
    };
    const first = await openArchive(directory, { ...WITH, calls });
    isBroken = true;
    await first.archive.fillIn();
    isBroken = false;
    expect(first.alerts.map(({ code }) => code)).toEqual(['BACKFILL_STOPPED']);
    expect(first.catalog.backfill).toMatchObject({ done: 0, skipped: 0 });
    await first.close();
    const second = await openArchive(directory, WITH);
    const lines = await filled(second);
    await second.close();
    expect(lines).toEqual(await reindexed(directory, WITH));
  });

  it('stops where the catalog takes nothing, and says what goes on with it', async () => {
    await stored(many(3));
    const opened = await openArchive(directory, WITH);
    opened.steps.hook = ({ name }) => (name === 'catalog.fill' ? new Error('disk full') : undefined);
    await opened.archive.fillIn();
    expect(opened.alerts).toMatchObject([
      { code: 'BACKFILL_STOPPED', message: expect.stringContaining('disk full. The next start') },
    ]);
  });
});

describe('beside all else that goes on', () => {
  type Operation =
    | {
        readonly kind: 'take';
        readonly uid: number;
        readonly text: string;
        readonly seed: number;
        readonly replace: boolean;
      }
    | { readonly kind: 'release'; readonly pick: number }
    | { readonly kind: 'damage'; readonly uid: number; readonly text: string };

  const uidOf = (uid: number): string => `2.25.61.${uid}`;
  const made = (uid: number, text: string, seed: number): SentObject =>
    study(uid % 2, {
      SOPInstanceUID: uidOf(uid),
      PatientID: `P${seed % 2}`,
      seed,
      extra: text === '' ? [] : extra(text),
    });
  const text = fc.constantFrom('', 'a', 'b');
  const operation: fc.Arbitrary<Operation> = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant('take' as const),
        uid: fc.nat(5),
        text,
        seed: fc.nat(3),
        replace: fc.boolean(),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('release' as const), pick: fc.nat(5) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('damage' as const), uid: fc.nat(5), text }) },
  );

  async function perform(opened: Opened, one: Operation): Promise<void> {
    if (one.kind === 'take') {
      await statusOf(
        opened.take(made(one.uid, one.text, one.seed), { duplicates: one.replace ? 'replace' : 'refuse' }),
      );
    } else if (one.kind === 'release') {
      const { rows } = await opened.api.quarantineList({ limit: 100 });
      const row = rows[one.pick % Math.max(1, rows.length)];
      if (row !== undefined) await statusOf(opened.api.quarantineRelease(row.arrivalId, 'x'));
    } else {
      // The held copy is lost; a resend takes its place by an exchange.
      const [held] = await opened.catalog.locate(uidOf(one.uid));
      if (held === undefined) return;
      fs.rmSync(pathIn(directory, held.arrivalId, 'instances'), { force: true });
      await statusOf(opened.take(made(one.uid, one.text, 9)));
    }
  }

  it('the rows are those of a reindex', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(operation, { minLength: 3, maxLength: 12 }),
        fc.array(operation, { minLength: 1, maxLength: 4 }),
        fc.array(operation, { minLength: 1, maxLength: 4 }),
        async (before, beforeFill, duringFill) => {
          directory = newDirectory();
          const first = await openArchive(directory);
          for (const one of before) await perform(first, one);
          await first.close();
          const second = await openArchive(directory, WITH);
          // Between the page and the headers, and between the headers and the step.
          let pages = 0;
          let steps = 0;
          second.steps.hook = async ({ name }) => {
            if (name === 'catalog.fill' && ++steps === 1)
              for (const one of duringFill) await perform(second, one);
          };
          const { arrivalsAfter } = second.catalog as unknown as { arrivalsAfter: Catalog['arrivalsAfter'] };
          Object.assign(second.catalog, {
            arrivalsAfter: async (range: Parameters<Catalog['arrivalsAfter']>[0]) => {
              const page = await arrivalsAfter(range);
              if (++pages === 1) for (const one of beforeFill) await perform(second, one);
              return page;
            },
          });
          const lines = await filled(second);
          await second.close();
          expect(lines).toEqual(await reindexed(directory, WITH));
          await cleanUp();
        },
      ),
      { numRuns: 25 },
    );
  });
});

describe('the rate', () => {
  /** A backfill over so many arrivals without files, whose clock shows how long was rested. */
  async function rests(waiting: (step: number) => number): Promise<number[]> {
    const total = 96;
    let time = 0;
    let steps = 0;
    const pauses: number[] = [];
    const ids = Array.from({ length: total }, (_, index) => String(index).padStart(4, '0'));
    const state = { keywords: ['StudyComments'], until: '9999', total, skipped: 0 };
    const catalog = {
      get waiting() {
        return waiting(steps);
      },
      backfill: { ...state, after: '', done: 0, finished: false },
      arrivalsAfter: ({ after, limit }: { after: string; limit: number }) =>
        Promise.resolve(
          ids
            .filter((id) => id > after)
            .slice(0, limit)
            .map((arrivalId) => ({ arrivalId, damaged: 'x' })),
        ),
      fill: ({ to, last }: BackfillStep) => {
        steps++;
        time += 10;
        return Promise.resolve({ ...state, after: to, done: 32 * steps, finished: last });
      },
    };
    await new Backfill({
      store: {} as Store,
      catalog: catalog as unknown as Catalog,
      rules: { assumed: () => undefined, attributes: BUILT_IN },
      events: new NodeEventBus(() => undefined),
      log: () => undefined,
      now: () => time,
      pause: (milliseconds) => {
        pauses.push(milliseconds);
        return Promise.resolve();
      },
    }).start();
    return pauses;
  }

  it('is half of what is possible, and a twentieth while records wait', async () => {
    expect(await rests(() => 0)).toEqual([10, 10]);
    expect(await rests(() => 5)).toEqual([190, 190]);
    expect(await rests((step) => (step === 1 ? 1 : 0))).toEqual([10, 190]);
  });
});
