import { spawn, type ChildProcess } from 'node:child_process';
import fsp from 'node:fs/promises';
import path from 'node:path';
import { answering } from '../support/archives';
import { instanceUids } from '../support/catalog-view';
import { fixtures, part10, TS, UID_ROOT, type SentObject } from '../support/data-sets';
import {
  isocenter,
  makeFolder,
  removeFolder,
  startNode,
  writeConfig,
  type NodeProcess,
} from '../support/node-process';
import { objectsIn, startStorescp, type Storescp } from '../support/storescp';
import { storedFiles, parsePart10 } from '../support/stored-files';
import {
  describeInterop,
  freePort,
  must,
  pydicomFiles,
  run,
  startOrthanc,
  type OrthancPeer,
  type RunResult,
} from '../support/tools';

/** `isocenter get`, `move`, `export` and `send --study` with programs of other people's making, and with a node of our own. */

const ORACLE = path.join(__dirname, '..', 'support', 'dicomdir-oracle.py');

/** Three studies of the fixtures; every archive takes them. */
function plainObjects(): SentObject[] {
  return Object.values(fixtures(4))
    .flat()
    .filter(({ transferSyntax }) => transferSyntax === TS.explicit);
}

const ofStudy = (objects: readonly SentObject[], study: string): SentObject[] =>
  objects.filter((one) => one.StudyInstanceUID === study);

const uidsOf = (objects: readonly { SOPInstanceUID: string }[]): string[] =>
  objects.map((one) => one.SOPInstanceUID).sort();

async function writeObjects(folder: string, objects: readonly SentObject[]): Promise<string[]> {
  await fsp.mkdir(folder, { recursive: true });
  return Promise.all(
    objects.map(async (one) => {
      const file = path.join(folder, `${one.SOPInstanceUID}.dcm`);
      await fsp.writeFile(file, part10(one));
      return file;
    }),
  );
}

/** Files `<UID>.dcm` of these objects, byte for byte, and no others. */
async function expectFetched(folder: string, objects: readonly SentObject[]): Promise<void> {
  expect((await fsp.readdir(folder)).sort()).toEqual(
    objects.map((one) => `${one.SOPInstanceUID}.dcm`).sort(),
  );
  const found = await objectsIn(folder);
  for (const one of objects) {
    const file = found.get(one.SOPInstanceUID);
    expect([one.SOPInstanceUID, file?.transferSyntax, file?.dataSet.equals(one.dataSet)]).toEqual([
      one.SOPInstanceUID,
      one.transferSyntax,
      true,
    ]);
  }
}

async function end(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}

