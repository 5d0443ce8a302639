import fsp from 'node:fs/promises';
import path from 'node:path';
import { storeFixtures } from '../support/archives';
import { encode, FIXTURE_NAMES, TS, UID_ROOT, type Element } from '../support/data-sets';
import { column, findscu, studiesOfName, writeQuery, type Answers, type Asking } from '../support/findscu';
import {
  makeFolder,
  removeFolder,
  startNode,
  type NodeConfig,
  type NodeProcess,
} from '../support/node-process';
import { commandSet, item, pData, pdv, Wire } from '../support/wire';
import { describeInterop, must } from '../support/tools';

/** C-FIND asked by other people's programs, by the conformance cases. */
const INSTANCES = 2000;
const STUDY_ROOT = '1.2.840.10008.5.1.4.1.2.2.1';

const config: NodeConfig = {
  remotes: {
    all: { aeTitle: '*', host: '127.0.0.0/8', allow: ['echo', 'store', 'find'] },
    lenient: { aeTitle: 'LENIENT', host: '127.0.0.0/8', allow: ['find'], lenient: true },
    latin: { aeTitle: 'LATIN', host: '127.0.0.0/8', allow: ['find'], charset: 'ISO_IR 100' },
    narrow: { aeTitle: 'NARROW', host: '127.0.0.0/8', allow: ['find'], findMatches: 2 },
    storer: { aeTitle: 'STORER', host: '127.0.0.0/8', allow: ['echo', 'store'] },
  },
};

let node: NodeProcess;
let folder: string;

beforeAll(async () => {
  folder = await makeFolder();
  node = await startNode({ env: { TZ: 'UTC' }, config });
  await storeFixtures(node.port, 'NODE', INSTANCES);
}, 60_000);

afterAll(async () => {
  const { code } = await node.stop();
  await removeFolder(node.folder);
  await removeFolder(folder);
  expect(code).toBe(0);
});

const uid = (...parts: number[]): string => [UID_ROOT, ...parts].join('.');
const ask = (keys: readonly string[], more: Partial<Asking> = {}): Promise<Answers> =>
  findscu({ port: node.port, keys, ...more });
const STUDY = ['QueryRetrieveLevel=STUDY', 'StudyInstanceUID'];
const IMAGES = [
  'QueryRetrieveLevel=IMAGE',
  'SOPInstanceUID',
  `StudyInstanceUID=${uid(8)}`,
  `SeriesInstanceUID=${uid(8, 1)}`,
];

/** The studies of the answers: S1 to S8. Every one was pending without a warning, and the last response is Success. */
function studiesOf(answers: Answers): string {
  expect(answers.statuses).toEqual([...answers.rows.map(() => 0xff00), 0]);
  return column(answers, 'StudyInstanceUID')
    .map((found) => `S${found.slice(UID_ROOT.length + 1)}`)
    .join(' ');
}

