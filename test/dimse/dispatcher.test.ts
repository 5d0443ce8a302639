import { encodeCommand } from '../../src/dimse/command';
import { Session } from '../../src/dimse/session';
import type { SessionOptions } from '../../src/dimse/session';
import type { DimseRequest, DimseResponse, ServiceContext, ServiceEntry } from '../../src/dimse/types';
import { DimseError } from '../../src/errors';
import type { Peer } from '../../src/peer';
import { echo } from '../../src/services/echo';
import {
  CT,
  FakeAssociation,
  STUDY_FIND,
  cancelRequest,
  echoRequest,
  findRequest,
  peer,
  settle,
  storeRequest,
} from './fake-association';

type Serve = (request: DimseRequest, context: ServiceContext) => AsyncGenerator<DimseResponse>;

const storing = (service: Serve): ServiceEntry => ({
  commandField: 0x0001,
  handles: (abstractSyntax) => abstractSyntax === CT,
  right: 'store',
  service,
});

const finding = (service: Serve): ServiceEntry => ({
  commandField: 0x0020,
  handles: (abstractSyntax) => abstractSyntax === STUDY_FIND,
  right: 'find',
  service,
});

/** Reads the data set, then waits for its turn to be let go. */
class Store {
  readonly started: number[] = [];
  readonly commit = new Map<number, () => void>();
  readonly entry = storing(async function* (request) {
    store.started.push(request.messageId);
    for await (const chunk of request.dataSet!) store.bytes += chunk.length;
    await new Promise<void>((resolve) => store.commit.set(request.messageId, resolve));
    yield { status: 0 };
  });
  bytes = 0;
}
let store: Store;
beforeEach(() => {
  store = new Store();
});

const success = storing(async function* (request) {
  while ((await request.dataSet!.read()) !== undefined);
  yield { status: 0 };
});

interface Made {
  association: FakeAssociation;
  session: Session;
  log: [string, string, Record<string, unknown>][];
}

function make(services: readonly ServiceEntry[], options: SessionOptions & { caller?: Peer } = {}): Made {
  const association = new FakeAssociation({ peer: options.caller ?? peer('echo', 'store', 'find') });
  const log: Made['log'] = [];
  const session = new Session(association, {
    services,
    log: (level, message, fields) => log.push([level, message, { ...fields }]),
    ...options,
  });
  return { association, session, log };
}

const data = (bytes = 10): Buffer => Buffer.alloc(bytes, 1);

describe('responses', () => {
  it('carry what follows from the request (DM-02)', async () => {
    const { association, session } = make([echo, success]);
    association.message(1, echoRequest(0xffff));
    association.message(3, storeRequest(2), data());
    await settle();
    expect(association.messages()).toEqual([
      {
        contextId: 1,
        data: undefined,
        command: {
          AffectedSOPClassUID: '1.2.840.10008.1.1',
          CommandField: 0x8030,
          MessageIDBeingRespondedTo: 0xffff,
          CommandDataSetType: 0x0101,
          Status: 0,
        },
      },
      {
        contextId: 3,
        data: undefined,
        command: {
          AffectedSOPClassUID: CT,
          CommandField: 0x8001,
          MessageIDBeingRespondedTo: 2,
          CommandDataSetType: 0x0101,
          Status: 0,
          AffectedSOPInstanceUID: '1.2.3.2',
        },
      },
    ]);
    expect(session.counters).toEqual({ requests: 2, instances: 1, bytes: 10 });
  });

  it('answers two commands that came in one PDU', async () => {
    const { association } = make([echo]);
    association.message(1, echoRequest(1));
    association.message(1, echoRequest(2));
    await settle();
    expect(association.answers()).toEqual([
      [1, 0],
      [2, 0],
    ]);
  });

  it('stream pending responses and end with the first other one', async () => {
    let after = false;
    const { association } = make([
      finding(async function* () {
        for (let i = 0; i < 3; i++) yield { status: 0xff00, dataSet: Buffer.from([i, 0]) };
        yield { status: 0 };
        after = true;
      }),
    ]);
    association.message(5, findRequest(1), data());
    await settle();
    expect(association.messages().map(({ command, data: sent }) => [command.Status, sent?.[0]])).toEqual([
      [0xff00, 0],
      [0xff00, 1],
      [0xff00, 2],
      [0, undefined],
    ]);
    expect(after).toBe(false);
  });

  it('let a service add elements', async () => {
    const { association } = make([
      finding(async function* () {
        yield {
          status: 0xa900,
          comment: 'x'.repeat(80),
          offendingElements: [0x00080052],
          fields: { NumberOfFailedSuboperations: 3 },
        };
      }),
    ]);
    association.message(5, findRequest(1), data());
    await settle();
    expect(association.messages()[0]!.command).toMatchObject({
      Status: 0xa900,
      ErrorComment: 'x'.repeat(64),
      OffendingElement: [0x00080052],
      NumberOfFailedSuboperations: 3,
    });
  });

  it('wait until the peer takes them: one pending response at a time', async () => {
    let made = 0;
    const { association } = make([
      finding(async function* () {
        for (; made < 1000; made++) yield { status: 0xff00, dataSet: data() };
        yield { status: 0 };
      }),
    ]);
    association.blocked = true;
    association.message(5, findRequest(1), data());
    await settle(20);
    expect(made).toBe(0);
    association.letGo();
    await settle();
    expect(association.messages()).toHaveLength(1001);
  });
});

