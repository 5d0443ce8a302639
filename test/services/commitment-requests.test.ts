import type { CommitmentAdded, CommitmentRequest, CommitmentStore } from '../../src/catalog/commitments';
import type { CommandSet, DimseResponse, IncomingDataSet, ServiceContext } from '../../src/dimse/types';
import { CommitmentLinks } from '../../src/services/commitment-links';
import { commitmentRequests } from '../../src/services/commitment-requests';
import { FakeAssociation } from '../dimse/fake-association';
import { COMMITMENT, references as sequence, WELL_KNOWN } from '../support/commitment-peer';
import { encode, SOP, TS, type Element } from '../support/data-sets';
import { bytesOf } from './kit';

const REFERENCES = [
  { SOPClassUID: SOP.ct, SOPInstanceUID: '2.25.7701.1' },
  { SOPClassUID: SOP.mr, SOPInstanceUID: '2.25.7701.2' },
];
const TRANSACTION: Element = { tag: 0x00081195, vr: 'UI', value: '2.25.7701.900' };
const GOOD = [TRANSACTION, sequence(REFERENCES)];

let added: CommitmentRequest[];
let retried: unknown[];
let logs: string[];
let answer: () => Promise<CommitmentAdded>;

beforeEach(() => {
  added = [];
  retried = [];
  logs = [];
  answer = () => Promise.resolve({ kind: 'added', id: 7 });
});

interface Call {
  readonly command?: Partial<CommandSet>;
  readonly syntax?: string;
}

async function ask(
  elements: readonly Element[] | Buffer | undefined,
  { command, syntax = TS.explicit }: Call = {},
): Promise<DimseResponse[]> {
  const entry = commitmentRequests({
    commitments: {
      add: (request: CommitmentRequest) => {
        added.push(request);
        return answer();
      },
    } as unknown as CommitmentStore,
    jobs: {
      retry: (selection) => {
        retried.push(selection);
        return Promise.resolve({ changed: 1, left: [] });
      },
    },
    links: new CommitmentLinks(() => undefined),
    log: (level, message) => logs.push(`${level} ${message}`),
  });
  const encoding = syntax === TS.implicit ? 'implicit' : 'explicit';
  const bytes = elements === undefined || Buffer.isBuffer(elements) ? elements : encode(elements, encoding);
  const context = {
    association: new FakeAssociation(),
    peer: { name: 'ct1', allow: new Set(['commit']), unknownSyntaxes: true },
    lost: new AbortController().signal,
    cancelled: new AbortController().signal,
  } as unknown as ServiceContext;
  const request = {
    command: {
      CommandField: 0x0130,
      CommandDataSetType: 1,
      RequestedSOPClassUID: COMMITMENT,
      RequestedSOPInstanceUID: WELL_KNOWN,
      ActionTypeID: 1,
      ...command,
    },
    messageId: 1,
    context: { id: 1, abstractSyntax: COMMITMENT, transferSyntax: syntax },
    dataSet: bytes === undefined ? undefined : incoming(bytes),
  };
  const answers: DimseResponse[] = [];
  for await (const one of entry.service(request, context)) answers.push(one);
  return answers;
}

function incoming(bytes: Buffer): IncomingDataSet {
  const source = bytesOf(bytes);
  return {
    read: async () => source.read(),
    discard: () => Promise.resolve(),
    async *[Symbol.asyncIterator]() {
      for (let chunk = await source.read(); chunk !== undefined; chunk = await source.read()) yield chunk;
    },
  };
}

it.each([TS.explicit, TS.implicit])('keeps a request in %s before it answers Success', async (syntax) => {
  const keeps = Promise.withResolvers<CommitmentAdded>();
  answer = () => keeps.promise;
  const asked = ask(GOOD, { syntax });
  const first = await Promise.race([asked, new Promise((resolve) => setTimeout(resolve, 20, 'waits'))]);
  expect(first).toBe('waits');
  keeps.resolve({ kind: 'added', id: 7 });
  expect(await asked).toEqual([{ status: 0 }]);
  expect(added).toEqual([
    {
      remote: 'ct1',
      callingAETitle: 'CALLER',
      calledAETitle: 'NODE',
      TransactionUID: '2.25.7701.900',
      references: REFERENCES,
    },
  ]);
});