describeInterop(['dcmtk'], 'findscu', () => {
  it('T34: is answered with the studies of a patient, and where to retrieve them from', async () => {
    const answers = await ask([...STUDY, 'PatientID=PID1']);
    expect(studiesOf(answers)).toBe('S1 S2');
    for (const row of answers.rows) {
      expect(Object.keys(row).sort()).toEqual([
        'InstanceAvailability',
        'PatientID',
        'QueryRetrieveLevel',
        'RetrieveAETitle',
        'StudyInstanceUID',
      ]);
      expect(row).toMatchObject({
        RetrieveAETitle: 'NODE',
        InstanceAvailability: 'ONLINE',
        PatientID: 'PID1',
      });
    }
  });

  it('T35: gets one Success for nobody', async () => {
    expect(await ask([...STUDY, 'PatientID=NOBODY'])).toMatchObject({ statuses: [0], rows: [] });
  });

  it.each<[string, string, string]>([
    ['T36', 'PatientName=doe^j*', 'S1 S2 S3'],
    ['T37', 'PatientID=PID?', 'S1 S2 S3 S4 S5 S6 S7 S8'],
    ['T37', 'PatientID=PID??', ''],
    ['T37', 'PatientID=%', ''],
    ['T37', 'PatientID=PID_', ''],
    ['T38', 'StudyDescription=chest*', ''],
    ['T38', 'StudyDescription=CHEST*', 'S1'],
    ['T39', 'StudyDate=20240101-20240105', 'S1 S2'],
    ['T39', 'StudyDate=-20240105', 'S1 S2 S5 S6 S8'],
    ['T39', 'StudyDate=20240110-', 'S3 S4'],
    ['T39, backwards', 'StudyDate=20240105-20240101', ''],
    ['T40', 'StudyTime=1000-1100', 'S1'],
    ['T40', 'StudyTime=235959-', 'S2'],
    ['T40', 'StudyTime=000000', 'S3'],
    ['T42', `StudyInstanceUID=${uid(1)}\\${uid(3)}`, 'S1 S3'],
    ['T49', 'ModalitiesInStudy=SR', 'S1'],
    ['QR-10', 'PatientName=*', 'S1 S2 S3 S4 S5 S6 S7 S8'],
    ['names by any of their groups', 'PatientName=YAMADA*', 'S5'],
    ['LIKE and GLOB', 'StudyDescription=[A-Z]%', ''],
    ['SQL', `PatientID=' OR 1=1 --`, ''],
  ])('%s: finds %s', async (_case, key, expected) => {
    // A key that is given twice counts as it was given last.
    expect(studiesOf(await ask([...STUDY, key]))).toBe(expected);
  });

  it('T43: gets what is absent as zero-length values', async () => {
    const { rows } = await ask([...STUDY, 'PatientID=PID6', 'StudyDate', 'StudyTime', 'AccessionNumber']);
    expect(rows).toMatchObject([
      { StudyInstanceUID: uid(7), StudyDate: '', StudyTime: '', AccessionNumber: '' },
    ]);
  });

  it('T44: is refused series without their study, in words', async () => {
    const answers = await ask(['QueryRetrieveLevel=SERIES', 'SeriesInstanceUID']);
    expect(answers).toMatchObject({
      statuses: [0xa900],
      offending: ['0020,000d'],
      comments: ['StudyInstanceUID needs one value at SERIES level'],
    });
    const lenient = await ask(['QueryRetrieveLevel=SERIES', 'SeriesInstanceUID'], { calling: 'LENIENT' });
    expect(column(lenient, 'SeriesInstanceUID')).toHaveLength(9);
  });

  it.each([
    ['no level', []],
    ['an unknown one', ['QueryRetrieveLevel=FOO']],
    ['PATIENT in Study Root', ['QueryRetrieveLevel=PATIENT']],
  ])('T46: is refused %s', async (_what, level) => {
    const answers = await ask([...level, 'PatientID=PID1']);
    expect(answers).toMatchObject({ statuses: [0xa900], offending: ['0008,0052'], rows: [] });
  });

  it.each<[string, string, string]>([
    ['a date that is none', 'StudyDate=20241399', '0008,0020'],
    ['a wildcard in a UID', 'StudyInstanceUID=2.25.*', '0020,000d'],
    ['a key of a lower level', 'Modality=CT', '0008,0060'],
  ])('is refused %s, in words', async (_what, key, element) => {
    const answers = await ask([...STUDY, key]);
    expect(answers).toMatchObject({ statuses: [0xa900], offending: [element], rows: [] });
    expect(answers.comments).toEqual([expect.stringMatching(/^.{10,64}$/)]);
  });

  it('T47: finds series by Patient Root', async () => {
    const keys = ['QueryRetrieveLevel=SERIES', 'PatientID=PID1', `StudyInstanceUID=${uid(1)}`];
    const answers = await ask([...keys, 'SeriesInstanceUID', 'Modality'], { model: '-P' });
    expect(answers.statuses).toEqual([0xff00, 0xff00, 0]);
    expect(column(answers, 'Modality')).toEqual(['CT', 'SR']);
    expect(column(answers, 'SeriesInstanceUID')).toEqual([uid(1, 1), uid(1, 2)]);
  });

  it('T48, T49: gets counts, modalities and classes of a study', async () => {
    const counted = ['NumberOfStudyRelatedSeries', 'NumberOfStudyRelatedInstances', 'SOPClassesInStudy'];
    const { rows } = await ask([...STUDY, ...counted, 'ModalitiesInStudy=SR']);
    expect(rows).toMatchObject([
      { StudyInstanceUID: uid(1), NumberOfStudyRelatedSeries: '2', NumberOfStudyRelatedInstances: '4' },
    ]);
    expect(rows[0]!['ModalitiesInStudy']!.split('\\').sort()).toEqual(['CT', 'SR']);
    expect(rows[0]!['SOPClassesInStudy']!.split('\\').sort()).toEqual([
      '1.2.840.10008.5.1.4.1.1.2',
      '1.2.840.10008.5.1.4.1.1.88.11',
    ]);
  });

  it.each(['-P', '-O'] as const)('T50: gets counts of a patient by %s', async (model) => {
    const counted = ['Studies', 'Series', 'Instances'].map((what) => `NumberOfPatientRelated${what}`);
    const { rows } = await ask(['QueryRetrieveLevel=PATIENT', 'PatientID=PID1', ...counted], { model });
    expect(rows).toMatchObject([
      {
        NumberOfPatientRelatedStudies: '2',
        NumberOfPatientRelatedSeries: '3',
        NumberOfPatientRelatedInstances: '6',
      },
    ]);
  });

  it('lists patients in their order of models, and has no series in Patient/Study Only', async () => {
    for (const model of ['-P', '-O'] as const) {
      const answers = await ask(['QueryRetrieveLevel=PATIENT', 'PatientID', 'PatientName'], { model });
      expect(column(answers, 'PatientID')).toEqual(Object.keys(FIXTURE_NAMES));
    }
    const keys = ['QueryRetrieveLevel=SERIES', 'PatientID=PID1', `StudyInstanceUID=${uid(1)}`];
    expect(await ask(keys, { model: '-O' })).toMatchObject({
      statuses: [0xa900],
      offending: ['0008,0052'],
    });
  });

  it('T53: is told with every answer that a private key is not supported', async () => {
    const answers = await ask([...STUDY, 'PatientID=PID1', '(0009,0010)=ACME', '(0009,1001)=']);
    expect(answers.statuses).toEqual([0xff01, 0xff01, 0]);
    for (const row of answers.rows)
      expect(Object.keys(row).filter((name) => name.includes('0009'))).toEqual([]);
  });

  it('finds series by what stands in the items of a sequence', async () => {
    const keys = (id: string): string[] => [
      'QueryRetrieveLevel=SERIES',
      'SeriesInstanceUID',
      `StudyInstanceUID=${uid(1)}`,
      `RequestAttributesSequence[0].ScheduledProcedureStepID=${id}`,
    ];
    const { rows } = await ask(keys('SPS*'));
    expect(rows).toMatchObject([
      { SeriesInstanceUID: uid(1, 1), 'RequestAttributesSequence.ScheduledProcedureStepID': 'SPS1' },
    ]);
    expect((await ask(keys('SPS2'))).statuses).toEqual([0]);
    const two = [...keys('SPS1'), 'RequestAttributesSequence[1].ScheduledProcedureStepID=SPS2'];
    expect(await ask(two)).toMatchObject({ statuses: [0xa900], offending: ['0040,0275'] });
  });

  it('T54: finds a name in the set that it asks in, and is answered in it', async () => {
    const unicode = await ask([...STUDY, 'SpecificCharacterSet=ISO_IR 192', 'PatientName=Müller*'], {
      extract: folder,
    });
    expect(studiesOf(unicode)).toBe('S4');
    const latin = await writeQuery(
      path.join(folder, 'latin.dcm'),
      studiesOfName('ISO_IR 100', Buffer.from('Müller*', 'latin1')),
    );
    const own = await ask([], { files: [latin], extract: folder });
    expect(studiesOf(own)).toBe('S4');
    const asLatin = await ask([...STUDY, 'SpecificCharacterSet=ISO_IR 192', 'PatientName=Müller*'], {
      calling: 'LATIN',
      extract: folder,
    });
    for (const [answers, set, name] of [
      [unicode, 'ISO_IR 192', Buffer.from('Müller^Jörg', 'utf8')],
      [own, 'ISO_IR 100', Buffer.from('Müller^Jörg', 'latin1')],
      [asLatin, 'ISO_IR 100', Buffer.from('Müller^Jörg', 'latin1')],
    ] as const) {
      expect(column(answers, 'SpecificCharacterSet')).toEqual([set]);
      expect((await fsp.readFile(answers.files[0]!)).includes(name)).toBe(true);
    }
  });

  it('T57: is answered as far as it goes where the set is unknown or the bytes are broken', async () => {
    const unknown = await ask([...STUDY, 'SpecificCharacterSet=ISO_IR 999', 'PatientName=DOE*']);
    expect(studiesOf(unknown)).toBe('S1 S2 S3');
    const broken = await writeQuery(
      path.join(folder, 'broken.dcm'),
      studiesOfName('ISO_IR 192', Buffer.from('M\xfcller*', 'latin1')),
    );
    expect(studiesOf(await ask([], { files: [broken] }))).toBe('S4');
  });

  it('gets 2000 images of a series, each once', async () => {
    const answers = await ask(IMAGES);
    expect(answers.statuses.at(-1)).toBe(0);
    expect(new Set(column(answers, 'SOPInstanceUID')).size).toBe(INSTANCES);
    expect(answers.rows).toHaveLength(INSTANCES);
  });

  it('T58: --cancel ends a query, and the next one on the association is answered', async () => {
    const images = await writeQuery(path.join(folder, 'images.dcm'), [
      { tag: 0x00080018, vr: 'UI', value: '' },
      { tag: 0x00080052, vr: 'CS', value: 'IMAGE ' },
      { tag: 0x0020000d, vr: 'UI', value: `${uid(8)}\0` },
      { tag: 0x0020000e, vr: 'UI', value: `${uid(8, 1)}\0` },
    ]);
    // A cancel that comes late finds everything sent: on a busy machine that is no wonder, but not each time.
    let fewest = INSTANCES;
    for (let attempt = 0; attempt < 10 && fewest > INSTANCES / 2; attempt++) {
      const { statuses } = await ask([], { files: [images, images], options: ['--cancel', '5'] });
      const finals = statuses.filter((status) => status !== 0xff00);
      expect(finals).toHaveLength(2);
      for (const status of finals) expect([0xfe00, 0]).toContain(status);
      if (finals[0] === 0xfe00) fewest = Math.min(fewest, statuses.indexOf(0xfe00));
    }
    expect(fewest).toBeLessThanOrEqual(INSTANCES / 2);
  });

  it.each(['-x=', '-xe', '-xi', '-xb', '-xd'])('T59: gets the same by %s', async (syntax) => {
    const answers = await ask(
      [...STUDY, 'PatientID=PID1', 'PatientName', 'StudyDate', 'NumberOfStudyRelatedInstances'],
      { options: [syntax] },
    );
    expect(studiesOf(answers)).toBe('S1 S2');
    expect([...answers.rows].sort((a, b) => (a['StudyDate']! < b['StudyDate']! ? -1 : 1))).toMatchObject([
      { PatientName: 'DOE^JOHN', StudyDate: '20240101', NumberOfStudyRelatedInstances: '4' },
      { PatientName: 'DOE^JOHN', StudyDate: '20240105', NumberOfStudyRelatedInstances: '2' },
    ]);
  });

  it('takes the smallest PDUs, repeats, aborts, and old VRs', async () => {
    const keys = [...STUDY, 'PatientID=PID1'];
    const repeated = await ask(keys, { options: ['-pdu', '4096', '--repeat', '10', '-u'] });
    expect(repeated.statuses).toEqual(Array(10).fill([0xff00, 0xff00, 0]).flat());
    expect((await ask(keys, { options: ['--abort'] })).statuses).toEqual([0xff00, 0xff00, 0]);
    expect(studiesOf(await ask(keys))).toBe('S1 S2');
  });

  it('asks by query files of dump2dcm, with keys of its own over them, one after the other', async () => {
    const dump = path.join(folder, 'query.dump');
    const file = path.join(folder, 'query.dcm');
    await fsp.writeFile(
      dump,
      [
        '(0008,0000) UL 42',
        '(0008,0020) DA []',
        '(0008,0052) CS [STUDY]',
        '(0008,0061) CS []',
        '(0010,0010) PN [DOE*]',
        '(0020,000d) UI []',
        '',
      ].join('\n'),
    );
    await must('dump2dcm', [dump, file]);
    expect(studiesOf(await ask([], { files: [file] }))).toBe('S1 S2 S3');
    const twice = await ask(['PatientName=SMITH*'], { files: [file, file] });
    expect(twice.statuses).toEqual([0xff00, 0, 0xff00, 0]);
    expect(column(twice, 'StudyInstanceUID')).toEqual([uid(7), uid(7)]);
  });

  it('is refused too broad a query, and one without the right to ask', async () => {
    const broad = await ask([...STUDY, 'PatientID=PID*'], { calling: 'NARROW' });
    expect(broad).toMatchObject({ statuses: [0xa700], rows: [] });
    expect(broad.comments).toEqual([expect.stringMatching(/too broad.*2 matches/i)]);
    expect(studiesOf(await ask([...STUDY, 'PatientID=PID1'], { calling: 'NARROW' }))).toBe('S1 S2');
    const denied = await ask(STUDY, { calling: 'STORER' });
    expect(denied).toMatchObject({ statuses: [0x0124], rows: [] });
    expect(denied.comments).toEqual([expect.stringMatching(/find/)]);
  });

  it('leaves no value of a key in the log', () => {
    expect(node.logs()).not.toMatch(/SMITH|DOE|ller|PID1|20241399/);
  });
});