describe('refusals (DM-06)', () => {
  const cases: [string, Parameters<FakeAssociation['message']>, number, RegExp][] = [
    ['an unknown command field (T30)', [1, echoRequest(9, { CommandField: 0x00f0 })], 0x0211, /00F0/],
    [
      'a command that the context does not serve',
      [5, findRequest(9, { CommandField: 0x0010 }), data()],
      0x0211,
      /C-GET/,
    ],
    ['C-STORE on the Verification context (T32)', [1, storeRequest(9), data()], 0x0122, /SOP class/],
    [
      'an N-service of another SOP class',
      [
        1,
        {
          RequestedSOPClassUID: CT,
          CommandField: 0x0130,
          MessageID: 9,
          CommandDataSetType: 0x0101,
          RequestedSOPInstanceUID: '1.2',
          ActionTypeID: 1,
        },
      ],
      0x0118,
      /SOP class/,
    ],
    [
      'a missing instance UID',
      [3, { ...storeRequest(9), AffectedSOPInstanceUID: '' }, data()],
      0x0212,
      /AffectedSOPInstanceUID/,
    ],
    ['a missing data set', [3, storeRequest(9, { CommandDataSetType: 0x0101 })], 0x0212, /data set/],
  ];

  it.each(cases)('answers %s', async (_what, message, status, comment) => {
    const { association } = make([echo, success, finding(async function* () {})]);
    association.message(...message);
    association.message(1, echoRequest(10));
    await settle();
    const [refused, answered] = association.messages();
    expect(refused!.command).toMatchObject({
      CommandField: message[1].CommandField | 0x8000,
      MessageIDBeingRespondedTo: 9,
      Status: status,
    });
    expect(refused!.command.ErrorComment).toMatch(comment);
    expect(refused!.command.ErrorComment).toMatch(/^[ -~]{1,64}$/);
    // The association lives.
    expect(answered!.command).toMatchObject({ MessageIDBeingRespondedTo: 10, Status: 0 });
  });

  it('answers a Message ID that is outstanding, and lets the first operation be', async () => {
    const { association } = make([store.entry, echo]);
    association.message(3, storeRequest(4), data());
    association.message(3, storeRequest(4), data());
    await settle();
    store.commit.get(4)!();
    await settle();
    expect(association.answers()).toEqual([
      [4, 0],
      [4, 0x0210],
    ]);
    association.message(1, echoRequest(4));
    await settle();
    expect(association.answers().at(-1)).toEqual([4, 0]);
  });

  it('names the key that would give the right', async () => {
    const { association, log } = make([success], { caller: peer('echo') });
    association.message(3, storeRequest(1), data());
    await settle();
    expect(association.messages()[0]!.command).toMatchObject({
      Status: 0x0124,
      ErrorComment: 'Not allowed: add store to remotes.ct1.allow',
    });
    expect(log).toEqual([['warn', 'request refused', expect.objectContaining({ status: '0124' })]]);
  });

  it('tells an unlisted caller to be listed', async () => {
    const { association } = make([success], { caller: { ...peer('echo'), name: 'unknown' } });
    association.message(3, storeRequest(1), data());
    await settle();
    expect(association.messages()[0]!.command.ErrorComment).toBe(
      'Not allowed: add this caller to remotes, with allow: [store]',
    );
  });

  it('aborts on a request without Message ID and on a response to nothing', async () => {
    const one = make([echo]);
    one.association.message(1, {
      AffectedSOPClassUID: '1.2.840.10008.1.1',
      CommandField: 0x0030,
      CommandDataSetType: 0x0101,
    });
    expect(one.association.aborts).toMatchObject([{ source: 2, reason: 6 }]);
    const two = make([echo]);
    two.association.message(1, {
      CommandField: 0x8030,
      MessageIDBeingRespondedTo: 1,
      CommandDataSetType: 0x0101,
      Status: 0,
    });
    expect(two.association.aborts).toMatchObject([{ source: 2, reason: 2 }]);
  });
});

