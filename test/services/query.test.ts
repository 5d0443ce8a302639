import type { QueryRow } from '../../src/catalog/query-types';
import { BUILT_IN } from '../../src/dicom/attributes';
import { IsocenterError } from '../../src/errors';
import type { DimseRequest, DimseResponse, IncomingDataSet, ServiceContext } from '../../src/dimse/types';
import type { Association } from '../../src/net/types';
import type { Peer } from '../../src/peer';
import { cFind } from '../../src/services/query';
import { TS } from '../support/data-sets';
import { CLASSES, identifier, read, refusal, ScriptedCatalog, type Keys } from './query-kit';

const STUDY = { QueryRetrieveLevel: 'STUDY', StudyInstanceUID: '' };

interface Call {
  readonly keys?: Keys;
  readonly catalog?: ScriptedCatalog;
  readonly findMatches?: number;
  readonly peer?: Partial<Peer>;
  readonly information?: readonly number[];
}

class Find {
  readonly cancelled = new AbortController();
  readonly lost = new AbortController();
  readonly logged: unknown[] = [];
  readonly catalog: ScriptedCatalog;
  readonly responses: AsyncIterator<DimseResponse>;

  constructor({ keys = {}, catalog = new ScriptedCatalog([]), findMatches = 0, peer, information }: Call) {
    this.catalog = catalog;
    const bytes = identifier({ ...STUDY, ...keys });
    const context = { id: 1, abstractSyntax: CLASSES.study, transferSyntax: TS.explicit };
    const chunks = [bytes];
    const dataSet = {
      [Symbol.asyncIterator]: () => ({
        next: async () => ({ done: chunks.length === 0, value: chunks.shift() }),
      }),
    } as unknown as IncomingDataSet;
    const request: DimseRequest = {
      command: { CommandField: 0x20, CommandDataSetType: 1 },
      messageId: 1,
      context,
      dataSet,
    };
    const serviceContext: ServiceContext = {
      association: {
        id: 'A1',
        extendedNegotiation:
          information === undefined
            ? []
            : [{ sopClass: CLASSES.study, information: Buffer.from(information) }],
      } as unknown as Association,
      peer: { name: 'ws', allow: new Set(['find']), unknownSyntaxes: true, ...peer },
      scu: undefined as never,
      cancelled: this.cancelled.signal,
      lost: this.lost.signal,
    };
    const service = cFind({
      catalog,
      attributes: BUILT_IN,
      aeTitle: 'NODE',
      findMatches: () => findMatches,
      log: (level, message, fields) => this.logged.push([level, message, fields]),
      localOffset: () => 0,
    });
    this.responses = service(request, serviceContext)[Symbol.asyncIterator]();
  }

  async next(): Promise<DimseResponse> {
    const step = await this.responses.next();
    if (step.done === true) throw new Error('no response');
    return step.value;
  }

  async all(): Promise<DimseResponse[]> {
    const list: DimseResponse[] = [];
    for (let step = await this.responses.next(); step.done !== true; step = await this.responses.next())
      list.push(step.value);
    return list;
  }
}

const rows = (count: number): QueryRow[] =>
  Array.from({ length: count }, (_, index) => ({ StudyInstanceUID: `1.2.${index}` }));
const statuses = (responses: readonly DimseResponse[]): number[] => responses.map(({ status }) => status);
const never = (): Promise<void> => new Promise(() => undefined);

async function refused(find: Find): Promise<ReturnType<typeof refusal>> {
  try {
    await find.all();
  } catch (error) {
    return refusal(() => {
      throw error;
    });
  }
  throw new Error('nothing was refused');
}

