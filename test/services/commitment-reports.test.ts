import type { Commitment } from '../../src/catalog/commitments';
import type { Job } from '../../src/catalog/jobs';
import { connect } from '../../src/net/requestor';
import { CommitmentLinks } from '../../src/services/commitment-links';
import { commitmentReports, type CommitmentReach } from '../../src/services/commitment-reports';
import type { FailedReference } from '../../src/services/commitment-data';
import type { VerifyOptions } from '../../src/services/commitment-verify';
import { isUnreached, type JobOutcome } from '../../src/services/jobs';
import { accept, receive, takeReport } from '../support/commitment-peer';
import { SOP } from '../support/data-sets';
import { RawAcceptor } from '../support/raw-peer';
import { TIMEOUTS } from '../support/upper-layer';
import { FakeAssociation } from '../dimse/fake-association';

const REFERENCES = [
  { SOPClassUID: SOP.ct, SOPInstanceUID: '2.25.7701.1' },
  { SOPClassUID: SOP.mr, SOPInstanceUID: '2.25.7701.2' },
];
const ADDED = 1_000_000;

let acceptor: RawAcceptor;
let logs: string[];
let verdict: FailedReference[] | undefined;
let verified: VerifyOptions[];
let kept: Commitment | undefined;
let reach: CommitmentReach | undefined;
let links: CommitmentLinks;
let stopping: AbortController;
let cut: AbortController;

beforeEach(async () => {
  acceptor = await RawAcceptor.listen();
  logs = [];
  verdict = [];
  verified = [];
  kept = {
    id: 7,
    remote: 'ct1',
    callingAETitle: 'CT_ROOM1',
    calledAETitle: 'NODE2',
    TransactionUID: '2.25.7701.900',
    references: REFERENCES,
    addedAt: ADDED,
  };
  reach = { connect: calling(acceptor.port), patience: 60_000, responseTimeout: 2000 };
  links = new CommitmentLinks(() => undefined);
  stopping = new AbortController();
  cut = new AbortController();
});

afterEach(() => acceptor.close());

function calling(port: number): NonNullable<CommitmentReach['connect']> {
  return (proposal, callingAETitle, signal) =>
    connect({
      ...proposal,
      host: '127.0.0.1',
      port,
      callingAETitle,
      calledAETitle: 'CT_ROOM1',
      implementation: { classUID: '2.25.1', versionName: 'T' },
      maximumLength: 16384,
      timeouts: TIMEOUTS,
      signal,
    });
}

function handler() {
  return commitmentReports({
    commitments: { get: () => Promise.resolve(kept) },
    verifier: {
      verify: (_references, options) => {
        verified.push(options);
        return Promise.resolve(verdict);
      },
    },
    links,
    reach: () => reach,
    log: (level, message, fields) => logs.push(`${level} ${message} ${JSON.stringify(fields)}`),
    quiet: 5,
  });
}

async function run(one = handler()): Promise<JobOutcome[]> {
  const outcomes: JobOutcome[] = [];
  const context = { destination: 'ct1', stopping: stopping.signal, signal: cut.signal };
  for await (const outcome of one.run([{ id: 7, destination: 'ct1' } as Job], context))
    outcomes.push(outcome);
  return outcomes;
}

it('reports under the titles of the request, with the roles changed, and releases', async () => {
  const outcomes = run();
  const { wire, ...call } = await accept(acceptor);
  expect(call).toEqual({ calling: 'NODE2', called: 'CT_ROOM1', role: [0, 1] });
  expect(await takeReport(wire)).toEqual({
    eventType: 1,
    transaction: '2.25.7701.900',
    retrieveAETitle: 'NODE2',
    committed: ['2.25.7701.1', '2.25.7701.2'],
    failed: [],
  });
  // Nothing but the release.
  expect(await receive(wire)).toBeUndefined();
  wire.destroy();
  expect(await outcomes).toEqual([{ id: 7, outcome: 'done' }]);
  expect(logs).toEqual([
    expect.stringMatching(/^info storage commitment reported .*"completed":2,"failed":0/),
  ]);
});

it('names in both sequences together what was asked', async () => {
  verdict = [{ ...REFERENCES[0]!, reason: 0x0112 }];
  const outcomes = run();
  const { wire } = await accept(acceptor);
  expect(await takeReport(wire)).toMatchObject({
    eventType: 2,
    committed: ['2.25.7701.2'],
    failed: ['2.25.7701.1 0112'],
  });
  await receive(wire);
  wire.destroy();
  expect(await outcomes).toEqual([{ id: 7, outcome: 'done' }]);
  expect(logs[0]).toMatch(/^warn .*1 × 0112/);
});

it('takes no answer to its role for consent', async () => {
  const outcomes = run();
  const { wire } = await accept(acceptor, { role: 'none' });
  expect((await takeReport(wire)).eventType).toBe(1);
  await receive(wire);
  wire.destroy();
  expect(await outcomes).toEqual([{ id: 7, outcome: 'done' }]);
});

it.each([
  ['its role', { role: 'refused' as const }],
  ['the context', { result: 3 }],
])('says which key mends it where %s is refused', async (_what, how) => {
  const outcomes = run();
  const { wire } = await accept(acceptor, how);
  await receive(wire);
  wire.destroy();
  expect(await outcomes).toEqual([
    { id: 7, outcome: 'failed', reason: expect.stringContaining('remotes.ct1.commit: same-association') },
  ]);
});

it('was not tried where nobody listens', async () => {
  const { port } = acceptor;
  await acceptor.close();
  reach = { ...reach!, connect: calling(port) };
  const failure = await run().catch((error: unknown) => error);
  expect(isUnreached(failure)).toBe(true);
  acceptor = await RawAcceptor.listen();
});

