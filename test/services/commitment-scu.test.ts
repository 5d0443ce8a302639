import { connect } from '../../src/net/requestor';
import type { ReportNews } from '../../src/services/commitment-expected';
import { ExpectedReports } from '../../src/services/commitment-expected';
import { askCommitment, type AskOptions, type CommitmentAnswer } from '../../src/services/commitment-scu';
import { COMMITMENT, receive, references, WELL_KNOWN, type Reference } from '../support/commitment-peer';
import { encode, SOP, TS, type Element } from '../support/data-sets';
import { RawAcceptor } from '../support/raw-peer';
import { commandSet, pData, pdv, type Wire } from '../support/wire';
import { TIMEOUTS } from '../support/upper-layer';
import { read } from './query-kit';

const REFERENCES: Reference[] = [
  { SOPClassUID: SOP.ct, SOPInstanceUID: '2.25.7701.1' },
  { SOPClassUID: SOP.mr, SOPInstanceUID: '2.25.7701.2' },
  { SOPClassUID: SOP.ct, SOPInstanceUID: '2.25.7701.3' },
];

let acceptor: RawAcceptor;

beforeEach(async () => {
  acceptor = await RawAcceptor.listen();
});

afterEach(() => acceptor.close());

function ask(more: Partial<AskOptions> = {}): Promise<CommitmentAnswer> {
  return askCommitment(REFERENCES, {
    connect: (proposal) =>
      connect({
        ...proposal,
        host: '127.0.0.1',
        port: acceptor.port,
        callingAETitle: 'NODE',
        calledAETitle: 'ARCHIVE',
        implementation: { classUID: '2.25.1', versionName: 'T' },
        maximumLength: 16384,
        timeouts: TIMEOUTS,
      }),
    responseTimeout: 5000,
    wait: 10_000,
    signal: new AbortController().signal,
    ...more,
  });
}

interface Asked {
  readonly transaction: string;
  readonly uids: string[];
  readonly instance: string | undefined;
  readonly action: number | undefined;
}

/** Reads an N-ACTION and answers it. */
async function asked(wire: Wire, status = 0): Promise<Asked> {
  const { command, dataSet } = (await receive(wire))!;
  expect(command.field).toBe(0x0130);
  await wire.send(
    pData(
      pdv(
        1,
        true,
        true,
        commandSet({
          0x0002: COMMITMENT,
          0x0100: 0x8130,
          0x0120: command.number(0x0110)!,
          0x0800: 0x0101,
          0x0900: status,
        }),
      ),
    ),
  );
  const data = read(dataSet!);
  return {
    transaction: String(data['TransactionUID']),
    uids: (data['ReferencedSOPSequence'] as Record<string, unknown>[]).map((one) =>
      String(one['ReferencedSOPInstanceUID']),
    ),
    instance: command.text(0x1001),
    action: command.number(0x1008),
  };
}

interface Sent {
  readonly committed?: readonly Reference[];
  readonly failed?: readonly Reference[];
  readonly eventType?: number;
  readonly instance?: string;
}

/** Sends an N-EVENT-REPORT. @returns the status of the answer. */
async function report(wire: Wire, transaction: string, sent: Sent = {}): Promise<number | undefined> {
  const { committed = [], failed = [], eventType = failed.length > 0 ? 2 : 1, instance = WELL_KNOWN } = sent;
  const failures: Element = {
    tag: 0x00081198,
    vr: 'SQ',
    value: {
      items: failed.map(({ SOPClassUID, SOPInstanceUID }): Element[] => [
        { tag: 0x00081150, vr: 'UI', value: SOPClassUID },
        { tag: 0x00081155, vr: 'UI', value: SOPInstanceUID },
        { tag: 0x00081197, vr: 'US', value: [0x0112] },
      ]),
    },
  };
  const bytes = encode([
    { tag: 0x00081195, vr: 'UI', value: transaction },
    ...(failed.length > 0 ? [failures] : []),
    ...(committed.length > 0 ? [references(committed)] : []),
  ]);
  await wire.send(
    pData(
      pdv(
        1,
        true,
        true,
        commandSet({
          0x0002: COMMITMENT,
          0x0100: 0x0100,
          0x0110: 77,
          0x0800: 1,
          0x1000: instance,
          0x1002: eventType,
        }),
      ),
    ),
  );
  await wire.send(pData(pdv(1, false, true, bytes)));
  const answer = await receive(wire);
  expect(answer?.command.field).toBe(0x8100);
  return answer?.command.status;
}

const open = (): Promise<Wire> => acceptor.associate({ contexts: [{ id: 1, transferSyntax: TS.explicit }] });

it('asks, and hears on the same association what is committed and what is not', async () => {
  const answer = ask();
  const wire = await open();
  const request = await asked(wire);
  expect(request).toMatchObject({
    uids: REFERENCES.map(({ SOPInstanceUID }) => SOPInstanceUID),
    instance: WELL_KNOWN,
    action: 1,
  });
  expect(request.transaction).toMatch(/^2\.25\.\d{1,39}$/);
  expect(
    await report(wire, request.transaction, {
      committed: REFERENCES.slice(0, 1),
      failed: REFERENCES.slice(1, 2),
    }),
  ).toBe(0);
  expect(await receive(wire)).toBeUndefined();
  wire.destroy();
  expect(await answer).toEqual({
    committed: REFERENCES.slice(0, 1),
    failed: [{ ...REFERENCES[1], reason: 0x0112 }],
    unanswered: REFERENCES.slice(2),
    problem: 'the report did not name every instance',
  });
});

