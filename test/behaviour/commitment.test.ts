import fs from 'node:fs';
import { Asker, reported, type Answer, type Reference, type Request } from '../support/commitment-peer';
import { imageObject, SOP, TS, UID_ROOT, type SentObject } from '../support/data-sets';
import { PlainScu } from '../support/ledger-scu';
import { removeFolder, startNode, type NodeConfig, type NodeProcess } from '../support/node-process';
import { RawAcceptor } from '../support/raw-peer';
import { storedFiles } from '../support/stored-files';

/** Storage commitment on the real node, by the conformance cases T88, T90 and T91. */
const objects = Array.from({ length: 8 }, (_, index) =>
  imageObject({
    StudyInstanceUID: `${UID_ROOT}.88`,
    SeriesInstanceUID: `${UID_ROOT}.88.1`,
    SOPInstanceUID: `${UID_ROOT}.88.1.${index}`,
  }),
);

const late = (serial: number): SentObject =>
  imageObject({
    StudyInstanceUID: `${UID_ROOT}.88`,
    SeriesInstanceUID: `${UID_ROOT}.88.1`,
    SOPInstanceUID: `${UID_ROOT}.88.2.${serial}`,
  });

let port: number;
let acceptor: RawAcceptor;
let transactions = 0;
const transaction = (): string => `${UID_ROOT}.900.${++transactions}`;
const referenceTo = ({ SOPClassUID, SOPInstanceUID }: SentObject): Reference => ({
  SOPClassUID,
  SOPInstanceUID,
});
const uids = (list: readonly SentObject[]): string[] => list.map(({ SOPInstanceUID }) => SOPInstanceUID);
const REFERENCES = objects.map(referenceTo);

function config(commit = '60s'): NodeConfig {
  const allow = ['echo', 'store', 'commit'];
  return {
    remotes: {
      modality: { aeTitle: 'MODALITY', host: '127.0.0.1', port, allow },
      portless: { aeTitle: 'PORTLESS', host: '127.0.0.1', allow },
      waiting: { aeTitle: 'WAITING', host: '127.0.0.1', port, allow, commit: 'same-association' },
      storer: { aeTitle: 'STORER', host: '127.0.0.1', allow: ['echo', 'store'] },
    },
    timeouts: { association: '2s', idle: '30s', response: '30s', writeStall: '10s', commit },
  };
}

async function store(node: NodeProcess, list: readonly SentObject[]): Promise<void> {
  const scu = await PlainScu.open(node.port, list, { calling: 'STORER' });
  for (const object of list) expect((await scu.store(object)).status).toBe(0);
  await scu.release();
}

/** Asks, and releases at once, as most modalities do. */
async function ask(node: NodeProcess, request: Request, calling?: string): Promise<Answer> {
  const asker = await Asker.open(node.port, calling === undefined ? {} : { calling });
  const answer = await asker.ask(request);
  await asker.release();
  return answer;
}

const TAKEN = { status: 0, comment: undefined, offending: undefined };

beforeAll(async () => {
  const first = await RawAcceptor.listen();
  port = first.port;
  await first.close();
});

beforeEach(async () => {
  acceptor = await RawAcceptor.listen(port);
});

afterEach(() => acceptor.close());

