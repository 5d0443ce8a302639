import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import type { NodeApi } from '../../src/admin/api';
import { ControlServer } from '../../src/admin/server';
import { rowsOf } from '../support/catalog-view';
import { imageObject, part10, UID_ROOT, type ObjectFields, type SentObject } from '../support/data-sets';
import { PlainScu } from '../support/ledger-scu';
import { isocenter, makeFolder, removeFolder, startNode, writeConfig } from '../support/node-process';
import type { NodeProcess } from '../support/node-process';
import type { RunResult } from '../support/tools';

/** The commands on what is stored, as a sysadmin or a script calls them: with a running node, and without. */
const STUDY = `${UID_ROOT}.500`;

let serial = 0;

function object(fields: ObjectFields = {}): SentObject {
  return imageObject({
    StudyInstanceUID: STUDY,
    SeriesInstanceUID: `${STUDY}.1`,
    SOPInstanceUID: `${STUDY}.1.${++serial}`,
    size: 4,
    ...fields,
  });
}

const first = object({
  PatientID: 'P1',
  PatientName: 'Doe^John',
  StudyDate: '20240101',
  StudyDescription: 'A',
});
const second = object({ PatientID: 'P1', PatientName: 'Doe^John', StudyDescription: 'B' });
const other = imageObject({ ...first, PatientID: 'P1', size: 4, seed: 77 });
const third = object({
  PatientID: 'P3',
  StudyInstanceUID: `${STUDY}.3`,
  SeriesInstanceUID: `${STUDY}.3.1`,
});
const elsewhere = object({
  PatientID: 'P2',
  PatientName: 'Roe^Jane',
  StudyInstanceUID: `${STUDY}.9`,
  SeriesInstanceUID: `${STUDY}.9.1`,
});

let node: NodeProcess;
let sources: string;
const nodes: NodeProcess[] = [];

/** A node that holds `first`, `second` and `elsewhere`, and has `other` in quarantine. */
async function filled(): Promise<NodeProcess> {
  const started = await startNode();
  nodes.push(started);
  const scu = await PlainScu.open(started.port, [first]);
  for (const one of [first, second, elsewhere]) expect((await scu.store(one)).status).toBe(0);
  expect((await scu.store(other)).status).toBe(0x0111);
  await scu.release();
  return started;
}

beforeAll(async () => {
  sources = await makeFolder();
});

afterAll(async () => {
  for (const each of nodes) {
    await each.kill();
    await removeFolder(each.folder);
  }
  await removeFolder(sources);
});

const call = (...args: string[]): Promise<RunResult> => node.cli(args);

async function data(...args: string[]): Promise<Record<string, unknown>[]> {
  const result = await call(...args);
  expect(result).toMatchObject({ code: 0, stderr: '' });
  return rowsOf(result.stdout);
}

const lines = (text: string): string[] => text.trimEnd().split('\n');

