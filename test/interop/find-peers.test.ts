import fsp from 'node:fs/promises';
import path from 'node:path';
import { Client, log, requests } from 'dcmjs-dimse';
import { startQrscp, storeFixtures, type Archive } from '../support/archives';
import { FIXTURE_NAMES, UID_ROOT } from '../support/data-sets';
import { column, findscu, studiesOfName, writeQuery, type Asking } from '../support/findscu';
import {
  makeFolder,
  removeFolder,
  startNode,
  type NodeConfig,
  type NodeProcess,
} from '../support/node-process';
import {
  describeInterop,
  must,
  pydicom,
  PYDICOM_DATA,
  startOrthanc,
  type OrthancPeer,
} from '../support/tools';

log.setLevel('silent');

/** C-FIND of the node beside that of other archives, and for callers of other people's making. */
const INSTANCES = 300;

const config: NodeConfig = {
  remotes: { all: { aeTitle: '*', host: '127.0.0.0/8', allow: ['echo', 'store', 'find'] } },
};

let node: NodeProcess;
let folder: string;

beforeAll(async () => {
  folder = await makeFolder();
  node = await startNode({ config });
  await storeFixtures(node.port, 'NODE', INSTANCES);
}, 60_000);

afterAll(async () => {
  const { code } = await node.stop();
  await removeFolder(node.folder);
  await removeFolder(folder);
  expect(code).toBe(0);
});

const uid = (...parts: number[]): string => [UID_ROOT, ...parts].join('.');
const STUDY = ['QueryRetrieveLevel=STUDY', 'StudyInstanceUID'];

