import { spawn } from 'node:child_process';
import fs from 'node:fs';
import fsp from 'node:fs/promises';
import path from 'node:path';
import { askFor, type RetrieveOptions } from '../../src/cli/retrieve-question';
import { parseKey } from '../../src/cli/query-keys';
import { parseCharacterSet } from '../../src/dicom/charset';
import { encodeDataSet } from '../../src/dicom/data-set';
import { rowOf } from '../../src/services/find-scu';
import { ArchivePeer, counters } from '../support/archive-peer';
import { instanceUids } from '../support/catalog-view';
import { imageObject, part10, SOP, TS, UID_ROOT, type SentObject } from '../support/data-sets';
import { dataSet } from '../support/find-peer';
import { PlainScu } from '../support/ledger-scu';
import { isocenter, makeFolder, removeFolder, startNode, writeConfig } from '../support/node-process';
import type { NodeProcess } from '../support/node-process';
import { parsePart10, storedFiles } from '../support/stored-files';
import type { RunResult } from '../support/tools';

const STUDY = `${UID_ROOT}.80`;
const ASCII = parseCharacterSet([]);
const asked = (options: RetrieveOptions, level?: Parameters<typeof askFor>[0]) => askFor(level, options);
const keys = (...texts: string[]) => texts.map(parseKey);

/** An instance of one of two series; every third is an MR, the last one compressed. */
function object(number: number, more: Parameters<typeof imageObject>[0] = {}): SentObject {
  return imageObject(
    {
      StudyInstanceUID: STUDY,
      SeriesInstanceUID: `${STUDY}.${number % 2}`,
      SOPInstanceUID: `${STUDY}.${number % 2}.${number}`,
      SOPClassUID: number % 3 === 0 ? SOP.mr : SOP.ct,
      PatientID: 'P80',
      size: 8,
      seed: number,
      ...more,
    },
    number === 5 ? TS.jpegLossless : TS.explicit,
  );
}

const OBJECTS = [0, 1, 2, 3, 4, 5].map((number) => object(number));

