import fs from 'node:fs';
import fc from 'fast-check';
import type { SentObject } from '../support/data-sets';
import { sha256 } from '../support/ledger-scu';
import { violations } from './invariants';
import {
  cleanUp,
  flipLastByte,
  newDirectory,
  object,
  openArchive,
  pathIn,
  statusOf,
  type Opened,
} from './kit';

/**
 * Whatever was stored, refused, replaced, released, discarded, damaged and mended, in whatever order it was committed, and however often
 * the process was killed on the way: the next start finds nothing left to do, a reindex finds the same rows, and nothing is lost.
 */
interface Kind {
  readonly uid: number;
  readonly seed: number;
  readonly patient: number;
  readonly study: number;
  readonly description: string;
}

type Operation =
  | { readonly kind: 'take'; readonly what: Kind; readonly duplicates: 'refuse' | 'replace' }
  /** Begins one and leaves it open: it is sealed and recorded later than others that began after it. */
  | { readonly kind: 'begin'; readonly what: Kind; readonly duplicates: 'refuse' | 'replace' }
  | { readonly kind: 'finish'; readonly pick: number }
  | { readonly kind: 'release' | 'discard'; readonly pick: number }
  /** Damages the file of the current arrival, or takes it away, and sends the instance again. */
  | { readonly kind: 'damage' | 'lose'; readonly uid: number; readonly what: Kind }
  /** Sealed, its sync failed, it could not be removed: decided on, and the process ends. */
  | { readonly kind: 'distrust'; readonly what: Kind }
  | { readonly kind: 'restart' }
  /** The process ends before this one of the steps of the next operation. */
  | { readonly kind: 'crash'; readonly after: number };

const kind: fc.Arbitrary<Kind> = fc.record({
  uid: fc.integer({ min: 1, max: 3 }),
  seed: fc.integer({ min: 1, max: 3 }),
  patient: fc.integer({ min: 0, max: 2 }),
  study: fc.integer({ min: 1, max: 2 }),
  description: fc.constantFrom('', 'a', 'b'),
});
const duplicates = fc.constantFrom('refuse' as const, 'refuse' as const, 'replace' as const);
const pick = fc.nat(9);

const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('take' as const), what: kind, duplicates }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('begin' as const), what: kind, duplicates }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('finish' as const), pick }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('release' as const), pick }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('discard' as const), pick }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom('damage' as const, 'lose' as const),
      uid: fc.integer({ min: 1, max: 3 }),
      what: kind,
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('distrust' as const), what: kind }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'restart' as const }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('crash' as const), after: fc.integer({ min: 1, max: 9 }) }),
  },
);

const uidOf = (uid: number): string => `2.25.70.${uid}`;

function made({ uid, seed, patient, study, description }: Kind): SentObject {
  const StudyInstanceUID = `2.25.71.${study}`;
  return object({
    SOPInstanceUID: uidOf(uid),
    seed,
    // 0: no PatientID, a patient of its own for each study.
    PatientID: patient === 0 ? '' : `P${patient}`,
    PatientName: `N${description}`,
    StudyInstanceUID,
    SeriesInstanceUID: `${StudyInstanceUID}.1`,
    StudyDescription: description,
    Modality: seed === 1 ? 'CT' : 'MR',
  });
}

/** An archive under these operations. */
class World {
  readonly directory = newDirectory();
  /** Answered Success, and not discarded or damaged since, by digest. */
  readonly owed = new Map<string, SentObject>();
  private opened: Opened | undefined;
  private readonly open: { readonly gate: () => void; readonly end: Promise<void> }[] = [];
  private crashAfter: number | undefined;

  async run(operations: readonly Operation[]): Promise<void> {
    this.opened = await openArchive(this.directory, { segment: 4 });
    for (const each of operations) await this.perform(each);
    await this.stop(false);
  }

  private get archive(): Opened {
    if (this.opened === undefined) throw new Error('closed');
    return this.opened;
  }

  private async perform(operation: Operation): Promise<void> {
    if (operation.kind === 'crash') {
      this.crashAfter = operation.after;
      return;
    }
    const { steps } = this.archive;
    steps.start();
    steps.crashAfter = this.crashAfter;
    this.crashAfter = undefined;
    const how = await Promise.race([this.act(operation).then(() => 'ended'), steps.crashed]);
    steps.crashAfter = undefined;
    if (how === 'crashed') await this.restart();
  }