describe('C-FIND', () => {
  it('T35: answers one Success, without data, where nothing matches', async () => {
    expect(await new Find({}).all()).toEqual([{ status: 0 }]);
  });

  it('answers every match once, in order, then Success without data', async () => {
    const responses = await new Find({ catalog: new ScriptedCatalog(rows(501)) }).all();
    expect(responses).toHaveLength(502);
    expect(responses.at(-1)).toEqual({ status: 0 });
    expect(new Set(statuses(responses.slice(0, -1)))).toEqual(new Set([0xff00]));
    const uids = responses.slice(0, -1).map(({ dataSet }) => read(dataSet!)['StudyInstanceUID']);
    expect(uids).toEqual(rows(501).map(({ StudyInstanceUID }) => StudyInstanceUID));
  });

  it('says FF01 throughout where a key is not supported', async () => {
    const keys = { '00090010': 'ACME' };
    const responses = await new Find({ keys, catalog: new ScriptedCatalog(rows(3)) }).all();
    expect(statuses(responses)).toEqual([0xff01, 0xff01, 0xff01, 0]);
  });

  it('reads what was agreed on', async () => {
    const keys = { PatientName: 'Meyer' };
    const asked = async (information?: readonly number[]): Promise<unknown> => {
      const find = new Find({ keys, ...(information === undefined ? {} : { information }) });
      await find.all();
      return find.catalog.asked[0]?.query.conditions[0]?.match.kind;
    };
    expect(await asked([0, 0, 1])).toBe('fuzzy');
    expect(await asked([1, 1, 0])).toBe('values');
    expect(await asked()).toBe('values');
  });

  it('asks the catalog for nothing where a range is backwards', async () => {
    const find = new Find({ keys: { StudyDate: '20240105-20240101' } });
    expect(await find.all()).toEqual([{ status: 0 }]);
    expect(find.catalog.asked).toEqual([]);
  });

  it('refuses a wrong identifier before it asks', async () => {
    const find = new Find({ keys: { StudyDate: 'x' } });
    expect(await refused(find)).toMatchObject({ status: 0xa900, at: ['StudyDate'] });
    expect(find.catalog.asked).toEqual([]);
  });

  it('refuses with A900 what the catalog can not ask for', async () => {
    const catalog = new ScriptedCatalog([]);
    catalog.before = () => {
      throw new IsocenterError('CATALOG_FILTER', 'a SECRET is too long');
    };
    expect(await refused(new Find({ catalog }))).toEqual({
      status: 0xa900,
      at: [],
      comment: 'A key can not be matched, or is too long',
    });
  });

  it('leaves other failures to the dispatcher', async () => {
    const catalog = new ScriptedCatalog([]);
    catalog.before = () => {
      throw new Error('disk');
    };
    await expect(new Find({ catalog }).all()).rejects.toThrow('disk');
  });
});

describe('streaming', () => {
  it('sends the first answers of a small page before the others are there', async () => {
    const catalog = new ScriptedCatalog(rows(1000));
    catalog.before = (page) => (page === 0 ? undefined : never());
    const find = new Find({ catalog });
    for (let index = 0; index < 20; index++) expect((await find.next()).status).toBe(0xff00);
    expect(catalog.asked.map(({ limit }) => limit)).toEqual([20, 200]);
  });

  it('fetches one page ahead, and no more, while nobody takes', async () => {
    const catalog = new ScriptedCatalog(rows(1000));
    const find = new Find({ catalog });
    await find.next();
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(catalog.asked).toHaveLength(2);
    for (let index = 1; index < 21; index++) await find.next();
    expect(catalog.asked).toHaveLength(3);
  });

  it('goes on through pages without rows', async () => {
    const find = new Find({ catalog: new ScriptedCatalog(rows(2), 30) });
    expect(statuses(await find.all())).toEqual([0xff00, 0xff00, 0]);
  });

  it('does not let a page that failed unasked end the process', async () => {
    const catalog = new ScriptedCatalog(rows(1000));
    catalog.before = (page) => {
      if (page > 0) throw new Error('disk');
    };
    const find = new Find({ catalog });
    await find.next();
    await new Promise((resolve) => setImmediate(resolve));
    await find.responses.return?.();
  });
});

it('says in the log that a character set is unknown, and nothing of the keys', async () => {
  const find = new Find({ keys: { SpecificCharacterSet: 'ISO_IR 999', PatientName: 'Canary^Key' } });
  expect((await find.responses.next()).value).toMatchObject({ status: 0x0000 });
  expect(find.logged).toEqual([
    ['warn', expect.stringMatching(/unknown character set/), { association: 'A1', remote: 'ws' }],
  ]);
  expect(JSON.stringify(find.logged)).not.toMatch(/Canary|999/);
  const known = new Find({ keys: { SpecificCharacterSet: 'ISO_IR 100' } });
  await known.responses.next();
  expect(known.logged).toEqual([]);
});

