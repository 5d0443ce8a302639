import fs from 'node:fs';
import type { SentObject } from '../support/data-sets';
import { sha256 } from '../support/ledger-scu';
import { violations, type Promises } from './invariants';
import {
  cleanUp,
  deleteCurrent,
  filesIn,
  flipLastByte,
  newDirectory,
  object,
  openArchive,
  pathIn,
  statusOf,
  storeError,
  type Opened,
} from './kit';

const UID = '2.25.52';
const one = object({ SOPInstanceUID: UID, seed: 1, StudyDescription: 'first' });
const two = object({ SOPInstanceUID: UID, seed: 2, StudyDescription: 'second' });
const three = object({ SOPInstanceUID: UID, seed: 3 });
const hers = object({
  SOPInstanceUID: UID,
  seed: 4,
  PatientID: 'HER',
  StudyInstanceUID: '2.25.53',
  SeriesInstanceUID: '2.25.53.1',
});
const beside = object();

let directory: string;
let opened: Opened;

beforeEach(async () => {
  directory = newDirectory();
  opened = await openArchive(directory);
});

afterEach(cleanUp);

async function list(): Promise<Awaited<ReturnType<Opened['api']['quarantineList']>>['rows']> {
  return (await opened.api.quarantineList({ limit: 1000 })).rows;
}

/** Refuses it, and says under which arrival id it is in quarantine. */
async function refuse(other: SentObject): Promise<string> {
  expect(await statusOf(opened.take(other))).toBe(0x0111);
  return (await list()).at(-1)!.arrivalId;
}

async function current(uid = UID): Promise<string | undefined> {
  return (await opened.catalog.locate(uid))[0]?.sha256;
}

async function wrongAfter(promises: Promises): Promise<string[]> {
  await opened.close();
  return violations(directory, promises);
}

async function study(uid: string): Promise<Record<string, unknown> | undefined> {
  return (await opened.api.find({ level: 'STUDY', keys: { StudyInstanceUID: uid } }, { limit: 2 })).rows[0];
}

