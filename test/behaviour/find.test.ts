import { COMMAND } from '../../src/dimse/operations';
import type { ScuResponse } from '../../src/dimse/scu';
import { Session } from '../../src/dimse/session';
import { connect } from '../../src/net/requestor';
import type { Association, ExtendedNegotiation } from '../../src/net/types';
import { CLASSES, identifier, read, type Keys } from '../services/query-kit';
import { encode, fixtures, header, imageObject, SOP, TS, UID_ROOT, type Element } from '../support/data-sets';
import { PlainScu } from '../support/ledger-scu';
import { removeFolder, startNode, type NodeProcess } from '../support/node-process';
import { describeInterop, run } from '../support/tools';
import { TIMEOUTS } from '../support/upper-layer';

/** C-FIND on the real node, by the conformance cases. */
const INSTANCES = 2000;
let node: NodeProcess;

const RIGHTS = ['echo', 'store', 'find'];
const remote = (aeTitle: string, more: object = {}): object => ({
  aeTitle,
  host: '127.0.0.0/8',
  allow: RIGHTS,
  ...more,
});

beforeAll(async () => {
  node = await startNode({
    // The zone of data sets that name none.
    env: { TZ: 'UTC' },
    config: {
      remotes: {
        tester: remote('TESTER'),
        lenient: remote('LENIENT', { lenient: true }),
        latin: remote('LATIN', { charset: 'ISO_IR 100' }),
        narrow: remote('NARROW', { findMatches: 2 }),
        storer: { aeTitle: 'STORER', host: '127.0.0.0/8', allow: ['echo', 'store'] },
      },
    },
  });
  const objects = Object.values(fixtures(INSTANCES)).flat();
  const scu = await PlainScu.open(node.port, objects, { calling: 'STORER' });
  for (const object of objects) expect((await scu.store(object)).status).toBe(0);
  await scu.release();
}, 60_000);

afterAll(async () => {
  const { code } = await node.stop();
  await removeFolder(node.folder);
  expect(code).toBe(0);
});

interface Caller {
  readonly association: Association;
  readonly session: Session;
}

interface CallOptions {
  readonly calling?: string;
  readonly model?: keyof typeof CLASSES;
  readonly syntax?: string;
  /** Bytes of extended negotiation, offered. */
  readonly information?: readonly number[];
}

async function call({
  calling = 'TESTER',
  model = 'study',
  syntax = TS.explicit,
  information,
}: CallOptions = {}): Promise<Caller> {
  const association = await connect({
    host: '127.0.0.1',
    port: node.port,
    callingAETitle: calling,
    calledAETitle: 'NODE',
    implementation: { classUID: '2.25.42', versionName: 'TEST_1' },
    maximumLength: 16384,
    timeouts: TIMEOUTS,
    contexts: [
      { id: 1, abstractSyntax: CLASSES[model], transferSyntaxes: [syntax] },
      { id: 3, abstractSyntax: SOP.verification, transferSyntaxes: [TS.implicit] },
    ],
    ...(information === undefined
      ? {}
      : { extendedNegotiation: [{ sopClass: CLASSES[model], information: Buffer.from(information) }] }),
  });
  return { association, session: new Session(association) };
}

interface Answer {
  readonly statuses: readonly number[];
  readonly rows: readonly Record<string, unknown>[];
  readonly final: ScuResponse;
}

interface Asked extends CallOptions {
  readonly bytes?: Buffer;
  readonly signal?: AbortSignal;
  readonly onPending?: (count: number) => void;
  readonly caller?: Caller;
}