/** The same answers, from a node and from the store itself. */
function readers(): void {
  it('find prints a table of studies, tabs between the values', async () => {
    const result = await call('find');
    expect(result).toMatchObject({ code: 0, stderr: '' });
    const [title, ...rows] = lines(result.stdout);
    expect(title!.split('\t').slice(0, 3)).toEqual(['PatientID', 'PatientName', 'StudyDate']);
    expect(rows.map((row) => row.split('\t').slice(0, 3))).toEqual([
      ['P1', 'Doe^John', '20240101'],
      ['P2', 'Roe^Jane', ''],
    ]);
  });

  it('find prints JSON lines of every level, filtered by keys', async () => {
    expect(await data('find', 'patients', '--json')).toHaveLength(2);
    expect(await data('find', 'series', '--json', '-k', 'PatientID=P1')).toMatchObject([
      { SeriesInstanceUID: `${STUDY}.1`, NumberOfSeriesRelatedInstances: 2 },
    ]);
    expect(await data('find', 'studies', '--json', '-k', 'StudyDate=20250101-')).toEqual([]);
    const found = await data(
      'find',
      'instances',
      '--json',
      '-k',
      'PatientName=doe*',
      '-k',
      'StudyDate=20240101-',
    );
    expect(found.map((row) => row['SOPInstanceUID']).sort()).toEqual(
      [first, second].map((one) => one.SOPInstanceUID).sort(),
    );
  });

  it('find --limit says that there is more', async () => {
    const result = await call('find', 'instances', '--limit', '2', '--json');
    expect(rowsOf(result.stdout)).toHaveLength(2);
    expect(result).toMatchObject({ code: 0, stderr: 'isocenter: there is more; --limit 0 shows all\n' });
    expect(await data('find', 'instances', '--limit', '0', '--json')).toHaveLength(3);
  });

  it('find --conflicts lists what later images said', async () => {
    expect(await data('find', '--conflicts', '--json')).toMatchObject([
      { level: 'STUDY', keyword: 'StudyDescription', kept: 'A', differing: 'B', PatientID: 'P1' },
    ]);
    const table = lines((await call('find', '--conflicts')).stdout);
    expect(table[0]!.split('\t').slice(0, 5)).toEqual([
      'Level',
      'PatientID',
      'Attribute',
      'Kept',
      'Differing',
    ]);
    expect(table[1]!.split('\t').slice(0, 5)).toEqual(['STUDY', 'P1', 'StudyDescription', 'A', 'B']);
  });

  it.each([STUDY, `${STUDY}.1`, first.SOPInstanceUID])('show %s says what is known', async (uid) => {
    const text = await call('show', uid);
    expect(text).toMatchObject({ code: 0, stderr: '' });
    expect(text.stdout).toMatch(/^PatientID: P1$/m);
    const json = JSON.parse((await call('show', uid, '--json')).stdout) as {
      level: string;
      files: { path: string; state: string }[];
    };
    expect(json.level).toBe(uid === STUDY ? 'STUDY' : uid === first.SOPInstanceUID ? 'IMAGE' : 'SERIES');
    if (json.level !== 'IMAGE') return;
    expect(json.files).toMatchObject([{ state: 'current' }]);
    expect(fs.existsSync(json.files[0]!.path)).toBe(true);
    expect(text.stdout).toContain(`File: ${json.files[0]!.path} (current)`);
  });

  it('show of an unknown UID fails, and says how to look for one', async () => {
    expect(await call('show', '1.2.3')).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/^isocenter: No study.*"1\.2\.3"\n {2}isocenter find --help/) as string,
    });
  });

  it('quarantine list and show say what is there and why', async () => {
    const [row] = await data('quarantine', 'list', '--json');
    expect(row).toMatchObject({ reason: 'duplicate', SOPInstanceUID: first.SOPInstanceUID, count: 1 });
    expect(lines((await call('quarantine', 'list')).stdout)).toHaveLength(2);
    const id = String(row!['arrivalId']);
    const shown = await call('quarantine', 'show', id);
    expect(shown).toMatchObject({ code: 0, stderr: '' });
    expect(shown.stdout).toMatch(/^reason: duplicate$/m);
    const { path: file } = JSON.parse((await call('quarantine', 'show', id, '--json')).stdout) as {
      path: string;
    };
    expect(fs.existsSync(file)).toBe(true);
    expect(await call('quarantine', 'show', 'nothing')).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/quarantine list shows what is/) as string,
    });
  });
}

