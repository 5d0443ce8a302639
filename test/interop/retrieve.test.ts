import fsp from 'node:fs/promises';
import path from 'node:path';
import { fixtures, TS, UID_ROOT, type SentObject } from '../support/data-sets';
import { PlainScu } from '../support/ledger-scu';
import { makeFolder, removeFolder, startNode, type NodeProcess } from '../support/node-process';
import { caller, destination } from '../support/retrieve-kit';
import { objectsIn, startStorescp, type ReceivedObject, type Storescp } from '../support/storescp';
import {
  describeInterop,
  freePort,
  must,
  PYDICOM_DATA,
  pydicom,
  run,
  type RunResult,
} from '../support/tools';

/** C-MOVE and C-GET on the real node by DCMTK's programs: the conformance cases T74 to T85. */
const INSTANCES = 300;

/** Fields of the last response that movescu or getscu tells of. */
function lastResponse({ output }: RunResult): Record<string, string> {
  const fields: Record<string, string> = {};
  const last = output.slice(output.lastIndexOf('INCOMING DIMSE MESSAGE'));
  for (const match of last.matchAll(/^D: ([A-Z][\w /-]+?)\s*: (.*)$/gm))
    fields[match[1]!] ??= match[2]!.trim();
  return fields;
}

/** Status, Remaining/Completed/Failed/Warning. */
function counters(result: RunResult): string {
  const fields = lastResponse(result);
  const status = /0x([0-9a-f]{4})/i.exec(fields['DIMSE Status'] ?? '')?.[1];
  const names = ['Remaining', 'Completed', 'Failed', 'Warning'];
  return `${status} ${names.map((name) => fields[`${name} Suboperations`]).join('/')}`;
}

const words = (keys: readonly string[]): string[] => keys.flatMap((key) => ['-k', key]);
const study = (number: number): string[] => [
  'QueryRetrieveLevel=STUDY',
  `StudyInstanceUID=${UID_ROOT}.${number}`,
];

function expectSame(received: ReadonlyMap<string, ReceivedObject>, objects: readonly SentObject[]): void {
  expect([...received.keys()].sort()).toEqual(objects.map(({ SOPInstanceUID }) => SOPInstanceUID).sort());
  for (const { SOPInstanceUID, transferSyntax, dataSet } of objects) {
    const got = received.get(SOPInstanceUID);
    expect(got?.transferSyntax).toBe(transferSyntax);
    expect(got?.dataSet.equals(dataSet)).toBe(true);
  }
}

