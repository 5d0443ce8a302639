import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import fsp from 'node:fs/promises';
import path from 'node:path';
import { IsocenterError } from '../../src/errors';
import {
  exportInstances,
  type ExportEvent,
  type ExportItem,
  type ExportTarget,
} from '../../src/services/export';
import { ZipWriter } from '../../src/services/zip';
import {
  encode,
  imageObject,
  part10,
  TS,
  UID_ROOT,
  type ObjectFields,
  type SentObject,
} from '../support/data-sets';
import { sha256 } from '../support/ledger-scu';
import { makeFolder, removeFolder } from '../support/node-process';
import { metaText, parsePart10 } from '../support/stored-files';

const STUDY = `${UID_ROOT}.70`;
let root: string;
let out: string;
let serial = 0;

beforeAll(async () => {
  root = await makeFolder();
});
afterAll(() => removeFolder(root));
beforeEach(() => {
  out = path.join(root, `out${++serial}`);
});

function object(number: number, fields: ObjectFields = {}, syntax: string = TS.explicit): SentObject {
  return imageObject(
    {
      StudyInstanceUID: STUDY,
      SeriesInstanceUID: `${STUDY}.1`,
      SOPInstanceUID: `${STUDY}.1.${number}`,
      InstanceNumber: String(number),
      size: 8,
      seed: number,
      ...fields,
    },
    syntax,
  );
}

/** As the store has it: its file has more in its meta group than goes out. */
function item(one: SentObject, read?: () => AsyncIterable<Buffer>): ExportItem {
  const file = path.join(root, `store${++serial}.dcm`);
  const plain = part10(one);
  const offset = plain.length - one.dataSet.length;
  const meta = encode([
    { tag: 0x00020016, vr: 'AE', value: 'CT_ROOM1' },
    { tag: 0x00020018, vr: 'AE', value: 'NODE' },
    { tag: 0x00020100, vr: 'UI', value: '1.2.3' },
    { tag: 0x00020102, vr: 'OB', value: Buffer.alloc(128, 7) },
  ]);
  const before = Buffer.from(plain.subarray(0, offset));
  // (0002,0000)
  before.writeUInt32LE(before.readUInt32LE(140) + meta.length, 140);
  fs.writeFileSync(file, Buffer.concat([before, meta, one.dataSet]));
  const { transferSyntax: TransferSyntaxUID, dataSet, ...uids } = one;
  return {
    location: {
      ...uids,
      TransferSyntaxUID,
      arrivalId: `a${serial}`,
      dataSetOffset: offset + meta.length,
      dataSetLength: dataSet.length,
      sha256: sha256(dataSet),
      state: 'current',
      damaged: undefined,
      path: file,
    },
    instance: {
      ...uids,
      name: `a${serial}`,
      TransferSyntaxUID,
      dataSetLength: dataSet.length,
      read:
        read ??
        async function* () {
          for (let at = 0; at < dataSet.length; at += 1 << 20) yield dataSet.subarray(at, at + (1 << 20));
        },
    },
  };
}

const damaged = async function* (): AsyncGenerator<Buffer> {
  yield Buffer.alloc(100);
  throw new IsocenterError('FILE_DAMAGED', 'the file has other bytes than sealed');
};

async function run(items: readonly ExportItem[], more: Partial<ExportTarget> = {}): Promise<ExportEvent[]> {
  const events: ExportEvent[] = [];
  const target = {
    directory: out,
    dicomdir: false,
    force: false,
    signal: new AbortController().signal,
    ...more,
  };
  for await (const event of exportInstances(items, target)) events.push(event);
  return events;
}

const outcomes = (events: readonly ExportEvent[]): string[] => events.map(({ outcome }) => outcome);

async function filesIn(folder: string): Promise<string[]> {
  const entries = await fsp.readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)))
    .sort();
}

it.each([TS.explicit, TS.implicit, TS.big, TS.deflated, TS.jpegBaseline])(
  'writes the data set byte for byte under a plain file meta group: %s',
  async (syntax) => {
    const one = object(1, {}, syntax);
    expect(outcomes(await run([item(one)]))).toEqual(['exported']);
    const file = await fsp.readFile(path.join(out, STUDY, `${STUDY}.1`, `${STUDY}.1.1.dcm`));
    const parsed = parsePart10(file)!;
    expect(file.subarray(parsed.dataSetOffset)).toEqual(one.dataSet);
    expect([...parsed.meta.keys()]).not.toContain(0x00020102);
    expect(metaText(parsed, 0x00020003)).toBe(one.SOPInstanceUID);
    expect(metaText(parsed, 0x00020010)).toBe(syntax);
    expect(metaText(parsed, 0x00020016)).toBe('CT_ROOM1');
  },
);

it('goes on where it stopped, mends what is cut, and leaves alone what is somebody else’s', async () => {
  const objects = [1, 2, 3, 4].map((number) => object(number));
  const name = (number: number): string => path.join(out, STUDY, `${STUDY}.1`, `${STUDY}.1.${number}.dcm`);
  await run(objects.slice(0, 3).map((one) => item(one)));
  await fsp.truncate(name(2), 500);
  const other = part10(object(3, { seed: 99 }));
  await fsp.writeFile(name(3), other);
  const events = await run(objects.map((one) => item(one)));
  expect(outcomes(events)).toEqual(['present', 'exported', 'failed', 'exported']);
  expect(events[2]!.reason).toMatch(/other bytes; --force/);
  expect(await fsp.readFile(name(3))).toEqual(other);
  expect(
    outcomes(
      await run(
        objects.map((one) => item(one)),
        { force: true },
      ),
    ),
  ).toEqual(['present', 'present', 'exported', 'present']);
  expect((await fsp.readFile(name(3))).subarray(-8)).toEqual(objects[2]!.dataSet.subarray(-8));
});