async function find(keys: Keys, asked: Asked = {}): Promise<Answer> {
  const { association, session } = asked.caller ?? (await call(asked));
  const syntax = association.contexts.get(1)!.transferSyntax;
  const statuses: number[] = [];
  const rows: Record<string, unknown>[] = [];
  const final = await session.scu.request(
    { CommandField: COMMAND['C-FIND'], AffectedSOPClassUID: CLASSES[asked.model ?? 'study'], Priority: 0 },
    1,
    asked.bytes ?? identifier(keys),
    {
      onPending: ({ status, dataSet }) => {
        statuses.push(status);
        rows.push(read(dataSet!, syntax));
        asked.onPending?.(rows.length);
      },
      ...(asked.signal === undefined ? {} : { signal: asked.signal }),
    },
  );
  expect(final.dataSet).toBeUndefined();
  if (asked.caller === undefined) await association.release();
  return { statuses, rows, final };
}

const STUDY = { QueryRetrieveLevel: 'STUDY', StudyInstanceUID: '' };
const uid = (...parts: number[]): string => [UID_ROOT, ...parts].join('.');

/** The studies found, by their numbers. */
async function studies(keys: Keys, asked: Asked = {}): Promise<string> {
  const { rows, final } = await find({ ...STUDY, ...keys }, asked);
  expect(final.status).toBe(0);
  const numbers = rows
    .map(({ StudyInstanceUID }) => `S${String(StudyInstanceUID).slice(UID_ROOT.length + 1)}`)
    // Those of another test, which may run before.
    .filter((number) => !number.startsWith('S100.'));
  return numbers.sort().join(' ');
}

/** Status and comment of a query that must be refused, without any answer before. */
async function refused(
  keys: Keys,
  asked: Asked = {},
): Promise<{ status: number; comment: string; at: number[] }> {
  const { statuses, final } = await find(keys, asked);
  expect(statuses).toEqual([]);
  const { ErrorComment = '', OffendingElement = [] } = final.command;
  return { status: final.status, comment: ErrorComment, at: [...OffendingElement] };
}