it('has failed where the answer is a failure, or there is none', async () => {
  let outcomes = run();
  let { wire } = await accept(acceptor);
  await takeReport(wire, 0x0110);
  await receive(wire);
  wire.destroy();
  expect(await outcomes).toEqual([
    { id: 7, outcome: 'failed', reason: 'the report was answered 0110 (Processing failure)' },
  ]);

  outcomes = run();
  ({ wire } = await accept(acceptor));
  wire.reset();
  expect(await outcomes).toEqual([
    { id: 7, outcome: 'failed', destination: true, reason: expect.stringContaining('not answered') },
  ]);

  reach = { ...reach!, responseTimeout: 30 };
  outcomes = run();
  ({ wire } = await accept(acceptor));
  await receive(wire);
  expect(await outcomes).toEqual([
    { id: 7, outcome: 'failed', destination: true, reason: expect.stringContaining('not answered') },
  ]);
  wire.destroy();
});

it('takes a warning for an answer', async () => {
  const outcomes = run();
  const { wire } = await accept(acceptor);
  await takeReport(wire, 0x0107);
  await receive(wire);
  wire.destroy();
  expect(await outcomes).toEqual([{ id: 7, outcome: 'done' }]);
});

it('looks for instances as long as the remote may wait, from the request on', async () => {
  verdict = undefined;
  expect(await run()).toEqual([]);
  expect(verified).toMatchObject([{ until: ADDED + 60_000, bytes: true }]);
  // A clock that was set back doesn't make it wait for years.
  kept = { ...kept!, addedAt: Date.now() + 1e9 };
  await run();
  expect(verified[1]!.until).toBeLessThanOrEqual(Date.now() + 60_000);
});

it('reads the bytes once for tries that follow each other', async () => {
  reach = { ...reach!, connect: () => Promise.reject(new Error('away')) };
  const one = handler();
  for (let tries = 0; tries < 2; tries++) await run(one).catch(() => undefined);
  expect(verified.map(({ bytes }) => bytes)).toEqual([true, false]);
});

it('says nothing of a job that it gives up because the node stops', async () => {
  stopping.abort();
  expect(await run()).toEqual([]);
});

it('is hopeless without its remote, or without its list', async () => {
  reach = undefined;
  expect(await run()).toMatchObject([{ outcome: 'hopeless' }]);
  kept = undefined;
  expect(await run()).toMatchObject([{ outcome: 'hopeless' }]);
});

describe('on an association of the peer', () => {
  const COMMITMENT = '1.2.840.10008.1.20.1';
  let requests: { command: unknown; contextId: number }[];
  let status: number;
  const scu = {
    request: (command: unknown, contextId: number) => {
      requests.push({ command, contextId });
      return Promise.resolve({ status } as never);
    },
  };

  function association(more: object = {}): FakeAssociation {
    const one = new FakeAssociation();
    const peer = { name: 'ct1', allow: new Set(['commit']), unknownSyntaxes: true };
    return Object.assign(one, {
      peer,
      callingAETitle: 'CT_ROOM1',
      contexts: new Map([[9, { id: 9, abstractSyntax: COMMITMENT, transferSyntax: '1.2.840.10008.1.2' }]]),
      ...more,
    });
  }

  beforeEach(() => {
    requests = [];
    status = 0;
    reach = { ...reach!, connect: undefined };
  });

  it('reports there once it has been quiet', async () => {
    links.attach(association(), scu);
    expect(await run()).toEqual([{ id: 7, outcome: 'done' }]);
    expect(requests).toMatchObject([{ contextId: 9, command: { EventTypeID: 1 } }]);
  });

  it.each([
    ['of another remote', { peer: { name: 'ct2', allow: new Set(), unknownSyntaxes: true } }],
    ['of another title', { callingAETitle: 'CT_ROOM2' }],
    [
      'for something else',
      { contexts: new Map([[1, { id: 1, abstractSyntax: SOP.ct, transferSyntax: '' }]]) },
    ],
    ['of a peer that reports itself', { roles: [{ sopClass: COMMITMENT, scu: false, scp: true }] }],
  ])('does not report on one %s', async (_what, more) => {
    links.attach(association(more), scu);
    expect(await run()).toMatchObject([
      { outcome: 'failed', reason: expect.stringContaining('remotes.ct1') },
    ]);
    expect(requests).toEqual([]);
    expect(logs).toEqual([expect.stringMatching(/^warn storage commitment could not be reported to ct1/)]);
  });

  it('does not report on one that has ended while it was waited for', async () => {
    const one = association();
    links = new CommitmentLinks(() => undefined);
    links.attach(one, scu);
    const waiting = links.quiet('ct1', 'CT_ROOM1', 60_000, stopping.signal);
    one.abort(0, 0, 'the test says so');
    expect(await waiting).toBeUndefined();
  });

  it('prefers the one that asked last', async () => {
    const [first, second] = [association(), association()];
    links.attach(first, scu);
    links.attach(second, scu);
    await new Promise((resolve) => setTimeout(resolve, 2));
    links.asked(first);
    const link = await links.quiet('ct1', 'CT_ROOM1', 0, stopping.signal);
    expect(link?.association).toBe(first);
  });

  it('tells of each that begins', () => {
    const told: string[] = [];
    links = new CommitmentLinks((remote, title) => told.push(`${remote} ${title}`));
    links.attach(association(), scu);
    links.attach(association({ peer: undefined }), scu);
    expect(told).toEqual(['ct1 CT_ROOM1']);
  });
});