it('asks once for what is named twice', async () => {
  await ask([TRANSACTION, sequence([...REFERENCES, ...REFERENCES])]);
  expect(added[0]!.references).toEqual(REFERENCES);
});

it('answers the same request alike, and has its report made now', async () => {
  answer = () => Promise.resolve({ kind: 'known', id: 7 });
  expect(await ask(GOOD)).toEqual([{ status: 0 }]);
  expect(retried).toEqual([{ ids: [7] }]);
});

const item = (...elements: Element[]): Element => ({
  tag: 0x00081199,
  vr: 'SQ',
  value: { items: [elements] },
});
const classOf = (value: string): Element => ({ tag: 0x00081150, vr: 'UI', value });
const instanceOf = (value: string): Element => ({ tag: 0x00081155, vr: 'UI', value });

it.each<[string, number, number | undefined, readonly Element[] | Buffer | undefined, Partial<CommandSet>?]>([
  ['another action', 0x0123, undefined, GOOD, { ActionTypeID: 2 }],
  ['another instance', 0x0112, undefined, GOOD, { RequestedSOPInstanceUID: '1.2.3' }],
  ['no data set', 0x0114, undefined, undefined],
  ['no Transaction UID', 0x0114, 0x00081195, GOOD.slice(1)],
  ['an empty Transaction UID', 0x0115, 0x00081195, [{ ...TRANSACTION, value: '' }, sequence(REFERENCES)]],
  [
    'a Transaction UID that is none',
    0x0115,
    0x00081195,
    [{ ...TRANSACTION, value: 'a\\b' }, sequence(REFERENCES)],
  ],
  ['no references', 0x0114, 0x00081199, [TRANSACTION]],
  ['an empty sequence', 0x0115, 0x00081199, [TRANSACTION, sequence([])]],
  [
    'text in the place of the sequence',
    0x0115,
    0x00081199,
    [TRANSACTION, { tag: 0x00081199, vr: 'LO', value: 'x ' }],
  ],
  ['an item without a class', 0x0114, 0x00081150, [TRANSACTION, item(instanceOf('1.2'))]],
  ['an item without an instance', 0x0114, 0x00081155, [TRANSACTION, item(classOf(SOP.ct))]],
  ['an empty instance', 0x0115, 0x00081155, [TRANSACTION, item(classOf(SOP.ct), instanceOf(''))]],
  [
    'an overlong instance',
    0x0115,
    0x00081155,
    [TRANSACTION, item(classOf(SOP.ct), instanceOf('1'.repeat(65)))],
  ],
  ['a data set that is cut', 0x0110, undefined, encode(GOOD).subarray(0, -3)],
  [
    'too many references',
    0x0213,
    undefined,
    [TRANSACTION, sequence(Array<(typeof REFERENCES)[0]>(20_001).fill(REFERENCES[0]!))],
  ],
  [
    'more than four megabytes',
    0x0213,
    undefined,
    Buffer.concat([encode(GOOD), Buffer.alloc(4 * 1024 * 1024)]),
  ],
])('refuses %s', async (_what, status, offending, elements, ...[command]) => {
  await expect(ask(elements, command === undefined ? {} : { command })).rejects.toMatchObject({
    code: 'DIMSE',
    status,
    offendingElements: offending === undefined ? [] : [offending],
    comment: expect.stringMatching(/^[ -~]{1,64}$/),
  });
  expect(added).toEqual([]);
});

it.each([
  ['differs', 0x0131],
  ['full', 0x0213],
] as const)('answers %s with a failure', async (kind, status) => {
  answer = () => Promise.resolve({ kind });
  await expect(ask(GOOD)).rejects.toMatchObject({ status, comment: expect.stringMatching(/^[ -~]{1,64}$/) });
});

it('asks to try again where the request could not be kept, and says so in the log', async () => {
  answer = () => Promise.reject(Object.assign(new Error('disk full'), { code: 'CATALOG_ROLLED_BACK' }));
  await expect(ask(GOOD)).rejects.toMatchObject({ status: 0x0213 });
  expect(logs).toEqual(['error a request for storage commitment could not be kept']);
});
