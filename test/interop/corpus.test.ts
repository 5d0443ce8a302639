import path from 'node:path';
import { find } from '../support/catalog-view';
import { TS } from '../support/data-sets';
import { PlainScu, sha256 } from '../support/ledger-scu';
import { removeFolder, startNode } from '../support/node-process';
import type { NodeProcess } from '../support/node-process';
import { samples, type Sample } from '../support/pydicom-samples';
import { storedFiles } from '../support/stored-files';
import { dcmtk, describeInterop, pydicom, statusesOf } from '../support/tools';

/** Without a Patient ID every study is a patient of its own. */
const patientKey = (row: Readonly<Record<string, unknown>>): string =>
  typeof row['PatientID'] === 'string' && row['PatientID'] !== ''
    ? row['PatientID']
    : `of study ${String(row['StudyInstanceUID'])}`;

describeInterop(['pydicom'], "pydicom's samples, bytes untouched", () => {
  let node: NodeProcess;
  let all: Sample[];
  const statuses = new Map<string, number | undefined>();

  beforeAll(async () => {
    node = await startNode();
    all = await samples();
    // Several samples are one instance in many encodings: each newer one becomes current, the others stay as versions.
    for (const { file, object } of all) {
      const scu = await PlainScu.open(node.port, [object], { calling: 'REPLACING' });
      statuses.set(file, (await scu.store(object)).status);
      await scu.release();
    }
  }, 60_000);

  afterAll(async () => {
    await node.stop();
    await removeFolder(node.folder);
  });

  it('are all taken but those that lack a UID or are broken, which are C000', () => {
    const wrong = all.filter(({ file, complete }) => statuses.get(file) !== (complete ? 0 : 0xc000));
    expect(wrong.map(({ file }) => [path.basename(file), statuses.get(file)?.toString(16)])).toEqual([]);
    expect(all.filter(({ complete }) => complete).length).toBeGreaterThan(70);
  });

  it('are stored byte for byte, or were there already by the judgement of pydicom', async () => {
    const stored = new Set(
      (await storedFiles(node.dataDirectory)).map((file) => `${file.SOPInstanceUID} ${file.dataSetSha256}`),
    );
    const absent = all.filter(
      ({ complete, object }) => complete && !stored.has(`${object.SOPInstanceUID} ${sha256(object.dataSet)}`),
    );
    const unexplained: string[] = [];
    for (const sample of absent) {
      const earlier = all
        .slice(0, all.indexOf(sample))
        .filter(({ object }) => object.SOPInstanceUID === sample.object.SOPInstanceUID);
      const same = await pydicom.same(earlier.map(({ file }) => [file, sample.file] as const));
      if (!same.includes(true)) unexplained.push(path.basename(sample.file));
    }
    expect(unexplained).toEqual([]);
    expect(absent.length).toBeLessThan(8);
  });

  it('are found by the names that pydicom reads, in every character set', async () => {
    const names = new Map(
      (await find(node, 'patients')).map((row) => [patientKey(row), String(row['PatientName'] ?? '')]),
    );
    for (const row of await find(node, 'studies')) {
      if (String(row['PatientID'] ?? '') === '') names.set(patientKey(row), String(row['PatientName'] ?? ''));
    }
    // The first non-empty value is the patient's.
    const expected = new Map<string, string>();
    for (const { header, complete } of all) {
      const key = patientKey({ ...header });
      if (complete && (expected.get(key) ?? '') === '') expected.set(key, header.PatientName ?? '');
    }
    // pydicom drops the delimiters of empty groups at the end.
    const bare = (name: string | undefined): string => (name ?? '').replace(/[=^ ]+$/, '');
    const differing = [...expected].filter(([key, name]) => bare(names.get(key)) !== bare(name));
    expect(differing.map(([key, name]) => [key, name, names.get(key)])).toEqual([]);
    expect(expected.size).toBeGreaterThan(20);
  });
});

describeInterop(['pydicom', 'dcmtk'], "pydicom's samples through storescu", () => {
  let node: NodeProcess;

  beforeAll(async () => {
    node = await startNode();
  });

  afterAll(async () => {
    await node.stop();
    await removeFolder(node.folder);
  });

  it('are stored with the pixels that storescu read, wherever it can read them', async () => {
    const option: Record<string, string> = {
      [TS.implicit]: '-xi',
      [TS.explicit]: '-xe',
      [TS.big]: '-xb',
      [TS.deflated]: '-xd',
      [TS.jpegBaseline]: '-xy',
      '1.2.840.10008.1.2.4.51': '-xx',
      [TS.jpegLossless]: '-xs',
      [TS.jpegLs]: '-xt',
      '1.2.840.10008.1.2.4.81': '-xu',
      [TS.j2kLossless]: '-xv',
      '1.2.840.10008.1.2.4.91': '-xw',
      [TS.rle]: '-xr',
    };
    const sendable = (await samples()).filter(
      ({ complete, object }) => complete && option[object.transferSyntax] !== undefined,
    );
    const lost: string[] = [];
    let sent = 0;
    for (const { file, object } of sendable) {
      const { output } = await dcmtk.storescu(
        node.port,
        [file],
        [option[object.transferSyntax]!, '-aet', 'REPLACING'],
      );
      const answered = statusesOf(output);
      // What DCMTK refuses to send is sent untouched by the other suite.
      if (answered.length === 0) continue;
      if (answered[0] !== 0) lost.push(`${path.basename(file)}: ${answered[0]!.toString(16)}`);
      sent += 1;
    }
    expect(lost).toEqual([]);
    expect(sent).toBeGreaterThan(60);
    const stored = await storedFiles(node.dataDirectory);
    const pixels = new Set(await pydicom.pixels(stored.map((file) => file.path)));
    const [kept, wanted] = [
      new Set(stored.map(({ SOPInstanceUID }) => SOPInstanceUID)),
      new Set(sendable.map(({ object }) => object.SOPInstanceUID)),
    ];
    expect([...kept].filter((uid) => !wanted.has(uid))).toEqual([]);
    expect(pixels.size).toBeGreaterThan(40);
  }, 60_000);
});
