import fs from 'node:fs';
import type { Element, Sequence } from '../support/data-sets';
import { encode, imageElements, imageObject, TS, type SentObject } from '../support/data-sets';
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
  type Opened,
} from './kit';

const UID = '2.25.51';
const REPLACE = { duplicates: 'replace' } as const;

let directory: string;
let opened: Opened;

beforeEach(async () => {
  directory = newDirectory();
  opened = await openArchive(directory);
});

afterEach(cleanUp);

const digests = (place: 'instances' | 'quarantine'): string[] => [...filesIn(directory, place).values()];

async function held(): Promise<{ state: string; sha256: string }[]> {
  return (await opened.catalog.locate(UID)).map(({ state, sha256: digest }) => ({ state, sha256: digest }));
}

async function quarantined(): Promise<Awaited<ReturnType<Opened['api']['quarantineList']>>['rows']> {
  return (await opened.api.quarantineList({ limit: 1000 })).rows;
}

/** The same object with a sequence, encoded in many ways. */
function elements(undefinedLength: boolean, uid = UID): Element[] {
  const inner: Sequence = {
    items: [
      [
        { tag: 0x00080100, vr: 'SH', value: 'CODE' },
        { tag: 0x00080104, vr: 'LO', value: 'Meaning' },
      ],
      [],
    ],
    undefinedLength,
  };
  const pixels = Buffer.alloc(8);
  for (let at = 0; at < 8; at++) pixels[at] = at;
  return imageElements({
    SOPInstanceUID: uid,
    size: 2,
    pixelData: pixels,
    extra: [
      {
        tag: 0x00401012,
        vr: 'SQ',
        value: { items: [[{ tag: 0x00082218, vr: 'SQ', value: inner }]], undefinedLength },
      },
    ],
  });
}

function encoded(syntax: string, undefinedLength: boolean): SentObject {
  const list = elements(undefinedLength);
  if (syntax !== TS.big)
    return {
      ...imageObject({ SOPInstanceUID: UID }, syntax),
      dataSet: encode(list, syntax === TS.implicit ? 'implicit' : 'explicit'),
    };
  const swapped = list.map((element) =>
    element.tag === 0x7fe00010 && Buffer.isBuffer(element.value)
      ? { ...element, value: Buffer.from(element.value).swap16() }
      : element,
  );
  return { ...imageObject({ SOPInstanceUID: UID }, syntax), dataSet: encode(swapped, 'big') };
}

describe('the same instance again', () => {
  it('is Success, and nothing is written', async () => {
    const one = object({ SOPInstanceUID: UID });
    const { arrivalId } = await opened.take(one);
    for (let time = 0; time < 3; time++)
      expect(await opened.take(one)).toMatchObject({ outcome: 'duplicate', bytes: one.dataSet.length });
    expect([...filesIn(directory, 'instances').keys()]).toEqual([arrivalId]);
    expect(opened.alerts).toEqual([]);
    expect(await wrongAfter({ current: [one] })).toEqual([]);
  });

  it.each([
    [TS.explicit, false],
    [TS.explicit, true],
    [TS.implicit, false],
    [TS.implicit, true],
    [TS.big, false],
    [TS.big, true],
  ])(
    'is the same in every uncompressed encoding (first came %s, undefined lengths %p)',
    async (syntax, open) => {
      const first = encoded(syntax, open);
      await opened.take(first);
      for (const other of [TS.explicit, TS.implicit, TS.big])
        for (const lengths of [false, true])
          expect((await opened.take(encoded(other, lengths))).outcome).toBe('duplicate');
      expect(digests('instances')).toEqual([sha256(first.dataSet)]);
    },
  );

  it('is not the same in a compressed syntax, or with the syntax alone changed', async () => {
    const one = object({ SOPInstanceUID: UID }, TS.rle);
    await opened.take(one);
    expect(await statusOf(opened.take({ ...one, transferSyntax: TS.jpegLossless }))).toBe(0x0111);
    expect((await opened.take(one)).outcome).toBe('duplicate');
  });
});