describeInterop(['dcmtk', 'orthanc'], 'other archives, asked the same', () => {
  let qrscp: Archive;
  let orthanc: OrthancPeer;

  beforeAll(async () => {
    qrscp = await startQrscp();
    orthanc = await startOrthanc(1);
    await storeFixtures(qrscp.port, 'QRSCP', 5, true);
    await storeFixtures(orthanc.dicomPort, 'ORTHANC', 5, true);
  }, 60_000);

  afterAll(async () => {
    await orthanc.stop();
    await qrscp.stop();
  });

  /** What each of the three says: the values of one keyword, or the final status where it isn't Success. */
  async function everywhere(keys: string[], keyword: string, more: Partial<Asking> = {}): Promise<string[]> {
    const archives = [
      { port: node.port, called: 'NODE' },
      { port: qrscp.port, called: 'QRSCP' },
      { port: orthanc.dicomPort, called: 'ORTHANC' },
    ];
    const answers = await Promise.all(
      archives.map((archive) => findscu({ ...archive, calling: 'NODE', keys, ...more })),
    );
    return answers.map((answer) => {
      const final = answer.statuses.at(-1) ?? 0xffff;
      return final === 0 ? column(answer, keyword).join(' ') : final.toString(16);
    });
  }

  const numbers = (studies: string): string =>
    studies.replaceAll(new RegExp(`${UID_ROOT.replaceAll('.', '\\.')}\\.`, 'g'), 'S');

  it.each([
    ['PatientID=PID1'],
    ['PatientID=NOBODY'],
    ['PatientID=PID?'],
    ['PatientID=PID??'],
    ['PatientID=%'],
    ['PatientName=D*'],
    ['PatientName=*'],
    ['StudyDescription=chest*'],
    ['StudyDescription=CHEST*'],
    ['AccessionNumber=ACC?'],
    ['StudyDate=20240110'],
    ['StudyDate=20240101-20240105'],
    ['StudyDate=-20240105'],
    ['StudyDate=20240110-'],
    ['StudyTime=1000-1100'],
    ['StudyTime=235959-'],
    ['StudyTime=000000'],
    [`StudyInstanceUID=${uid(1)}\\${uid(3)}`],
  ])('find the same studies for %s', async (key) => {
    const [ours, dcmqrscps, orthancs] = await everywhere([...STUDY, key], 'StudyInstanceUID');
    expect([dcmqrscps, orthancs]).toEqual([ours, ours]);
  });

  it('find the same patients, series and images', async () => {
    const patients = ['QueryRetrieveLevel=PATIENT', 'PatientID'];
    const series = ['QueryRetrieveLevel=SERIES', 'SeriesInstanceUID', `StudyInstanceUID=${uid(1)}`];
    const images = [
      ...['QueryRetrieveLevel=IMAGE', 'SOPInstanceUID', 'InstanceNumber'],
      ...[`StudyInstanceUID=${uid(1)}`, `SeriesInstanceUID=${uid(1, 1)}`],
    ];
    for (const [keys, keyword, expected, model] of [
      [patients, 'PatientID', 'PID1 PID2 PID3 PID4 PID5 PID6 PID7', '-P'],
      [series, 'SeriesInstanceUID', `${uid(1, 1)} ${uid(1, 2)}`, '-S'],
      [images, 'SOPInstanceUID', [1, 2, 3].map((number) => uid(1, 1, number)).join(' '), '-S'],
      [images, 'InstanceNumber', '1 2 3', '-S'],
    ] as const)
      expect(await everywhere([...keys], keyword, { model })).toEqual([expected, expected, expected]);
  });

  it.each<[string, string[], string, string[]]>([
    // QR-08, CS-07: names are matched whatever their case; dcmqrscp compares them as they are, which the standard allows too.
    ['case of names', ['PatientName=doe^j*'], 'StudyInstanceUID', ['S1 S2 S3', '', 'S1 S2 S3']],
    // QR-20: ModalitiesInStudy is matched; dcmqrscp doesn't know it, and takes it for universal.
    ['modalities', ['ModalitiesInStudy=SR'], 'StudyInstanceUID', ['S1', 'S1 S2 S3 S4 S5 S6 S7 S8', 'S1']],
    // QR-20: counts; dcmqrscp has none.
    [
      'counts',
      [`StudyInstanceUID=${uid(1)}`, 'NumberOfStudyRelatedInstances'],
      'NumberOfStudyRelatedInstances',
      ['4', '(absent)', '4'],
    ],
    // A patient has one sex, whichever of the objects says it: here those of S1. The others go by each study's first object.
    ['what one study says of the patient', ['PatientSex=M'], 'StudyInstanceUID', ['S1 S2', 'S1', 'S1']],
    // QR-08 and PS3.5 6.2: no such day. A900 tells the caller, where the others find nothing.
    ['a date that is none', ['StudyDate=20241399'], 'StudyInstanceUID', ['a900', '', '']],
    // QR-06: FF01 and the key left out; dcmqrscp doesn't tell, and to Orthanc private keys are conditions that nothing meets.
    [
      'private keys',
      ['PatientID=PID1', '(0009,0010)=ACME', '(0009,1001)='],
      'StudyInstanceUID',
      ['S1 S2', 'S1 S2', ''],
    ],
    // QR-02: A900; Orthanc has a code of the range for what it can't process.
    ['no level', ['QueryRetrieveLevel='], 'StudyInstanceUID', ['a900', 'a900', 'c000']],
  ])('differ in %s', async (_what, keys, keyword, expected) => {
    expect((await everywhere([...STUDY, ...keys], keyword)).map(numbers)).toEqual(expected);
  });

  it('differ in series without their study', async () => {
    // QR-04: A900; dcmqrscp has another failure for it, and Orthanc answers as if relational queries had been agreed on.
    const [ours, dcmqrscps, orthancs] = await everywhere(
      ['QueryRetrieveLevel=SERIES', 'SeriesInstanceUID'],
      'SeriesInstanceUID',
    );
    expect([ours, dcmqrscps, orthancs?.split(' ').length]).toEqual(['a900', 'c000', 9]);
  });

  it('differ in sequence matching', async () => {
    // QR-15: the series of the item; the others return it for every series of the study.
    const keys = [
      ...['QueryRetrieveLevel=SERIES', 'SeriesInstanceUID', `StudyInstanceUID=${uid(1)}`],
      'RequestAttributesSequence[0].ScheduledProcedureStepID=SPS*',
    ];
    const all = `${uid(1, 1)} ${uid(1, 2)}`;
    expect(await everywhere(keys, 'SeriesInstanceUID')).toEqual([uid(1, 1), all, all]);
  });

  it('find a name that is stored in Latin-1 for who asks in UTF-8', async () => {
    const keys = [...STUDY, 'SpecificCharacterSet=ISO_IR 192', 'PatientName=Müller*'];
    expect((await everywhere(keys, 'StudyInstanceUID')).map(numbers)).toEqual(['S4', 'S4', 'S4']);
  });
});