describe('answers', () => {
  it('T34: two studies of a patient, with the title to retrieve from', async () => {
    const { statuses, rows, final } = await find({ ...STUDY, PatientID: 'PID1' });
    expect(statuses).toEqual([0xff00, 0xff00]);
    expect(final.status).toBe(0);
    expect(rows).toContainEqual({
      QueryRetrieveLevel: 'STUDY',
      RetrieveAETitle: 'NODE',
      InstanceAvailability: 'ONLINE',
      PatientID: 'PID1',
      StudyInstanceUID: uid(1),
    });
  });

  it('T35: nothing for nobody', async () => {
    expect(await find({ ...STUDY, PatientID: 'NOBODY' })).toMatchObject({
      statuses: [],
      final: { status: 0 },
    });
  });

  it('T43: zero-length values for what is absent', async () => {
    const { rows } = await find({ ...STUDY, PatientID: 'PID6', StudyDate: '', AccessionNumber: '' });
    expect(rows).toMatchObject([{ StudyDate: '', AccessionNumber: '' }]);
  });

  it('T47: series of a study, in Patient Root', async () => {
    const { rows } = await find(
      {
        QueryRetrieveLevel: 'SERIES',
        PatientID: 'PID1',
        StudyInstanceUID: uid(1),
        SeriesInstanceUID: '',
        Modality: '',
      },
      { model: 'patient' },
    );
    expect(rows.map(({ Modality }) => Modality).sort()).toEqual(['CT', 'SR']);
  });

  it('T48, T49: counted keys, and modalities that match with all of the others', async () => {
    const keys = { ...STUDY, NumberOfStudyRelatedSeries: '', NumberOfStudyRelatedInstances: '' };
    const { rows } = await find({ ...keys, ModalitiesInStudy: 'SR', SOPClassesInStudy: '' });
    expect(rows).toHaveLength(1);
    expect(rows[0]).toMatchObject({
      StudyInstanceUID: uid(1),
      NumberOfStudyRelatedSeries: '2',
      NumberOfStudyRelatedInstances: '4',
    });
    expect(String(rows[0]!['ModalitiesInStudy']).split('\\').sort()).toEqual(['CT', 'SR']);
    expect(String(rows[0]!['SOPClassesInStudy']).split('\\').sort()).toEqual([SOP.ct, SOP.sr].sort());
  });

  it('T50: counted keys of a patient', async () => {
    const { rows } = await find(
      {
        QueryRetrieveLevel: 'PATIENT',
        PatientID: 'PID1',
        NumberOfPatientRelatedStudies: '',
        NumberOfPatientRelatedSeries: '',
        NumberOfPatientRelatedInstances: '7',
      },
      { model: 'patientStudy' },
    );
    expect(rows).toMatchObject([
      {
        NumberOfPatientRelatedStudies: '2',
        NumberOfPatientRelatedSeries: '3',
        NumberOfPatientRelatedInstances: '6',
      },
    ]);
  });

  it('T53: FF01 throughout where a private key is asked for', async () => {
    const { statuses, rows } = await find({
      ...STUDY,
      PatientID: 'PID1',
      '00090010': 'ACME',
      '00091001': '',
    });
    expect(statuses).toEqual([0xff01, 0xff01]);
    expect(Object.keys(rows[0]!).some((name) => name.startsWith('(0009'))).toBe(false);
  });

  it('hold the items of a sequence that match', async () => {
    const keys = (id: string): Keys => ({
      QueryRetrieveLevel: 'SERIES',
      StudyInstanceUID: uid(1),
      SeriesInstanceUID: '',
      RequestAttributesSequence: [{ ScheduledProcedureStepID: id }],
    });
    const { rows } = await find(keys('SPS*'));
    expect(rows).toMatchObject([
      { SeriesInstanceUID: uid(1, 1), RequestAttributesSequence: [{ ScheduledProcedureStepID: 'SPS1' }] },
    ]);
    expect((await find(keys('SPS2'))).rows).toEqual([]);
  });

  it('come at IMAGE level in the VRs of the dictionary', async () => {
    const { rows } = await find({
      QueryRetrieveLevel: 'IMAGE',
      StudyInstanceUID: uid(1),
      SeriesInstanceUID: uid(1, 1),
      SOPInstanceUID: '',
      InstanceNumber: '+02',
      Rows: '',
      AvailableTransferSyntaxUID: '',
    });
    expect(rows).toMatchObject([
      { InstanceNumber: '2', Rows: Buffer.from([16, 0]), AvailableTransferSyntaxUID: TS.explicit },
    ]);
  });

  it.each([
    ['implicit', TS.implicit, 'implicit'],
    ['big endian', TS.big, 'big'],
  ] as const)('T59: are the same in %s', async (_what, syntax, encoding) => {
    const keys: Element[] = [
      { tag: 0x00080052, vr: 'CS', value: 'STUDY' },
      { tag: 0x00100020, vr: 'LO', value: 'PID1' },
      { tag: 0x0020000d, vr: 'UI', value: '' },
    ];
    expect(await studies({}, { syntax, bytes: encode(keys, encoding) })).toBe('S1 S2');
  });
});