describe('C-CANCEL', () => {
  it('between answers: FE00, and nothing more', async () => {
    const find = new Find({ catalog: new ScriptedCatalog(rows(1000)) });
    for (let index = 0; index < 5; index++) await find.next();
    find.cancelled.abort();
    expect(await find.all()).toEqual([{ status: 0xfe00 }]);
  });

  it('before the first page', async () => {
    const catalog = new ScriptedCatalog(rows(10));
    catalog.before = never;
    const find = new Find({ catalog });
    const first = find.next();
    await new Promise((resolve) => setImmediate(resolve));
    find.cancelled.abort();
    expect(await first).toEqual({ status: 0xfe00 });
  });

  it('while pages without rows go by', async () => {
    const find = new Find({ catalog: new ScriptedCatalog(rows(1), Infinity) });
    const first = find.next();
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    find.cancelled.abort();
    expect(await first).toEqual({ status: 0xfe00 });
    const asked = find.catalog.asked.length;
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(find.catalog.asked).toHaveLength(asked);
  });

  it('while matches are counted', async () => {
    const catalog = new ScriptedCatalog(rows(10));
    catalog.before = never;
    const find = new Find({ catalog, findMatches: 5 });
    const first = find.next();
    await new Promise((resolve) => setImmediate(resolve));
    find.cancelled.abort();
    expect(await first).toEqual({ status: 0xfe00 });
  });

  it('a lost association ends the work as well', async () => {
    const find = new Find({ catalog: new ScriptedCatalog(rows(1000)) });
    await find.next();
    find.lost.abort();
    await find.all();
    expect(find.catalog.asked).toHaveLength(2);
  });
});

describe('findMatches', () => {
  it('refuses with A700 what matches more, before anything is answered', async () => {
    const find = new Find({ catalog: new ScriptedCatalog(rows(51)), findMatches: 50 });
    const { status, comment } = await refused(find);
    expect(status).toBe(0xa700);
    expect(comment).toBe('Too broad: more than 50 matches. Ask by patient or dates');
    expect(find.catalog.asked.map(({ limit, query }) => [limit, query.columns])).toEqual([[51, []]]);
  });

  it('answers all of what matches as much', async () => {
    const find = new Find({ catalog: new ScriptedCatalog(rows(50)), findMatches: 50 });
    expect(await find.all()).toHaveLength(51);
  });

  it('of the remote goes before the node’s; 0 is no limit', async () => {
    const call = (findMatches: number, own: number): Find =>
      new Find({ catalog: new ScriptedCatalog(rows(10)), findMatches, peer: { findMatches: own } });
    expect((await refused(call(0, 9))).status).toBe(0xa700);
    expect(await call(9, 0).all()).toHaveLength(11);
    expect(await call(9, 10).all()).toHaveLength(11);
  });

  it('counts a large number page by page', async () => {
    const find = new Find({ catalog: new ScriptedCatalog(rows(2500)), findMatches: 2400 });
    expect((await refused(find)).status).toBe(0xa700);
    expect(find.catalog.asked.map(({ limit }) => limit)).toEqual([1000, 1000, 1000]);
  });
});

describe('timezone adjustment', () => {
  const keys = { StudyDate: '20240102', StudyTime: '', TimezoneOffsetFromUTC: '+0200' };
  const stored = [
    { StudyInstanceUID: '1', StudyDate: '20240101', StudyTime: '2330', TimezoneOffsetFromUTC: '+0000' },
    { StudyInstanceUID: '2', StudyDate: '20240101', StudyTime: '2130', TimezoneOffsetFromUTC: '+0000' },
    { StudyInstanceUID: '3', StudyDate: '20240102', StudyTime: '1200', TimezoneOffsetFromUTC: '+0200' },
  ];

  it('answers what matches in the caller’s zone, in that zone', async () => {
    const responses = await new Find({
      keys,
      catalog: new ScriptedCatalog(stored),
      information: [0, 0, 0, 1],
    }).all();
    expect(responses.slice(0, -1).map(({ dataSet }) => read(dataSet!))).toMatchObject([
      { StudyInstanceUID: '1', StudyDate: '20240102', StudyTime: '0130', TimezoneOffsetFromUTC: '+0200' },
      { StudyInstanceUID: '3', StudyDate: '20240102', StudyTime: '1200' },
    ]);
  });

  it('counts only those', async () => {
    const call = { keys, information: [0, 0, 0, 1], findMatches: 2 };
    expect(await new Find({ ...call, catalog: new ScriptedCatalog(stored) }).all()).toHaveLength(3);
  });
});
