import type { InstanceLocation } from '../../src/catalog/types';
import type { DimseRequest, DimseResponse, ServiceContext } from '../../src/dimse/types';
import { NodeEventBus, type RetrievedEvent } from '../../src/events';
import type { Association } from '../../src/net/types';
import type { OutgoingInstance } from '../../src/services/outgoing';
import { retrieve, type Outgoing, type RetrieveParts } from '../../src/services/retrieve';
import type { SendResult } from '../../src/services/send-types';
import { SOP, TS } from '../support/data-sets';
import { read } from './query-kit';

type Deliver = (outgoing: Outgoing) => AsyncIterable<SendResult>;

const location = (index: number): InstanceLocation => ({
  arrivalId: `arrival-${index}`,
  SOPClassUID: SOP.ct,
  SOPInstanceUID: `1.${index}`,
  StudyInstanceUID: '1',
  SeriesInstanceUID: '1.1',
  TransferSyntaxUID: TS.explicit,
  dataSetOffset: 0,
  dataSetLength: 10,
  sha256: '',
  state: 'current',
  damaged: undefined,
});

/** One operation with a catalog and a sender that do as they are told. */
class Operation {
  readonly cancelled = new AbortController();
  readonly lost = new AbortController();
  readonly stopping = new AbortController();
  readonly ended: RetrievedEvent[] = [];
  readonly logs: string[] = [];
  readonly retried: string[] = [];
  /** Of the catalog's answers; `counted` may differ from what it then has. */
  counted = 10;
  held = 10;
  pages = 0;
  failSurvey = false;
  failPage: number | undefined;
  pendingInterval = 60_000;

  run(deliver: Deliver): AsyncGenerator<DimseResponse> {
    const events = new NodeEventBus((error) => {
      throw error;
    });
    events.on('retrieved', (event) => this.ended.push(event));
    const parts: RetrieveParts = {
      catalog: {
        survey: async () => {
          if (this.failSurvey) throw new Error('disk');
          const kind = { SOPClassUID: SOP.ct, TransferSyntaxUID: TS.explicit, count: this.counted };
          return { kinds: this.counted === 0 ? [] : [kind], until: '99', next: undefined };
        },
        retrieve: async (_selection, { limit, after = '0', until }) => {
          expect(until).toBe('99');
          if (this.pages++ === this.failPage) throw new Error('disk');
          const from = Number(after);
          const to = Math.min(this.held, from + limit);
          const rows = Array.from({ length: to - from }, (_, index) => location(from + index));
          return { rows, next: to < this.held ? String(to) : undefined };
        },
      },
      instanceOf: ({ arrivalId, ...rest }): OutgoingInstance => ({
        ...rest,
        name: arrivalId,
        read: () => {
          throw new Error('nobody reads');
        },
      }),
      pendingInterval: () => this.pendingInterval,
      stopping: this.stopping.signal,
      kill: new AbortController().signal,
      onDamaged: () => undefined,
      events,
      log: (level, message, fields) => this.logs.push(`${level} ${message} ${JSON.stringify(fields)}`),
    };
    const request = {
      command: {},
      messageId: 7,
      context: { transferSyntax: TS.explicit },
    } as unknown as DimseRequest;
    const context = {
      association: { id: 'a1' } as unknown as Association,
      peer: { name: 'ws', allow: new Set(), unknownSyntaxes: true },
      cancelled: this.cancelled.signal,
      lost: this.lost.signal,
    } as unknown as ServiceContext;
    return retrieve(
      parts,
      {
        command: 'C-MOVE',
        destination: 'pacs',
        deliver,
        onFailed: (uid) => {
          this.retried.push(uid);
          return undefined;
        },
      },
      { level: 'STUDY', selection: { StudyInstanceUID: ['1'] } },
      request,
      context,
    );
  }

  async responses(deliver: Deliver): Promise<DimseResponse[]> {
    const all: DimseResponse[] = [];
    for await (const response of this.run(deliver)) all.push(response);
    return all;
  }
}