describe('failing services', () => {
  const broken = {
    'before it reads': storing(async function* () {
      throw new Error('boom');
    }),
    'after it read': storing(async function* (request) {
      while ((await request.dataSet!.read()) !== undefined);
      throw new Error('boom');
    }),
    'without a final response': storing(async function* () {}),
    'with something that is no error': storing(async function* () {
      throw 'boom'; // eslint-disable-line @typescript-eslint/only-throw-error -- that is the case
    }),
  };

  it.each(Object.entries(broken))('is 0110 and an error log: %s', async (_what, entry) => {
    const { association, log } = make([entry, echo]);
    association.message(3, storeRequest(1), data());
    association.message(1, echoRequest(2));
    await settle();
    expect(association.answers()).toEqual([
      [1, 0x0110],
      [2, 0],
    ]);
    expect(association.messages()[0]!.command.ErrorComment).toBe(
      'Processing failure; see the log of the node',
    );
    expect(log).toEqual([
      ['error', 'request failed', expect.objectContaining({ command: 'C-STORE', messageId: 1 })],
    ]);
  });

  it('says what a DimseError says', async () => {
    const { association } = make([
      storing(async function* () {
        throw new DimseError(0xa700, 'Disk\n full: "\u00e9" \\ x', { offendingElements: [0x00080018] });
      }),
    ]);
    association.message(3, storeRequest(1), data());
    await settle();
    expect(association.messages()[0]!.command).toMatchObject({
      Status: 0xa700,
      ErrorComment: 'Disk? full: "?" / x',
      OffendingElement: [0x00080018],
    });
  });

  it('never makes a success of something thrown', async () => {
    const { association } = make([
      storing(async function* () {
        throw new DimseError(0x0000, 'fine');
      }),
    ]);
    association.message(3, storeRequest(1), data());
    await settle();
    expect(association.answers()).toEqual([[1, 0x0110]]);
  });

  it('answers once the rest of the data set has gone by, however large, without holding the sender', async () => {
    const { association } = make([
      storing(async function* () {
        throw new DimseError(0xa700, 'full');
      }),
      echo,
    ]);
    association.fragment(3, true, encodeCommand(storeRequest(1)), true);
    for (let i = 0; i < 100; i++) {
      association.fragment(3, false, Buffer.alloc(65536), false);
      await settle(1);
    }
    expect(association.answers()).toEqual([]);
    association.fragment(3, false, data(), true);
    await settle();
    expect(association.answers()).toEqual([[1, 0xa700]]);
    expect(association.pauses).toBe(0);
    association.message(1, echoRequest(2));
    await settle();
    expect(association.answers().at(-1)).toEqual([2, 0]);
  });

  it('keeps a final response though the service fails in tidying up', async () => {
    const { association, log } = make([
      storing(async function* () {
        try {
          yield { status: 0 };
        } finally {
          throw new Error('late');
        }
      }),
    ]);
    association.message(3, storeRequest(1), data());
    await settle();
    expect(association.answers()).toEqual([[1, 0]]);
    expect(log).toMatchObject([['error', 'request failed', { error: 'late' }]]);
  });
});

