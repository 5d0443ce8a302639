import fsp from 'node:fs/promises';
import { find, instanceUids } from '../support/catalog-view';
import { encode, FIXTURE_NAMES, fixtures, imageObject, SOP, TS, UID_ROOT } from '../support/data-sets';
import type { SentObject } from '../support/data-sets';
import { goodObject } from '../support/hostile-data-sets';
import { PlainScu, sha256 } from '../support/ledger-scu';
import { removeFolder, startNode } from '../support/node-process';
import type { NodeProcess } from '../support/node-process';
import { metaText, parsePart10, storedDataSet, storedFiles } from '../support/stored-files';
import { pData, pdv, storeRq, Wire } from '../support/wire';

/** C-STORE as a caller and a sysadmin see it. */
let node: NodeProcess;

beforeAll(async () => {
  node = await startNode();
});

afterAll(async () => {
  const { code } = await node.stop();
  await removeFolder(node.folder);
  expect(code).toBe(0);
});

async function store(objects: readonly SentObject[], calling = 'TESTER'): Promise<(number | undefined)[]> {
  const scu = await PlainScu.open(node.port, objects, { calling });
  const statuses: (number | undefined)[] = [];
  for (const object of objects) statuses.push((await scu.store(object)).status);
  await scu.release();
  return statuses;
}