/** Sends until `signal`, as the sender does; reads `ahead` further instances that it forgets then. */
function sender(
  outcome: (
    instance: OutgoingInstance,
    count: number,
  ) => Partial<SendResult> | Promise<Partial<SendResult>> = () => ({}),
  ahead = 0,
): Deliver {
  return async function* deliver({ instances, signal }) {
    for (let count = 1; !signal.aborted; count++) {
      const step = await instances.next();
      if (step.done === true) return;
      yield { instance: step.value, outcome: 'completed', status: 0, ...(await outcome(step.value, count)) };
    }
    for (let index = 0; index < ahead; index++) await instances.next();
  };
}

const summary = ({ status, fields = {} }: DimseResponse): string =>
  `${status.toString(16).padStart(4, '0')} ${fields.NumberOfRemainingSuboperations ?? '-'}/` +
  `${fields.NumberOfCompletedSuboperations}/${fields.NumberOfFailedSuboperations}/${fields.NumberOfWarningSuboperations}`;

const failedOf = ({ dataSet }: DimseResponse): string[] =>
  dataSet === undefined ? [] : String(read(dataSet)['FailedSOPInstanceUIDList']).split('\\');

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

it('answers Pending after the first one, then the final status', async () => {
  const operation = new Operation();
  const responses = await operation.responses(sender(() => turn().then(() => ({}))));
  expect(responses.map(summary)).toEqual(['ff00 9/1/0/0', '0000 -/10/0/0']);
  expect(operation.ended).toMatchObject([
    {
      command: 'C-MOVE',
      associationId: 'a1',
      remoteName: 'ws',
      destination: 'pacs',
      level: 'STUDY',
      status: 0,
      completed: 10,
      failed: 0,
      warning: 0,
      remaining: 0,
      bytes: 100,
    },
  ]);
});

it('hands out pages of a large answer, fetching one ahead and no more', async () => {
  const operation = new Operation();
  operation.counted = operation.held = 1000;
  const run = operation.run(async function* ({ instances, signal }) {
    yield { instance: (await instances.next()).value!, outcome: 'completed' };
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
  });
  await run.next();
  for (let count = 0; count < 20; count++) await turn();
  expect(operation.pages).toBe(2);
  await run.return(undefined);
});

it('A701 where the matches can not be counted', async () => {
  const operation = new Operation();
  operation.failSurvey = true;
  await expect(operation.responses(sender())).rejects.toMatchObject({ status: 0xa701 });
});

it('asks nobody to send nothing', async () => {
  const operation = new Operation();
  operation.counted = operation.held = 0;
  const responses = await operation.responses(() => {
    throw new Error('asked');
  });
  expect(responses.map(summary)).toEqual(['0000 -/0/0/0']);
});

it('what was deleted meanwhile has failed, without a UID', async () => {
  const operation = new Operation();
  operation.held = 8;
  const final = (await operation.responses(sender())).at(-1)!;
  expect([summary(final), final.comment]).toEqual(['b000 -/8/2/0', '2 of 10 failed: deleted meanwhile']);
});

it('never sends more than it counted', async () => {
  const operation = new Operation();
  operation.held = 15;
  const final = (await operation.responses(sender())).at(-1)!;
  expect(summary(final)).toBe('0000 -/10/0/0');
});

it('a page that can not be read fails the rest, with the counters', async () => {
  const operation = new Operation();
  operation.counted = operation.held = 500;
  operation.failPage = 1;
  const final = (await operation.responses(sender())).at(-1)!;
  expect([summary(final), final.comment]).toEqual([
    'b000 -/200/300/0',
    '300 of 500 failed: see the log of the node',
  ]);
  expect(operation.logs.some((line) => line.startsWith('error a retrieve was broken off'))).toBe(true);
});