describe('other bytes', () => {
  it('go to quarantine once, however often they come, and the first stays', async () => {
    const one = object({ SOPInstanceUID: UID });
    await opened.take(one);
    const other = { ...one, dataSet: Buffer.from(one.dataSet) };
    other.dataSet[other.dataSet.length - 1]! ^= 1;
    for (let time = 0; time < 3; time++) expect(await statusOf(opened.take(other))).toBe(0x0111);
    expect(digests('instances')).toEqual([sha256(one.dataSet)]);
    expect(digests('quarantine')).toEqual([sha256(other.dataSet)]);
    expect(await held()).toEqual([{ state: 'current', sha256: sha256(one.dataSet) }]);
    expect(await quarantined()).toMatchObject([
      {
        SOPInstanceUID: UID,
        reason: 'duplicate',
        count: 3,
        sha256: sha256(other.dataSet),
        sourceAETitle: 'CT1',
        conflictsWith: (await opened.catalog.locate(UID))[0]!.arrivalId,
      },
    ]);
    expect(opened.alerts).toMatchObject([{ code: 'DUPLICATE_DIFFERS' }]);
    expect(JSON.stringify(opened.alerts)).not.toMatch(/TESTID|TEST\^OBJECT/);
    // As good as ever.
    expect((await opened.take(one)).outcome).toBe('duplicate');
    expect(await wrongAfter({ current: [one], kept: [other] })).toEqual([]);
  });

  it('of three kinds are kept each once', async () => {
    const kinds = [1, 2, 3, 4].map((seed) => object({ SOPInstanceUID: UID, seed }));
    for (const kind of [...kinds, ...kinds]) await statusOf(opened.take(kind));
    expect(digests('instances')).toEqual([sha256(kinds[0]!.dataSet)]);
    expect((await quarantined()).map(({ count }) => count)).toEqual([2, 2, 2]);
    expect(digests('quarantine').sort()).toEqual(
      kinds
        .slice(1)
        .map((kind) => sha256(kind.dataSet))
        .sort(),
    );
  });

  it('replace where that is wanted: the old ones stay as versions, the highest arrival is current', async () => {
    const kinds = [1, 2, 3].map((seed) => object({ SOPInstanceUID: UID, seed }));
    await opened.take(kinds[0]!);
    for (const kind of kinds.slice(1)) expect((await opened.take(kind, REPLACE)).outcome).toBe('replaced');
    expect(await held()).toEqual(
      [kinds[2]!, kinds[1]!, kinds[0]!].map(({ dataSet }, index) => ({
        state: index === 0 ? 'current' : 'version',
        sha256: sha256(dataSet),
      })),
    );
    expect(digests('instances')).toHaveLength(3);
    expect(await quarantined()).toEqual([]);
    expect((await opened.api.find({ level: 'IMAGE', keys: {} }, { limit: 10 })).rows).toHaveLength(1);
    const shown = await opened.api.show(UID);
    expect(shown.files.map(({ state }) => state)).toEqual(['current', 'version', 'version']);
    for (const { path } of shown.files) expect(fs.existsSync(path)).toBe(true);
    expect(await wrongAfter({ current: [kinds[2]!], kept: kinds })).toEqual([]);
  });

  it('a replacement that began earlier does not become current', async () => {
    const late = object({ SOPInstanceUID: UID, seed: 1 });
    const early = object({ SOPInstanceUID: UID, seed: 2 });
    const gate = Promise.withResolvers<undefined>();
    const writing = Promise.withResolvers<undefined>();
    opened.steps.hook = ({ name }) => {
      if (name !== 'writer.write') return undefined;
      writing.resolve(undefined);
      opened.steps.hook = () => undefined;
      return gate.promise;
    };
    const taking = opened.take(early, REPLACE);
    await writing.promise;
    await opened.take(late);
    gate.resolve(undefined);
    await taking;
    expect((await held())[0]).toEqual({ state: 'current', sha256: sha256(late.dataSet) });
    expect(await wrongAfter({ current: [late], kept: [early] })).toEqual([]);
  });

  it('under another study never move an instance silently', async () => {
    const one = object({ SOPInstanceUID: UID });
    await opened.take(one);
    const moved = object({ SOPInstanceUID: UID, StudyInstanceUID: '2.25.9', PatientID: 'OTHER' });
    expect(await statusOf(opened.take(moved))).toBe(0x0111);
    expect((await opened.api.find({ level: 'STUDY', keys: {} }, { limit: 9 })).rows).toHaveLength(1);
    expect(await wrongAfter({ current: [one], kept: [moved] })).toEqual([]);
  });
});