describe('release', () => {
  it('makes the quarantined copy current, and puts the other one in its place', async () => {
    const first = await opened.take(one);
    await opened.take(beside);
    const aside = await refuse(two);
    await opened.api.quarantineRelease(aside, 'the resend is right');
    expect(await current()).toBe(sha256(two.dataSet));
    expect(await list()).toMatchObject([
      {
        arrivalId: first.arrivalId,
        reason: 'replaced',
        conflictsWith: aside,
        sha256: sha256(one.dataSet),
        count: 1,
      },
    ]);
    expect([...filesIn(directory, 'quarantine')]).toEqual([[first.arrivalId, sha256(one.dataSet)]]);
    // Values are what they would be had the first never come.
    expect(await study(two.StudyInstanceUID)).toMatchObject({
      StudyDescription: 'second',
      NumberOfStudyRelatedInstances: 2,
    });
    expect(await wrongAfter({ current: [two, beside], kept: [one] })).toEqual([]);
  });

  it('and back again, as often as somebody likes', async () => {
    await opened.take(one);
    await refuse(two);
    for (const expected of [two, one, two, one]) {
      const [aside] = await list();
      await opened.api.quarantineRelease(aside!.arrivalId, 'no, the other');
      expect(await current()).toBe(sha256(expected.dataSet));
      expect(await list()).toHaveLength(1);
    }
    expect(await wrongAfter({ current: [one], kept: [two] })).toEqual([]);
  });

  it('moves the instance to another patient where the released copy says so', async () => {
    await opened.take(one);
    const aside = await refuse(hers);
    await opened.api.quarantineRelease(aside, 'it is hers');
    expect((await opened.api.find({ level: 'PATIENT', keys: {} }, { limit: 9 })).rows).toMatchObject([
      { PatientID: 'HER', NumberOfPatientRelatedInstances: 1 },
    ]);
    expect(await study(one.StudyInstanceUID)).toBeUndefined();
    expect(await wrongAfter({ current: [hers], kept: [one] })).toEqual([]);
  });

  it('makes it current though versions with higher arrival ids are there: they go aside', async () => {
    await opened.take(one);
    const aside = await refuse(hers);
    await opened.take(two, { duplicates: 'replace' });
    await opened.take(three, { duplicates: 'replace' });
    await opened.api.quarantineRelease(aside, 'after all');
    expect((await opened.catalog.locate(UID)).map(({ sha256: digest, state }) => [digest, state])).toEqual([
      [sha256(hers.dataSet), 'current'],
      [sha256(one.dataSet), 'version'],
    ]);
    expect((await list()).map(({ sha256: digest }) => digest).sort()).toEqual(
      [two, three].map(({ dataSet }) => sha256(dataSet)).sort(),
    );
    expect(await wrongAfter({ current: [hers], kept: [one, two, three] })).toEqual([]);
  });

  it('keeps the versions below it', async () => {
    await opened.take(one);
    await opened.take(two, { duplicates: 'replace' });
    const aside = await refuse(three);
    await opened.api.quarantineRelease(aside, 'this one');
    expect(await current()).toBe(sha256(three.dataSet));
    expect(await opened.catalog.locate(UID)).toHaveLength(2);
    expect(await wrongAfter({ current: [three], kept: [one, two] })).toEqual([]);
  });

  it('of two with the same bytes lists and keeps both', async () => {
    // A replacement with the bytes of a refused one, itself displaced later: two files, one digest.
    await opened.take(one);
    await refuse(two);
    await opened.take(two, { duplicates: 'replace' });
    const aside = await refuse(three);
    await opened.api.quarantineRelease(aside, 'this one');
    expect((await list()).filter(({ sha256: digest }) => digest === sha256(two.dataSet))).toHaveLength(2);
    expect(await wrongAfter({ current: [three], kept: [one, two] })).toEqual([]);
  });

  it('of one that nothing is held of makes it current', async () => {
    await opened.take(one);
    await opened.take(beside);
    const aside = await refuse(two);
    await deleteCurrent(opened, UID);
    await opened.api.quarantineRelease(aside, 'back');
    expect(await current()).toBe(sha256(two.dataSet));
    expect(await list()).toEqual([]);
    expect(await wrongAfter({ current: [two, beside] })).toEqual([]);
  });

  it('meets an instance that comes meanwhile', async () => {
    await opened.take(one);
    const aside = await refuse(two);
    await deleteCurrent(opened, UID);
    // Nothing is held when it looks, and somebody stores it before the row is written.
    opened.steps.hook = ({ name }) => {
      if (name !== 'catalog.record') return undefined;
      opened.steps.hook = () => undefined;
      return opened.take(one).then(() => undefined);
    };
    await opened.api.quarantineRelease(aside, 'this one');
    expect(await current()).toBe(sha256(two.dataSet));
    expect(await list()).toMatchObject([{ sha256: sha256(one.dataSet), reason: 'replaced' }]);
    expect(await wrongAfter({ current: [two], kept: [one] })).toEqual([]);
  });

  it('twice at once is done once', async () => {
    await opened.take(one);
    const aside = await refuse(two);
    const both = await Promise.all([
      statusOf(opened.api.quarantineRelease(aside, 'a')),
      statusOf(opened.api.quarantineRelease(aside, 'b')),
    ]);
    expect(both).toEqual([0, 'QUARANTINE_UNKNOWN']);
    expect(await current()).toBe(sha256(two.dataSet));
    expect(await wrongAfter({ current: [two], kept: [one] })).toEqual([]);
  });

  it('of two copies of one instance at once makes the later one current', async () => {
    await opened.take(one);
    const asides = [await refuse(two), await refuse(three)];
    await Promise.all(asides.map((aside) => opened.api.quarantineRelease(aside, 'both')));
    expect(await current()).toBe(sha256(three.dataSet));
    expect(await wrongAfter({ current: [three], kept: [one, two] })).toEqual([]);
  });

  it('of a damaged copy is refused, and changes nothing', async () => {
    await opened.take(one);
    const aside = await refuse(two);
    flipLastByte(pathIn(directory, aside, 'quarantine'));
    expect(await statusOf(opened.api.quarantineRelease(aside, 'x'))).toBe('FILE_DAMAGED');
    expect(await current()).toBe(sha256(one.dataSet));
    expect((await opened.store.decisions()).map(({ action }) => action)).toEqual(['quarantine']);
    fs.rmSync(pathIn(directory, aside, 'quarantine'));
    expect(await statusOf(opened.api.quarantineRelease(aside, 'x'))).toBe('STORE_NO_FILE');
    expect(await current()).toBe(sha256(one.dataSet));
  });

  it('puts a damaged copy aside as damaged, and one that is gone nowhere', async () => {
    const { arrivalId } = await opened.take(one);
    await refuse(two);
    flipLastByte(pathIn(directory, arrivalId, 'instances'));
    const [aside] = await list();
    await opened.api.quarantineRelease(aside!.arrivalId, 'x');
    expect(await list()).toMatchObject([{ arrivalId, reason: 'damaged' }]);

    const again = await refuse(three);
    fs.rmSync(pathIn(directory, aside!.arrivalId, 'instances'));
    await opened.api.quarantineRelease(again, 'x');
    expect((await list()).map((row) => row.arrivalId)).toEqual([arrivalId]);
    expect(await wrongAfter({ current: [three] })).toEqual([]);
  });

  it('that is given up because the patient keeps changing has not happened, at the next start either', async () => {
    await opened.take(one);
    const aside = await refuse(two);
    const others: SentObject[] = [];
    opened.steps.hook = ({ name }) => {
      if (name !== 'catalog.exchange') return undefined;
      others.push(object());
      return opened.take(others.at(-1)!).then(() => undefined);
    };
    expect(await statusOf(opened.api.quarantineRelease(aside, 'x'))).toBe('EXCHANGE_BUSY');
    opened.steps.hook = () => undefined;
    expect(others.length).toBeGreaterThan(1);
    expect(await current()).toBe(sha256(one.dataSet));
    expect(await list()).toMatchObject([{ arrivalId: aside, reason: 'duplicate' }]);
    expect(await wrongAfter({ current: [one, ...others], kept: [two] })).toEqual([]);
  });

  it('reads again only what came meanwhile', async () => {
    await opened.take(one);
    const aside = await refuse(two);
    const read: string[] = [];
    let times = 0;
    opened.steps.hook = ({ name, args }) => {
      if (name === 'store.check') read.push(String(args[0]));
      if (name !== 'catalog.exchange' || ++times > 2) return undefined;
      return opened.take(object()).then(() => undefined);
    };
    await opened.api.quarantineRelease(aside, 'x');
    opened.steps.hook = () => undefined;
    expect(times).toBe(3);
    expect(read).toHaveLength(new Set(read).size);
    expect(await current()).toBe(sha256(two.dataSet));
  });

  it.each(['CATALOG_ROLLED_BACK', 'CATALOG_BUSY'])(
    'that the catalog refuses (%s) has not happened',
    async (code) => {
      await opened.take(one);
      const aside = await refuse(two);
      opened.steps.hook = ({ name }) => (name === 'catalog.exchange' ? storeError(code) : undefined);
      expect(await statusOf(opened.api.quarantineRelease(aside, 'x'))).toBe(code);
      opened.steps.hook = () => undefined;
      expect(await current()).toBe(sha256(one.dataSet));
      expect(await wrongAfter({ current: [one], kept: [two] })).toEqual([]);
    },
  );

  it('that could not even be decided has not happened', async () => {
    await opened.take(one);
    const aside = await refuse(two);
    opened.steps.hook = ({ name }) => (name === 'store.decide' ? storeError('STORE_FULL') : undefined);
    expect(await statusOf(opened.api.quarantineRelease(aside, 'x'))).toBe('STORE_FULL');
    opened.steps.hook = () => undefined;
    expect(await wrongAfter({ current: [one], kept: [two] })).toEqual([]);
  });

  it.each(['store.release', 'store.quarantine'])(
    'whose %s fails is finished by the next start',
    async (step) => {
      await opened.take(one);
      const aside = await refuse(two);
      opened.steps.hook = ({ name }) => (name === step ? storeError('STORE_FAILED') : undefined);
      expect(await statusOf(opened.api.quarantineRelease(aside, 'x'))).toBe('EXCHANGE_UNFINISHED');
      expect(await wrongAfter({ current: [two], kept: [one] })).toEqual([]);
    },
  );

  it('keeps the damaged files of the patient in the catalog', async () => {
    await opened.take(one);
    const other = await opened.take(beside);
    const aside = await refuse(two);
    flipLastByte(pathIn(directory, other.arrivalId, 'instances'));
    await opened.api.quarantineRelease(aside, 'x');
    expect(await current()).toBe(sha256(two.dataSet));
    expect((await opened.catalog.locate(beside.SOPInstanceUID))[0]).toMatchObject({
      state: 'current',
      damaged: expect.stringMatching(/other bytes than sealed/) as string,
    });
    expect(await study(two.StudyInstanceUID)).toMatchObject({ NumberOfStudyRelatedInstances: 2 });
    await opened.take(beside);
    expect(await wrongAfter({ current: [two, beside], kept: [one] })).toEqual([]);
  });
});

