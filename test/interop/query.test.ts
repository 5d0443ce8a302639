import { spawn, type ChildProcess } from 'node:child_process';
import fsp from 'node:fs/promises';
import path from 'node:path';
import { answering, startQrscp, type Archive } from '../support/archives';
import { FIXTURE_NAMES, fixtures, part10, TS, UID_ROOT, type SentObject } from '../support/data-sets';
import { isocenter, makeFolder, removeFolder, writeConfig } from '../support/node-process';
import { describeInterop, freePort, must, run, startOrthanc } from '../support/tools';
import type { OrthancPeer, RunResult } from '../support/tools';

/** `isocenter query` asks archives and a worklist of other people's making. */

async function end(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}

/** Objects of the fixtures that any archive takes: uncompressed ones. */
function plainObjects(): SentObject[] {
  const all: SentObject[][] = Object.values(fixtures(5));
  return all.flat().filter(({ transferSyntax }) => transferSyntax === TS.explicit);
}

type JsonRow = Readonly<Record<string, unknown>>;

const rows = ({ stdout }: RunResult): JsonRow[] =>
  stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as JsonRow);

describeInterop(['dcmtk'], 'dcmqrscp', () => {
  let folder: string;
  let config: string;
  let port: number;
  let archive: Archive | undefined;

  const query = (...args: string[]): Promise<RunResult> =>
    isocenter(['query', `QRSCP@127.0.0.1:${port}`, ...args, '--config', config]);
  /** What DCMTK's own findscu gets for an answer, by the UIDs in it. */
  const findscu = async (uid: string, ...args: string[]): Promise<string[]> => {
    const { output } = await run('findscu', [
      '-v',
      ...['-aet', 'TESTER', '-aec', 'QRSCP', ...args, '127.0.0.1', String(port)],
    ]);
    const answers = output.slice(output.indexOf('Find Response: 1 '));
    return [...answers.matchAll(new RegExp(`\\(${uid}\\) UI \\[([0-9.]+)`, 'g'))].map((match) => match[1]!);
  };

  beforeAll(async () => {
    folder = await makeFolder();
    config = await writeConfig(folder);
    archive = await startQrscp();
    port = archive.port;
    const files = await Promise.all(
      plainObjects().map(async (object) => {
        const name = path.join(folder, `${object.SOPInstanceUID}.dcm`);
        await fsp.writeFile(name, part10(object));
        return name;
      }),
    );
    await must('storescu', ['-R', '-aec', 'QRSCP', '127.0.0.1', String(port), ...files]);
  }, 60_000);

  afterAll(async () => {
    await archive?.stop();
    await removeFolder(folder);
  });

  it.each<[string, string[], string[], string]>([
    ['every study', ['studies'], ['-S', '-k', 'QueryRetrieveLevel=STUDY'], '0020,000d'],
    [
      'studies of a span of dates',
      ['-k', 'StudyDate=20240101-20240110'],
      ['-S', '-k', 'QueryRetrieveLevel=STUDY', '-k', 'StudyDate=20240101-20240110'],
      '0020,000d',
    ],
    [
      'studies of a name with a wildcard',
      ['-k', 'PatientName=D*', '-k', 'AccessionNumber'],
      ['-S', '-k', 'QueryRetrieveLevel=STUDY', '-k', 'PatientName=D*'],
      '0020,000d',
    ],
    [
      'series of a study',
      ['series', '-k', `StudyInstanceUID=${UID_ROOT}.1`],
      ['-S', '-k', 'QueryRetrieveLevel=SERIES', '-k', `StudyInstanceUID=${UID_ROOT}.1`],
      '0020,000e',
    ],
    [
      'instances of a series',
      ['instances', '-k', `0020,000d=${UID_ROOT}.1`, '-k', `(0020,000e)=${UID_ROOT}.1.1`],
      [
        '-S',
        ...['-k', 'QueryRetrieveLevel=IMAGE', '-k', `0020,000d=${UID_ROOT}.1`],
        ...['-k', `0020,000e=${UID_ROOT}.1.1`],
      ],
      '0008,0018',
    ],
    [
      'studies of a patient by the patient model',
      ['studies', '--model', 'patient', '-k', 'PatientID=PID1'],
      ['-P', '-k', 'QueryRetrieveLevel=STUDY', '-k', 'PatientID=PID1'],
      '0020,000d',
    ],
    [
      'studies of a patient by the retired model',
      ['studies', '--model', 'patient-study', '-k', 'PatientID=PID1'],
      ['-O', '-k', 'QueryRetrieveLevel=STUDY', '-k', 'PatientID=PID1'],
      '0020,000d',
    ],
    ['what is not there', ['-k', 'PatientID=NOBODY'], ['-S', '-k', 'PatientID=NOBODY'], '0020,000d'],
  ])('tells of %s as it tells findscu', async (what, args, words, tag) => {
    const keyword = { '0020,000d': 'StudyInstanceUID', '0020,000e': 'SeriesInstanceUID' }[tag];
    const result = await query(...args, '--json');
    expect([result.code, result.stderr]).toEqual([0, expect.any(String)]);
    const found = rows(result).map((row) => row[keyword ?? 'SOPInstanceUID']);
    const expected = await findscu(tag, ...words, '-k', tag);
    expect(found.sort()).toEqual(expected.sort());
    expect(found.length > 0).toBe(what !== 'what is not there');
  });

  it('gives names in Unicode, whatever character set it answers in', async () => {
    const found = rows(await query('patients', '--json')).map((row) => [
      row['PatientID'],
      row['PatientName'],
    ]);
    const names = Object.entries(FIXTURE_NAMES);
    const expected = names.filter(([id]) => found.some(([other]) => other === id));
    expect(expected.length).toBeGreaterThanOrEqual(5);
    expect(found.sort()).toEqual(expected.sort());
  });

  it('says what it does not agree to, and is cut by --limit', async () => {
    const result = await query('--relational', '--fuzzy', '--limit', '2');
    expect(result.code).toBe(3);
    expect(result.stdout.trim().split('\n')).toHaveLength(3);
    expect(result.stderr).toMatch(/does not do relational queries/);
    expect(result.stderr).toMatch(/does not do fuzzy matching/);
    expect(result.stderr).toMatch(/there (is|may be) more; a higher --limit shows it/);
  });

  it('has no worklist, and no other name', async () => {
    expect(await query('--model', 'worklist')).toMatchObject({ code: 4, stdout: '' });
    const wrong = await isocenter(['query', `WRONG@127.0.0.1:${port}`, '--config', config]);
    expect(wrong).toMatchObject({ code: 4, stdout: '' });
    expect(wrong.stderr).toMatch(/rejected 1\/1\/7/);
  });
});

