import { parseCharacterSet } from '../../src/dicom/charset';
import { isSequence, type DataSet } from '../../src/dicom/data-set';
import { keywordOf } from '../../src/dicom/dictionary';
import { Session } from '../../src/dimse/session';
import { connect } from '../../src/net/requestor';
import {
  find,
  FIND_MODELS,
  proposeFind,
  refusedFeatures,
  rowOf,
  type FindFeature,
  type FindModel,
  type FindOutcome,
  type FindRequest,
  type FindRow,
} from '../../src/services/find-scu';
import { dataSet, FindPeer } from '../support/find-peer';
import { TIMEOUTS } from '../support/upper-layer';

const ASCII = parseCharacterSet([]);
const PENDING = 0xff00;

describe('extended negotiation', () => {
  it.each<[string, FindModel, FindFeature[], number[] | undefined]>([
    ['nothing', FIND_MODELS.study, [], undefined],
    ['relational', FIND_MODELS.study, ['relational'], [1]],
    ['combined date and time', FIND_MODELS.patient, ['dateTime'], [0, 1]],
    ['fuzzy names', FIND_MODELS.study, ['fuzzy'], [0, 0, 1]],
    ['timezone and relational', FIND_MODELS.study, ['timezone', 'relational'], [1, 0, 0, 1]],
    ['empty values', FIND_MODELS.study, ['emptyValue'], [0, 0, 0, 0, 0, 1]],
    ['several values', FIND_MODELS['patient-study'], ['multipleValue'], [0, 0, 0, 0, 0, 0, 1]],
    ['nothing of a worklist', FIND_MODELS.worklist, [], undefined],
    ['fuzzy names of a worklist', FIND_MODELS.worklist, ['fuzzy'], [1, 1, 1]],
    ['the timezone of a worklist', FIND_MODELS.worklist, ['timezone'], [1, 1, 0, 1]],
  ])('proposes %s', (_what, model, features, bytes) => {
    const { contexts, extendedNegotiation } = proposeFind(model, features);
    expect(contexts).toEqual([
      {
        id: 1,
        abstractSyntax: model.sopClass,
        transferSyntaxes: ['1.2.840.10008.1.2.1', '1.2.840.10008.1.2'],
      },
    ]);
    expect(extendedNegotiation).toEqual(
      bytes === undefined ? [] : [{ sopClass: model.sopClass, information: Buffer.from(bytes) }],
    );
  });

  it.each<[string, number[] | undefined, FindFeature[]]>([
    ['says nothing', undefined, ['relational', 'fuzzy', 'multipleValue']],
    ['agrees to all', [1, 0, 1, 0, 0, 0, 1], []],
    ['answers with one byte, for the rest is optional', [1], ['fuzzy', 'multipleValue']],
    ['answers with 2, which means nothing', [2, 0, 1, 0, 0, 0, 1], ['relational']],
  ])('knows what was refused where the peer %s', (_what, bytes, refused) => {
    const model = FIND_MODELS.study;
    const answer = { sopClass: model.sopClass, information: Buffer.from(bytes ?? []) };
    expect(
      refusedFeatures({ extendedNegotiation: bytes === undefined ? [] : [answer] }, model, [
        'relational',
        'fuzzy',
        'multipleValue',
      ]),
    ).toEqual(refused);
  });
});

describe('a row', () => {
  it('has numbers where there are numbers, null where there is nothing, and lists of items', () => {
    const row = rowOf(
      dataSet({
        StudyDate: '20240101',
        AccessionNumber: '',
        StudyID: '   ',
        ModalitiesInStudy: 'CT\\SR ',
        OtherPatientIDs: 'A \\ B',
        StudyInstanceUID: '1.2.3\0',
        SeriesNumber: ' 007',
        NumberOfStudyRelatedInstances: '12 ',
        NumberOfStudyRelatedSeries: 'many',
        Rows: Buffer.from([0, 2]),
        SimpleFrameList: Buffer.from([1, 0, 0, 0, 2, 0, 0, 0]),
        SelectorAttribute: Buffer.from([8, 0, 0x18, 0]),
        RequestAttributesSequence: [dataSet({ ScheduledProcedureStepID: 'S1' }), []],
        RequestedProcedureCodeSequence: [],
        '00090010': 'ACME',
        '00091001': 'text ',
        '00091002': Buffer.from([0, 1, 2]),
        '00080000': Buffer.from([1, 0, 0, 0]),
      }),
      ASCII,
    );
    expect(row).toEqual({
      StudyDate: '20240101',
      AccessionNumber: null,
      StudyID: null,
      ModalitiesInStudy: 'CT\\SR',
      OtherPatientIDs: 'A\\B',
      StudyInstanceUID: '1.2.3',
      SeriesNumber: '007',
      NumberOfStudyRelatedInstances: 12,
      NumberOfStudyRelatedSeries: 'many',
      Rows: 512,
      SimpleFrameList: '1\\2',
      SelectorAttribute: '(0008,0018)',
      RequestAttributesSequence: [{ ScheduledProcedureStepID: 'S1' }, {}],
      RequestedProcedureCodeSequence: [],
      '(0009,0010)': 'ACME',
      '(0009,1001)': 'text',
      '(0009,1002)': 'AAEC',
    });
  });

  it("is read in its own character set, an item in the item's, and what has none in that of the remote", () => {
    const elements = dataSet({
      SpecificCharacterSet: 'ISO_IR 100',
      PatientName: 'M\xfcller',
      RequestAttributesSequence: [
        dataSet({ RequestedProcedureDescription: '\xe4' }),
        dataSet({ SpecificCharacterSet: 'ISO_IR 192', RequestedProcedureDescription: '\xc3\xa4' }),
      ],
    });
    expect(rowOf(elements, ASCII)).toMatchObject({
      PatientName: 'Müller',
      RequestAttributesSequence: [
        { RequestedProcedureDescription: 'ä' },
        { RequestedProcedureDescription: 'ä' },
      ],
    });
    expect(rowOf(dataSet({ PatientName: '\xc4\xdf' }), parseCharacterSet(['ISO_IR 144']))).toEqual({
      PatientName: 'Фп',
    });
    expect(rowOf(dataSet({ PatientName: 'M\xfcller' }), ASCII)).toEqual({ PatientName: 'M\uFFFDller' });
  });
});