describe('what is asked for', () => {
  it.each<[string, RetrieveOptions, string, Record<string, string>]>([
    ['a study', { study: ['1.2'] }, 'study', { QueryRetrieveLevel: 'STUDY', StudyInstanceUID: '1.2' }],
    [
      'several series',
      { study: ['1.2'], series: ['1.2.1', '1.2.2'] },
      'study',
      { QueryRetrieveLevel: 'SERIES', StudyInstanceUID: '1.2', SeriesInstanceUID: '1.2.1\\1.2.2' },
    ],
    [
      'an instance, by keys',
      {
        key: keys(
          'StudyInstanceUID=1.2',
          '0020,000e=1.3',
          'SOPInstanceUID=1.4\\1.5',
          'QueryRetrieveLevel=IMAGE',
        ),
      },
      'study',
      {
        QueryRetrieveLevel: 'IMAGE',
        StudyInstanceUID: '1.2',
        SeriesInstanceUID: '1.3',
        SOPInstanceUID: '1.4\\1.5',
      },
    ],
    ['a patient', { patient: '4711' }, 'patient', { QueryRetrieveLevel: 'PATIENT', PatientID: '4711' }],
    [
      'a study of a patient',
      { patient: '4711', study: ['1.2'] },
      'patient',
      { QueryRetrieveLevel: 'STUDY', PatientID: '4711', StudyInstanceUID: '1.2' },
    ],
    [
      'a patient with another alphabet',
      { patient: 'Ü1', model: 'patient-study' },
      'patient-study',
      { SpecificCharacterSet: 'ISO_IR 192', QueryRetrieveLevel: 'PATIENT', PatientID: 'Ü1' },
    ],
  ])('is %s', (_what, options, model, identifier) => {
    const question = asked(options);
    expect(question.modelName).toBe(model);
    expect(rowOf(question.identifier, ASCII)).toEqual(identifier);
  });

  it('names what most peers need and is not given', () => {
    expect(asked({ series: ['1.3'] }).lacking).toEqual(['--study UID']);
    expect(asked({ instance: ['1.4'], model: 'patient' }).lacking).toEqual([
      '--patient ID',
      '--study UID',
      '--series UID',
    ]);
  });

  it.each<[string, RetrieveOptions, Parameters<typeof askFor>[0], RegExp]>([
    ['nothing', {}, undefined, /nothing says/],
    ['a level without its key', { study: ['1'] }, 'SERIES', /needs its key/],
    ['a key below the level', { study: ['1'], series: ['2'] }, 'STUDY', /below the level/],
    ['two levels', { key: keys('QueryRetrieveLevel=SERIES', 'SeriesInstanceUID=1') }, 'STUDY', /given twice/],
    ['a patient in the study model', { patient: '1', model: 'study' }, undefined, /no level PATIENT/],
    ['two studies of one series', { study: ['1', '2'], series: ['3'] }, undefined, /only one/],
    [
      'a key that is not unique',
      { key: keys('PatientName=SECRET') },
      undefined,
      /PatientName is no unique key/,
    ],
    ['a wildcard', { study: ['1.2.*'] }, undefined, /wildcard/],
    ['two patients', { patient: '1', key: keys('PatientID=2') }, undefined, /one patient/],
  ])('is refused: %s', (_what, options, level, message) => {
    let error: unknown;
    try {
      askFor(level, options);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toMatchObject({ exitCode: 2, message: expect.stringMatching(message) as string });
    expect((error as Error).message).not.toContain('SECRET');
  });
});

describe('an archive', () => {
  const peer = new ArchivePeer();
  let folder: string;
  let config: string;
  let serial = 0;

  beforeAll(async () => {
    folder = await makeFolder();
    config = await writeConfig(folder);
    await peer.start();
  });

  afterAll(async () => {
    await peer.stop();
    await removeFolder(folder);
  });

  beforeEach(() => peer.reset());

  const call = (command: string, ...args: string[]): Promise<RunResult> =>
    isocenter([command, `ARCHIVE@127.0.0.1:${peer.port}`, ...args, '--config', config]);

  /** Sends SIGINT with the first line on stderr or as soon as `when` says so. */
  function interrupted(
    command: string,
    ...args: string[]
  ): { result: Promise<RunResult>; interrupt: () => void } {
    const script = path.join(__dirname, '..', '..', 'scripts', 'isocenter');
    const words = [script, command, `ARCHIVE@127.0.0.1:${peer.port}`, ...args, '--config', config];
    const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'pipe'] });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    const result = new Promise<RunResult>((resolve) =>
      child.once('close', (code, signal) =>
        resolve({ code, signal, stdout, stderr, output: stdout + stderr }),
      ),
    );
    return { result, interrupt: () => child.kill('SIGINT') };
  }

  describe('is told to move', () => {
    it('to our own node by default, and all went well', async () => {
      peer.move = () => [
        { status: 0xff00, fields: counters(1, 1) },
        { status: 0, fields: counters(undefined, 2) },
      ];
      const result = await call('move', '--study', STUDY);
      expect(result).toMatchObject({
        code: 0,
        stderr: '',
        stdout: '2 completed, 0 with a warning, 0 failed, to NODE\n',
      });
      expect(peer.moves[0]?.identifier).toEqual({ QueryRetrieveLevel: 'STUDY', StudyInstanceUID: STUDY });
      expect(peer.moves[0]?.request.command.MoveDestination).toBe('NODE');
    });

    it('to a remote of ours, or a title that only it knows', async () => {
      peer.move = () => [{ status: 0, fields: counters(undefined, 1) }];
      await call('move', '--study', STUDY, '--to', 'tester');
      await call('move', '--study', STUDY, '--to', 'VIEWER 7', '--aet', 'OTHER');
      expect(peer.moves.map(({ request }) => request.command.MoveDestination)).toEqual([
        'TESTER',
        'VIEWER 7',
      ]);
      expect(peer.requests.map(({ callingAETitle }) => callingAETitle)).toEqual(['NODE', 'OTHER']);
      expect(await call('move', '--study', STUDY, '--to', 'ledgers')).toMatchObject({ code: 2 });
    });

    it.each<[number, RegExp, number]>([
      [0xa801, /A801.*\n.*does not know the AE title WS1: enter it there/, 1],
      [0xa702, /A702.*\n.*can't send to WS1/, 1],
      [0xa701, /A701.*\n.*--series/, 1],
      [0x0124, /0124.*\n.*no right to move/, 1],
      [0xfe00, /FE00.*\n.*nobody here cancelled it/, 1],
      [0xa900, /A900/, 1],
      [0x0122, /0122.*\n.*--model/, 1],
      [0xc123, /C123.*\n.*log of the other side/, 1],
    ])('and answers %p', async (status, message, code) => {
      peer.move = () => [{ status, comment: 'as it is' }];
      const result = await call('move', '--study', STUDY, '--to', 'WS1');
      expect(result).toMatchObject({ code, stdout: '' });
      expect(result.stderr).toMatch(message);
      expect(result.stderr).toContain('"as it is"');
    });

    it('and could do some of it: exit code 3, with the list', async () => {
      const list = encodeDataSet(dataSet({ '00080058': `${STUDY}.7` }), TS.explicit);
      peer.move = () => [{ status: 0xb000, fields: counters(undefined, 2, 1), dataSet: list }];
      const result = await call('move', '--study', STUDY);
      expect(result).toMatchObject({ code: 3, stdout: '2 completed, 0 with a warning, 1 failed, to NODE\n' });
      expect(result.stderr).toContain(`${STUDY}.7: failed\n`);
      const json = await call('move', '--study', STUDY, '--json');
      expect(JSON.parse(json.stdout)).toMatchObject({
        destination: 'NODE',
        level: 'STUDY',
        completed: 2,
        failed: 1,
        warning: 0,
        remaining: null,
        status: 'B000',
        failedSOPInstanceUIDs: [`${STUDY}.7`],
        interrupted: false,
      });
    });

    it('and has nothing that fits: exit code 3', async () => {
      peer.move = () => [{ status: 0, fields: counters(undefined, 0) }];
      const result = await call('move', '--study', STUDY);
      expect(result.code).toBe(3);
      expect(result.stderr).toMatch(/nothing that fits/);
    });

    it('and takes no C-MOVE of the model: exit code 4', async () => {
      peer.refuses = () => true;
      const result = await call('move', '--patient', 'P80');
      expect(result.code).toBe(4);
      expect(result.stderr).toMatch(/takes no C-MOVE of the patient model.*\n.*--model study/);
    });

    it('and is interrupted: C-CANCEL, exit code 130', async () => {
      let interrupt = (): void => undefined;
      peer.move = async function* ({ context }) {
        yield { status: 0xff00, fields: counters(5, 1) };
        interrupt();
        await new Promise((resolve) => context.cancelled.addEventListener('abort', resolve));
        yield { status: 0xfe00, fields: counters(5, 1) };
      };
      const run = interrupted('move', '--study', STUDY);
      interrupt = run.interrupt;
      const result = await run.result;
      expect(result).toMatchObject({
        code: 130,
        stdout: '1 completed, 0 with a warning, 0 failed, 5 not begun, to NODE\n',
      });
      expect(peer.cancels).toBe(1);
    });
  });

  describe('is fetched from', () => {
    const fresh = (): string => path.join(folder, `get${++serial}`);

    async function expectFiles(out: string, objects: readonly SentObject[]): Promise<void> {
      expect((await fsp.readdir(out)).sort()).toEqual(
        objects.map((one) => `${one.SOPInstanceUID}.dcm`).sort(),
      );
      for (const one of objects) {
        const file = await fsp.readFile(path.join(out, `${one.SOPInstanceUID}.dcm`));
        const { dataSetOffset } = parsePart10(file)!;
        expect([one.SOPInstanceUID, file.subarray(dataSetOffset).equals(one.dataSet)]).toEqual([
          one.SOPInstanceUID,
          true,
        ]);
      }
    }

    it('byte for byte, each in its own syntax', async () => {
      peer.objects = OBJECTS;
      const out = fresh();
      const result = await call('get', '--study', STUDY, '-o', out);
      expect(result).toMatchObject({ code: 0, stderr: '', stdout: '6 fetched, 0 here already, 0 failed\n' });
      await expectFiles(out, OBJECTS);
      // The classes that it said it has, and no others.
      const classes = new Set(peer.requests.at(-1)!.contexts.map(({ abstractSyntax }) => abstractSyntax));
      expect([...classes].sort()).toEqual(['1.2.840.10008.5.1.4.1.2.2.3', SOP.ct, SOP.mr].sort());
    });

    it('again: only what is not here, whole series where nothing of them is', async () => {
      peer.objects = OBJECTS;
      const out = fresh();
      await call('get', '--study', STUDY, '-o', out);
      for (const number of [0, 1, 3, 5])
        await fsp.rm(path.join(out, `${OBJECTS[number]!.SOPInstanceUID}.dcm`));
      // Cut off: not whole.
      await fsp.truncate(path.join(out, `${OBJECTS[2]!.SOPInstanceUID}.dcm`), 600);
      peer.gets.length = 0;
      const again = await call('get', '--study', STUDY, '-o', out, '--json');
      const events = again.stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>);
      expect(events.at(-1)).toMatchObject({ summary: { fetched: 5, present: 1, failed: 0 }, status: '0000' });
      expect(again.code).toBe(0);
      await expectFiles(out, OBJECTS);
      expect(peer.gets).toEqual([
        {
          QueryRetrieveLevel: 'IMAGE',
          StudyInstanceUID: STUDY,
          SeriesInstanceUID: `${STUDY}.0`,
          SOPInstanceUID: `${STUDY}.0.0\\${STUDY}.0.2`,
        },
        { QueryRetrieveLevel: 'SERIES', StudyInstanceUID: STUDY, SeriesInstanceUID: `${STUDY}.1` },
      ]);
      peer.gets.length = 0;
      expect((await call('get', '--study', STUDY, '-o', out)).stdout).toBe(
        '0 fetched, 6 here already, 0 failed\n',
      );
      expect(peer.gets).toEqual([]);
    });

    it('without a list, where it takes no queries', async () => {
      peer.objects = OBJECTS.slice(0, 5);
      peer.refuses = (uid) => uid === '1.2.840.10008.5.1.4.1.2.2.1';
      const out = fresh();
      const first = await call('get', '--study', STUDY, '-o', out);
      expect(first).toMatchObject({ code: 0, stdout: '5 fetched, 0 here already, 0 failed\n' });
      expect(first.stderr).toMatch(/does not list what it has \(it takes no queries\)/);
      // All of it comes again, and is the same.
      expect((await call('get', '--study', STUDY, '-o', out)).stdout).toBe(
        '0 fetched, 5 here already, 0 failed\n',
      );
      await expectFiles(out, OBJECTS.slice(0, 5));
    });

    it('without replacing what is another, unless it is told to', async () => {
      peer.objects = [OBJECTS[0]!];
      peer.refuses = (uid) => uid === '1.2.840.10008.5.1.4.1.2.2.1';
      const out = fresh();
      await fsp.mkdir(out);
      const other = part10(object(0, { seed: 99 }));
      const file = path.join(out, `${OBJECTS[0]!.SOPInstanceUID}.dcm`);
      await fsp.writeFile(file, other);
      const result = await call('get', '--study', STUDY, '-o', out);
      expect(result.code).toBe(1);
      expect(result.stderr).toMatch(/A file with other bytes is there; --force/);
      expect(await fsp.readFile(file)).toEqual(other);
      expect(peer.statuses).toEqual([0x0111]);
      expect(await call('get', '--study', STUDY, '-o', out, '--force')).toMatchObject({ code: 0 });
      await expectFiles(out, peer.objects);
    });

    it('in groups of classes, so that every syntax has a context of its own', async () => {
      // 30 classes together would leave room for four contexts each.
      peer.objects = Array.from({ length: 30 }, (_, index) =>
        imageObject(
          {
            StudyInstanceUID: STUDY,
            SeriesInstanceUID: `${STUDY}.1`,
            SOPInstanceUID: `${STUDY}.1.${index}`,
            SOPClassUID: `1.2.3.${index}`,
            size: 2,
          },
          index === 29 ? TS.rle : TS.explicit,
        ),
      );
      const out = fresh();
      expect(await call('get', '--study', STUDY, '-o', out)).toMatchObject({
        code: 0,
        stdout: '30 fetched, 0 here already, 0 failed\n',
      });
      expect(peer.gets).toHaveLength(5);
      expect(peer.statuses).toHaveLength(30);
    });

    it('and UIDs become no paths', async () => {
      const odd = imageObject({ StudyInstanceUID: STUDY, SOPInstanceUID: '..', size: 2 });
      const out = fresh();
      peer.objects = [odd];
      expect(await call('get', '--study', STUDY, '-o', out)).toMatchObject({ code: 0 });
      expect(await fsp.readdir(out)).toEqual([expect.stringMatching(/^uid-[0-9a-f]{32}\.dcm$/)]);
    });

    it('where it has nothing, or refuses', async () => {
      expect(await call('get', '--study', '1.9', '-o', fresh())).toMatchObject({ code: 3 });
      peer.objects = OBJECTS;
      peer.get = () => [{ status: 0xa701, comment: 'no' }];
      const result = await call('get', '--study', STUDY, '-o', fresh());
      expect(result).toMatchObject({ code: 1, stdout: '0 fetched, 0 here already, 0 failed\n' });
      expect(result.stderr).toMatch(/C-GET with A701/);
      peer.refuses = (uid) => uid.endsWith('.3');
      const none = await call('get', '--study', STUDY, '-o', fresh());
      expect(none.code).toBe(4);
      expect(none.stderr).toMatch(/isocenter move/);
    });

    it('and it ends where nothing can be written', async () => {
      peer.objects = OBJECTS;
      const out = fresh();
      await fsp.writeFile(out, 'a file');
      expect((await call('get', '--study', STUDY, '-o', out)).code).toBe(1);
    });

    it('until it is interrupted: what came is whole, and the next run goes on', async () => {
      peer.objects = OBJECTS;
      const out = fresh();
      let interrupt = (): void => undefined;
      peer.get = async function* (one) {
        for await (const response of peer.sendAll(one)) {
          yield response;
          if (response.status !== 0xff00 || one.context.cancelled.aborted) continue;
          interrupt();
          await new Promise((resolve) => one.context.cancelled.addEventListener('abort', resolve));
        }
      };
      const run = interrupted('get', '--study', STUDY, '-o', out);
      interrupt = run.interrupt;
      const result = await run.result;
      expect(result).toMatchObject({ code: 130, stdout: '1 fetched, 0 here already, 0 failed\n' });
      expect(result.stderr).toMatch(/the same command goes on/);
      peer.get = (one) => peer.sendAll(one);
      expect((await call('get', '--study', STUDY, '-o', out)).stdout).toBe(
        '5 fetched, 1 here already, 0 failed\n',
      );
      await expectFiles(out, OBJECTS);
    });

    it.each([[[]], [['-o', 'x', '--store']]])('to one place: %j', async (args) => {
      expect(await call('get', '--study', STUDY, ...args)).toMatchObject({ code: 2 });
    });
  });
});