describe('a held copy that is not whole any more', () => {
  const one = object({ SOPInstanceUID: UID });

  it('gives way to the resend, is kept aside, and somebody is told', async () => {
    const { arrivalId } = await opened.take(one);
    flipLastByte(pathIn(directory, arrivalId, 'instances'));
    const taken = await opened.take(one);
    expect(taken.outcome).toBe('replaced');
    expect(await held()).toEqual([{ state: 'current', sha256: sha256(one.dataSet) }]);
    expect([...filesIn(directory, 'instances')]).toEqual([[taken.arrivalId, sha256(one.dataSet)]]);
    expect([...filesIn(directory, 'quarantine').keys()]).toEqual([arrivalId]);
    expect(await quarantined()).toMatchObject([
      { arrivalId, reason: 'damaged', conflictsWith: taken.arrivalId },
    ]);
    expect(opened.alerts).toMatchObject([{ code: 'FILE_DAMAGED', details: { arrivalId } }]);
    const shown = await opened.api.show(UID);
    expect(shown.files).toMatchObject([{ arrivalId: taken.arrivalId, state: 'current' }]);
    expect(shown.files[0]!.damaged).toBeUndefined();
    expect((await opened.api.find({ level: 'STUDY', keys: {} }, { limit: 9 })).rows).toMatchObject([
      { NumberOfStudyRelatedInstances: 1 },
    ]);
    expect((await opened.take(one)).outcome).toBe('duplicate');
    expect(await wrongAfter({ current: [one] })).toEqual([]);
  });

  it.each<[string, (file: string) => void]>([
    ['gone', (file) => fs.rmSync(file)],
    ['cut', (file) => fs.truncateSync(file, 200)],
    ['empty', (file) => fs.truncateSync(file, 0)],
    ['longer', (file) => fs.appendFileSync(file, 'x')],
    [
      'a folder',
      (file) => {
        fs.rmSync(file);
        fs.mkdirSync(file);
      },
    ],
    [
      'a link',
      (file) => {
        fs.rmSync(file);
        fs.symlinkSync('/etc/hostname', file);
      },
    ],
  ])('is mended when it is %s', async (_what, harm) => {
    const { arrivalId } = await opened.take(one);
    await opened.take(object());
    harm(pathIn(directory, arrivalId, 'instances'));
    expect((await opened.take(one)).outcome).toBe('replaced');
    expect(await held()).toEqual([{ state: 'current', sha256: sha256(one.dataSet) }]);
    expect((await opened.catalog.counts()).instances).toBe(2);
    expect((await opened.take(one)).outcome).toBe('duplicate');
  });

  it('two damaged ones are both listed', async () => {
    const two = object();
    for (const each of [one, two])
      flipLastByte(pathIn(directory, (await opened.take(each)).arrivalId, 'instances'));
    for (const each of [one, two]) await opened.take(each);
    expect((await quarantined()).map(({ reason }) => reason)).toEqual(['damaged', 'damaged']);
    expect(await wrongAfter({ current: [one, two] })).toEqual([]);
  });

  it('is mended though other files of the patient are damaged and gone', async () => {
    const others = [object({ StudyDescription: 'kept' }), object(), object()];
    const { arrivalId } = await opened.take(one);
    const ids: string[] = [];
    for (const other of others) ids.push((await opened.take(other)).arrivalId);
    const before = (await opened.api.find({ level: 'STUDY', keys: {} }, { limit: 9 })).rows;
    flipLastByte(pathIn(directory, arrivalId, 'instances'));
    flipLastByte(pathIn(directory, ids[0]!, 'instances'));
    fs.rmSync(pathIn(directory, ids[1]!, 'instances'));
    expect((await opened.take(one)).outcome).toBe('replaced');
    expect(opened.archive.ingest.stopped).toBeUndefined();
    // Their rows stay, and say that they are damaged.
    expect((await opened.api.find({ level: 'STUDY', keys: {} }, { limit: 9 })).rows).toEqual(before);
    expect((await opened.catalog.counts()).instances).toBe(4);
    expect((await opened.catalog.locate(others[1]!.SOPInstanceUID))[0]!.damaged).toBeDefined();
    // And they are mended by their own resends.
    for (const other of others) await opened.take(other);
    expect(await wrongAfter({ current: [one, ...others] })).toEqual([]);
  });
});