describe('matching', () => {
  it.each<[string, Keys, string]>([
    ['T36: names whatever their case', { PatientName: 'doe^j*' }, 'S1 S2 S3'],
    ['T37: one character', { PatientID: 'PID?' }, 'S1 S2 S3 S4 S5 S6 S7 S8'],
    ['T37: two characters', { PatientID: 'PID??' }, ''],
    ['T37: %', { PatientID: '%' }, ''],
    ['T37: _', { PatientID: 'PID_' }, ''],
    ['T38: text by its case', { StudyDescription: 'chest*' }, ''],
    ['T38: text', { StudyDescription: 'CHEST*' }, 'S1'],
    ['T39: dates', { StudyDate: '20240101-20240105' }, 'S1 S2'],
    ['T39: dates until', { StudyDate: '-20240105' }, 'S1 S2 S5 S6 S8'],
    ['T39: dates from', { StudyDate: '20240110-' }, 'S3 S4'],
    ['T40: times', { StudyTime: '1000-1100' }, 'S1'],
    ['T40: times from', { StudyTime: '235959-' }, 'S2'],
    ['T40: a time', { StudyTime: '000000' }, 'S3'],
    ['T42: UIDs', { StudyInstanceUID: `${uid(1)}\\${uid(3)}` }, 'S1 S3'],
    ['alternatives', { PatientID: 'PID2\\PID6' }, 'S3 S7'],
    ['a range backwards', { StudyDate: '20240105-20240101' }, ''],
    ['SQL', { PatientID: "' OR 1=1 --" }, ''],
    ['universal', { PatientName: '*', StudyDate: '' }, 'S1 S2 S3 S4 S5 S6 S7 S8'],
  ])('%s', async (_what, keys, expected) => {
    expect(await studies(keys)).toBe(expected);
  });

  it.each<[string, Keys, readonly number[], string]>([
    [
      'combined date and time',
      { StudyDate: '20240101-20240105', StudyTime: '1200-235958' },
      [0, 1],
      // From the 1st at 12:00 to the 5th at 23:59:58.
      '',
    ],
    ['combined, a second later', { StudyDate: '20240101-20240105', StudyTime: '1000-' }, [0, 1], 'S1 S2'],
    ['empty value', { StudyDate: '""' }, [0, 0, 0, 0, 0, 1], 'S7'],
    ['fuzzy names', { PatientName: 'SMYTH' }, [0, 0, 1], 'S7'],
    ['multiple values', { ModalitiesInStudy: 'SR\\CT' }, [0, 0, 0, 0, 0, 0, 1], 'S1'],
  ])('where it was agreed on: %s', async (_what, keys, information, expected) => {
    expect(await studies(keys, { information })).toBe(expected);
  });

  it('where it was agreed on: dates and times in the zone of the caller', async () => {
    const keys = { StudyDate: '20240102', StudyTime: '00', TimezoneOffsetFromUTC: '+1400' };
    const { rows } = await find({ ...STUDY, ...keys }, { information: [0, 0, 0, 1] });
    expect(rows).toMatchObject([
      {
        StudyInstanceUID: uid(1),
        StudyDate: '20240102',
        StudyTime: '001500',
        TimezoneOffsetFromUTC: '+1400',
      },
    ]);
    expect(await studies(keys)).toBe('');
  });

  it('T54: names in the set of the request, answered in it', async () => {
    for (const [set, bytes] of [
      ['ISO_IR 192', Buffer.from('Müller* ', 'utf8')],
      ['ISO_IR 100', Buffer.from('Müller* ', 'latin1')],
    ] as const) {
      const { rows } = await find({ ...STUDY, SpecificCharacterSet: set, PatientName: bytes.subarray(0, 8) });
      expect(rows).toMatchObject([
        {
          SpecificCharacterSet: set,
          PatientName: Buffer.from('Müller^Jörg', set === 'ISO_IR 192' ? 'utf8' : 'latin1').toString(
            'latin1',
          ),
        },
      ]);
    }
  });

  it('T57: unknown sets and broken bytes as far as they go', async () => {
    const broken = Buffer.from('M\xfcller*', 'latin1');
    expect(await studies({ SpecificCharacterSet: 'ISO_IR 999', PatientName: broken })).toBe('S4');
    expect(await studies({ SpecificCharacterSet: 'ISO_IR 192', PatientName: broken })).toBe('S4');
  });

  it('answers in the set of the remote', async () => {
    const keys = { SpecificCharacterSet: 'ISO_IR 192', PatientName: '', PatientID: 'PID3' };
    const { rows } = await find({ ...STUDY, ...keys }, { calling: 'LATIN' });
    expect(rows).toMatchObject([{ SpecificCharacterSet: 'ISO_IR 100', PatientName: 'M\xfcller^J\xf6rg' }]);
  });
});