describe('usage', () => {
  beforeAll(async () => {
    const folder = await makeFolder();
    const file = await writeConfig(folder);
    node = {
      folder,
      cli: (args: string[]) => isocenter([...args, '--config', file]),
    } as unknown as NodeProcess;
  });

  afterAll(() => removeFolder(node.folder));

  it.each<[string[], RegExp]>([
    [['find', 'studis'], /choose one of patients.* Did you mean "?studies"?\?/i],
    [['find', '-k', 'PatientNam=x'], /"PatientNam" is not a key.*Did you mean "?PatientName"?\?/i],
    [['find', '-k', 'PixelData=x'], /is not a key that can be searched/],
    [['find', '--limit', '-1'], /a number of rows is expected/],
    [['show'], /missing required argument 'uid'/],
    [['quarantine', 'release', 'x'], /--reason/],
    [['quarantine', 'discard', 'x', '--reason', 'y'], /add --yes/],
    [['import'], /missing required argument 'path'/],
    [['send', 'x'], /what is to be sent/],
  ])('%p ends with exit code 2', async (args, message) => {
    const result = await call(...args);
    expect(result).toMatchObject({ code: 2, stdout: '' });
    expect(result.stderr).toMatch(message);
  });

  it.each([
    [['serve']],
    [['find']],
    [['show']],
    [['quarantine']],
    [['quarantine', 'list']],
    [['quarantine', 'show']],
    [['quarantine', 'release']],
    [['quarantine', 'discard']],
    [['import']],
    [['reindex']],
    [['send']],
  ])('%p --help ends with examples', async (words) => {
    const result = await isocenter([...words, '--help']);
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(result.stdout).toMatch(/\nExamples:\n( {2}(isocenter|dcmdump|ISOCENTER_CONFIG=).*\n)+$/);
  });

  it('a configuration that is none ends every command with 78', async () => {
    const file = path.join(sources, 'broken.yaml');
    fs.writeFileSync(file, 'version: 1\nlisten: { prot: 5 }\n');
    for (const words of [['find'], ['import', sources], ['reindex'], ['serve']]) {
      const result = await isocenter([...words, '--config', file]);
      expect(result.code).toBe(78);
      expect(result.stderr).toMatch(/broken\.yaml:2:\d+: listen\.prot: /);
    }
  });
});

describe('with a running node', () => {
  beforeAll(async () => {
    node = await filled();
  });

  readers();

  it('reindex is refused with 75, and says who holds the store', async () => {
    const result = await call('reindex');
    expect(result).toMatchObject({ code: 75, stdout: '' });
    expect(result.stderr).toContain(`process ${node.pid} on `);
    expect(await data('find', 'instances', '--json')).toHaveLength(3);
  });

  it('find ends quietly where its reader has seen enough', async () => {
    const script = '"$0" "$1" find instances --json --config "$2" | head -c 1 >/dev/null; echo end';
    const command = path.join(__dirname, '../../scripts/isocenter');
    const child = spawn('bash', ['-c', script, process.execPath, command, node.configFile]);
    let text = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (text += chunk.toString()));
    await new Promise((resolve) => child.on('close', resolve));
    expect(text).toBe('end\n');
  });
});

describe('after a clean stop', () => {
  beforeAll(async () => {
    node = await filled();
    expect((await node.stop()).code).toBe(0);
  });

  readers();

  it('several readers at once wait for each other', async () => {
    const results = await Promise.all(Array.from({ length: 4 }, () => call('find', 'instances', '--json')));
    for (const result of results) {
      expect(result).toMatchObject({ code: 0, stderr: '' });
      expect(rowsOf(result.stdout)).toHaveLength(3);
    }
  });
});