describeInterop(['dcmtk', 'pydicom'], 'character sets', () => {
  const SAMPLES = path.join(PYDICOM_DATA, 'charset_files');
  /** What a sample is asked by: names in it as they stand there, and as pydicom reads them. */
  interface Sample {
    readonly file: string;
    readonly study: string;
    readonly sets: string;
    readonly name: string;
    readonly bytes: Buffer;
  }
  let archive: NodeProcess;
  let samples: Sample[];

  /** The value of PatientName in an explicit data set. */
  function nameIn(bytes: Buffer): Buffer {
    const at = bytes.indexOf(Buffer.from([0x10, 0, 0x10, 0, 0x50, 0x4e]));
    return bytes.subarray(at + 8, at + 8 + bytes.readUInt16LE(at + 6));
  }

  beforeAll(async () => {
    archive = await startNode({ config });
    // The two of chrSQ have no patient, and no UIDs to be stored by.
    const names = (await fsp.readdir(SAMPLES)).filter((name) => /^chr(?!SQ).*\.dcm$/.test(name)).sort();
    const files = names.map((name) => path.join(folder, name));
    await Promise.all(names.map((name, index) => fsp.copyFile(path.join(SAMPLES, name), files[index]!)));
    // Some share their UIDs.
    await must('dcmodify', ['-nb', '-gst', '-gse', '-gin', ...files]);
    const headers = await pydicom.headers(files);
    samples = await Promise.all(
      files.map(async (file, index) => ({
        file,
        study: headers[index]!.StudyInstanceUID!,
        sets: headers[index]!.SpecificCharacterSet!,
        name: headers[index]!.PatientName!,
        bytes: nameIn(await fsp.readFile(file)),
      })),
    );
    await must('storescu', [...['-R', '-aec', 'NODE', '127.0.0.1', String(archive.port)], ...files]);
  }, 60_000);

  afterAll(async () => {
    const { code } = await archive.stop();
    await removeFolder(archive.folder);
    expect(code).toBe(0);
  });

  it('every sample is found by its name, in Unicode and in its own set, and comes back as pydicom reads it', async () => {
    expect(samples.length).toBe(15);
    const asked = await Promise.all(
      samples.flatMap(({ study, sets, name, bytes }, index) =>
        [
          { how: 'Unicode', sets: 'ISO_IR 192', key: Buffer.from(name, 'utf8') },
          { how: sets, sets, key: bytes },
        ].map(async ({ how, sets: stated, key }, turn) => {
          const file = await writeQuery(
            path.join(folder, `charset-${index}-${turn}.dcm`),
            studiesOfName(stated, key),
          );
          const answers = await findscu({ port: archive.port, files: [file], extract: folder });
          return { how, stated, study, name, answers };
        }),
      ),
    );
    const headers = await pydicom.headers(asked.flatMap(({ answers }) => answers.files));
    let at = 0;
    for (const { how, stated, study, name, answers } of asked) {
      const found = headers.slice(at, (at += answers.files.length));
      expect({ how, name, statuses: answers.statuses.at(-1) }).toEqual({ how, name, statuses: 0 });
      const own = found.find(({ StudyInstanceUID }) => StudyInstanceUID === study);
      // What asks in a set is answered in it: it holds the name that it asks by.
      expect({ how, name: own?.PatientName, set: own?.SpecificCharacterSet }).toEqual({
        how,
        name,
        set: stated,
      });
      // Others only where a group of their names is the key.
      for (const { PatientName = '' } of found) expect(PatientName).toContain(name);
    }
  });

  it('a file is shown by `isocenter find` with its name in Unicode', async () => {
    const { stdout } = await archive.cli(['find', 'patients', '--json']);
    for (const { name } of samples) expect(stdout).toContain(JSON.stringify(name).slice(1, -1));
  });
});