describe('pipelining', () => {
  it('overlaps C-STOREs and answers in the order of the requests', async () => {
    const { association } = make([store.entry, echo]);
    for (let id = 1; id <= 3; id++) association.message(3, storeRequest(id), data());
    await settle();
    expect(store.started).toEqual([1, 2, 3]);
    store.commit.get(3)!();
    store.commit.get(2)!();
    await settle();
    expect(association.answers()).toEqual([]);
    store.commit.get(1)!();
    await settle();
    expect(association.answers()).toEqual([
      [1, 0],
      [2, 0],
      [3, 0],
    ]);
  });

  it('lets nothing else overlap: a C-FIND sees what the C-STOREs before it stored', async () => {
    const seen: number[] = [];
    const { association } = make([
      store.entry,
      finding(async function* () {
        seen.push(association.messages().length);
        yield { status: 0 };
      }),
    ]);
    association.message(3, storeRequest(1), data());
    association.message(5, findRequest(2), data());
    association.message(3, storeRequest(3), data());
    await settle();
    expect([store.started, seen]).toEqual([[1], []]);
    store.commit.get(1)!();
    await settle();
    expect([store.started, seen]).toEqual([[1, 3], [1]]);
    store.commit.get(3)!();
    await settle();
    expect(association.answers().map(([id]) => id)).toEqual([1, 2, 3]);
  });

  it('starts nothing beside an operation that is no C-STORE', async () => {
    let end: () => void = () => undefined;
    const { association } = make([
      store.entry,
      finding(async function* () {
        yield { status: 0xff00 };
        await new Promise<void>((resolve) => (end = resolve));
        yield { status: 0 };
      }),
    ]);
    association.message(5, findRequest(1), data());
    association.message(3, storeRequest(2), data());
    await settle();
    expect(store.started).toEqual([]);
    end();
    await settle();
    expect(store.started).toEqual([2]);
    store.commit.get(2)!();
    await settle();
  });

  it('keeps pending responses in order, too', async () => {
    let first = true;
    let end: () => void = () => undefined;
    const { association } = make([
      storing(async function* () {
        if (first) {
          first = false;
          await new Promise<void>((resolve) => (end = resolve));
        }
        yield { status: 0xff00 };
        yield { status: 0 };
      }),
    ]);
    association.message(3, storeRequest(1), data());
    association.message(3, storeRequest(2), data());
    await settle();
    expect(association.sent).toEqual([]);
    end();
    await settle();
    expect(association.answers().map(([id]) => id)).toEqual([1, 1, 2, 2]);
  });

  it('runs 16, holds the socket, and starts the 17th when one has been answered', async () => {
    const { association } = make([store.entry]);
    for (let id = 1; id <= 15; id++) association.message(3, storeRequest(id), data());
    await settle();
    expect(association.pauses).toBe(0);
    association.message(3, storeRequest(16), data());
    expect(association.pauses).toBe(1);
    // Came in with the same read of the socket.
    association.message(3, storeRequest(17), data());
    await settle();
    expect(store.started).toHaveLength(16);
    store.commit.get(1)!();
    await settle();
    expect(store.started).toHaveLength(17);
    expect(association.paused).toBe(true);
    store.commit.get(2)!();
    await settle();
    expect(association.paused).toBe(false);
    for (let id = 3; id <= 17; id++) store.commit.get(id)!();
    await settle();
    expect(association.answers().map(([id]) => id)).toEqual(Array.from({ length: 17 }, (_, i) => i + 1));
    expect(association.pauses).toBe(association.resumes);
  });

  it('reads the data set of the message under way though the limit is reached', async () => {
    const { association } = make([store.entry], { maxOutstanding: 1 });
    association.fragment(3, true, encodeCommand(storeRequest(1)), true);
    expect(association.paused).toBe(false);
    association.fragment(3, false, data(), true);
    expect(association.paused).toBe(true);
    association.fragment(3, true, encodeCommand(storeRequest(2)), true);
    expect(association.paused).toBe(true);
    await settle();
    store.commit.get(1)!();
    await settle();
    expect(association.paused).toBe(false);
    expect(store.started).toEqual([1, 2]);
  });

  it('holds a sender whose data sets nobody reads, at 1 MiB in all', async () => {
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    const { association } = make([
      storing(async function* (request) {
        await gate;
        while ((await request.dataSet!.read()) !== undefined);
        yield { status: 0 };
      }),
    ]);
    let sent = 0;
    for (let id = 1; id <= 8 && !association.paused; id++) {
      association.message(3, storeRequest(id), Buffer.alloc(300_000));
      sent++;
    }
    expect(sent).toBe(4);
    release();
    await settle();
    expect(association.paused).toBe(false);
    expect(association.answers()).toHaveLength(4);
  });
});