describeInterop(['dcmtk'], 'dcmqrscp as the source', () => {
  const objects = plainObjects();
  let folder: string;
  let node: NodeProcess;
  let destination: Storescp;
  let archive: ChildProcess | undefined;
  let peer: string;

  const call = (command: string, ...args: string[]): Promise<RunResult> => node.cli([command, peer, ...args]);

  beforeAll(async () => {
    folder = await makeFolder();
    node = await startNode({
      config: {
        remotes: {
          all: { aeTitle: '*', host: '127.0.0.0/8', allow: ['echo', 'store', 'find', 'get', 'move'] },
        },
      },
    });
    destination = await startStorescp('DEST');
    const port = await freePort();
    peer = `QRSCP@127.0.0.1:${port}`;
    const database = path.join(folder, 'database');
    await fsp.mkdir(database);
    const file = path.join(folder, 'dcmqrscp.cfg');
    await fsp.writeFile(
      file,
      [
        `NetworkTCPPort = ${port}`,
        'MaxPDUSize = 16384',
        'MaxAssociations = 16',
        'HostTable BEGIN',
        `node = (NODE, 127.0.0.1, ${node.port})`,
        `destination = (DEST, 127.0.0.1, ${destination.port})`,
        `closed = (CLOSED, 127.0.0.1, ${await freePort()})`,
        'HostTable END',
        'VendorTable BEGIN',
        'VendorTable END',
        'AETable BEGIN',
        `QRSCP ${database} RW (200, 1024mb) ANY`,
        'AETable END',
        '',
      ].join('\n'),
    );
    archive = spawn('dcmqrscp', ['-c', file], {
      cwd: folder,
      env: { ...process.env, TCP_NODELAY: '1' },
      stdio: 'ignore',
    });
    await answering('QRSCP', port);
    const files = await writeObjects(path.join(folder, 'sources'), objects);
    await must('storescu', ['-R', '-aec', 'QRSCP', '127.0.0.1', String(port), ...files]);
  }, 60_000);

  afterAll(async () => {
    await end(archive);
    await destination.stop();
    await node.kill();
    await removeFolder(node.folder);
    await removeFolder(folder);
  });

  it('moves a study to our own node, which keeps it', async () => {
    const study = ofStudy(objects, `${UID_ROOT}.1`);
    const result = await call('move', '--study', `${UID_ROOT}.1`);
    expect(result).toMatchObject({
      code: 0,
      stderr: '',
      stdout: `${study.length} completed, 0 with a warning, 0 failed, to NODE\n`,
    });
    const uids = await instanceUids(node);
    for (const uid of uidsOf(study)) expect(uids).toContain(uid);
  });

  it('moves to a third node, by patient and by instances', async () => {
    await destination.clear();
    const [first, second] = ofStudy(objects, `${UID_ROOT}.1`);
    const list = `${first!.SOPInstanceUID},${second!.SOPInstanceUID}`;
    expect(
      await call(
        'move',
        ...['--to', 'DEST', '--study', first!.StudyInstanceUID, '--series', first!.SeriesInstanceUID],
        ...['--instance', list],
      ),
    ).toMatchObject({ code: 0, stdout: '2 completed, 0 with a warning, 0 failed, to DEST\n' });
    expect([...(await destination.received()).keys()].sort()).toEqual(uidsOf([first!, second!]));
    const json = await call('move', 'patients', '--to', 'DEST', '-k', 'PatientID=PID7', '--json');
    expect(JSON.parse(json.stdout)).toMatchObject({
      level: 'PATIENT',
      status: '0000',
      completed: 4,
      failed: 0,
    });
  });

  it.each<[string, RegExp]>([
    ['NOWHERE', /A801.*\n.*does not know the AE title NOWHERE/],
    ['CLOSED', /A702.*\n.*can't send to CLOSED/],
  ])('says why nothing was moved to %s', async (title, message) => {
    const result = await call('move', '--to', title, '--study', `${UID_ROOT}.1`);
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(message);
  });

  it('is fetched from, and fetched from again', async () => {
    const out = path.join(folder, 'fetched');
    const study = ofStudy(objects, `${UID_ROOT}.1`);
    const all = `${study.length} fetched, 0 here already, 0 failed\n`;
    expect(await call('get', '--study', `${UID_ROOT}.1`, '-o', out)).toMatchObject({ code: 0, stdout: all });
    await expectFetched(out, study);
    await fsp.rm(path.join(out, `${study[1]!.SOPInstanceUID}.dcm`));
    expect(await call('get', '--study', `${UID_ROOT}.1`, '-o', out)).toMatchObject({
      code: 0,
      stdout: `1 fetched, ${study.length - 1} here already, 0 failed\n`,
    });
    await expectFetched(out, study);
  });

  it('is fetched from into our store, by patient', async () => {
    const patient = await call('get', '--patient', 'PID7', '--store');
    expect(patient).toMatchObject({ code: 0, stderr: '', stdout: '4 fetched, 0 here already, 0 failed\n' });
    const held = await instanceUids(node);
    for (const uid of uidsOf(ofStudy(objects, `${UID_ROOT}.8`))) expect(held).toContain(uid);
  });

  it('takes what our store sends', async () => {
    await call('move', '--study', `${UID_ROOT}.1`);
    const study = ofStudy(objects, `${UID_ROOT}.1`);
    expect(await call('send', '--study', `${UID_ROOT}.1`)).toMatchObject({
      code: 0,
      stdout: `${study.length} sent, 0 with a warning, 0 failed, 0 skipped\n`,
    });
  });
});

describeInterop(['orthanc', 'dcmtk'], 'Orthanc as the source', () => {
  const objects = plainObjects();
  let folder: string;
  let node: NodeProcess;
  let orthanc: OrthancPeer;

  beforeAll(async () => {
    folder = await makeFolder();
    node = await startNode();
    orthanc = await startOrthanc(node.port);
    for (const one of ofStudy(objects, `${UID_ROOT}.1`))
      await orthanc.rest('POST', '/instances', part10(one));
  }, 60_000);

  afterAll(async () => {
    await orthanc.stop();
    await node.kill();
    await removeFolder(node.folder);
    await removeFolder(folder);
  });

  const call = (command: string, ...args: string[]): Promise<RunResult> =>
    node.cli([command, `ORTHANC@127.0.0.1:${orthanc.dicomPort}`, ...args]);

  it('moves to our own node, and is fetched from', async () => {
    const study = ofStudy(objects, `${UID_ROOT}.1`);
    const moved = await call('move', '--study', `${UID_ROOT}.1`);
    expect(moved).toMatchObject({ code: 0, stderr: '' });
    expect(moved.stdout).toMatch(new RegExp(`^${study.length} completed, 0 with a warning, 0 failed`));
    expect((await instanceUids(node)).sort()).toEqual(uidsOf(study));
    const out = path.join(folder, 'fetched');
    expect(await call('get', '--study', `${UID_ROOT}.1`, '-o', out)).toMatchObject({
      code: 0,
      stdout: `${study.length} fetched, 0 here already, 0 failed\n`,
    });
    expect([...(await objectsIn(out)).keys()].sort()).toEqual(uidsOf(study));
    expect((await call('get', '--study', `${UID_ROOT}.1`, '-o', out)).stdout).toBe(
      `0 fetched, ${study.length} here already, 0 failed\n`,
    );
  });
});

describeInterop(['pydicom', 'dcmtk'], 'the files of pydicom', () => {
  let folder: string;
  let node: NodeProcess;
  let config: string;
  let studies: string[];

  beforeAll(async () => {
    folder = await makeFolder();
    config = await writeConfig(folder);
    node = await startNode({
      config: {
        remotes: {
          all: { aeTitle: '*', host: '127.0.0.0/8', allow: ['echo', 'store', 'find', 'get', 'move'] },
        },
      },
    });
    // Some of them are no whole instances, or have UIDs that others have too.
    await node.cli(['import', ...(await pydicomFiles())], 60_000);
    const found = await node.cli(['find', 'studies', '--json', '--limit', '0']);
    studies = found.stdout
      .trim()
      .split('\n')
      .flatMap((line) => ['--study', (JSON.parse(line) as { StudyInstanceUID: string }).StudyInstanceUID]);
  }, 90_000);

  afterAll(async () => {
    await node.kill();
    await removeFolder(node.folder);
    await removeFolder(folder);
  });

  it('come out of our own node by C-GET byte for byte, in all their syntaxes', async () => {
    const out = path.join(folder, 'fetched');
    const held = await storedFiles(node.dataDirectory);
    const uids = new Set(held.map(({ SOPInstanceUID }) => SOPInstanceUID));
    const result = await isocenter(
      ['get', `NODE@127.0.0.1:${node.port}`, ...studies, '-o', out, '--aet', 'TESTER', '--config', config],
      60_000,
    );
    expect(result).toMatchObject({ code: 0, stdout: `${uids.size} fetched, 0 here already, 0 failed\n` });
    expect(uids.size).toBeGreaterThan(40);
    const fetched = await objectsIn(out);
    for (const { SOPInstanceUID, path: file, transferSyntax, dataSetOffset } of held) {
      const bytes = (await fsp.readFile(file)).subarray(dataSetOffset);
      const one = fetched.get(SOPInstanceUID);
      expect([SOPInstanceUID, one?.transferSyntax, one?.dataSet.equals(bytes)]).toEqual([
        SOPInstanceUID,
        transferSyntax,
        true,
      ]);
    }
  }, 90_000);

  it('are sent to a peer that takes Implicit VR Little Endian alone', async () => {
    const destination = await startStorescp('IMPLICIT', ['+B', '+xi']);
    try {
      const result = await node.cli(['send', `IMPLICIT@127.0.0.1:${destination.port}`, ...studies], 60_000);
      const [, sent, failed] = /^(\d+) sent, 0 with a warning, (\d+) failed/.exec(result.stdout) ?? [];
      // One JPEG 2000 frame has more tiles than are decoded, and lossy 12 bit JPEG is left as it is.
      expect(Number(failed)).toBeLessThan(4);
      const received = await destination.received();
      expect(received.size).toBe(Number(sent));
      expect(new Set([...received.values()].map(({ transferSyntax }) => transferSyntax))).toEqual(
        new Set([TS.implicit]),
      );
    } finally {
      await destination.stop();
    }
  }, 90_000);

  it('make media that DCMTK and pydicom read as we mean it', async () => {
    const out = path.join(folder, 'media');
    const zip = path.join(folder, 'media.zip');
    const exported = await node.cli(['export', ...studies, '-o', out, '--dicomdir', '--zip', zip], 60_000);
    expect(exported).toMatchObject({ code: 0, stderr: '' });
    const { output, code } = await run('dcmdump', ['+E', path.join(out, 'DICOMDIR')]);
    expect(code).toBe(0);
    expect(output).not.toMatch(/^[EW]:/m);

    const ours = await records(path.join(out, 'DICOMDIR'), 'load');
    for (const [file, record] of Object.entries(ours)) {
      expect(file).toMatch(/^DICOM(\/[A-Z0-9_]{1,8}){4}$/);
      const bytes = await fsp.readFile(path.join(out, file));
      expect(parsePart10(bytes)).toBeDefined();
      expect(record.records.map(({ type }) => type).slice(0, 3)).toEqual(['PATIENT', 'STUDY', 'SERIES']);
    }
    const reference = path.join(folder, 'REFERENCE');
    await run('dcmmkdir', ['-q', '+r', '-W', '-Nxc', '-Nec', '-Nrc', '+I', '+D', reference, 'DICOM'], {
      cwd: out,
    });
    const theirs = await records(reference);
    // dcmmkdir leaves out what it doesn't know.
    expect(Object.keys(theirs).length).toBeGreaterThan(0.9 * Object.keys(ours).length);
    for (const [file, record] of Object.entries(theirs)) {
      const own = ours[file]!;
      const { records: own_, SOPClassUID, SOPInstanceUID, TransferSyntaxUID } = record;
      expect([file, own]).toMatchObject([file, { SOPClassUID, SOPInstanceUID, TransferSyntaxUID }]);
      expect([file, ...own.records.map(({ type }) => type)]).toEqual([file, ...own_.map(({ type }) => type)]);
      own_.forEach(({ keys }, level) => {
        for (const [key, value] of Object.entries(keys)) {
          const known = own.records[level]!.keys[key];
          // Where the instance has no value, each makes up its own.
          const substituted = own.has[key] === '' || isMadeUp(known);
          if (key === 'SpecificCharacterSet' || (value !== known && substituted)) continue;
          expect([file, key, known]).toEqual([file, key, value]);
        }
      });
    }

    const unzipped = path.join(folder, 'unzipped');
    await must('/usr/bin/python3', ['-m', 'zipfile', '-e', zip, unzipped]);
    expect(await records(path.join(unzipped, 'DICOMDIR'), 'load')).toEqual(ours);
  }, 90_000);

  const isMadeUp = (value: string | undefined): boolean =>
    /^(?:UNKNOWN\d+|19000101|000000|\d{1,3})$/.test(value ?? '');
});

interface Reference {
  readonly SOPClassUID: string;
  readonly SOPInstanceUID: string;
  readonly TransferSyntaxUID: string;
  /** Of the instance itself; with `load` alone. */
  readonly has: Readonly<Record<string, string>>;
  readonly records: readonly { readonly type: string; readonly keys: Readonly<Record<string, string>> }[];
}

async function records(file: string, ...words: string[]): Promise<Record<string, Reference>> {
  const { stdout } = await must('/usr/bin/python3', [ORACLE, file, ...words], { timeout: 60_000 });
  return JSON.parse(stdout) as Record<string, Reference>;
}