describe("dcmjs-dimse's client", () => {
  type Found = Record<string, unknown>;

  /** Elements of the pending answers, and the final status. */
  function find(
    request: InstanceType<typeof requests.CFindRequest>,
  ): Promise<{ rows: Found[]; final: number }> {
    return new Promise((resolve, reject) => {
      const rows: Found[] = [];
      let final = -1;
      const client = new Client();
      request.on(
        'response',
        (response: { getStatus(): number; getDataset(): { getElements(): Found } | undefined }) => {
          if (response.getStatus() === 0xff00) rows.push(response.getDataset()!.getElements());
          else final = response.getStatus();
        },
      );
      client.addRequest(request);
      client.on('networkError', reject);
      client.on('closed', () => resolve({ rows, final }));
      client.send('127.0.0.1', node.port, 'TESTER', 'NODE');
    });
  }

  it('finds studies, series and images', async () => {
    const studies = await find(
      requests.CFindRequest.createStudyFindRequest({ PatientID: 'PID1', StudyDate: '' }),
    );
    expect(studies.final).toBe(0);
    expect(studies.rows.map((row) => [row['StudyInstanceUID'], row['StudyDate']]).sort()).toEqual([
      [uid(1), '20240101'],
      [uid(2), '20240105'],
    ]);
    const series = await find(
      requests.CFindRequest.createSeriesFindRequest({ StudyInstanceUID: uid(1), Modality: '' }),
    );
    expect(series.rows.map((row) => row['Modality']).sort()).toEqual(['CT', 'SR']);
    const images = await find(
      requests.CFindRequest.createImageFindRequest({
        StudyInstanceUID: uid(8),
        SeriesInstanceUID: uid(8, 1),
        InstanceNumber: '',
      }),
    );
    expect([images.rows.length, images.final]).toEqual([INSTANCES, 0]);
    expect(new Set(images.rows.map((row) => row['SOPInstanceUID'])).size).toBe(INSTANCES);
  });

  it('is told what is wrong', async () => {
    const { rows, final } = await find(
      requests.CFindRequest.createStudyFindRequest({ StudyDate: '20241399' }),
    );
    expect([rows.length, final]).toEqual([0, 0xa900]);
  });
});

describe('isocenter query', () => {
  type JsonRow = Readonly<Record<string, unknown>>;
  const query = async (
    ...args: string[]
  ): Promise<{ code: number | null; stderr: string; rows: JsonRow[] }> => {
    const { code, stderr, stdout } = await node.cli([
      'query',
      `NODE@127.0.0.1:${node.port}`,
      ...args,
      '--json',
    ]);
    const lines = stdout.split('\n').filter((line) => line !== '');
    return { code, stderr, rows: lines.map((line) => JSON.parse(line) as JsonRow) };
  };

  it('lists what `isocenter find` lists', async () => {
    const asked = await query();
    expect([asked.code, asked.stderr]).toEqual([0, '']);
    const { stdout } = await node.cli(['find', 'studies', '--json', '--limit', '0']);
    const held = stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as JsonRow);
    const view = (row: JsonRow): unknown[] => [
      row['StudyInstanceUID'],
      row['PatientName'],
      row['StudyDate'] ?? null,
      row['NumberOfStudyRelatedInstances'],
    ];
    expect(asked.rows.map(view).sort()).toEqual(held.map(view).sort());
    expect(asked.rows).toHaveLength(8);
  });

  it('asks every model at its levels, with names in Unicode', async () => {
    const { rows } = await query('patients');
    expect(rows.map((row) => [row['PatientID'], row['PatientName']]).sort()).toEqual(
      Object.entries(FIXTURE_NAMES),
    );
    const old = await query('studies', '--model', 'patient-study', '-k', 'PatientID=PID1');
    expect(old.rows.map((row) => row['StudyInstanceUID']).sort()).toEqual([uid(1), uid(2)]);
    const series = await query('series', '--relational', '-k', 'Modality=CT');
    expect(series.rows.map((row) => row['StudyInstanceUID']).sort()).toEqual(
      [5, 6, 7, 8, 1].map((n) => uid(n)).sort(),
    );
  });

  it('is told of a refusal, with its comment', async () => {
    const refused = await query('-k', 'StudyDate=20241399');
    expect([refused.code, refused.rows]).toEqual([1, []]);
    expect(refused.stderr).toMatch(/A900.*StudyDate is no date/s);
  });
});