describe('what was agreed on', () => {
  const series = { QueryRetrieveLevel: 'SERIES', SeriesInstanceUID: '', PatientID: 'PID*' };

  it('T44: nothing: series without their study are refused', async () => {
    expect(await refused(series)).toMatchObject({ status: 0xa900, at: [0x0020000d] });
  });

  it('T45: relational queries', async () => {
    const { rows, final } = await find(series, { information: [1] });
    expect(final.status).toBe(0);
    expect(rows).toHaveLength(9);
    expect(rows[0]).toHaveProperty('StudyInstanceUID');
  });

  it('is asked of a lenient remote by nobody', async () => {
    const { rows } = await find(series, { calling: 'LENIENT' });
    expect(rows).toHaveLength(9);
  });

  it('T60: is what was offered and is built', async () => {
    const answered = async (information: readonly number[]): Promise<readonly ExtendedNegotiation[]> => {
      const { association } = await call({ information });
      await association.release();
      return association.extendedNegotiation;
    };
    expect((await answered([1, 1, 1, 1, 1, 1, 1]))[0]?.information).toEqual(
      Buffer.from([1, 1, 1, 1, 0, 1, 1]),
    );
    expect((await answered([1, 0]))[0]?.information).toEqual(Buffer.from([1, 0]));
  });
});

describe('bad input', () => {
  it('T46: levels', async () => {
    for (const keys of [
      { PatientID: 'PID1' },
      { QueryRetrieveLevel: 'FOO' },
      { QueryRetrieveLevel: 'PATIENT' },
      {},
    ])
      expect(await refused(keys)).toMatchObject({ status: 0xa900, at: [0x00080052] });
  });

  it.each<[string, Keys, number]>([
    ['a date that is none', { StudyDate: '20241399' }, 0x00080020],
    ['a wildcard in a date', { StudyDate: '2024*' }, 0x00080020],
    ['a wildcard in a UID', { StudyInstanceUID: '2.25.*' }, 0x0020000d],
    ['a key of a lower level', { Modality: 'CT' }, 0x00080060],
  ])('%s: A900', async (_what, keys, at) => {
    expect(await refused({ ...STUDY, ...keys })).toMatchObject({ status: 0xa900, at: [at] });
  });

  it('of 10 MB, or that claims more: C000, and the association goes on', async () => {
    const caller = await call();
    const large = Buffer.concat([header(0x00091001, 'UN', 10_000_000, 'explicit'), Buffer.alloc(10_000_000)]);
    expect(await refused({}, { caller, bytes: large })).toMatchObject({ status: 0xc000 });
    const lying = encode([{ tag: 0x00091001, vr: 'UN', value: '', claimedLength: 1.5 * 2 ** 30 }]);
    expect(await refused({}, { caller, bytes: lying })).toMatchObject({ status: 0xc000 });
    expect(await refused({}, { caller, bytes: Buffer.alloc(64, 0x55) })).toMatchObject({ status: 0xc000 });
    expect(await studies({ PatientID: 'PID6' }, { caller })).toBe('S7');
    expect(await caller.session.scu.echo()).toBe(0);
    await caller.association.release();
  });

  it('no right to ask: 0124', async () => {
    expect(await refused(STUDY, { calling: 'STORER' })).toMatchObject({ status: 0x0124 });
  });

  it('leaves no patient in the log', async () => {
    await refused({ ...STUDY, StudyDate: 'SECRET', PatientName: 'SECRET^NAME' });
    expect(node.logs()).toContain('A900');
    expect(node.logs()).not.toContain('SECRET');
  });
});

