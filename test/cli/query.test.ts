import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { parseCharacterSet } from '../../src/dicom/charset';
import { isSequence, type DataSet } from '../../src/dicom/data-set';
import { tagOf } from '../../src/dicom/dictionary';
import { FIND_MODELS, rowOf, type FindModelName, type FindRow } from '../../src/services/find-scu';
import { parseKey } from '../../src/cli/query-keys';
import { ask, type QuestionOptions } from '../../src/cli/query-question';
import { columnsFor, defaultKeys, jsonLine, tagsOf } from '../../src/cli/query-rows';
import { dataSet, FindPeer } from '../support/find-peer';
import { isocenter, makeFolder, removeFolder, writeConfig } from '../support/node-process';
import type { RunResult } from '../support/tools';

const keys = (...texts: string[]) => texts.map(parseKey);
const question = (options: QuestionOptions, level?: 'PATIENT' | 'STUDY' | 'SERIES' | 'IMAGE') =>
  ask(level, options);
const ASCII = parseCharacterSet([]);
/** What an identifier says, by keyword. */
const said = (identifier: DataSet): FindRow => rowOf(identifier, ASCII);

describe('a key', () => {
  it.each<[string, string[], string | undefined]>([
    ['PatientID=4711', ['PatientID'], '4711'],
    ['PatientID', ['PatientID'], undefined],
    ['PatientID=', ['PatientID'], undefined],
    ['(0010,0020)=A=B', ['PatientID'], 'A=B'],
    ['0010,0020=4711', ['PatientID'], '4711'],
    ['00100020', ['PatientID'], undefined],
    ['0020,000d=1.2', ['StudyInstanceUID'], '1.2'],
    ['ScheduledProcedureStepSequence[0].Modality=CT', ['ScheduledProcedureStepSequence', 'Modality'], 'CT'],
    ['(0040,0100)[0].Modality=CT', ['ScheduledProcedureStepSequence', 'Modality'], 'CT'],
    ['(0040,0100)[0].(0008,0060)=CT', ['ScheduledProcedureStepSequence', 'Modality'], 'CT'],
    ['0040,0100.0008,0060=CT', ['ScheduledProcedureStepSequence', 'Modality'], 'CT'],
    [
      'ScheduledProcedureStepSequence[0].ScheduledProtocolCodeSequence[0].CodeValue',
      ['ScheduledProcedureStepSequence', 'ScheduledProtocolCodeSequence', 'CodeValue'],
      undefined,
    ],
  ])('may be written %s', (text, path, value) => {
    expect(parseKey(text)).toEqual({ path: path.map((keyword) => tagOf(keyword)), value, emptyItem: false });
  });

  it.each<[string, RegExp]>([
    ['', /"" is no key/],
    ['=SECRET', /"" is no key/],
    ['Patient ID=SECRET', /"Patient ID" is no key/],
    ['PatientNam=SECRET', /"PatientNam" is no keyword of the standard - did you mean "PatientName"\?/],
    ['patientid=SECRET', /did you mean "PatientID"\?/],
    ['ScheduledProcedureStepSequenc[0].Modality=SECRET', /did you mean "ScheduledProcedureStepSequence"\?/],
    ['\u001b[31mX=SECRET', /"\\x1b\[31mX" is no key/],
    ['0002,0010=SECRET', /no attribute of a data set/],
    ['0000,0100', /no attribute of a data set/],
    ['0010,0000', /no attribute of a data set/],
    ['FFFE,E000', /no attribute of a data set/],
    ['PatientID[0].Modality=SECRET', /PatientID is no sequence/],
    ['PatientID.Modality=SECRET', /PatientID is no sequence/],
    ['PatientID[0]=SECRET', /PatientID is no sequence/],
    ['RequestAttributesSequence=SECRET', /has no value of its own/],
    ['RequestAttributesSequence[1].Modality=SECRET', /one item/],
    ['RequestAttributesSequence[*].Modality=SECRET', /is no key/],
  ])('may not be written %j', (text, message) => {
    let error: unknown;
    try {
      parseKey(text);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toMatchObject({ exitCode: 2, message: expect.stringMatching(message) as string });
    // Values may be of patients.
    expect(JSON.stringify([(error as Error).message, (error as { hint?: string }).hint])).not.toContain(
      'SECRET',
    );
  });
});

describe('a question', () => {
  it.each<[FindModelName, 'PATIENT' | 'STUDY' | 'SERIES' | 'IMAGE', string[], string[]]>([
    ['study', 'STUDY', ['StudyInstanceUID', 'PatientName', 'StudyDate', 'ModalitiesInStudy'], []],
    [
      'patient',
      'PATIENT',
      ['PatientID', 'PatientName', 'NumberOfPatientRelatedStudies'],
      ['StudyInstanceUID'],
    ],
    // C.4.1.2.2.1: of the levels above, nothing but the unique keys.
    ['patient', 'STUDY', ['PatientID', 'StudyInstanceUID', 'StudyDate'], ['PatientName', 'PatientSex']],
    ['patient', 'SERIES', ['PatientID', 'StudyInstanceUID', 'Modality'], ['PatientName', 'StudyDate']],
    ['study', 'SERIES', ['StudyInstanceUID', 'SeriesInstanceUID', 'Modality'], ['PatientID', 'StudyDate']],
    [
      'study',
      'IMAGE',
      ['StudyInstanceUID', 'SeriesInstanceUID', 'SOPInstanceUID', 'Rows'],
      ['PatientID', 'Modality'],
    ],
    ['patient-study', 'STUDY', ['PatientID', 'StudyInstanceUID'], ['PatientName']],
  ])('of the %s model at level %s asks for the keys of that level', (model, level, present, absent) => {
    const asked = question({ model }, level);
    const answer = said(asked.identifier([]));
    expect(asked.modelName).toBe(model);
    expect(answer).toMatchObject({
      QueryRetrieveLevel: level,
      ...Object.fromEntries(present.map((keyword) => [keyword, null])),
    });
    for (const keyword of absent) expect(answer).not.toHaveProperty(keyword);
    expect(answer).not.toHaveProperty('SpecificCharacterSet');
  });

  it('of a worklist asks for what people look for, without a level', () => {
    const asked = question({
      model: 'worklist',
      key: keys('ScheduledProcedureStepSequence[0].Modality=CT', 'PatientName=DOE*'),
    });
    const answer = said(asked.identifier([]));
    expect(answer).not.toHaveProperty('QueryRetrieveLevel');
    expect(answer).toMatchObject({ PatientName: 'DOE*', AccessionNumber: null, StudyInstanceUID: null });
    expect(answer['ScheduledProcedureStepSequence']).toEqual([
      expect.objectContaining({
        Modality: 'CT',
        ScheduledStationAETitle: null,
        ScheduledProcedureStepStartDate: null,
      }),
    ]);
  });

  it.each<[string, string[], unknown]>([
    ['the whole sequence', ['RequestAttributesSequence'], []],
    ['an empty item', ['RequestAttributesSequence[0]'], [{}]],
    [
      'one item of all that is asked for',
      ['RequestAttributesSequence[0].RequestedProcedureID=R', '0040,0275[0].0040,0009'],
      [{ RequestedProcedureID: 'R', ScheduledProcedureStepID: null }],
    ],
  ])('--only asks for the given keys alone: %s', (_what, texts, items) => {
    const asked = question({ only: true, key: keys('SeriesInstanceUID=1.2\\1.3', ...texts) }, 'SERIES');
    expect(said(asked.identifier([]))).toEqual({
      QueryRetrieveLevel: 'SERIES',
      SeriesInstanceUID: '1.2\\1.3',
      RequestAttributesSequence: items,
    });
  });

  it('asks for a whole step where the user wants it, not for the usual part of it', () => {
    const asked = question({ model: 'worklist', key: keys('ScheduledProcedureStepSequence') });
    expect(said(asked.identifier([]))['ScheduledProcedureStepSequence']).toEqual([]);
  });

  it('takes the level and the character set as keys too, as findscu does', () => {
    const asked = question({
      only: true,
      key: keys('QueryRetrieveLevel=SERIES', 'SpecificCharacterSet=ISO_IR 100', 'SeriesDescription=für*'),
    });
    const identifier = asked.identifier([]);
    expect(said(identifier)).toEqual({
      SpecificCharacterSet: 'ISO_IR 100',
      QueryRetrieveLevel: 'SERIES',
      SeriesDescription: 'für*',
    });
    const element = identifier.find(({ tag }) => tag === tagOf('SeriesDescription'));
    expect(element).toMatchObject({ value: Buffer.from('f\xfcr*', 'latin1') });
  });

  it.each<[string, string | undefined, string, string | null]>([
    ['none where ASCII does', undefined, 'MULLER', null],
    ['UTF-8 where it does not', undefined, 'MÜLLER', 'ISO_IR 192'],
    ['the given one even where ASCII does', 'ISO_IR 100', 'MULLER', 'ISO_IR 100'],
    ['several with code extension', '\\ISO 2022 IR 87', 'Yamada=山田', '\\ISO 2022 IR 87'],
  ])('takes as character set %s', (_what, charset, name, terms) => {
    const asked = question({
      key: keys(`PatientName=${name}`),
      ...(charset === undefined ? {} : { charset }),
    });
    const answer = said(asked.identifier([]));
    expect(answer['SpecificCharacterSet'] ?? null).toBe(terms);
    expect(answer['PatientName']).toBe(name);
  });

  it.each<[string, FindRow[string]]>([
    ['Rows=512', 512],
    ['Rows=512\\256', '512\\256'],
    ['WindowCenter=1.5', '1.5'],
    ['RecommendedDisplayFrameRateInFloat=1.5', 1.5],
    ['PixelPaddingValue=65535', 65535],
    ['0009,0010=ACME', 'ACME'],
    ['0009,1001=x', 'x'],
  ])('writes %s in the VR that it has', (text, value) => {
    const [key] = keys(text);
    const asked = question({ only: true, key: [key!] }, 'IMAGE');
    expect(Object.values(said(asked.identifier([]))).filter((one) => one !== 'IMAGE')).toEqual([value]);
  });

  it.each<[string, string]>([
    ['+0100', '+0100'],
    ['-05:30', '-0530'],
    ['-0000', '+0000'],
    ['Z', '+0000'],
  ])('states the timezone %s only where the peer agreed to adjust', (timezone, offset) => {
    const asked = question({ timezone });
    expect(asked.features).toEqual(['timezone']);
    expect(said(asked.identifier([]))['TimezoneOffsetFromUTC']).toBe(offset);
    expect(said(asked.identifier(['timezone']))).not.toHaveProperty('TimezoneOffsetFromUTC');
  });

  it.each<[string, QuestionOptions, 'PATIENT' | 'SERIES' | undefined, RegExp]>([
    ['a level that the model lacks', { model: 'study' }, 'PATIENT', /study model has no level PATIENT/],
    ['a series of patient-study', { model: 'patient-study' }, 'SERIES', /has no level SERIES/],
    ['a level of a worklist', { model: 'worklist' }, 'SERIES', /worklist has no levels/],
    ['two levels', { key: keys('QueryRetrieveLevel=STUDY') }, 'SERIES', /level is given twice/],
    ['a level that is none', { key: keys('QueryRetrieveLevel=FOO') }, undefined, /"FOO" is none/],
    ['two values', { key: keys('PatientID=SECRET', 'PatientID=B') }, undefined, /PatientID is given twice/],
    ['nothing', { only: true }, undefined, /--only needs a key/],
    [
      'what worklists have not',
      { model: 'worklist', relational: true },
      undefined,
      /--relational can't be agreed/,
    ],
    ['a timezone that is none', { timezone: '+2500' }, undefined, /--timezone is an offset/],
    [
      'two timezones',
      { timezone: '+0100', key: keys('TimezoneOffsetFromUTC=+0200') },
      undefined,
      /timezone is given twice/,
    ],
    [
      'a character set that is none',
      { charset: 'ISO_IR 999' },
      undefined,
      /"ISO_IR 999" is no character set/,
    ],
    [
      'what the set does not have',
      { charset: 'ISO_IR 100', key: keys('PatientName=SECRET山') },
      undefined,
      /PatientName can't be written in ISO_IR 100/,
    ],
    ['a code with an umlaut', { key: keys('Modality=SECRETÜ') }, undefined, /Modality must be ASCII/],
    ['a number that is none', { key: keys('Rows=SECRET') }, undefined, /Rows must be a number/],
    ['a number that does not fit', { key: keys('Rows=70000') }, undefined, /Rows must be a number/],
    ['pixels', { key: keys('PixelData=SECRET') }, undefined, /PixelData is binary/],
    ['emptiness without its option', { key: keys('AccessionNumber=""') }, undefined, /asks for what has no/],
  ])('refuses %s', (_what, options, level, message) => {
    let error: unknown;
    try {
      ask(level, options);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toMatchObject({ exitCode: 2, message: expect.stringMatching(message) as string });
    expect((error as Error).message).not.toContain('SECRET');
  });

  it('knows all keywords of its tables', () => {
    for (const [name, { levels }] of Object.entries(FIND_MODELS))
      for (const level of levels.length === 0 ? [undefined] : levels) {
        const { shown, more } = defaultKeys(name as FindModelName, level);
        for (const path of [...shown, ...more]) expect(tagsOf(path)).not.toContain(undefined);
        expect(shown.length).toBeGreaterThan(1);
      }
  });
});

describe('what is printed', () => {
  it('is a column for each path, of every item of a sequence', () => {
    const columns = columnsFor([['A'], ['S', 'A'], ['S', 'B'], ['S'], ['N']]);
    expect(columns.map(({ title }) => title)).toEqual(['A', 'S.A', 'B', 'S', 'N']);
    const cells = (row: FindRow) => columns.map(({ value }) => value(row));
    expect(cells({ A: 'a', S: [{ A: '1', B: 2 }], N: 3 })).toEqual(['a', '1', 2, '[{"A":"1","B":2}]', 3]);
    expect(cells({ A: null, S: [{ A: '1' }, { A: '2' }] })).toEqual([
      null,
      '1\\2',
      null,
      expect.any(String),
      null,
    ]);
    expect(cells({ S: [] })).toEqual([null, null, null, null, null]);
  });

  it('has no character in it that a terminal acts upon', () => {
    const evil = 'a\u001b]0;x\u0007\u009b31m\u202eb\u2028\u{e0001}é山';
    const line = jsonLine({ PatientName: evil });
    expect(line).toMatch(/^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]*\n$/u);
    expect(line).toContain('é山');
    expect(JSON.parse(line)).toEqual({ PatientName: evil });
  });
});

const COMMAND = join(__dirname, '..', '..', 'scripts', 'isocenter');

describe('isocenter query', () => {
  const peer = new FindPeer();
  let port: number;
  let folder: string;
  let config: string;

  beforeAll(async () => {
    port = await peer.start();
    folder = await makeFolder();
    config = await writeConfig(folder, {
      config: {
        remotes: {
          pacs: { aeTitle: 'PACS', host: '127.0.0.1', port, defaultCharset: 'ISO_IR 144' },
        },
      },
    });
  });
  afterAll(async () => {
    await peer.stop();
    await removeFolder(folder);
  });
  beforeEach(() => peer.reset());

  const query = (...args: string[]): Promise<RunResult> => isocenter(['query', ...args, '--config', config]);
  /** The command while it runs; `onLine` is called when lines have been printed. */
  function start(args: readonly string[], onLine: () => void = () => undefined) {
    const child = spawn(process.execPath, [COMMAND, 'query', ...args, '--config', config]);
    const text = { stdout: '', stderr: '' };
    child.stderr.on('data', (chunk: Buffer) => (text.stderr += chunk.toString()));
    child.stdout.on('data', (chunk: Buffer) => {
      text.stdout += chunk.toString();
      if (text.stdout.endsWith('\n')) onLine();
    });
    const ended = new Promise<{ code: number | null } & typeof text>((resolve) =>
      child.once('close', (code) => resolve({ code, ...text })),
    );
    return { child, ended };
  }

  const who = () => `PACS at 127.0.0.1:${port}`;
  const study = (number: number) => ({
    status: 0xff00,
    row: { PatientID: `P${number}`, PatientName: 'DOE^JOHN', StudyInstanceUID: `1.${number}` },
  });

  it('prints a table, tabs between the columns where a program reads', async () => {
    peer.answer = () => [
      {
        status: 0xff00,
        row: {
          SpecificCharacterSet: 'ISO_IR 100',
          PatientID: 'P1',
          PatientName: 'M\xfcller^\x07red',
          StudyDate: '20240101',
          AccessionNumber: '',
          ModalitiesInStudy: 'CT\\SR',
          NumberOfStudyRelatedInstances: '4',
          StudyInstanceUID: '1.2.3',
          StudyTime: '1015',
        },
      },
      { status: 0 },
    ];
    const result = await query(`PACS@127.0.0.1:${port}`, '-k', 'PatientID=P1', '-k', 'StudyTime');
    expect(result).toMatchObject({
      code: 0,
      stdout:
        'PatientID\tPatientName\tStudyDate\tAccessionNumber\tModalities\tStudyDescription\tSeries\tInstances\tStudyInstanceUID\tStudyTime\n' +
        'P1\tMüller^\\x07red\t20240101\t\tCT\\SR\t\t\t4\t1.2.3\t1015\n',
      stderr: '',
    });
    expect(said(peer.asked[0]!)).toMatchObject({ QueryRetrieveLevel: 'STUDY', PatientID: 'P1' });
  });

  it('prints JSON line by line, as the matches come', async () => {
    const first = Promise.withResolvers<undefined>();
    peer.answer = async function* () {
      yield {
        status: 0xff00,
        row: {
          PatientName: '\xc4\xdf',
          RequestAttributesSequence: [dataSet({ ScheduledProcedureStepID: 'S1' })],
          NumberOfSeriesRelatedInstances: '3',
        },
      };
      await first.promise;
      yield { status: 0 };
    };
    // Had the line waited for the end, this would never come.
    const { ended } = start(['pacs', 'series', '--relational', '--json'], () => first.resolve(undefined));
    const { code, stdout } = await ended;
    expect(JSON.parse(stdout)).toEqual({
      PatientName: 'Фп',
      RequestAttributesSequence: [{ ScheduledProcedureStepID: 'S1' }],
      NumberOfSeriesRelatedInstances: 3,
    });
    expect(code).toBe(3);
  });

  it('warns of what the peer did not agree to, with exit code 3', async () => {
    peer.extended = ([item]) => [{ sopClass: item!.sopClass, information: Buffer.from([1, 0, 0]) }];
    peer.answer = () => [study(1), { status: 0 }];
    const result = await query('pacs', '--relational', '--fuzzy', '--timezone', '+0100');
    expect(result.code).toBe(3);
    expect(result.stderr).toBe(
      `isocenter: ${who()} does not do fuzzy matching of names (--fuzzy): it matched without\n` +
        `isocenter: ${who()} does not do adjustment to a timezone (--timezone): it matched without\n`,
    );
    expect(peer.offered).toEqual([
      { sopClass: FIND_MODELS.study.sopClass, information: Buffer.from([1, 0, 1, 1]) },
    ]);
    expect(said(peer.asked[0]!)).not.toHaveProperty('TimezoneOffsetFromUTC');
  });

  it('cancels at the limit and says that there is more', async () => {
    peer.answer = () => [study(1), study(2), study(3), { status: 0xfe00 }];
    const result = await query('pacs', '--limit', '2', '--json', '--only', '-k', 'PatientID');
    expect(result.code).toBe(0);
    expect(result.stdout.split('\n')).toHaveLength(3);
    expect(result.stderr).toBe('isocenter: there is more; a higher --limit shows it\n');
    expect(said(peer.asked[0]!)).toEqual({ QueryRetrieveLevel: 'STUDY', PatientID: null });
  });

  it('names the keys that the peer does not support, once', async () => {
    const partial = { ...study(1), status: 0xff01 };
    peer.answer = () => [partial, partial, { status: 0 }];
    const result = await query(
      'pacs',
      '--only',
      '-k',
      'PatientID',
      '-k',
      'StudyDescription',
      '-k',
      '0009,1001',
    );
    expect(result.code).toBe(0);
    expect(result.stderr).toBe(`isocenter: ${who()} does not support StudyDescription, (0009,1001)\n`);
  });

  it.each<[string, string[], object, RegExp]>([
    [
      'A700',
      [],
      { status: 0xa700, comment: 'more than 500 matches' },
      /A700 \(Out of resources\): "more than 500 matches"\n {2}.*ask for less/,
    ],
    [
      'A900 with the offending element',
      ['-k', 'Modality=CT'],
      { status: 0xa900, comment: 'use ModalitiesInStudy', offendingElements: [0x00080060] },
      /A900 \(.*\), because of Modality \(0008,0060\): "use ModalitiesInStudy"\n {2}.*--only/,
    ],
    [
      'A900 of a query that lacks a key',
      ['series', '--model', 'patient'],
      { status: 0xa900, offendingElements: [0x00090001] },
      /A900 \(.*\), because of \(0009,0001\)\n {2}the level SERIES needs -k PatientID=VALUE and -k StudyInstanceUID=VALUE, or --relational/,
    ],
    ['C001', [], { status: 0xc001 }, /C001 \(Unable to process\)\n {2}look into the log of the other side/],
    ['0122', [], { status: 0x0122 }, /0122 \(SOP class not supported\)\n.*study model/],
    ['0124', [], { status: 0x0124 }, /0124 \(Not authorized\)\n.*AE title/],
    ['FE00 unasked for', [], { status: 0xfe00 }, /FE00 \(Cancelled\)\n.*nobody here cancelled/],
    [
      'a comment of control characters',
      [],
      { status: 0xc000, comment: '\u001b[31m\u0007' },
      /C000 \(Unable to process\): "[^\u001b\u0007]*"\n/,
    ],
  ])('explains %s, with exit code 1', async (_what, args, response, message) => {
    peer.answer = () => [response as { status: number }];
    const result = await query('pacs', ...args);
    expect(result.stderr).toMatch(message);
    expect(result.stderr).toContain(`isocenter: ${who()} answered the query with`);
    expect(result).toMatchObject({ code: 1, stdout: '' });
  });

  it('prints what came before a failure, and fails', async () => {
    peer.answer = () => [study(1), { status: 0xc000, comment: 'the disk is gone' }];
    const result = await query('pacs', '--only', '-k', 'PatientID');
    expect(result).toMatchObject({ code: 1, stdout: 'PatientID\nP1\n' });
    expect(result.stderr).toMatch(/C000 .*"the disk is gone"/);
  });

  it('ends with exit code 4 where the peer aborts in the middle', async () => {
    const first = Promise.withResolvers<undefined>();
    peer.answer = async function* (_identifier, { association }) {
      yield study(1);
      await first.promise;
      association.abort(0, 0, 'the test says so');
    };
    const { ended } = start(['pacs', '--json', '--only', '-k', 'PatientID'], () => first.resolve(undefined));
    expect(await ended).toMatchObject({
      code: 4,
      stdout: expect.stringContaining('"PatientID":"P1"') as string,
      stderr: expect.stringMatching(/^isocenter: the association ended/) as string,
    });
  });

  it('says which model the peer does not take, with exit code 4', async () => {
    peer.accepts = () => false;
    const result = await query('pacs', '--model', 'worklist');
    expect(result).toMatchObject({ code: 4, stdout: '' });
    expect(result.stderr).toContain(
      `${who()} takes no queries of the worklist model (1.2.840.10008.5.1.4.31)\n`,
    );
  });

  it('leaves out answers that can not be read, with exit code 3', async () => {
    peer.answer = () => [study(1), { status: 0xff00, row: Buffer.from('no data set') }, { status: 0 }];
    const result = await query('pacs', '--json');
    expect(result.code).toBe(3);
    expect(result.stdout.trim().split('\n')).toHaveLength(1);
    expect(result.stderr).toMatch(/1 answers can't be read/);
  });

  it('sends C-CANCEL on Ctrl-C, prints what came, releases, and ends with 130', async () => {
    const cancelled = Promise.withResolvers<boolean>();
    const interrupt = { now: (): unknown => undefined };
    peer.answer = async function* (_identifier, context) {
      yield study(1);
      context.cancelled.addEventListener('abort', () => cancelled.resolve(true));
      interrupt.now();
      await cancelled.promise;
      yield { status: 0xfe00 };
    };
    const { child, ended } = start(['pacs', '--only', '-k', 'PatientID']);
    interrupt.now = () => child.kill('SIGINT');
    expect(await ended).toEqual({
      code: 130,
      stdout: 'PatientID\nP1\n',
      stderr: 'isocenter: cancelling; Ctrl-C again ends at once\nisocenter: interrupted\n',
    });
    expect((await peer.associations[0]!.closed).kind).toBe('released');
  });

  it.each<[string[], RegExp]>([
    [['pacs', 'studis'], /choose one of patients, studies, series, instances - did you mean "studies"\?/],
    [['pacs', '--model', 'pateint'], /choose one of study, .* - did you mean "patient"\?/],
    [['pacs', '-k', 'PatientNam=SECRET'], /did you mean "PatientName"\?/],
    [['pacs', '--limit', 'x'], /a number of matches is expected/],
    [['pasc'], /there is no remote "pasc" in .* - did you mean "pacs"\?/],
    [[], /missing required argument 'peer'/],
  ])('refuses %j with exit code 2, and asks nobody', async (args, message) => {
    const result = await query(...args);
    expect(result.stderr).toMatch(message);
    expect(result.stderr).not.toContain('SECRET');
    expect(result).toMatchObject({ code: 2, stdout: '' });
    expect(peer.associations).toEqual([]);
  });

  it('takes patients from the Patient Root, levels as DICOM names them, and documents itself', async () => {
    peer.answer = (identifier) => [
      { status: 0xff00, row: { PatientID: identifier.every((one) => !isSequence(one)) ? 'P' : 'X' } },
      { status: 0 },
    ];
    const result = await query('pacs', 'patient', '--only', '-k', 'PatientID');
    expect(result).toMatchObject({ code: 0, stdout: 'PatientID\nP\n' });
    expect([...peer.associations[0]!.contexts.values()][0]!.abstractSyntax).toBe(
      FIND_MODELS.patient.sopClass,
    );
    const help = await isocenter(['query', '--help']);
    expect(help).toMatchObject({ code: 0, stderr: '' });
    expect(help.stdout).toMatch(/--json: the attributes of a match by keyword[\s\S]*Examples:/);
  });
});