describeInterop(['dcmtk'], 'wlmscpfs', () => {
  let folder: string;
  let config: string;
  let port: number;
  let worklist: ChildProcess | undefined;

  const query = (...args: string[]): Promise<RunResult> =>
    isocenter(['query', `RIS@127.0.0.1:${port}`, '--model', 'worklist', ...args, '--config', config]);

  /** A scheduled step as dump2dcm reads it. */
  const item = (number: number, name: string, modality: string, date: string): string =>
    [
      '(0008,0005) CS [ISO_IR 100]',
      `(0008,0050) SH [ACC${number}]`,
      `(0010,0010) PN [${name}]`,
      `(0010,0020) LO [PID${number}]`,
      '(0010,0030) DA [19700101]',
      '(0010,0040) CS [O]',
      `(0020,000d) UI [${UID_ROOT}.8.${number}]`,
      '(0032,1032) PN [HOUSE]',
      `(0032,1060) LO [PROCEDURE ${number}]`,
      '(0040,0100) SQ',
      '(fffe,e000) -',
      `(0008,0060) CS [${modality}]`,
      '(0040,0001) AE [SCANNER]',
      `(0040,0002) DA [${date}]`,
      '(0040,0003) TM [101500]',
      '(0040,0006) PN [CUDDY]',
      '(0040,0007) LO [STEP]',
      `(0040,0009) SH [SPS${number}]`,
      '(fffe,e00d) -',
      '(fffe,e0dd) -',
      `(0040,1001) SH [RP${number}]`,
      '(0040,1003) SH [LOW]',
      '',
    ].join('\n');

  beforeAll(async () => {
    folder = await makeFolder();
    config = await writeConfig(folder);
    port = await freePort();
    const database = path.join(folder, 'RIS');
    await fsp.mkdir(database);
    await fsp.writeFile(path.join(database, 'lockfile'), '');
    const items = [
      item(1, 'Müller^Jörg', 'CT', '20240101'),
      item(2, 'DOE^JOHN', 'MR', '20240102'),
      item(3, 'DOE^JANE', 'CT', '20240203'),
    ];
    for (const [index, text] of items.entries()) {
      const dump = path.join(folder, `${index}.dump`);
      await fsp.writeFile(dump, text, 'latin1');
      await must('dump2dcm', [dump, path.join(database, `${index}.wl`)]);
    }
    worklist = spawn('wlmscpfs', ['-s', '-csk', '-dfp', folder, String(port)], {
      env: { ...process.env, TCP_NODELAY: '1' },
      stdio: 'ignore',
    });
    await answering('RIS', port);
  }, 60_000);

  afterAll(async () => {
    await end(worklist);
    await removeFolder(folder);
  });

  it('lists what is scheduled', async () => {
    const result = await query();
    expect(result.code).toBe(0);
    const [titles, ...lines] = result.stdout.trimEnd().split('\n');
    expect(titles).toBe(
      'Date\tTime\tStation\tModality\tPatientID\tPatientName\tAccessionNumber\tProcedure\tStep\tStepID',
    );
    expect(lines.sort()).toEqual([
      '20240101\t101500\tSCANNER\tCT\tPID1\tMüller^Jörg\tACC1\tPROCEDURE 1\tSTEP\tSPS1',
      '20240102\t101500\tSCANNER\tMR\tPID2\tDOE^JOHN\tACC2\tPROCEDURE 2\tSTEP\tSPS2',
      '20240203\t101500\tSCANNER\tCT\tPID3\tDOE^JANE\tACC3\tPROCEDURE 3\tSTEP\tSPS3',
    ]);
  });

  it.each<[string, string[], string[]]>([
    ['a modality', ['ScheduledProcedureStepSequence[0].Modality=CT'], ['PID1', 'PID3']],
    [
      'a modality and a span of dates, by tag',
      ['(0040,0100)[0].(0008,0060)=CT', '(0040,0100)[0].0040,0002=20240101-20240131'],
      ['PID1'],
    ],
    ['a name', ['PatientName=DOE*'], ['PID2', 'PID3']],
    ['what nobody has', ['PatientID=NOBODY'], []],
  ])('matches %s within the step', async (_what, given, ids) => {
    const result = await query('--json', ...given.flatMap((key) => ['-k', key]));
    expect(result.code).toBe(0);
    const found = rows(result);
    expect(found.map((row) => row['PatientID']).sort()).toEqual(ids);
    for (const row of found)
      expect(row['ScheduledProcedureStepSequence']).toEqual([
        expect.objectContaining({
          ScheduledStationAETitle: 'SCANNER',
          Modality: expect.any(String) as string,
        }),
      ]);
  });

  it('is no archive: it refuses the association, which is exit code 4', async () => {
    const result = await isocenter(['query', `RIS@127.0.0.1:${port}`, '--config', config]);
    expect(result).toMatchObject({ code: 4, stdout: '' });
  });
});