it('cancelled: FE00; what was only read ahead remains', async () => {
  const operation = new Operation();
  const deliver = sender((_instance, count) => {
    if (count === 4) operation.cancelled.abort();
    return {};
  }, 2);
  const final = (await operation.responses(deliver)).at(-1)!;
  expect(summary(final)).toBe('fe00 6/4/0/0');
  expect(operation.retried).toEqual([]);
});

it('cancelled after the last one: as it ended', async () => {
  const operation = new Operation();
  const deliver = sender((_instance, count) => {
    if (count === 10) operation.cancelled.abort();
    return {};
  });
  expect(summary((await operation.responses(deliver)).at(-1)!)).toBe('0000 -/10/0/0');
});

it('a node that stops: what was not begun has failed, by name, and is handed to the queue', async () => {
  const operation = new Operation();
  const deliver = sender((_instance, count) => {
    if (count === 4) operation.stopping.abort();
    return {};
  }, 2);
  const final = (await operation.responses(deliver)).at(-1)!;
  expect(summary(final)).toBe('b000 -/4/6/0');
  expect(final.comment).toBe('6 of 10 failed: the node stops; retrieve again later');
  const rest = ['1.4', '1.5', '1.6', '1.7', '1.8', '1.9'];
  expect(failedOf(final)).toEqual(rest);
  expect(operation.retried).toEqual(rest);
});

it('a lost caller ends the work: nobody is answered, nothing is tried again', async () => {
  const operation = new Operation();
  const deliver = sender((_instance, count) => {
    if (count === 2) operation.lost.abort();
    return {};
  });
  await expect(operation.responses(deliver)).rejects.toThrow('the caller is gone');
  expect(operation.ended).toMatchObject([{ status: undefined, completed: 2, remaining: 8 }]);
  expect(operation.retried).toEqual([]);
});

it('a dispatcher that gives up waits for what is under way', async () => {
  const operation = new Operation();
  let finished = false;
  const run = operation.run(async function* (outgoing) {
    yield* sender(() => turn().then(() => ({})))(outgoing);
    expect(outgoing.signal.aborted).toBe(true);
    await turn();
    finished = true;
  });
  expect((await run.next()).value).toMatchObject({ status: 0xff00 });
  await run.return(undefined);
  expect(finished).toBe(true);
  expect(operation.ended).toMatchObject([{ status: undefined }]);
});

it('Pending comes by the clock while the first one is under way', async () => {
  const operation = new Operation();
  operation.pendingInterval = 5;
  const go = Promise.withResolvers<undefined>();
  const run = operation.run(sender(() => go.promise.then(() => ({}))));
  expect(summary((await run.next()).value as DimseResponse)).toBe('ff00 10/0/0/0');
  expect(summary((await run.next()).value as DimseResponse)).toBe('ff00 10/0/0/0');
  go.resolve(undefined);
  let last: DimseResponse | undefined;
  for await (const response of run) last = response;
  expect(summary(last!)).toBe('0000 -/10/0/0');
});

it('logs some failures, and one for all where nobody is there', async () => {
  const failures = async (unreachable: unknown): Promise<number> => {
    const operation = new Operation();
    operation.counted = operation.held = 100;
    await operation.responses(
      sender(() => ({
        outcome: 'failed',
        reason: 'no',
        ...(unreachable === undefined ? {} : { unreachable }),
      })),
    );
    return operation.logs.filter((line) => line.includes('could not be sent')).length;
  };
  expect(await failures(undefined)).toBe(20);
  expect(await failures(new Error('nobody'))).toBe(1);
});

it('names the reason of the first failure rather than that of a warning', async () => {
  const outcomes: Partial<SendResult>[] = [
    { outcome: 'warning', reason: 'B000' },
    { outcome: 'failed', reason: 'A700: full' },
  ];
  const final = (await new Operation().responses(sender((_one, count) => outcomes[count - 1] ?? {}))).at(-1)!;
  expect([summary(final), final.comment]).toEqual(['b000 -/8/1/1', '1 of 10 failed: A700: full']);
});