describe('C-CANCEL (DM-04)', () => {
  const waiting = (): { entry: ServiceEntry; aborted: () => boolean } => {
    let signal: AbortSignal | undefined;
    return {
      aborted: () => signal?.aborted === true,
      entry: finding(async function* (_request, { cancelled }) {
        signal = cancelled;
        yield { status: 0xff00 };
        if (!cancelled.aborted) await new Promise((resolve) => cancelled.addEventListener('abort', resolve));
        yield { status: 0xfe00 };
      }),
    };
  };

  it('reaches the running operation at once', async () => {
    const { entry, aborted } = waiting();
    const { association } = make([entry, echo]);
    association.message(5, findRequest(7), data());
    association.message(1, echoRequest(8));
    await settle();
    expect(association.answers()).toEqual([[7, 0xff00]]);
    association.message(5, cancelRequest(7));
    expect(aborted()).toBe(true);
    await settle();
    expect(association.answers()).toEqual([
      [7, 0xff00],
      [7, 0xfe00],
      [8, 0],
    ]);
  });

  it('is ignored when late, unknown, doubled or without a number (T31)', async () => {
    const { entry } = waiting();
    const { association } = make([entry, echo]);
    association.message(5, cancelRequest(77));
    association.message(5, { CommandField: 0x0fff, CommandDataSetType: 0x0101 });
    association.message(1, echoRequest(77));
    await settle();
    association.message(5, cancelRequest(77));
    association.message(5, findRequest(1), data());
    association.message(5, cancelRequest(1));
    association.message(5, cancelRequest(1));
    await settle();
    association.message(5, cancelRequest(1));
    await settle();
    expect(association.answers()).toEqual([
      [77, 0],
      [1, 0xff00],
      [1, 0xfe00],
    ]);
    expect(association.aborts).toEqual([]);
  });

  it('does not touch a C-STORE', async () => {
    let cancelled: AbortSignal | undefined;
    const { association } = make([
      storing(async function* (request, context) {
        cancelled = context.cancelled;
        while ((await request.dataSet!.read()) !== undefined);
        yield { status: 0 };
      }),
    ]);
    association.message(3, storeRequest(1), data());
    association.message(3, cancelRequest(1));
    await settle();
    expect(cancelled!.aborted).toBe(false);
    expect(association.answers()).toEqual([[1, 0]]);
  });
});