describeInterop(['orthanc'], 'Orthanc as an archive', () => {
  let folder: string;
  let config: string;
  let orthanc: OrthancPeer;

  const query = (...args: string[]): Promise<RunResult> =>
    isocenter(['query', `ORTHANC@127.0.0.1:${orthanc.dicomPort}`, ...args, '--config', config]);

  beforeAll(async () => {
    folder = await makeFolder();
    config = await writeConfig(folder);
    orthanc = await startOrthanc(1);
    for (const object of plainObjects()) await orthanc.rest('POST', '/instances', part10(object));
  }, 60_000);

  afterAll(async () => {
    await orthanc.stop();
    await removeFolder(folder);
  });

  it('counts, and names modalities', async () => {
    const result = await query('--json', '-k', 'PatientID=PID1', '-k', `StudyInstanceUID=${UID_ROOT}.1`);
    expect(result.code).toBe(0);
    expect(rows(result)).toEqual([
      expect.objectContaining({
        PatientName: 'DOE^JOHN',
        StudyDate: '20240101',
        AccessionNumber: 'ACC1',
        ModalitiesInStudy: 'CT\\SR',
        NumberOfStudyRelatedSeries: 2,
        NumberOfStudyRelatedInstances: 4,
      }),
    ]);
  });

  it('finds a name that is not ASCII, in the set that is needed or given', async () => {
    for (const more of [[], ['--charset', 'ISO_IR 100']]) {
      const result = await query('patients', '--json', '-k', 'PatientName=*Jérôme*', ...more);
      expect(rows(result).map((row) => row['PatientName'])).toEqual(['Buc^Jérôme']);
    }
  });

  it('lists series and instances', async () => {
    const series = rows(await query('series', '--json', '-k', `StudyInstanceUID=${UID_ROOT}.1`));
    expect(series.map((row) => row['Modality']).sort()).toEqual(['CT', 'SR']);
    const instances = await query(
      'instances',
      ...['--json', '-k', `StudyInstanceUID=${UID_ROOT}.1`, '-k', `SeriesInstanceUID=${UID_ROOT}.1.1`],
    );
    expect(
      rows(instances)
        .map((row) => row['InstanceNumber'])
        .sort(),
    ).toEqual(['1', '2', '3']);
  });
});