describe('at once', () => {
  it('eight with the same bytes: one row, one file, eight times Success', async () => {
    for (let round = 0; round < 5; round++) {
      const one = object();
      const outcomes = await Promise.all(Array.from({ length: 8 }, () => opened.take(one)));
      expect(outcomes.filter(({ outcome }) => outcome === 'stored')).toHaveLength(1);
      expect(outcomes.filter(({ outcome }) => outcome === 'duplicate')).toHaveLength(7);
      expect(await opened.catalog.locate(one.SOPInstanceUID)).toHaveLength(1);
    }
    expect(filesIn(directory, 'instances').size).toBe(5);
  });

  it('eight with different bytes: one is current, the others are in quarantine', async () => {
    const kinds = Array.from({ length: 8 }, (_, seed) => object({ SOPInstanceUID: UID, seed }));
    const statuses = await Promise.all(kinds.map((kind) => statusOf(opened.take(kind))));
    expect(statuses.filter((status) => status === 0)).toHaveLength(1);
    expect(statuses.filter((status) => status === 0x0111)).toHaveLength(7);
    const winner = kinds[statuses.indexOf(0)]!;
    expect(digests('instances')).toEqual([sha256(winner.dataSet)]);
    expect(digests('quarantine')).toHaveLength(7);
    expect(await wrongAfter({ current: [winner], kept: kinds })).toEqual([]);
  });

  it('eight that replace: the highest arrival is current, the others are versions', async () => {
    const kinds = Array.from({ length: 8 }, (_, seed) => object({ SOPInstanceUID: UID, seed }));
    await Promise.all(kinds.map((kind) => opened.take(kind, REPLACE)));
    const all = await opened.catalog.locate(UID);
    expect(all.map(({ state }) => state)).toEqual(['current', ...Array<string>(7).fill('version')]);
    expect(all.map(({ arrivalId }) => arrivalId)).toEqual(
      all
        .map(({ arrivalId }) => arrivalId)
        .sort()
        .reverse(),
    );
    expect(await wrongAfter({ kept: kinds })).toEqual([]);
  });

  it('eight resends of a damaged one: it is mended once, and nobody is refused', async () => {
    const one = object({ SOPInstanceUID: UID });
    const { arrivalId } = await opened.take(one);
    flipLastByte(pathIn(directory, arrivalId, 'instances'));
    const outcomes = await Promise.all(Array.from({ length: 8 }, () => opened.take(one)));
    expect(outcomes.filter(({ outcome }) => outcome === 'replaced')).toHaveLength(1);
    expect(outcomes.filter(({ outcome }) => outcome === 'duplicate')).toHaveLength(7);
    expect(opened.archive.ingest.stopped).toBeUndefined();
    expect(await wrongAfter({ current: [one] })).toEqual([]);
  });
});

/** Closes, and compares what the next start sees. */
async function wrongAfter(promises: Parameters<typeof violations>[1]): Promise<string[]> {
  await opened.close();
  return violations(directory, promises);
}