it('follows no link that stands where a file should', async () => {
  const victim = path.join(root, 'victim');
  await fsp.writeFile(victim, 'mine');
  await fsp.mkdir(path.join(out, STUDY, `${STUDY}.1`), { recursive: true });
  await fsp.symlink(victim, path.join(out, STUDY, `${STUDY}.1`, `${STUDY}.1.1.dcm`));
  expect(outcomes(await run([item(object(1))]))).toEqual(['failed']);
  expect(await fsp.readFile(victim, 'latin1')).toBe('mine');
});

it('lets a damaged instance fail alone, and leaves nothing of it', async () => {
  const large = object(2, { size: 1600 });
  const events = await run([item(object(1), damaged), item(large, damaged), item(object(3))]);
  expect(outcomes(events)).toEqual(['failed', 'failed', 'exported']);
  expect(events[0]!.reason).toMatch(/other bytes than sealed/);
  expect(await filesIn(out)).toEqual([path.join(STUDY, `${STUDY}.1`, `${STUDY}.1.3.dcm`)]);
});

it('ends where nothing can be written', async () => {
  await fsp.writeFile(out, 'a file');
  await expect(run([item(object(1)), item(object(2))])).rejects.toMatchObject({ code: 'FILE_UNWRITABLE' });
});

it('ends where it is told to', async () => {
  const stop = new AbortController();
  const all = [1, 2, 3].map((number) => item(object(number)));
  const items = (function* () {
    yield all[0]!;
    stop.abort();
    yield* all.slice(1);
  })();
  const events: ExportEvent[] = [];
  const target = { directory: out, dicomdir: true, force: false, signal: stop.signal };
  for await (const event of exportInstances(items, target)) events.push(event);
  expect(outcomes(events)).toEqual(['exported']);
  expect(await filesIn(out)).toEqual(['DICOM/PAT00001/STU00001/SER00001/IMG00001']);
});

describe('for media', () => {
  const patients = [
    object(1, { PatientID: 'A' }),
    object(2, { PatientID: 'A' }),
    object(3, { PatientID: '', StudyInstanceUID: `${STUDY}.8` }),
    object(4, { PatientID: '', StudyInstanceUID: `${STUDY}.9` }),
  ];

  it('gives files their names, and a DICOMDIR at the end', async () => {
    const events = await run(
      patients.map((one) => item(one)),
      { dicomdir: true },
    );
    expect(events.at(-1)).toMatchObject({ SOPInstanceUID: '', file: 'DICOMDIR', outcome: 'exported' });
    // Without an ID each study has a patient of its own.
    expect(await filesIn(out)).toEqual([
      'DICOM/PAT00001/STU00001/SER00001/IMG00001',
      'DICOM/PAT00001/STU00001/SER00001/IMG00002',
      'DICOM/PAT00002/STU00001/SER00001/IMG00001',
      'DICOM/PAT00003/STU00001/SER00001/IMG00001',
      'DICOMDIR',
    ]);
  });

  it('finds all there on a second run', async () => {
    await run(
      patients.slice(0, 2).map((one) => item(one)),
      { dicomdir: true, signal: AbortSignal.abort() },
    );
    await run(
      patients.map((one) => item(one)),
      { dicomdir: true },
    );
    expect(
      outcomes(
        await run(
          patients.map((one) => item(one)),
          { dicomdir: true },
        ),
      ),
    ).toEqual(Array(5).fill('present'));
  });

  it('does not mix two exports', async () => {
    await run(
      patients.map((one) => item(one)),
      { dicomdir: true },
    );
    const before = await fsp.readFile(path.join(out, 'DICOMDIR'));
    await expect(run([item(object(9))], { dicomdir: true })).rejects.toMatchObject({ code: 'EXPORT_MIXED' });
    await expect(
      run(
        patients.slice(0, 2).map((one) => item(one)),
        { dicomdir: true },
      ),
    ).rejects.toMatchObject({
      code: 'EXPORT_MIXED',
    });
    expect(await fsp.readFile(path.join(out, 'DICOMDIR'))).toEqual(before);
  });

  (fs.existsSync('/usr/bin/python3') ? it : it.skip)(
    'writes the same into a ZIP file, large ones too, and leaves damaged ones out',
    async () => {
      const file = `${out}.zip`;
      const zip = await ZipWriter.create(file);
      const large = object(5, { size: 1600, PatientID: 'A' });
      const items = [...patients.map((one) => item(one)), item(object(6), damaged), item(large)];
      expect(outcomes(await run(items, { dicomdir: true, zip }))).toEqual([
        ...Array<string>(4).fill('exported'),
        'failed',
        'exported',
        'exported',
      ]);
      await zip.commit({ replace: false });
      execFileSync('/usr/bin/python3', ['-m', 'zipfile', '-e', file, `${out}-unzipped`]);
      expect(await filesIn(`${out}-unzipped`)).toEqual(await filesIn(out));
      for (const name of await filesIn(out)) {
        const [unzipped, written] = await Promise.all(
          [`${out}-unzipped`, out].map((folder) => fsp.readFile(path.join(folder, name))),
        );
        expect([name, unzipped!.equals(written!)]).toEqual([name, true]);
      }
    },
  );
});
