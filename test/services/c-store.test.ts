import type { CommandSet, DimseRequest, DimseResponse, ServiceContext } from '../../src/dimse/types';
import { cStore } from '../../src/services/c-store';
import { encode, TS, type SentObject } from '../support/data-sets';
import { FakeAssociation } from '../dimse/fake-association';
import { bytesOf, cleanUp, newDirectory, object, openArchive, statusOf, type Opened } from './kit';

let opened: Opened;

beforeEach(async () => {
  opened = await openArchive(newDirectory());
});

afterEach(cleanUp);

interface Call {
  readonly duplicates?: 'refuse' | 'replace';
  readonly node?: 'refuse' | 'replace';
  readonly defaultCharset?: string;
  readonly bytes?: Buffer;
  readonly command?: Partial<CommandSet>;
  readonly without?: true;
}

async function store(sent: SentObject, call: Call = {}): Promise<DimseResponse[]> {
  const service = cStore(opened.archive.ingest, () => call.node ?? 'refuse');
  const source = bytesOf(call.bytes ?? sent.dataSet);
  const dataSet = {
    read: () => source.read(),
    discard: () => Promise.resolve(),
    async *[Symbol.asyncIterator]() {
      for (let chunk = await source.read(); chunk !== undefined; chunk = await source.read()) yield chunk;
    },
  };
  const request: DimseRequest = {
    command: {
      CommandField: 1,
      CommandDataSetType: 0,
      AffectedSOPClassUID: sent.SOPClassUID,
      AffectedSOPInstanceUID: sent.SOPInstanceUID,
      ...call.command,
    },
    messageId: 1,
    context: { id: 1, abstractSyntax: sent.SOPClassUID, transferSyntax: sent.transferSyntax },
    dataSet: call.without === true ? undefined : dataSet,
  };
  const context: ServiceContext = {
    association: new FakeAssociation(),
    peer: {
      name: 'ct1',
      allow: new Set(['store']),
      unknownSyntaxes: true,
      ...(call.duplicates === undefined ? {} : { duplicates: call.duplicates }),
      ...(call.defaultCharset === undefined ? {} : { defaultCharset: call.defaultCharset }),
    },
    scu: undefined as never,
    lost: new AbortController().signal,
    cancelled: new AbortController().signal,
  };
  const answers: DimseResponse[] = [];
  for await (const answer of service(request, context)) answers.push(answer);
  return answers;
}

it('answers Success, and keeps who sent it to whom', async () => {
  const one = object();
  expect(await store(one)).toEqual([{ status: 0 }]);
  expect(opened.stored).toMatchObject([{ associationId: 'a1', remoteName: 'ct1', outcome: 'stored' }]);
  const [held] = await opened.catalog.locate(one.SOPInstanceUID);
  expect(await opened.store.check(held!.arrivalId)).toMatchObject({
    meta: {
      MediaStorageSOPClassUID: one.SOPClassUID,
      MediaStorageSOPInstanceUID: one.SOPInstanceUID,
      TransferSyntaxUID: TS.explicit,
      SourceApplicationEntityTitle: 'CALLER',
      ReceivingApplicationEntityTitle: 'NODE',
    },
  });
});

it('ST-05: answers B006 with Offending Element 0002,0000 where a file meta group came inside', async () => {
  const one = object();
  const group = encode([
    { tag: 0x00020000, vr: 'UL', value: [28] },
    { tag: 0x00020010, vr: 'UI', value: TS.explicit },
  ]);
  const [answer, ...others] = await store(one, { bytes: Buffer.concat([group, one.dataSet]) });
  expect(others).toEqual([]);
  expect(answer).toEqual({
    status: 0xb006,
    comment: expect.stringMatching(/^[\x20-\x7e]{1,64}$/) as string,
    offendingElements: [0x00020000],
  });
});

it('answers C000 to a request without a data set, or without UIDs', async () => {
  expect(await statusOf(store(object(), { without: true }))).toBe(0xc000);
  const command = { AffectedSOPInstanceUID: '' };
  expect(await statusOf(store(object(), { command }))).toBe(0xc000);
});

it("goes by the remote's rule for duplicates before the node's", async () => {
  const UID = '2.25.90';
  const kinds = [1, 2, 3, 4].map((seed) => object({ SOPInstanceUID: UID, seed }));
  expect(await statusOf(store(kinds[0]!))).toBe(0);
  expect(await statusOf(store(kinds[1]!, { node: 'replace' }))).toBe(0);
  expect(await statusOf(store(kinds[2]!, { node: 'replace', duplicates: 'refuse' }))).toBe(0x0111);
  expect(await statusOf(store(kinds[3]!, { node: 'refuse', duplicates: 'replace' }))).toBe(0);
  expect(await opened.catalog.locate(UID)).toHaveLength(3);
});

it('reads names in the character set that the remote is known for, and keeps the bytes', async () => {
  const one = object({ PatientName: Buffer.from('4dfc6c6c6572', 'hex') });
  await store(one, { defaultCharset: 'ISO_IR 100' });
  const { rows } = await opened.api.find({ level: 'PATIENT', keys: {} }, { limit: 2 });
  expect(rows).toMatchObject([{ PatientName: 'Müller' }]);
});