describe('commands that write', () => {
  it('import takes files through the node, and tells with its exit code how it went', async () => {
    node = await filled();
    const folder = path.join(sources, 'first');
    fs.mkdirSync(folder);
    fs.writeFileSync(path.join(folder, 'one'), part10(third));
    fs.writeFileSync(path.join(folder, 'notes.txt'), 'no DICOM file, however long it is. '.repeat(9));
    expect(await call('import', folder)).toMatchObject({
      code: 0,
      stdout: '1 stored, 0 held already, 0 in quarantine, 1 skipped, 0 failed\n',
      stderr: '',
    });
    // Relative to where the command is called, not to where the node was started.
    const here = await isocenterIn(folder, 'import', 'one', '--json');
    expect(here.code).toBe(0);
    expect(rowsOf(here.stdout)).toMatchObject([
      { path: path.join(fs.realpathSync(folder), 'one'), outcome: 'duplicate' },
      { summary: { stored: 0, duplicate: 1 }, interrupted: false },
    ]);
    fs.writeFileSync(path.join(folder, 'broken'), part10(object()).subarray(0, 400));
    const partly = await call('import', folder);
    expect(partly.code).toBe(3);
    expect(partly.stderr).toMatch(/broken: failed: /);
    expect(await call('import', path.join(folder, 'broken'))).toMatchObject({ code: 1 });
    expect(await call('import', path.join(folder, 'missing'))).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/missing: failed: no such file or folder/) as string,
    });
    fs.writeFileSync(path.join(folder, 'differs'), part10(imageObject({ ...first, size: 4, seed: 78 })));
    const differs = await call('import', path.join(folder, 'differs'));
    expect(differs.code).toBe(3);
    expect(differs.stderr).toMatch(/differs: quarantined: .*quarantine list/);
  });

  it('release and discard are carried out by the node', async () => {
    node = await filled();
    const [row] = await data('quarantine', 'list', '--json');
    const id = String(row!['arrivalId']);
    expect(await call('quarantine', 'release', id, '--reason', 'the resend is right')).toMatchObject({
      code: 0,
      stderr: `isocenter: ${id} is current now\n`,
    });
    const { files } = JSON.parse((await call('show', first.SOPInstanceUID, '--json')).stdout) as {
      files: { arrivalId: string }[];
    };
    expect(files.map((file) => file.arrivalId)).toEqual([id]);
    const [replaced] = await data('quarantine', 'list', '--json');
    expect(replaced).toMatchObject({ reason: 'replaced' });
    const old = String(replaced!['arrivalId']);
    const discard = ['quarantine', 'discard', old, '--reason', 'a test', '--yes'];
    expect(await call(...discard)).toMatchObject({ code: 0, stderr: `isocenter: ${old} is gone\n` });
    expect(await call(...discard)).toMatchObject({ code: 1 });
    expect(await data('quarantine', 'list', '--json')).toEqual([]);
    expect(node.logs()).toMatch(/released from quarantine/);
    expect(node.logs()).toMatch(/discarded from quarantine/);
  });

  it('after a kill: readers warn, import looks the store through first, reindex finds the same', async () => {
    node = await filled();
    await node.kill();
    const result = await call('find', 'patients', '--json');
    expect(result.code).toBe(0);
    expect(rowsOf(result.stdout)).toHaveLength(2);
    expect(result.stderr).toBe(
      'isocenter: the node was not stopped cleanly; what its next start will find may be missing here\n',
    );

    const file = path.join(sources, 'later');
    fs.writeFileSync(file, part10(third));
    expect(await call('import', file)).toMatchObject({
      code: 0,
      stdout: '1 stored, 0 held already, 0 in quarantine, 0 skipped, 0 failed\n',
    });
    // Everything was settled by it: nothing is left to say.
    expect(await data('find', 'patients', '--json')).toHaveLength(3);

    const before = await data('find', 'instances', '--json');
    const list = await data('quarantine', 'list', '--json');
    const again = await call('reindex', '--json');
    expect(again.code).toBe(0);
    expect(JSON.parse(again.stdout)).toMatchObject({ adopted: 4, removed: 0, quarantined: 0, missing: 0 });
    expect(await data('find', 'instances', '--json')).toEqual(before);
    expect(await data('quarantine', 'list', '--json')).toEqual(list);
    const kept = fs.readdirSync(node.dataDirectory).filter((name) => /^catalog\.sqlite\.\d.*Z$/.test(name));
    expect(kept).toHaveLength(1);

    const shown = JSON.parse((await call('show', second.SOPInstanceUID, '--json')).stdout) as {
      files: { path: string }[];
    };
    fs.appendFileSync(shown.files[0]!.path, 'x');
    const damaged = await call('reindex');
    expect(damaged.code).toBe(3);
    expect(damaged.stdout).toMatch(/^3 files in \d+ segments catalogued, 1 in quarantine, /);
    expect(damaged.stderr).toMatch(/quarantine list/);
  });
});