it('takes nothing for committed that is named as failed too', async () => {
  const answer = ask();
  const wire = await open();
  const { transaction } = await asked(wire);
  await report(wire, transaction, { committed: REFERENCES, failed: REFERENCES.slice(0, 1) });
  await receive(wire);
  wire.destroy();
  expect(await answer).toMatchObject({
    committed: REFERENCES.slice(1),
    failed: REFERENCES.slice(0, 1),
    unanswered: [],
  });
});

it('takes reports of its own transactions only', async () => {
  const answer = ask();
  const wire = await open();
  const { transaction } = await asked(wire);
  expect(await report(wire, '2.25.4711', { committed: REFERENCES })).toBe(0x0110);
  expect(await report(wire, transaction, { committed: REFERENCES, eventType: 3 })).toBe(0x0113);
  expect(await report(wire, transaction, { committed: REFERENCES, instance: '1.2.3' })).toBe(0x0112);
  expect(await report(wire, transaction, { committed: REFERENCES })).toBe(0);
  await receive(wire);
  wire.destroy();
  expect(await answer).toMatchObject({ committed: REFERENCES });
});

it('asks in several requests where there are many, and waits for all of them', async () => {
  const answer = ask({ atOnce: 2 });
  const wire = await open();
  const first = await asked(wire);
  const second = await asked(wire);
  expect([first.uids.length, second.uids.length]).toEqual([2, 1]);
  expect(second.transaction).not.toBe(first.transaction);
  await report(wire, second.transaction, { committed: REFERENCES.slice(2) });
  await report(wire, first.transaction, { committed: REFERENCES.slice(0, 2) });
  await receive(wire);
  wire.destroy();
  expect((await answer).committed).toEqual(REFERENCES);
});

it('says why there is no answer: refused, in vain, cut off', async () => {
  let answer = ask();
  let wire = await open();
  await asked(wire, 0x0213);
  await receive(wire);
  wire.destroy();
  expect(await answer).toEqual({
    committed: [],
    failed: [],
    unanswered: REFERENCES,
    problem: 'the peer refused the request: 0213 (Resource limitation)',
  });

  answer = ask({ wait: 20 });
  wire = await open();
  await asked(wire);
  await receive(wire);
  wire.destroy();
  expect(await answer).toMatchObject({ unanswered: REFERENCES, problem: 'no report came in time' });

  // Long before the time is over.
  answer = ask();
  wire = await open();
  await asked(wire);
  wire.reset();
  expect(await answer).toMatchObject({ unanswered: REFERENCES });
});

it('fails where the peer offers no storage commitment', async () => {
  const answer = ask().catch((error: unknown) => error);
  const wire = await acceptor.associate({ contexts: [{ id: 1, result: 3, transferSyntax: TS.explicit }] });
  await receive(wire);
  wire.destroy();
  expect(await answer).toMatchObject({ code: 'NO_CONTEXT', exitCode: 4 });
});

it('hears of reports elsewhere too, also when its association has gone', async () => {
  const elsewhere = new ExpectedReports();
  let listening: readonly string[] = [];
  const answer = ask({
    elsewhere: (uids, signal) => {
      listening = uids;
      return elsewhere.reports('ARCHIVE', uids, signal);
    },
  });
  const wire = await open();
  const { transaction } = await asked(wire);
  expect(listening).toEqual([transaction]);
  wire.reset();
  await new Promise((resolve) => setImmediate(resolve));
  const serve = elsewhere.service.service;
  const bytes = encode([{ tag: 0x00081195, vr: 'UI', value: transaction }, references(REFERENCES)]);
  const call = (callingAETitle: string) =>
    serve(
      {
        command: {
          CommandField: 0x0100,
          CommandDataSetType: 1,
          AffectedSOPInstanceUID: WELL_KNOWN,
          EventTypeID: 1,
        },
        messageId: 1,
        context: { id: 1, abstractSyntax: COMMITMENT, transferSyntax: TS.explicit },
        dataSet: (async function* () {
          yield bytes;
        })() as never,
      },
      { association: { role: 'acceptor', callingAETitle } } as never,
    )[Symbol.asyncIterator]();
  await expect(call('SOMEBODY').next()).rejects.toMatchObject({ status: 0x0110 });
  expect((await call('ARCHIVE').next()).value).toEqual({ status: 0 });
  expect(await answer).toMatchObject({ committed: REFERENCES, unanswered: [] });
});

it('goes on without the node that ends', async () => {
  async function* ends(): AsyncGenerator<ReportNews> {
    yield { kind: 'expected' };
    await Promise.resolve();
    throw new Error('gone');
  }
  const answer = ask({ elsewhere: () => ends() });
  const wire = await open();
  const { transaction } = await asked(wire);
  await report(wire, transaction, { committed: REFERENCES });
  await receive(wire);
  wire.destroy();
  expect((await answer).committed).toEqual(REFERENCES);
});

it('forgets what is waited for when whoever waits is gone', async () => {
  const expected = new ExpectedReports();
  const end = new AbortController();
  const news = expected.reports('ARCHIVE', ['2.25.1', '2.25.2'], end.signal);
  expect((await news.next()).value).toEqual({ kind: 'expected' });
  const next = news.next();
  end.abort();
  expect((await next).done).toBe(true);
  expect((expected as unknown as { transactions: Map<string, unknown> }).transactions.size).toBe(0);
});