describe('a node that keeps running', () => {
  let node: NodeProcess;

  beforeAll(async () => {
    node = await startNode({ config: config() });
    await store(node, objects);
  }, 30_000);

  afterAll(async () => {
    const { code } = await node.stop();
    await removeFolder(node.folder);
    expect(code).toBe(0);
  });

  it('reports on a new association that it opens as SCP, and releases it (T88)', async () => {
    const TransactionUID = transaction();
    expect(await ask(node, { transaction: TransactionUID, references: REFERENCES })).toEqual(TAKEN);
    expect(await reported(acceptor)).toEqual({
      eventType: 1,
      transaction: TransactionUID,
      retrieveAETitle: 'NODE',
      committed: uids(objects),
      failed: [],
      calling: 'NODE',
      called: 'MODALITY',
      role: [0, 1],
    });
  });

  it('reports on a new association while that of the request stays open (T88)', async () => {
    const asker = await Asker.open(node.port);
    expect(await asker.ask({ transaction: transaction(), references: REFERENCES })).toEqual(TAKEN);
    expect((await reported(acceptor)).committed).toEqual(uids(objects));
    await asker.release();
  });

  it.each(['WAITING', 'PORTLESS'])('reports to %s on the association of the request', async (calling) => {
    const TransactionUID = transaction();
    const asker = await Asker.open(node.port, { calling, transferSyntax: TS.explicit });
    expect(await asker.ask({ transaction: TransactionUID, references: REFERENCES })).toEqual(TAKEN);
    expect(await asker.report()).toMatchObject({ eventType: 1, transaction: TransactionUID });
    await asker.release();
  });

  it('keeps the report for the next association where that of the request is gone, and says what mends it', async () => {
    const TransactionUID = transaction();
    expect(await ask(node, { transaction: TransactionUID, references: REFERENCES }, 'PORTLESS')).toEqual(
      TAKEN,
    );
    await node.logged(
      /could not be reported to portless: .*give remotes\.portless one aeTitle, host and port/,
    );
    const next = await Asker.open(node.port, { calling: 'PORTLESS' });
    expect(await next.report()).toMatchObject({ eventType: 1, transaction: TransactionUID });
    await next.release();
  });

  it('waits for instances that are asked for too early', async () => {
    const one = late(1);
    expect(await ask(node, { transaction: transaction(), references: [referenceTo(one)] })).toEqual(TAKEN);
    await store(node, [one]);
    expect(await reported(acceptor)).toMatchObject({ eventType: 1, committed: [one.SOPInstanceUID] });
  });

  it('refuses what is no request for storage commitment (T91)', async () => {
    const asker = await Asker.open(node.port);
    const references = REFERENCES;
    const tag = { tag: 0x00081195, vr: 'UI', value: transaction() };
    expect(await asker.ask({ references, actionType: 2 })).toMatchObject({ status: 0x0123 });
    expect(await asker.ask({ references, instance: '1.2.3' })).toMatchObject({ status: 0x0112 });
    expect(await asker.ask({ references: [] })).toMatchObject({ status: 0x0115, offending: '00081199' });
    expect(await asker.ask({ elements: [tag] })).toMatchObject({ status: 0x0114, offending: '00081199' });
    expect(await asker.ask({ elements: null })).toMatchObject({ status: 0x0114 });
    await asker.release();
    expect(await ask(node, { references }, 'STORER')).toMatchObject({
      status: 0x0124,
      comment: expect.stringContaining('remotes.storer.allow'),
    });
  });

  it('does not take another list under a Transaction UID that is in use, and takes the same one once', async () => {
    const TransactionUID = transaction();
    const one = late(2);
    const references = [referenceTo(one), ...REFERENCES];
    const asker = await Asker.open(node.port);
    expect(await asker.ask({ transaction: TransactionUID, references })).toEqual(TAKEN);
    expect(await asker.ask({ transaction: TransactionUID, references: REFERENCES })).toMatchObject({
      status: 0x0131,
    });
    expect(await asker.ask({ transaction: TransactionUID, references: references.toReversed() })).toEqual(
      TAKEN,
    );
    await asker.release();
    const listed = await node.cli(['jobs', 'list', '--json']);
    expect(listed.stdout.match(/"commitment"/g)).toHaveLength(1);
    await store(node, [one]);
    expect(await reported(acceptor)).toMatchObject({
      transaction: TransactionUID,
      committed: expect.any(Array),
    });
  });

  it('reports again what was answered with a failure', async () => {
    const request = { transaction: transaction(), references: REFERENCES };
    expect(await ask(node, request)).toEqual(TAKEN);
    expect((await reported(acceptor, 0x0110)).transaction).toBe(request.transaction);
    await waitFor(async () => (await node.cli(['jobs', 'list', '--json'])).stdout.includes('0110'));
    // Asked again, it is due at once.
    expect(await ask(node, request)).toEqual(TAKEN);
    expect((await reported(acceptor)).transaction).toBe(request.transaction);
  });
});