describe('the end of an association', () => {
  it('aborts `lost`, fails the data set, closes iterators, starts nothing more, and tells when all is over', async () => {
    const events: string[] = [];
    const { association, session, log } = make([
      storing(async function* (request, { lost }) {
        lost.addEventListener('abort', () => events.push('lost'));
        try {
          while ((await request.dataSet!.read()) !== undefined);
          yield { status: 0 };
        } catch (error) {
          events.push((error as { code: string }).code);
          throw error;
        } finally {
          await settle(1);
          events.push('closed');
        }
      }),
      finding(async function* () {
        events.push('never');
      }),
    ]);
    association.fragment(3, true, encodeCommand(storeRequest(1)), true);
    association.fragment(3, false, data(), false);
    await settle();
    association.finish({ kind: 'connection-lost', reason: 'connection lost' });
    void session.finished.then(({ kind }) => events.push(kind));
    await settle();
    expect(events).toEqual(['lost', 'ASSOCIATION_ENDED', 'closed', 'connection-lost']);
    expect(association.sent).toEqual([]);
    expect(log).toEqual([]);
  });

  it('closes a service that is blocked in writing', async () => {
    let closed = false;
    const { association, session, log } = make([
      finding(async function* () {
        try {
          for (;;) yield { status: 0xff00 };
        } finally {
          closed = true;
        }
      }),
      echo,
    ]);
    association.blocked = true;
    association.message(5, findRequest(1), data());
    association.message(1, echoRequest(2));
    await settle();
    association.finish({ kind: 'connection-lost', reason: 'connection lost' });
    await session.finished;
    expect(closed).toBe(true);
    expect(association.sent).toHaveLength(1);
    expect(log).toEqual([]);
  });

  it('lets a complete C-STORE end as it would, unanswered', async () => {
    const { association, session } = make([store.entry]);
    association.message(3, storeRequest(1), data());
    await settle();
    association.finish({ kind: 'aborted-by-peer', reason: 'aborted by peer' });
    await settle();
    store.commit.get(1)!();
    await session.finished;
    expect(association.sent).toEqual([]);
  });

  it('tells when nothing is under way any more', async () => {
    const { association, session } = make([store.entry]);
    await session.idle();
    association.message(3, storeRequest(1), data());
    let idle = false;
    void session.idle().then(() => (idle = true));
    await settle();
    expect(idle).toBe(false);
    store.commit.get(1)!();
    await settle();
    expect(idle).toBe(true);
    expect(association.answers()).toEqual([[1, 0]]);
  });

  it('is finished at once where nothing runs', async () => {
    const { association, session } = make([echo]);
    association.finish({ kind: 'released', reason: 'released' });
    expect(await session.finished).toEqual({ kind: 'released', reason: 'released' });
  });
});

describe('release (UL-06)', () => {
  it('is answered at once where nothing runs', () => {
    const { association } = make([echo]);
    association.askRelease();
    expect(association.releaseAnswers).toBe(1);
  });

  it('cancels what can be cancelled and is answered after its last response', async () => {
    const { association } = make([
      finding(async function* (_request, { cancelled }) {
        await new Promise((resolve) => cancelled.addEventListener('abort', resolve));
        yield { status: 0xfe00 };
      }),
    ]);
    association.message(5, findRequest(1), data());
    await settle();
    association.askRelease();
    expect(association.releaseAnswers).toBe(0);
    await settle();
    expect(association.answers()).toEqual([[1, 0xfe00]]);
    expect(association.releaseAnswers).toBe(1);
  });

  it('waits for C-STOREs that are being committed or wait, and answers them first', async () => {
    const { association } = make([store.entry], { maxOutstanding: 2 });
    for (let id = 1; id <= 3; id++) association.message(3, storeRequest(id), data());
    association.askRelease();
    await settle();
    store.commit.get(2)!();
    store.commit.get(1)!();
    await settle();
    expect(association.releaseAnswers).toBe(0);
    store.commit.get(3)!();
    await settle();
    expect(association.answers().map(([id, status]) => [id, status])).toEqual([
      [1, 0],
      [2, 0],
      [3, 0],
    ]);
    expect(association.releaseAnswers).toBe(1);
  });
});

describe('the idle timer', () => {
  it('rests while we work, and counts while a message comes in', async () => {
    const { association } = make([store.entry]);
    association.fragment(3, true, encodeCommand(storeRequest(1)), true);
    association.fragment(3, false, data(), false);
    await settle();
    expect(association.busy).toEqual([]);
    association.fragment(3, false, data(), true);
    expect(association.busy).toEqual([true]);
    await settle();
    store.commit.get(1)!();
    await settle();
    expect(association.busy).toEqual([true, false]);
  });
});