  private async act(operation: Exclude<Operation, { kind: 'crash' }>): Promise<void> {
    const { api, catalog } = this.archive;
    switch (operation.kind) {
      case 'take':
        return this.take(made(operation.what), operation.duplicates);
      case 'begin':
        return this.begin(operation);
      case 'finish': {
        const [one] = this.open.splice(operation.pick % Math.max(1, this.open.length), 1);
        one?.gate();
        return one?.end;
      }
      case 'release':
      case 'discard': {
        const { rows } = await api.quarantineList({ limit: 100 });
        const row = rows[operation.pick % Math.max(1, rows.length)];
        if (row === undefined) return undefined;
        if (operation.kind === 'discard') {
          this.owed.delete(row.sha256);
          return api.quarantineDiscard(row.arrivalId, 'test');
        }
        const released = await statusOf(api.quarantineRelease(row.arrivalId, 'test'));
        if (row.sha256 !== '' && released !== 0) throw new Error(`release: ${released}`);
        return undefined;
      }
      case 'damage':
      case 'lose': {
        const [held] = await catalog.locate(uidOf(operation.uid));
        if (held === undefined) return undefined;
        const file = pathIn(this.directory, held.arrivalId, 'instances');
        if (operation.kind === 'damage') flipLastByte(file);
        else fs.rmSync(file);
        this.owed.delete(held.sha256);
        // Until somebody sends it again a damaged row is all that there is; a restart in between leaves it so.
        this.archive.steps.crashAfter = undefined;
        return this.take(made({ ...operation.what, uid: operation.uid }), 'refuse');
      }
      case 'distrust': {
        await this.begin({ ...operation, kind: 'begin', duplicates: 'refuse' }, 'catalog.record');
        const last = (await this.archive.store.segments()).at(-1) ?? 0;
        const files = (
          await Promise.all(
            [last - 1, last].map(async (segment) => (segment > 0 ? this.archive.store.files(segment) : [])),
          )
        ).flat();
        const { arrivalId } = files.at(-1) ?? {};
        if (arrivalId === undefined) throw new Error('no file');
        await this.archive.store.decide({ action: 'distrust', arrivalId, reason: 'EIO', time: 'now' });
        return this.restart();
      }
      case 'restart':
        await this.stop(true);
        this.opened = await openArchive(this.directory, { segment: 4 });
        return undefined;
    }
  }

  private async take(sent: SentObject, policy: 'refuse' | 'replace'): Promise<void> {
    const status = await statusOf(this.archive.take(sent, { duplicates: policy }));
    if (status === 0) this.owed.set(sha256(sent.dataSet), sent);
    else if (status !== 0x0111) throw new Error(`take: ${status}`);
  }

  /** Runs as far as the step, and waits there. */
  private async begin(
    { what, duplicates: policy }: Extract<Operation, { kind: 'begin' }>,
    at = 'writer.write',
  ): Promise<void> {
    const gate = Promise.withResolvers<undefined>();
    const reached = Promise.withResolvers<undefined>();
    const { steps } = this.archive;
    steps.hook = ({ name }) => {
      if (name !== at) return undefined;
      steps.hook = () => undefined;
      reached.resolve(undefined);
      return gate.promise;
    };
    const end = this.take(made(what), policy);
    this.open.push({ gate: () => gate.resolve(undefined), end });
    await reached.promise;
  }

  private async restart(): Promise<void> {
    this.open.length = 0;
    await this.archive.abandon();
    this.opened = await openArchive(this.directory, { segment: 4 });
  }

  private async stop(clean: boolean): Promise<void> {
    for (const { gate } of this.open) gate();
    await Promise.all(this.open.splice(0).map(({ end }) => end));
    if (clean) await this.archive.close();
    else await this.archive.abandon();
  }
}

afterEach(cleanUp);

it('two versions that are alike both stay', async () => {
  const what = { uid: 2, seed: 3, patient: 0, study: 2, description: 'b' };
  const world = new World();
  await world.run([
    { kind: 'take', what, duplicates: 'refuse' },
    { kind: 'take', what: { ...what, seed: 1 }, duplicates: 'replace' },
    { kind: 'take', what, duplicates: 'refuse' },
    { kind: 'release', pick: 0 },
  ]);
  expect(await violations(world.directory, { kept: [...world.owed.values()] })).toEqual([]);
});

it('a start and a reindex find what was there, and nothing is lost', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(operation, { minLength: 1, maxLength: 25, size: 'max' }),
      async (operations) => {
        const world = new World();
        await world.run(operations);
        expect(await violations(world.directory, { kept: [...world.owed.values()] }, { segment: 4 })).toEqual(
          [],
        );
        await cleanUp();
      },
    ),
    { numRuns: Number(process.env['RUNS'] ?? 40) },
  );
});