describe('bytes by hand', () => {
  /** An association with SOP Class Extended Negotiation (PS3.7 D.3.3.5) of the bytes given, and the bytes answered. */
  async function associate(information: readonly number[]): Promise<{ wire: Wire; answered: number[] }> {
    const length = Buffer.from([0, STUDY_ROOT.length]);
    const offer = Buffer.concat([length, Buffer.from(STUDY_ROOT, 'latin1'), Buffer.from(information)]);
    const { wire, ac } = await Wire.associate(node.port, {
      contexts: [{ id: 1, abstractSyntax: STUDY_ROOT, transferSyntaxes: [TS.explicit] }],
      userItems: [item(0x56, offer)],
    });
    const item56 = ac.userItems.find(({ type }) => type === 0x56);
    return { wire, answered: [...(item56?.content.subarray(2 + STUDY_ROOT.length) ?? [])] };
  }

  /** Statuses of C-FIND. */
  async function find(wire: Wire, elements: readonly Element[]): Promise<number[]> {
    const command = commandSet({
      ...{ 0x0002: STUDY_ROOT, 0x0100: 0x0020, 0x0110: 7, 0x0700: 0, 0x0800: 1 },
    });
    await wire.send(pData(pdv(1, true, true, command), pdv(1, false, true, encode(elements))));
    const statuses: number[] = [];
    do {
      const { command: response } = await wire.nextMessage();
      expect([response.field, response.respondsTo]).toEqual([0x8020, 7]);
      statuses.push(response.status!);
    } while ([0xff00, 0xff01].includes(statuses.at(-1)!));
    return statuses;
  }

  const SERIES: Element[] = [
    { tag: 0x00080052, vr: 'CS', value: 'SERIES' },
    { tag: 0x0020000e, vr: 'UI', value: '' },
  ];

  it('T45: relational queries leave out the study, where they were agreed on', async () => {
    const agreed = await associate([1]);
    expect(agreed.answered).toEqual([1]);
    expect(await find(agreed.wire, SERIES)).toEqual([...Array<number>(9).fill(0xff00), 0]);
    await agreed.wire.release();
    const not = await associate([0]);
    expect(not.answered).toEqual([0]);
    expect(await find(not.wire, SERIES)).toEqual([0xa900]);
    await not.wire.release();
  });

  it.each([
    // All but enhanced multi-frame conversion, no byte more than was offered, and nothing that was not.
    [
      [1, 1, 1, 1, 1, 1, 1],
      [1, 1, 1, 1, 0, 1, 1],
    ],
    [
      [0, 1, 0],
      [0, 1, 0],
    ],
  ])('T60: offered %j, agreed on %j', async (offered, expected) => {
    const { wire, answered } = await associate(offered);
    expect(answered).toEqual(expected);
    await wire.release();
  });

  it('T60: an empty value is asked for by "", where it was agreed on', async () => {
    const keys: Element[] = [
      { tag: 0x00080020, vr: 'DA', value: '""' },
      { tag: 0x00080052, vr: 'CS', value: 'STUDY ' },
      { tag: 0x0020000d, vr: 'UI', value: '' },
    ];
    const { wire } = await associate([0, 0, 0, 0, 0, 1]);
    expect(await find(wire, keys)).toEqual([0xff00, 0]);
    await wire.release();
  });
});