describeInterop(['dcmtk', 'pydicom'], 'C-MOVE and C-GET by DCMTK', () => {
  let node: NodeProcess;
  let folder: string;
  let dest: Storescp;
  let implicit: Storescp;
  let refusing: Storescp;
  let callerPort: number;
  const studies = fixtures(INSTANCES);
  const objects = Object.values(studies).flat();

  const address = (): string[] => ['127.0.0.1', String(node.port)];
  const move = (
    to: string,
    keys: readonly string[],
    options: readonly string[] = [],
    cwd: string = folder,
  ): Promise<RunResult> =>
    run(
      'movescu',
      ['-d', '-aet', 'TESTER', '-aec', 'NODE', '-aem', to, '-S', ...options, ...words(keys), ...address()],
      { cwd },
    );
  const get = async (keys: readonly string[], options: readonly string[] = ['+B']) => {
    const into = await fsp.mkdtemp(path.join(folder, 'got-'));
    const result = await run('getscu', [
      ...['-d', '-aet', 'TESTER', '-aec', 'NODE', '-S', ...options, '-od', into],
      ...words(keys),
      ...address(),
    ]);
    return { result, into, received: await objectsIn(into) };
  };

  beforeAll(async () => {
    folder = await makeFolder();
    [dest, implicit, refusing] = await Promise.all([
      startStorescp('DEST', ['+B', '+xa']),
      startStorescp('IMPLICIT', ['+xi']),
      startStorescp('REFUSING', ['--refuse']),
    ]);
    callerPort = await freePort();
    const nodePort = await freePort();
    node = await startNode({
      config: {
        listen: { host: '127.0.0.1', port: nodePort },
        remotes: {
          tester: caller('TESTER', { port: callerPort }),
          dest: destination('DEST', dest),
          implicit: destination('IMPLICIT', implicit),
          refusing: destination('REFUSING', refusing),
          silent: destination('SILENT', { port: await freePort() }),
          self: destination('NODE', { port: nodePort }, { allow: ['store'] }),
        },
      },
    });
    const scu = await PlainScu.open(node.port, objects, { calling: 'TESTER' });
    for (const object of objects) expect((await scu.store(object)).status).toBe(0);
    await scu.release();
  }, 60_000);

  beforeEach(async () => {
    await Promise.all([dest.clear(), implicit.clear()]);
  });

  afterAll(async () => {
    await node.stop();
    await Promise.all([
      dest.stop(),
      implicit.stop(),
      refusing.stop(),
      removeFolder(folder),
      removeFolder(node.folder),
    ]);
  });

  it('T74: a study is moved byte for byte, and the destination told who asked', async () => {
    const result = await move('DEST', study(1));
    expect(counters(result)).toBe('0000 none/4/0/0');
    expect(result.output).toMatch(/0xff00: Pending/);
    expectSame(await dest.received(), studies['S1']!);
    expect(dest.output().match(/Move Originator AE Title\s+: TESTER/g)).toHaveLength(4);
    expect(dest.output().match(/Move Originator ID\s+: 1$/gm)).toHaveLength(4);
    expect(dest.output()).toMatch(/Calling Application Name:\s+NODE/);
  });

  it('compressed ones too, as they are kept', async () => {
    expect(counters(await move('DEST', study(2)))).toBe('0000 none/2/0/0');
    expectSame(await dest.received(), studies['S2']!);
  });

  it('T75: an unknown destination is A801', async () => {
    expect(lastResponse(await move('NOWHERE', study(1)))['DIMSE Status']).toMatch(/0xa801/);
  });

  it.each(['SILENT', 'REFUSING'])('T76: %s is A702 with the list', async (to) => {
    const result = await move(to, study(1));
    expect(counters(result)).toBe('a702 none/0/4/0');
    for (const { SOPInstanceUID } of studies['S1']!) expect(result.output).toContain(SOPInstanceUID);
  });

  it('T79: a destination with Implicit VR only gets that, or the instance has failed', async () => {
    expect(counters(await move('IMPLICIT', study(1)))).toBe('0000 none/4/0/0');
    const received = await implicit.received();
    expect([...received.values()].map(({ transferSyntax }) => transferSyntax)).toEqual(
      Array(4).fill(TS.implicit),
    );
    // Its fragments are made up: nobody can decompress them.
    expect(counters(await move('IMPLICIT', study(2)))).toBe('a702 none/0/2/0');
  });

  it('T80: series by a list, and images by a list', async () => {
    const s1 = `${UID_ROOT}.1`;
    const series = [
      'QueryRetrieveLevel=SERIES',
      `StudyInstanceUID=${s1}`,
      `SeriesInstanceUID=${s1}.1\\${s1}.2`,
    ];
    expect(counters(await move('DEST', series))).toBe('0000 none/4/0/0');
    await dest.clear();
    const images = [
      'QueryRetrieveLevel=IMAGE',
      `StudyInstanceUID=${s1}`,
      `SeriesInstanceUID=${s1}.1`,
      `SOPInstanceUID=${s1}.1.1\\${s1}.1.3`,
    ];
    expect(counters(await move('DEST', images))).toBe('0000 none/2/0/0');
    expect([...(await dest.received()).keys()].sort()).toEqual([`${s1}.1.1`, `${s1}.1.3`]);
  });

  it('a patient, by Patient Root', async () => {
    const keys = ['QueryRetrieveLevel=PATIENT', 'PatientID=PID1'];
    const result = await move('DEST', keys, ['-P']);
    expect(counters(result)).toBe('0000 none/6/0/0');
    expectSame(await dest.received(), [...studies['S1']!, ...studies['S2']!]);
  });

  it('T81: C-CANCEL is FE00 with what remains', async () => {
    const result = await move('DEST', study(8), ['--cancel', '1']);
    expect(counters(result)).toMatch(/^fe00 [1-9]\d*\/\d+\/0\/0$/);
  });

  it('T82: nothing of an unknown UID; no UID and a wildcard are A900', async () => {
    expect(counters(await move('DEST', ['QueryRetrieveLevel=STUDY', 'StudyInstanceUID=1.2.3.4']))).toBe(
      '0000 none/0/0/0',
    );
    for (const keys of [['QueryRetrieveLevel=STUDY'], ['QueryRetrieveLevel=STUDY', 'StudyInstanceUID=1.2.*']])
      expect(lastResponse(await move('DEST', keys))['DIMSE Status']).toMatch(/0xa900/);
  });

  it('T84: movescu receives itself', async () => {
    // Bit for bit it writes to where it is started, whatever -od says.
    const into = await fsp.mkdtemp(path.join(folder, 'self-'));
    const result = await move('TESTER', study(1), ['+P', String(callerPort), '+B'], into);
    expect(counters(result)).toBe('0000 none/4/0/0');
    expectSame(await objectsIn(into), studies['S1']!);
  });

  it('the node moves to itself', async () => {
    expect(counters(await move('NODE', study(1)))).toBe('0000 none/4/0/0');
  });

  it('T85: a study comes by C-GET byte for byte; one that can not be decompressed has failed', async () => {
    const { result, received } = await get(study(1));
    expect(counters(result)).toBe('0000 none/4/0/0');
    expectSame(received, studies['S1']!);
    const compressed = await get(study(2), ['+xi']);
    expect(counters(compressed.result)).toBe('a702 none/0/2/0');
    const kept = await get(study(2), ['+B', '+xv']);
    expect(counters(kept.result)).toBe('0000 none/2/0/0');
    expectSame(kept.received, studies['S2']!);
  });

  it('hundreds come by C-GET', async () => {
    const { result, received } = await get(study(8));
    expect(counters(result)).toBe(`0000 none/${INSTANCES}/0/0`);
    expectSame(received, studies['S8']!);
  });

  it('what DCMTK has compressed is decompressed for those who ask for it, pixel for pixel', async () => {
    const source = path.join(PYDICOM_DATA, 'test_files', 'MR_small.dcm');
    const own = await fsp.mkdtemp(path.join(folder, 'compressed-'));
    const compressed = path.join(own, 'compressed.dcm');
    await must('dcmcjpls', [source, compressed]);
    await must('storescu', ['-xt', '-aet', 'TESTER', '-aec', 'NODE', ...address(), compressed]);
    const [uid = ''] = (await objectsIn(own)).keys();
    const keys = ['QueryRetrieveLevel=IMAGE', `SOPInstanceUID=${uid}`];
    const { result, received, into } = await get(keys);
    expect(counters(result)).toBe('0000 none/1/0/0');
    expect(received.get(uid)?.transferSyntax).toBe(TS.explicit);
    const [file = ''] = await fsp.readdir(into);
    const [before, after] = await pydicom.pixels([source, path.join(into, file)]);
    expect(before).toMatch(/^[0-9a-f]{64}$/);
    expect(after).toBe(before);
  });
});