describe('streams', () => {
  const images = {
    QueryRetrieveLevel: 'IMAGE',
    StudyInstanceUID: uid(8),
    SeriesInstanceUID: uid(8, 1),
    SOPInstanceUID: '',
  };

  it('every match once', async () => {
    const { rows } = await find(images);
    expect(rows).toHaveLength(INSTANCES);
    expect(new Set(rows.map(({ SOPInstanceUID }) => SOPInstanceUID)).size).toBe(INSTANCES);
  });

  it('T58: until C-CANCEL, and the association goes on', async () => {
    const caller = await call();
    const cancelAfter = async (answers: number): Promise<number> => {
      const cancel = new AbortController();
      const { rows, final } = await find(images, {
        caller,
        signal: cancel.signal,
        onPending: (count) => {
          if (count === answers) cancel.abort();
        },
      });
      expect(final.status).toBe(rows.length === INSTANCES ? 0 : 0xfe00);
      return rows.length;
    };
    // A cancel that comes late finds everything sent: on a busy machine that is no wonder, but not each time.
    let fewest = INSTANCES;
    for (let attempt = 0; attempt < 10 && fewest > INSTANCES / 2; attempt++)
      fewest = Math.min(fewest, await cancelAfter(5));
    expect(fewest).toBeLessThanOrEqual(INSTANCES / 2);
    expect(await studies({ PatientID: 'PID6' }, { caller })).toBe('S7');
    await caller.association.release();
  });

  it('what was stored a moment ago', async () => {
    const caller = await call();
    for (let number = 1; number <= 5; number++) {
      const object = imageObject({
        StudyInstanceUID: uid(100, number),
        SeriesInstanceUID: uid(100, number, 1),
        SOPInstanceUID: uid(100, number, 1, 1),
        PatientID: 'LATE',
      });
      const scu = await PlainScu.open(node.port, [object], { calling: 'STORER' });
      await scu.store(object);
      const { rows } = await find({ ...STUDY, PatientID: 'LATE' }, { caller });
      expect(rows).toHaveLength(number);
      await scu.release();
    }
    await caller.association.release();
  });

  it('nothing, where it would be too much: A700', async () => {
    expect(await refused({ ...STUDY, PatientID: 'PID*' }, { calling: 'NARROW' })).toEqual({
      status: 0xa700,
      at: [],
      comment: 'Too broad: more than 2 matches. Ask by patient or dates',
    });
    expect(await studies({ PatientID: 'PID1' }, { calling: 'NARROW' })).toBe('S1 S2');
  });
});

describeInterop(['dcmtk'], 'findscu of DCMTK', () => {
  const findscu = async (...args: string[]): Promise<string> => {
    const { output } = await run('findscu', [
      ...['-d', '-aet', 'TESTER', '-aec', 'NODE', ...args, '127.0.0.1', String(node.port)],
    ]);
    return output;
  };
  const found = (output: string): string[] =>
    [...output.matchAll(/\(0020,000d\) UI \[([0-9.]+)/g)].map((match) => match[1]!);

  it.each(['-xe', '-xi', '-xb', '-xd'])('T59: %s', async (syntax) => {
    const output = await findscu(
      '-S',
      syntax,
      '-k',
      'QueryRetrieveLevel=STUDY',
      '-k',
      'PatientID=PID1',
      '-k',
      'StudyInstanceUID',
    );
    expect(found(output).sort()).toEqual([uid(1), uid(2)]);
  });

  it.each(['-P', '-O'])('other models: %s', async (model) => {
    const output = await findscu(
      model,
      '-k',
      'QueryRetrieveLevel=STUDY',
      '-k',
      'PatientID=PID2',
      '-k',
      'StudyInstanceUID',
    );
    expect(found(output)).toEqual([uid(3)]);
  });

  it('T58: --cancel', async () => {
    const output = await findscu(
      ...['-S', '--cancel', '5', '-k', 'QueryRetrieveLevel=IMAGE', '-k', 'SOPInstanceUID'],
      ...['-k', `StudyInstanceUID=${uid(8)}`, '-k', `SeriesInstanceUID=${uid(8, 1)}`],
    );
    expect(output).toMatch(/Sending Cancel/i);
    expect(output).toMatch(/DIMSE Status +: 0x(fe00|0000)/);
  });
});