async function quarantine(): Promise<Record<string, unknown>[]> {
  const result = await node.cli(['quarantine', 'list', '--json']);
  expect(result.code).toBe(0);
  const text = result.stdout.trim();
  if (text === '') return [];
  return text.startsWith('[')
    ? (JSON.parse(text) as Record<string, unknown>[])
    : text.split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe('what is stored', () => {
  const studies = fixtures(100);

  it('is found again: studies, patients, counters, and names in every character set', async () => {
    const objects = Object.values(studies).flat();
    expect(new Set(await store(objects))).toEqual(new Set([0]));

    const patients = await find(node, 'patients');
    const names = Object.fromEntries(patients.map((row) => [row['PatientID'], row['PatientName']]));
    expect(names).toMatchObject(FIXTURE_NAMES);

    const rows = await find(node, 'studies', ['-k', `StudyInstanceUID=${UID_ROOT}.1`]);
    expect(rows).toHaveLength(1);
    expect(rows[0]).toMatchObject({
      StudyInstanceUID: `${UID_ROOT}.1`,
      PatientID: 'PID1',
      StudyDate: '20240101',
      AccessionNumber: 'ACC1',
      StudyDescription: 'CHEST CT',
      NumberOfStudyRelatedSeries: 2,
      NumberOfStudyRelatedInstances: 4,
    });
    const found = new Set(await instanceUids(node));
    for (const object of objects) expect(found).toContain(object.SOPInstanceUID);
  });

  it('is byte for byte what was sent, in every transfer syntax', async () => {
    const objects = [...Object.values(TS), '1.2.840.10008.1.2.4.999', '2.25.4711'].map((syntax) =>
      goodObject({}, syntax),
    );
    expect(new Set(await store(objects))).toEqual(new Set([0]));
    const files = new Map(
      (await storedFiles(node.dataDirectory)).map((file) => [file.SOPInstanceUID, file] as const),
    );
    for (const object of objects) {
      const file = files.get(object.SOPInstanceUID);
      expect(file).toMatchObject({
        transferSyntax: object.transferSyntax,
        sealed: true,
        dataSetSha256: sha256(object.dataSet),
      });
    }
  });

  it('ST-05: has the file meta group of a Part-10 file', async () => {
    const object = goodObject();
    await store([object]);
    const file = (await storedFiles(node.dataDirectory)).find(
      ({ SOPInstanceUID }) => SOPInstanceUID === object.SOPInstanceUID,
    );
    const bytes = await fsp.readFile(file!.path);
    expect(bytes.subarray(0, 128)).toEqual(Buffer.alloc(128));
    const parsed = parsePart10(bytes)!;
    expect(parsed.meta.get(0x00020000)?.readUInt32LE(0)).toBe(parsed.dataSetOffset - 144);
    expect(parsed.meta.get(0x00020001)).toEqual(Buffer.from([0, 1]));
    expect(metaText(parsed, 0x00020002)).toBe(object.SOPClassUID);
    expect(metaText(parsed, 0x00020003)).toBe(object.SOPInstanceUID);
    expect(metaText(parsed, 0x00020010)).toBe(object.transferSyntax);
    expect(metaText(parsed, 0x00020012)).toMatch(/^[0-9.]+$/);
    expect(metaText(parsed, 0x00020013)).toMatch(/^.{1,16}$/);
    expect(metaText(parsed, 0x00020016)).toBe('TESTER');
    expect([...parsed.meta.keys()]).toEqual([...parsed.meta.keys()].sort((a, b) => a - b));
  });

  it('T66: is of any class, a private one too, unless the remote is held to the known ones', async () => {
    const object = goodObject({ SOPClassUID: '1.2.3.99' });
    expect(await store([object])).toEqual([0]);
    const { wire, ac } = await Wire.associate(node.port, {
      calling: 'STRICT',
      contexts: [
        { id: 1, abstractSyntax: '1.2.3.99', transferSyntaxes: [TS.explicit] },
        { id: 3, abstractSyntax: SOP.ct, transferSyntaxes: ['1.2.3.4'] },
        { id: 5, abstractSyntax: SOP.ct, transferSyntaxes: ['1.2.3.4', TS.explicit] },
      ],
    });
    expect([...ac.contexts.values()].map(({ result }) => result)).toEqual([3, 4, 0]);
    await wire.release();
  });

  it('comes without a group 0002 that stood inside the data set, and says so with B006', async () => {
    const object = goodObject();
    const inside = encode([
      { tag: 0x00020000, vr: 'UL', value: [28] },
      { tag: 0x00020010, vr: 'UI', value: TS.explicit },
    ]);
    const scu = await PlainScu.open(node.port, [object]);
    const answer = await scu.store({ ...object, dataSet: Buffer.concat([inside, object.dataSet]) });
    expect(answer.status).toBe(0xb006);
    expect(answer.bytes(0x0901)).toEqual(Buffer.from([2, 0, 0, 0]));
    await scu.release();
    expect(await storedDataSet(node.dataDirectory, object.SOPInstanceUID)).toEqual(object.dataSet);
  });
});

describe('duplicates', () => {
  it('T67: are answered Success and kept once when they are the same', async () => {
    const object = goodObject();
    expect(await store([object, object, object])).toEqual([0, 0, 0]);
    expect(await store([object])).toEqual([0]);
    expect(await storedDataSet(node.dataDirectory, object.SOPInstanceUID)).toEqual(object.dataSet);
  });

  it('are the same in another uncompressed syntax', async () => {
    const object = goodObject();
    const again = [TS.implicit, TS.big, TS.deflated].map((syntax) =>
      imageObject({ ...object, size: 16 }, syntax),
    );
    // Big endian swaps the pixels of OW with everything else.
    const big = again[1]!;
    const pixels = object.dataSet.subarray(-512);
    expect(pixels).toHaveLength(512);
    const swapped = Buffer.from(big.dataSet);
    swapped.subarray(-512).swap16();
    again[1] = { ...big, dataSet: swapped };
    expect(await store([object, ...again])).toEqual([0, 0, 0, 0]);
    expect(await storedDataSet(node.dataDirectory, object.SOPInstanceUID)).toEqual(object.dataSet);
  });

  it('T67: with other bytes go to quarantine, once, and are answered 0111 with a comment', async () => {
    const object = goodObject({ seed: 1 });
    const other = imageObject({ ...object, seed: 2 });
    const scu = await PlainScu.open(node.port, [object]);
    expect((await scu.store(object)).status).toBe(0);
    for (let time = 0; time < 2; time += 1) {
      const answer = await scu.store(other);
      expect(answer.status).toBe(0x0111);
      expect(answer.comment).toMatch(/quarantine/);
    }
    // The first one is as good as ever.
    expect((await scu.store(object)).status).toBe(0);
    await scu.release();
    expect(await storedDataSet(node.dataDirectory, object.SOPInstanceUID)).toEqual(object.dataSet);
    const entries = (await quarantine()).filter((row) => row['SOPInstanceUID'] === object.SOPInstanceUID);
    expect(entries).toHaveLength(1);
    const aside = (await storedFiles(node.dataDirectory, 'quarantine')).filter(
      ({ SOPInstanceUID }) => SOPInstanceUID === object.SOPInstanceUID,
    );
    expect(aside.map(({ dataSetSha256 }) => dataSetSha256)).toEqual([sha256(other.dataSet)]);
  });

  it('become current where the remote replaces, and the old bytes stay', async () => {
    const object = goodObject({ seed: 1 });
    const other = imageObject({ ...object, seed: 2 });
    expect(await store([object, other], 'REPLACING')).toEqual([0, 0]);
    const digests = (await storedFiles(node.dataDirectory))
      .filter(({ SOPInstanceUID }) => SOPInstanceUID === object.SOPInstanceUID)
      .map(({ dataSetSha256 }) => dataSetSha256);
    expect(digests.sort()).toEqual([sha256(object.dataSet), sha256(other.dataSet)].sort());
    const rows = (await find(node, 'instances')).filter(
      (row) => row['SOPInstanceUID'] === object.SOPInstanceUID,
    );
    expect(rows).toHaveLength(1);
  });

  it('on eight associations at once leave one file and eight times Success', async () => {
    for (let round = 0; round < 10; round += 1) {
      const object = goodObject({ seed: round });
      const scus = await Promise.all(Array.from({ length: 8 }, () => PlainScu.open(node.port, [object])));
      const statuses = await Promise.all(scus.map(async (scu) => (await scu.store(object)).status));
      await Promise.all(scus.map((scu) => scu.release()));
      expect(statuses).toEqual(Array.from({ length: 8 }, () => 0));
      expect(await storedDataSet(node.dataDirectory, object.SOPInstanceUID)).toEqual(object.dataSet);
    }
  });

  it('of two kinds at once: one wins, the others are told', async () => {
    const first = goodObject({ seed: 1 });
    const kinds = [first, imageObject({ ...first, seed: 2 })];
    const scus = await Promise.all(Array.from({ length: 8 }, () => PlainScu.open(node.port, kinds)));
    const statuses = await Promise.all(
      scus.map(async (scu, index) => (await scu.store(kinds[index % 2]!)).status),
    );
    await Promise.all(scus.map((scu) => scu.release()));
    const even = statuses.filter((_, index) => index % 2 === 0);
    const odd = statuses.filter((_, index) => index % 2 === 1);
    expect([new Set(even), new Set(odd)]).toEqual(
      even[0] === 0 ? [new Set([0]), new Set([0x0111])] : [new Set([0x0111]), new Set([0])],
    );
    const winner = even[0] === 0 ? kinds[0]! : kinds[1]!;
    expect(await storedDataSet(node.dataDirectory, first.SOPInstanceUID)).toEqual(winner.dataSet);
  });
});

describe('associations at once', () => {
  it('ST-11: leave exact counters in one study of four series', async () => {
    const study = `${UID_ROOT}.88`;
    const objects = (association: number): SentObject[] =>
      Array.from({ length: 25 }, (_, index) =>
        imageObject({
          PatientID: 'CONCURRENT',
          StudyInstanceUID: study,
          SeriesInstanceUID: `${study}.${association % 4}`,
          SOPInstanceUID: `${study}.${association % 4}.${association}.${index}`,
          SOPClassUID: association % 2 === 0 ? SOP.ct : SOP.mr,
          Modality: association % 2 === 0 ? 'CT' : 'MR',
          size: 4,
        }),
      );
    const statuses = await Promise.all(Array.from({ length: 8 }, (_, index) => store(objects(index))));
    expect(new Set(statuses.flat())).toEqual(new Set([0]));
    const [row, ...others] = await find(node, 'studies', ['-k', `StudyInstanceUID=${study}`]);
    expect(others).toEqual([]);
    expect(row).toMatchObject({ NumberOfStudyRelatedSeries: 4, NumberOfStudyRelatedInstances: 200 });
    expect(String(row?.['ModalitiesInStudy']).split('\\').sort()).toEqual(['CT', 'MR']);
    expect(String(row?.['SOPClassesInStudy']).split('\\').sort()).toEqual([SOP.ct, SOP.mr]);
    const patients = (await find(node, 'patients')).filter(
      (patient) => patient['PatientID'] === 'CONCURRENT',
    );
    expect(patients).toHaveLength(1);
  });

  it('work through a window of operations in order', async () => {
    const objects = Array.from({ length: 16 }, (_, index) => goodObject({ size: 64, seed: index }));
    const scu = await PlainScu.open(node.port, objects, {});
    const context = scu.contextFor(objects[0]!);
    for (const [index, object] of objects.entries()) {
      await scu.wire.send(
        pData(pdv(context, true, true, storeRq(index + 1, object.SOPClassUID, object.SOPInstanceUID))),
      );
      for (const part of scu.dataPdus(context, object.dataSet)) await scu.wire.send(part);
    }
    const answers: (number | undefined)[][] = [];
    for (let count = 0; count < objects.length; count += 1) {
      const { command } = await scu.wire.nextMessage();
      answers.push([command.respondsTo, command.status]);
    }
    expect(answers.sort(([a], [b]) => a! - b!)).toEqual(objects.map((_, index) => [index + 1, 0]));
    await scu.release();
    for (const object of objects) {
      expect(await storedDataSet(node.dataDirectory, object.SOPInstanceUID)).toEqual(object.dataSet);
    }
  });
});