describe('show', () => {
  it('says why and where', async () => {
    await opened.take(one);
    const aside = await refuse(two);
    expect(await opened.api.quarantineShow(aside)).toMatchObject({
      arrivalId: aside,
      reason: 'duplicate',
      path: pathIn(directory, aside, 'quarantine'),
    });
  });

  it.each(['', 'x', '../../etc/passwd', '00000001-000001-0123456789abcdef'])(
    'of %p, like release and discard, says that it is not there',
    async (arrivalId) => {
      for (const asked of [
        opened.api.quarantineShow(arrivalId),
        opened.api.quarantineRelease(arrivalId, 'x'),
        opened.api.quarantineDiscard(arrivalId, 'x'),
      ]) {
        const error: unknown = await asked.then(
          () => undefined,
          (thrown: unknown) => thrown,
        );
        expect(error).toMatchObject({
          code: 'QUARANTINE_UNKNOWN',
          exitCode: 1,
          hint: expect.stringMatching(/quarantine list/) as string,
        });
      }
      expect(await opened.store.decisions()).toEqual([]);
    },
  );

  it('of a stored one is refused: only what is in quarantine can be discarded', async () => {
    const { arrivalId } = await opened.take(one);
    expect(await statusOf(opened.api.quarantineDiscard(arrivalId, 'x'))).toBe('QUARANTINE_UNKNOWN');
    expect(filesIn(directory, 'instances').has(arrivalId)).toBe(true);
  });
});