it('tells each failure from the others: not held, of another class, damaged, missing', async () => {
  const node = await startNode({ config: config('10ms') });
  try {
    await store(node, objects);
    const [other, harmed, gone, ...good] = objects as [SentObject, SentObject, SentObject, ...SentObject[]];
    const fileOf = async ({ SOPInstanceUID }: SentObject): Promise<string> =>
      (await storedFiles(node.dataDirectory)).find((file) => file.SOPInstanceUID === SOPInstanceUID)!.path;
    const file = await fileOf(harmed);
    const bytes = fs.readFileSync(file);
    bytes[bytes.length - 1]! ^= 1;
    fs.writeFileSync(file, bytes);
    fs.rmSync(await fileOf(gone));
    const references = [
      ...good.map(referenceTo),
      { ...referenceTo(other), SOPClassUID: SOP.mr },
      referenceTo(harmed),
      referenceTo(gone),
      { SOPClassUID: SOP.ct, SOPInstanceUID: `${UID_ROOT}.404` },
    ];
    expect(await ask(node, { transaction: transaction(), references })).toEqual(TAKEN);
    const report = await reported(acceptor);
    expect(report).toMatchObject({ eventType: 2, committed: uids(good) });
    expect(report.failed.sort()).toEqual(
      [
        `${other.SOPInstanceUID} 0119`,
        `${harmed.SOPInstanceUID} 0110`,
        `${gone.SOPInstanceUID} 0112`,
        `${UID_ROOT}.404 0112`,
      ].sort(),
    );
    expect(node.logs().match(/FILE_DAMAGED/g)).toHaveLength(2);
    // The same again: marked, and not alarmed a second time.
    expect(await ask(node, { transaction: transaction(), references })).toEqual(TAKEN);
    expect((await reported(acceptor)).failed.sort()).toEqual(report.failed);
    expect(node.logs().match(/FILE_DAMAGED/g)).toHaveLength(2);
  } finally {
    await node.stop();
    await removeFolder(node.folder);
  }
}, 40_000);

describe('a node that is killed', () => {
  let node: NodeProcess;
  const again = async (): Promise<void> => {
    await node.kill();
    node = await startNode({ folder: node.folder, config: config() });
  };

  beforeEach(async () => {
    node = await startNode({ config: config() });
    await store(node, objects);
  }, 30_000);

  afterEach(async () => {
    await node.stop();
    await removeFolder(node.folder);
  });

  it('reports after a restart what nobody listened for before it (T90)', async () => {
    await acceptor.close();
    const TransactionUID = transaction();
    expect(await ask(node, { transaction: TransactionUID, references: REFERENCES })).toEqual(TAKEN);
    expect((await node.cli(['jobs', 'list', '--json'])).stdout).toContain('"commitment"');
    await again();
    acceptor = await RawAcceptor.listen(port);
    expect(await reported(acceptor)).toMatchObject({
      transaction: TransactionUID,
      eventType: 1,
      committed: uids(objects),
    });
  }, 40_000);

  it('reports after a restart what it had answered just before', async () => {
    const TransactionUID = transaction();
    const asker = await Asker.open(node.port, { calling: 'WAITING' });
    expect(await asker.ask({ transaction: TransactionUID, references: REFERENCES })).toEqual(TAKEN);
    await again();
    const next = await Asker.open(node.port, { calling: 'WAITING' });
    expect(await next.report()).toMatchObject({ transaction: TransactionUID, committed: uids(objects) });
    await next.release();
  }, 40_000);

  it('waits on, after a restart, for instances that are not held yet', async () => {
    const one = late(3);
    const references = [referenceTo(one), ...REFERENCES];
    expect(await ask(node, { transaction: transaction(), references })).toEqual(TAKEN);
    await again();
    await store(node, [one]);
    expect(await reported(acceptor)).toMatchObject({
      eventType: 1,
      committed: uids([one, ...objects]),
    });
  }, 40_000);
});

/** Looks again and again, for some seconds. */
async function waitFor(condition: () => Promise<boolean>): Promise<void> {
  const until = Date.now() + 10_000;
  while (!(await condition())) if (Date.now() > until) throw new Error('it did not come');
}