it('a reader of a node that is still looking its store through says what may be missing', async () => {
  const folder = await makeFolder();
  const file = await writeConfig(folder);
  fs.mkdirSync(path.join(folder, 'data'));
  const api = {
    status: () => Promise.resolve({ unavailable: 'the store is being looked through' }),
    find: () => Promise.resolve({ rows: [{ PatientID: 'P1' }], next: undefined }),
  };
  const server = new ControlServer(
    path.join(folder, 'data', 'control.sock'),
    api as unknown as NodeApi,
    { ready: () => undefined },
    () => undefined,
  );
  await server.listen();
  expect(await isocenter(['find', 'patients', '--json', '--config', file])).toMatchObject({
    code: 0,
    stdout: '{"PatientID":"P1"}\n',
    stderr: 'isocenter: the store is being looked through; what it will find may be missing here\n',
  });
  await server.close();
  await removeFolder(folder);
});

describe('without a store', () => {
  it('find shows nothing of one that is new', async () => {
    const folder = await makeFolder();
    const file = await writeConfig(folder);
    expect(await isocenter(['find', 'instances', '--json', '--config', file])).toMatchObject({
      code: 0,
      stdout: '',
    });
    await removeFolder(folder);
  });

  it('a folder that is not there is not made with all that is above it', async () => {
    const folder = await makeFolder();
    const file = await writeConfig(folder, { dataDirectory: path.join(folder, 'not', 'mounted', 'data') });
    for (const words of [['find'], ['import', folder], ['serve']]) {
      const result = await isocenter([...words, '--config', file]);
      expect(result.code).toBe(1);
      expect(result.output).toMatch(/storage\.directory/);
    }
    expect(fs.existsSync(path.join(folder, 'not'))).toBe(false);
    await removeFolder(folder);
  });
});

it('import that is interrupted ends with 130, and the same command goes on from there', async () => {
  node = await filled();
  const folder = path.join(sources, 'many');
  fs.mkdirSync(folder);
  for (let index = 0; index < 600; index++) {
    const SOPInstanceUID = `${STUDY}.7.${index}`;
    fs.writeFileSync(path.join(folder, String(index)), part10(object({ SOPInstanceUID, size: 0 })));
  }
  const command = path.join(__dirname, '../../scripts/isocenter');
  const child = spawn(process.execPath, [command, 'import', folder, '--json', '--config', node.configFile]);
  let stderr = '';
  let stdout = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdout.on('data', (chunk: Buffer) => {
    if (stdout === '') child.kill('SIGINT');
    stdout += chunk.toString();
  });
  expect(await new Promise((resolve) => child.on('close', resolve))).toBe(130);
  expect(stderr).toBe('isocenter: interrupted; the same command goes on from here\n');
  const last = rowsOf(stdout).at(-1) as unknown as { summary: { stored: number }; interrupted: boolean };
  expect(last.interrupted).toBe(true);
  expect(last.summary.stored).toBeLessThan(600);
  expect(await call('import', folder)).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/ 0 in quarantine, 0 skipped, 0 failed\n$/) as string,
  });
  expect(await data('find', 'patients', '--json', '-k', 'PatientID=TESTID')).toMatchObject([
    { NumberOfPatientRelatedInstances: 600 },
  ]);
});

function isocenterIn(folder: string, ...args: string[]): Promise<{ code: number | null; stdout: string }> {
  return new Promise((resolve) => {
    const command = path.join(__dirname, '../../scripts/isocenter');
    const child = spawn(process.execPath, [command, ...args, '--config', node.configFile], { cwd: folder });
    let stdout = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.on('close', (code) => resolve({ code, stdout }));
  });
}