describe('discard', () => {
  it('removes it for good: a reindex does not bring it back', async () => {
    await opened.take(one);
    const aside = await refuse(two);
    await opened.api.quarantineDiscard(aside, 'a test image');
    expect(await list()).toEqual([]);
    expect(filesIn(directory, 'quarantine').size).toBe(0);
    expect((await opened.store.decisions()).at(-1)).toMatchObject({
      action: 'discard',
      arrivalId: aside,
      reason: 'a test image',
    });
    expect(await wrongAfter({ current: [one] })).toEqual([]);
  });

  it('of one whose file is gone already takes it off the list', async () => {
    await opened.take(one);
    const aside = await refuse(two);
    fs.rmSync(pathIn(directory, aside, 'quarantine'));
    await opened.api.quarantineDiscard(aside, 'x');
    expect(await list()).toEqual([]);
  });

  it('lets the same bytes come to quarantine again', async () => {
    await opened.take(one);
    await opened.api.quarantineDiscard(await refuse(two), 'x');
    const again = await refuse(two);
    expect(await list()).toMatchObject([{ arrivalId: again, count: 1 }]);
    expect(await wrongAfter({ current: [one], kept: [two] })).toEqual([]);
  });

  it('with a reason too long for the log changes nothing', async () => {
    await opened.take(one);
    const aside = await refuse(two);
    expect(await statusOf(opened.api.quarantineDiscard(aside, 'x'.repeat(20_000)))).toBe('REASON_TOO_LONG');
    expect(await statusOf(opened.api.quarantineRelease(aside, 'x'.repeat(1001)))).toBe('REASON_TOO_LONG');
    expect(await opened.store.decisions()).toHaveLength(1);
    expect(await wrongAfter({ current: [one], kept: [two] })).toEqual([]);
  });
});