describe('a query', () => {
  const peer = new FindPeer();
  let port: number;
  let session: Session;

  beforeAll(async () => {
    port = await peer.start();
  });
  afterAll(() => peer.stop());
  beforeEach(() => peer.reset());
  afterEach(() => session.association.release());

  async function open(model: FindModel = FIND_MODELS.study): Promise<Session> {
    const association = await connect({
      host: '127.0.0.1',
      port,
      callingAETitle: 'ASKER',
      calledAETitle: 'PEER',
      ...proposeFind(model, []),
      implementation: { classUID: '2.25.1', versionName: 'X' },
      maximumLength: 16384,
      timeouts: { ...TIMEOUTS, abortGrace: 100 },
    });
    session = new Session(association, { responseTimeout: 8000 });
    return session;
  }

  const KEYS = dataSet({ QueryRetrieveLevel: 'STUDY ', PatientID: 'P?', StudyInstanceUID: '' });

  async function ask(
    more: Partial<FindRequest> = {},
    model: FindModel = FIND_MODELS.study,
  ): Promise<{ rows: FindRow[]; outcome: FindOutcome }> {
    const rows: FindRow[] = [];
    const outcome = await find(await open(model), {
      model,
      identifier: KEYS,
      signal: new AbortController().signal,
      onMatch: (row) => {
        rows.push(row);
      },
      ...more,
    });
    return { rows, outcome };
  }

  const matches = (count: number) =>
    Array.from({ length: count }, (_, index) => ({
      status: PENDING,
      row: { PatientID: `P${index}`, StudyInstanceUID: `1.${index}` },
    }));

  it.each([
    ['Explicit', '1.2.840.10008.1.2.1'],
    ['Implicit', '1.2.840.10008.1.2'],
  ])('goes out and comes back in %s VR Little Endian, as the peer chooses', async (_name, syntax) => {
    peer.syntax = syntax;
    peer.answer = () => [...matches(2), { status: 0 }];
    const { rows, outcome } = await ask();
    expect(peer.asked).toEqual([[...KEYS].sort((a, b) => a.tag - b.tag)]);
    expect(rows).toEqual([
      { PatientID: 'P0', StudyInstanceUID: '1.0' },
      { PatientID: 'P1', StudyInstanceUID: '1.1' },
    ]);
    expect(outcome).toEqual({
      status: 0,
      comment: undefined,
      offendingElements: [],
      matches: 2,
      further: 0,
      partial: false,
      missing: [],
      unreadable: 0,
      problem: undefined,
    });
  });

  it('hands on what a failure says', async () => {
    peer.answer = () => [{ status: 0xa900, comment: 'no level', offendingElements: [0x00080052] }];
    const { rows, outcome } = await ask();
    expect(rows).toEqual([]);
    expect(outcome).toMatchObject({
      status: 0xa900,
      comment: 'no level',
      offendingElements: [0x00080052],
      missing: [],
    });
  });

  it('fails where the peer does not take the model', async () => {
    peer.accepts = (sopClass) => sopClass !== FIND_MODELS.worklist.sopClass;
    await expect(ask({}, FIND_MODELS.worklist)).rejects.toMatchObject({ code: 'NO_CONTEXT', exitCode: 4 });
  });

  it('cancels with the last match that is wanted, hands no more on, and waits for the end', async () => {
    let sent = 0;
    peer.answer = async function* (_identifier, { cancelled }) {
      while (!cancelled.aborted) {
        sent++;
        yield matches(1)[0]!;
        await new Promise((resolve) => setImmediate(resolve));
      }
      yield { status: 0xfe00 };
    };
    const { rows, outcome } = await ask({ limit: 3 });
    expect(rows).toHaveLength(3);
    expect(outcome).toMatchObject({ status: 0xfe00, matches: 3, further: sent - 3 });
    expect(peer.cancels).toBe(1);
  });

  it('counts what comes in spite of the limit', async () => {
    peer.answer = () => [...matches(7), { status: 0 }];
    const { rows, outcome } = await ask({ limit: 3 });
    expect(rows).toHaveLength(3);
    expect(outcome).toMatchObject({ status: 0, matches: 3, further: 4 });
  });

  it('sends no C-CANCEL where there is no more than the limit', async () => {
    peer.answer = () => [...matches(2), { status: 0 }];
    expect((await ask({ limit: 3 })).outcome).toMatchObject({ status: 0, matches: 2, further: 0 });
    expect(peer.cancels).toBe(0);
  });

  it("cancels on the user's word, and the association lives on", async () => {
    const user = new AbortController();
    peer.answer = async function* (_identifier, { cancelled }) {
      yield matches(1)[0]!;
      await new Promise((resolve) => cancelled.addEventListener('abort', resolve));
      yield { status: 0xfe00 };
    };
    const { outcome } = await ask({ signal: user.signal, onMatch: () => user.abort() });
    expect(outcome).toMatchObject({ status: 0xfe00, matches: 1 });
    await session.association.release();
    expect((await session.finished).kind).toBe('released');
  });

  it('gives up a peer that does not end what was cancelled', async () => {
    const user = new AbortController();
    peer.answer = async function* (_identifier, { lost }) {
      yield matches(1)[0]!;
      await new Promise((resolve) => lost.addEventListener('abort', resolve));
      yield { status: 0 };
    };
    await expect(
      ask({ signal: user.signal, cancelPatience: 10, onMatch: () => user.abort() }),
    ).rejects.toMatchObject({ code: 'ASSOCIATION_ENDED' });
  });

  it('hands on one match after the other, each when the last one was taken', async () => {
    peer.answer = () => [...matches(20), { status: 0 }];
    let busy = 0;
    let most = 0;
    const { outcome } = await ask({
      onMatch: async () => {
        most = Math.max(most, ++busy);
        await new Promise((resolve) => setImmediate(resolve));
        busy--;
      },
    });
    expect([outcome.matches, most]).toEqual([20, 1]);
  });

  it('ends with the error of its reader, and with the association', async () => {
    peer.answer = () => [...matches(5), { status: 0 }];
    await expect(
      ask({
        onMatch: () => {
          throw new Error('the disk is full');
        },
      }),
    ).rejects.toThrow('the disk is full');
    expect((await session.association.closed).kind).toBe('aborted-by-us');
  });

  it('leaves out answers that are no data set, and goes on', async () => {
    peer.answer = () => [
      { status: PENDING, row: Buffer.from('this is no data set at all') },
      ...matches(1),
      { status: PENDING },
      { status: 0 },
    ];
    const { rows, outcome } = await ask();
    expect(rows).toHaveLength(1);
    expect(outcome).toMatchObject({ status: 0, matches: 1, unreadable: 2 });
    expect(outcome.problem).toEqual(expect.any(String));
  });

  describe('knows the keys that the peer does not support', () => {
    const NESTED: DataSet = dataSet({
      SpecificCharacterSet: 'ISO_IR 100',
      QueryRetrieveLevel: 'SERIES',
      TimezoneOffsetFromUTC: '+0100',
      SeriesInstanceUID: '',
      BodyPartExamined: '',
      '00091001': '',
      RequestAttributesSequence: [dataSet({ ScheduledProcedureStepID: '', RequestedProcedureID: '' })],
      RequestedProcedureCodeSequence: [dataSet({ CodeValue: '' })],
    });
    const withItems = (...items: DataSet[]) => ({
      status: 0xff01,
      row: { SeriesInstanceUID: '1.2', RequestAttributesSequence: items },
    });

    it('as those that stand in no answer, within sequences too', async () => {
      peer.answer = () => [withItems(dataSet({ RequestedProcedureID: 'R' })), withItems(), { status: 0 }];
      const { outcome } = await ask({ identifier: NESTED });
      expect(outcome.partial).toBe(true);
      expect([...outcome.missing].sort()).toEqual([
        '(0009,1001)',
        'BodyPartExamined',
        'RequestedProcedureCodeSequence',
      ]);
      // The second answer has a sequence without items: whether they would hold it can't be told.
      peer.answer = () => [withItems(dataSet({ RequestedProcedureID: 'R' })), { status: 0 }];
      await session.association.release();
      expect((await ask({ identifier: NESTED })).outcome.missing).toContain(
        'RequestAttributesSequence.ScheduledProcedureStepID',
      );
    });

    it('but says nothing where nothing matched', async () => {
      expect((await ask({ identifier: NESTED })).outcome).toMatchObject({ partial: false, missing: [] });
    });
  });

  it('is the same for every model, whose SOP class is that of its context', async () => {
    for (const model of Object.values(FIND_MODELS)) {
      peer.reset();
      peer.answer = () => [...matches(1), { status: 0 }];
      expect((await ask({}, model)).outcome.matches).toBe(1);
      const names = peer.asked[0]!.filter((element) => !isSequence(element)).map(({ tag }) => keywordOf(tag));
      expect(names).toContain('PatientID');
      await session.association.release();
    }
  });
});