describe('our own store', () => {
  const peer = new ArchivePeer();
  let node: NodeProcess;
  let folder: string;
  let serial = 0;

  beforeAll(async () => {
    folder = await makeFolder();
    await peer.start();
    node = await startNode();
    const scu = await PlainScu.open(node.port, OBJECTS);
    for (const one of OBJECTS) expect((await scu.store(one)).status).toBe(0);
    await scu.release();
  });

  afterAll(async () => {
    await peer.stop();
    await node.kill();
    await removeFolder(node.folder);
    await removeFolder(folder);
  });

  beforeEach(() => peer.reset());

  const fresh = (): string => path.join(folder, `out${++serial}`);
  const call = (...args: string[]): Promise<RunResult> => node.cli(args);

  async function dataSetsBelow(out: string): Promise<Map<string, Buffer>> {
    const found = new Map<string, Buffer>();
    for (const entry of await fsp.readdir(out, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const bytes = await fsp.readFile(path.join(entry.parentPath, entry.name));
      const parsed = parsePart10(bytes)!;
      expect(parsed.meta.has(0x00020102)).toBe(false);
      found.set(entry.name, bytes.subarray(parsed.dataSetOffset));
    }
    return found;
  }

  function commands(): void {
    it('export writes what was stored, byte for byte', async () => {
      const out = fresh();
      expect(await call('export', '--study', STUDY, '-o', out)).toMatchObject({
        code: 0,
        stderr: '',
        stdout: '6 exported, 0 there already, 0 failed\n',
      });
      const files = await dataSetsBelow(out);
      expect(files.size).toBe(6);
      for (const one of OBJECTS) expect(files.get(`${one.SOPInstanceUID}.dcm`)).toEqual(one.dataSet);
      expect((await call('export', '--study', STUDY, '-o', out)).stdout).toBe(
        '0 exported, 6 there already, 0 failed\n',
      );
    });

    it.each<[string[], number]>([
      [['--series', `${STUDY}.0`], 3],
      [['--series', `${STUDY}.0`, '--series', `${STUDY}.1`], 6],
      [['--instance', `${STUDY}.1.1`], 1],
      [['--patient', 'P80'], 6],
      [['--patient', 'P80', '--instance', `${STUDY}.1.1,${STUDY}.1.3`], 2],
    ])('export %j', async (words, count) => {
      const out = fresh();
      const result = await call('export', ...words, '-o', out, '--json');
      const events = result.stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>);
      expect(events.at(-1)).toMatchObject({ summary: { exported: count, present: 0, failed: 0 } });
      expect((await dataSetsBelow(out)).size).toBe(count);
    });

    it('export makes media and a ZIP file of them at once', async () => {
      const out = fresh();
      const zip = `${out}.zip`;
      expect(await call('export', '--study', STUDY, '-o', out, '--dicomdir', '--zip', zip)).toMatchObject({
        code: 0,
      });
      expect((await fsp.readdir(out)).sort()).toEqual(['DICOM', 'DICOMDIR']);
      expect((await fsp.readdir(path.join(out, 'DICOM', 'PAT00001', 'STU00001'))).sort()).toEqual([
        'SER00001',
        'SER00002',
      ]);
      const before = await fsp.readFile(zip);
      expect(before.readUInt32LE(0)).toBe(0x04034b50);
      const second = await call('export', '--series', `${STUDY}.0`, '--zip', zip);
      expect(second.code).toBe(1);
      expect(second.stderr).toMatch(/is there already\n.*--force/);
      expect(await fsp.readFile(zip)).toEqual(before);
      expect(await call('export', '--series', `${STUDY}.0`, '--zip', zip, '--force')).toMatchObject({
        code: 0,
      });
      expect(fs.readdirSync(folder).filter((name) => name.endsWith('.part'))).toEqual([]);
    });

    it.each<[string[], number, RegExp]>([
      [['--study', '1.9', '-o', 'x'], 1, /No stored instance.*\n.*isocenter find/],
      [['--study', STUDY], 2, /-o FOLDER/],
      [['-o', 'x'], 2, /--study UID/],
      [['--study', STUDY, '-o', path.join(__filename, 'x')], 1, /can't be made/],
      [['--study', STUDY, '--zip', path.join(__dirname, 'no', 'x.zip')], 1, /can't be written/],
    ])('export %j ends with exit code %p', async (words, code, message) => {
      const result = await call('export', ...words);
      expect(result.code).toBe(code);
      expect(result.stderr).toMatch(message);
    });

    it('get --store puts what comes from an archive in, by the way of import', async () => {
      const study = `${STUDY}.9.${++serial}`;
      const elsewhere = { StudyInstanceUID: study, SeriesInstanceUID: `${study}.0`, PatientID: 'P81' };
      peer.objects = [0, 1, 2].map((number) =>
        object(number, { ...elsewhere, SOPInstanceUID: `${study}.${number}` }),
      );
      const archive = `ARCHIVE@127.0.0.1:${peer.port}`;
      expect(await call('get', archive, '--study', study, '--store')).toMatchObject({
        code: 0,
        stdout: '3 fetched, 0 here already, 0 failed\n',
      });
      const uids = await instanceUids(node);
      for (const { SOPInstanceUID } of peer.objects) expect(uids).toContain(SOPInstanceUID);
      expect((await call('get', archive, '--study', study, '--store')).stdout).toBe(
        '0 fetched, 3 here already, 0 failed\n',
      );
      // Other bytes under a known UID, from a peer that lists nothing.
      peer.objects = [object(0, { ...elsewhere, SOPInstanceUID: `${study}.0`, seed: 77 })];
      peer.refuses = (uid) => uid === '1.2.840.10008.5.1.4.1.2.2.1';
      const conflict = await call('get', archive, '--study', study, '--store');
      expect(conflict.code).toBe(1);
      expect(conflict.stderr).toMatch(/quarantine list/);
      expect(peer.statuses.at(-1)).toBe(0x0111);
    });

    it('send --study goes to a peer', async () => {
      const other = await startNode();
      try {
        const address = `NODE@127.0.0.1:${other.port}`;
        expect(await call('send', address, '--study', STUDY, '--aet', 'TESTER')).toMatchObject({
          code: 0,
          stderr: '',
          stdout: '6 sent, 0 with a warning, 0 failed, 0 skipped\n',
        });
        const files = await storedFiles(other.dataDirectory);
        expect(files.map((one) => one.SOPInstanceUID).sort()).toEqual(
          OBJECTS.map((one) => one.SOPInstanceUID).sort(),
        );
        expect(await call('send', address, '--series', `${STUDY}.0`, 'x', '--aet', 'TESTER')).toMatchObject({
          code: 2,
        });
        expect(await call('send', address, '--series', '1.9', '--aet', 'TESTER')).toMatchObject({ code: 1 });
      } finally {
        await other.kill();
        await removeFolder(other.folder);
      }
    });
  }

  describe('while the node runs', () => {
    beforeAll(async () => {
      if (!node.running) node = await startNode({ folder: node.folder });
    });
    commands();
  });

  describe('while it does not', () => {
    beforeAll(async () => {
      await node.stop();
    });
    commands();

    it('export tells of a damaged file, leaves it out, and ends with exit code 3', async () => {
      const [victim] = (await storedFiles(node.dataDirectory)).filter(
        (one) => one.SOPInstanceUID === `${STUDY}.1.3`,
      );
      const whole = await fsp.readFile(victim!.path);
      const broken = Buffer.from(whole);
      broken.write('!!', victim!.dataSetOffset + 40);
      await fsp.writeFile(victim!.path, broken);
      const out = fresh();
      const result = await call('export', '--study', STUDY, '-o', out, '--dicomdir', '--zip', `${out}.zip`);
      expect(result).toMatchObject({ code: 3, stdout: '5 exported, 0 there already, 1 failed\n' });
      expect(result.stderr).toMatch(new RegExp(`^${STUDY}.1.3: failed: .*other bytes than sealed`));
      expect(await call('export', '--instance', `${STUDY}.1.3`, '--zip', `${out}2.zip`)).toMatchObject({
        code: 1,
      });
      expect(fs.existsSync(`${out}2.zip`)).toBe(false);
      await fsp.writeFile(victim!.path, whole);
    });
  });
});
