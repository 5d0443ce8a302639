import fc from 'fast-check';
import { Session } from '../../src/dimse/session';
import type { SessionOptions } from '../../src/dimse/session';
import { MessageSender } from '../../src/dimse/sender';
import type { DimseRequest, DimseResponse, ServiceContext, ServiceEntry } from '../../src/dimse/types';
import { echo } from '../../src/services/echo';
import { CT, FakeAssociation, STUDY_FIND, STUDY_GET, peer, settle } from './fake-association';

type Serve = (request: DimseRequest, context: ServiceContext) => AsyncGenerator<DimseResponse>;

const entry = (commandField: number, abstractSyntax: string, service: Serve): ServiceEntry => ({
  commandField,
  handles: (uid) => uid === abstractSyntax,
  right: 'store',
  service,
});

const ALL = peer('echo', 'store', 'find', 'get');

function connect(
  services: readonly ServiceEntry[],
  options: SessionOptions & { window?: number; sendLimit?: number } = {},
): { requestor: FakeAssociation; acceptor: FakeAssociation; client: Session; server: Session } {
  const { requestor, acceptor } = FakeAssociation.pair({
    peer: ALL,
    ...(options.window === undefined ? {} : { window: options.window }),
    ...(options.sendLimit === undefined ? {} : { sendLimit: options.sendLimit }),
  });
  const client = new Session(requestor, options);
  const server = new Session(acceptor, { services });
  return { requestor, acceptor, client, server };
}

const FIND = { CommandField: 0x0020, AffectedSOPClassUID: STUDY_FIND, Priority: 0 };
const instance = (n: number) => ({ contextId: 3, SOPClassUID: CT, SOPInstanceUID: `1.2.3.${n}` });

async function* chunks(...parts: Buffer[]): AsyncGenerator<Buffer> {
  yield* parts;
}

async function all(request: DimseRequest): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of request.dataSet!) parts.push(part);
  return Buffer.concat(parts);
}

describe('requests', () => {
  it('echoes', async () => {
    const { client, requestor } = connect([echo]);
    expect(await client.scu.echo()).toBe(0);
    expect(await client.scu.echo()).toBe(0);
    expect(requestor.messages().map(({ command }) => command.MessageID)).toEqual([1, 2]);
    expect(requestor.busy).toEqual([true, false, true, false]);
  });

  it('stores from a buffer and from a stream, byte for byte, whatever the chunks', async () => {
    let got: Buffer | undefined;
    let command: DimseRequest['command'] | undefined;
    const store = entry(1, CT, async function* (request) {
      command = request.command;
      got = await all(request);
      yield { status: 0 };
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 400 }), { maxLength: 10 }),
        fc.integer({ min: 8, max: 200 }),
        async (parts, sendLimit) => {
          const buffers = parts.map((part) => Buffer.from(part));
          const { client, server } = connect([store], { sendLimit });
          const response = await client.scu.store(instance(1), chunks(...buffers));
          expect(response.status).toBe(0);
          expect(got!.equals(Buffer.concat(buffers))).toBe(true);
          expect(client.counters).toMatchObject({ instances: 1, bytes: got!.length });
          expect(server.counters).toMatchObject({ instances: 1, bytes: got!.length, requests: 1 });
        },
      ),
      { numRuns: 60 },
    );
    const { client } = connect([store]);
    await client.scu.store(
      { ...instance(2), moveOriginator: { aeTitle: 'TESTER', messageId: 9 } },
      Buffer.from('abcd'),
    );
    expect(String(got)).toBe('abcd');
    expect(command).toMatchObject({
      AffectedSOPInstanceUID: '1.2.3.2',
      MoveOriginatorApplicationEntityTitle: 'TESTER',
      MoveOriginatorMessageID: 9,
    });
  });

  it('hands on pending responses in order, with their data sets, and waits for each', async () => {
    const find = entry(0x0020, STUDY_FIND, async function* () {
      for (let i = 0; i < 200; i++) yield { status: 0xff00, dataSet: Buffer.from([i, i]) };
      yield { status: 0 };
    });
    const { client, requestor } = connect([find]);
    const seen: number[] = [];
    let busy = false;
    const response = await client.scu.request(FIND, 5, Buffer.alloc(2), {
      onPending: async ({ dataSet }) => {
        expect(busy).toBe(false);
        busy = true;
        seen.push(dataSet![0]!);
        if (seen.length % 50 === 0) await settle(2);
        busy = false;
      },
    });
    expect(response).toMatchObject({ status: 0, dataSet: undefined });
    expect(seen).toEqual(Array.from({ length: 200 }, (_, i) => i));
    // A slow reader holds the peer back.
    expect(requestor.pauses).toBeGreaterThan(0);
    expect(requestor.pauses).toBe(requestor.resumes);
  });

  it('sends C-CANCEL when its signal is aborted, once, and waits for the end', async () => {
    const find = entry(0x0020, STUDY_FIND, async function* (_request, { cancelled }) {
      for (let i = 0; !cancelled.aborted; i++) {
        yield { status: 0xff00 };
        await settle(1);
      }
      yield { status: 0xfe00 };
    });
    const { client, requestor } = connect([find]);
    const controller = new AbortController();
    let pendings = 0;
    const response = await client.scu.request(FIND, 5, Buffer.alloc(2), {
      signal: controller.signal,
      onPending: () => {
        if (++pendings === 3) controller.abort();
      },
    });
    expect(response.status).toBe(0xfe00);
    expect(requestor.messages().filter(({ command }) => command.CommandField === 0x0fff)).toHaveLength(1);
    expect(requestor.aborts).toEqual([]);
  });

  it('is not sent where its signal was aborted before', async () => {
    const { client, requestor } = connect([echo]);
    await expect(client.scu.echo({ signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'REQUEST_CANCELLED',
    });
    expect(requestor.sent).toEqual([]);
    expect(await client.scu.echo()).toBe(0);
  });

  it('needs a context', async () => {
    const { client, requestor } = connect([echo]);
    requestor.contexts.delete(1);
    await expect(client.scu.echo()).rejects.toMatchObject({ code: 'NO_CONTEXT' });
  });
});

describe('several requests', () => {
  const slow = (): { service: ServiceEntry; open: () => number; letGo: (() => void)[] } => {
    let open = 0;
    const letGo: (() => void)[] = [];
    return {
      letGo,
      open: () => open,
      service: entry(1, CT, async function* (request) {
        await all(request);
        open++;
        await new Promise<void>((resolve) => letGo.push(resolve));
        open--;
        yield { status: 0 };
      }),
    };
  };

  it.each([
    [1, 1],
    [3, 3],
    [0, 16],
  ])('with a window of %i, %i are outstanding', async (window, most) => {
    const { service, open, letGo } = slow();
    const { client } = connect([service], { window });
    const stores = Array.from({ length: 20 }, (_, i) => client.scu.store(instance(i), Buffer.alloc(10)));
    await settle(10);
    expect(open()).toBe(most);
    expect(client.scu.outstanding).toBe(most);
    for (let i = 0; i < 40; i++) {
      letGo.shift()?.();
      await settle(3);
      expect(open()).toBeLessThanOrEqual(most);
    }
    expect((await Promise.all(stores)).map(({ status }) => status)).toEqual(stores.map(() => 0));
    expect(client.scu.outstanding).toBe(0);
  });

  it('are matched by Message ID, in whatever order they are answered', async () => {
    const association = new FakeAssociation({ role: 'requestor', window: 4 });
    const { scu } = new Session(association);
    const stores = [1, 2, 3].map((n) => scu.store(instance(n), Buffer.alloc(2)));
    await settle();
    for (const [id, Status] of [
      [2, 0xb000],
      [3, 0xa700],
      [1, 0],
    ] as const) {
      association.message(3, {
        CommandField: 0x8001,
        MessageIDBeingRespondedTo: id,
        CommandDataSetType: 0x0101,
        Status,
      });
    }
    expect((await Promise.all(stores)).map(({ status }) => status)).toEqual([0, 0xb000, 0xa700]);
  });

  it('use Message IDs 1 to 65535 over and over, never one that is outstanding', async () => {
    const association = new FakeAssociation({ role: 'requestor', window: 2 });
    const { scu } = new Session(association);
    const answer = (id: number): void =>
      association.message(1, {
        CommandField: 0x8030,
        MessageIDBeingRespondedTo: id,
        CommandDataSetType: 0x0101,
        Status: 0,
      });
    const first = scu.echo();
    await settle(1);
    let last = 0;
    for (let i = 0; i < 65536; i++) {
      const next = scu.echo();
      while (association.sent.length === 0 || !association.sent.at(-1)!.data.length) await settle(1);
      await Promise.resolve();
      await Promise.resolve();
      last = association.sent.at(-1)!.data.readUInt16LE(association.sent.at(-1)!.data.length - 12);
      association.sent.length = 0;
      answer(last);
      await next;
    }
    // 2..65535, then 2 and 3: 1 is still outstanding.
    expect(last).toBe(3);
    answer(1);
    expect(await first).toBe(0);
  });
});

describe('what goes wrong', () => {
  it('aborts when the peer stays silent, and never uses the association again', async () => {
    const { client, requestor } = connect([
      entry(0x0020, STUDY_FIND, async function* () {
        yield { status: 0xff00 };
        await new Promise(() => undefined);
      }),
    ]);
    let pendings = 0;
    await expect(
      client.scu.request(FIND, 5, Buffer.alloc(2), {
        timeout: 20,
        onPending: () => {
          pendings++;
        },
      }),
    ).rejects.toMatchObject({ code: 'RESPONSE_TIMEOUT' });
    expect(pendings).toBe(1);
    expect(requestor.aborts).toMatchObject([{ source: 0, reason: 0 }]);
    await expect(client.scu.echo()).rejects.toMatchObject({ code: 'ASSOCIATION_ENDED' });
  });

  describe('with a clock in hand', () => {
    beforeEach(() => jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] }));
    afterEach(() => jest.useRealTimers());

    it('counts anew from each pending response, rests while one is being taken, and leaves no timer', async () => {
      const association = new FakeAssociation({ role: 'requestor' });
      const { scu } = new Session(association);
      const respond = (Status: number): void =>
        association.message(5, {
          CommandField: 0x8020,
          MessageIDBeingRespondedTo: 1,
          CommandDataSetType: 0x0101,
          Status,
        });
      let taken: () => void = () => undefined;
      const onPending = (): Promise<void> => new Promise((resolve) => (taken = resolve));
      const response = scu.request(FIND, 5, Buffer.alloc(2), { timeout: 1000, onPending });
      await settle();
      jest.advanceTimersByTime(900);
      respond(0xff00);
      await settle();
      jest.advanceTimersByTime(5000);
      taken();
      await settle();
      jest.advanceTimersByTime(900);
      expect(association.aborts).toEqual([]);
      respond(0);
      expect((await response).status).toBe(0);
      expect(jest.getTimerCount()).toBe(0);
    });

    it('aborts after `responseTimeout` where a request names none', async () => {
      const association = new FakeAssociation({ role: 'requestor' });
      const { scu } = new Session(association, { responseTimeout: 3000 });
      const open = scu.echo();
      open.catch(() => undefined);
      await settle();
      jest.advanceTimersByTime(2999);
      expect(association.aborts).toEqual([]);
      jest.advanceTimersByTime(1);
      expect(association.aborts).toHaveLength(1);
      await expect(open).rejects.toMatchObject({
        code: 'RESPONSE_TIMEOUT',
        message: 'NODE did not answer C-ECHO within 3 s',
      });
      expect(jest.getTimerCount()).toBe(0);
    });
  });

  it('aborts on a second final response', async () => {
    const association = new FakeAssociation({ role: 'requestor' });
    const { scu } = new Session(association);
    const open = scu.echo();
    await settle();
    const response = {
      CommandField: 0x8030,
      MessageIDBeingRespondedTo: 1,
      CommandDataSetType: 0x0101,
      Status: 0,
    };
    association.message(1, response);
    association.message(1, response);
    expect(association.aborts).toMatchObject([{ source: 2, reason: 2 }]);
    expect(await open).toBe(0);
  });

  it('rejects everything when the association ends', async () => {
    const { client, requestor } = connect([]);
    requestor.asyncWindow = { invoked: 1, performed: 1 };
    const waiting = [client.scu.echo(), client.scu.echo()];
    const outcomes = Promise.allSettled(waiting);
    requestor.finish({ kind: 'connection-lost', reason: 'connection lost' });
    for (const outcome of await outcomes) {
      expect(outcome).toMatchObject({ status: 'rejected' });
    }
    expect(client.scu.outstanding).toBe(0);
    await client.finished;
  });

  it('rejects what is open when the peer asks for release, and lets it go', async () => {
    const { client, acceptor, requestor } = connect([
      entry(0x0020, STUDY_FIND, async function* () {
        await new Promise(() => undefined);
        yield { status: 0 };
      }),
    ]);
    const open = client.scu.request(FIND, 5, Buffer.alloc(2));
    await settle();
    void acceptor.release();
    await expect(open).rejects.toMatchObject({ code: 'ASSOCIATION_RELEASED' });
    expect(requestor.releaseAnswers).toBe(1);
  });

  it('aborts a message whose source fails, with the error of the source', async () => {
    const { client, requestor } = connect([]);
    const source = (async function* () {
      yield Buffer.alloc(200_000);
      throw new Error('disk');
    })();
    await expect(client.scu.store(instance(1), source)).rejects.toThrow('disk');
    expect(requestor.aborts).toMatchObject([{ source: 0 }]);
  });

  it('aborts when it is cancelled in the middle of a message', async () => {
    const { client, requestor } = connect([]);
    const controller = new AbortController();
    let closed = false;
    const source = (async function* () {
      try {
        for (;;) {
          yield Buffer.alloc(200_000);
          controller.abort();
        }
      } finally {
        closed = true;
      }
    })();
    await expect(client.scu.store(instance(1), source, { signal: controller.signal })).rejects.toThrow();
    expect(requestor.aborts).toHaveLength(1);
    expect(closed).toBe(true);
  });

  it.each<[string, number, Parameters<FakeAssociation['message']>[1]]>([
    [
      'an unknown Message ID',
      2,
      { CommandField: 0x8030, MessageIDBeingRespondedTo: 2, CommandDataSetType: 0x0101, Status: 0 },
    ],
    [
      'another command field',
      2,
      { CommandField: 0x8001, MessageIDBeingRespondedTo: 1, CommandDataSetType: 0x0101, Status: 0 },
    ],
    ['no status', 6, { CommandField: 0x8030, MessageIDBeingRespondedTo: 1, CommandDataSetType: 0x0101 }],
  ])('aborts on a response with %s', async (_what, reason, response) => {
    const association = new FakeAssociation({ role: 'requestor' });
    const { scu } = new Session(association);
    const open = scu.echo();
    open.catch(() => undefined);
    await settle();
    association.message(1, response);
    expect(association.aborts).toMatchObject([{ source: 2, reason }]);
    await expect(open).rejects.toMatchObject({ code: 'ASSOCIATION_ENDED' });
  });

  it('bounds the data set of a response', async () => {
    const { client, requestor } = connect([
      entry(0x0020, STUDY_FIND, async function* () {
        yield { status: 0xff00, dataSet: Buffer.alloc(1024 * 1024 + 2) };
        yield { status: 0 };
      }),
    ]);
    await expect(client.scu.request(FIND, 5, Buffer.alloc(2))).rejects.toThrow();
    expect(requestor.aborts).toHaveLength(1);
  });

  it('aborts when a pending response can not be taken', async () => {
    const { client, requestor } = connect([
      entry(0x0020, STUDY_FIND, async function* () {
        yield { status: 0xff00 };
        yield { status: 0 };
      }),
    ]);
    const onPending = (): void => {
      throw new Error('EPIPE');
    };
    await expect(client.scu.request(FIND, 5, Buffer.alloc(2), { onPending })).rejects.toThrow('EPIPE');
    expect(requestor.aborts).toHaveLength(1);
  });
});

describe('both halves on one association', () => {
  it('C-GET sends C-STORE on the association that it came in on', async () => {
    const stored: string[] = [];
    const { requestor, acceptor } = FakeAssociation.pair({ peer: ALL });
    const store = entry(1, CT, async function* (request) {
      stored.push(`${request.command.AffectedSOPInstanceUID!} ${(await all(request)).length}`);
      yield { status: 0 };
    });
    const client = new Session(requestor, { services: [store], peer: ALL });
    const get = entry(0x0010, STUDY_GET, async function* (request) {
      await all(request);
      for (let n = 1; n <= 3; n++) {
        const { status } = await server.scu.store(
          instance(n),
          chunks(Buffer.alloc(100_000), Buffer.alloc(n)),
        );
        expect(status).toBe(0);
        yield { status: 0xff00, fields: { NumberOfCompletedSuboperations: n } };
      }
      yield { status: 0, fields: { NumberOfCompletedSuboperations: 3 } };
    });
    const server: Session = new Session(acceptor, { services: [get] });
    const completed: (number | undefined)[] = [];
    const response = await client.scu.request(
      { CommandField: 0x0010, AffectedSOPClassUID: STUDY_GET, Priority: 0 },
      7,
      Buffer.alloc(2),
      { onPending: ({ command }) => void completed.push(command.NumberOfCompletedSuboperations) },
    );
    expect(response.command).toMatchObject({ Status: 0, NumberOfCompletedSuboperations: 3 });
    expect(completed).toEqual([1, 2, 3]);
    expect(stored).toEqual(['1.2.3.1 100001', '1.2.3.2 100002', '1.2.3.3 100003']);
    expect(client.counters.instances).toBe(3);
    expect(server.counters.instances).toBe(3);
    expect([...requestor.aborts, ...acceptor.aborts]).toEqual([]);
  });

  it('never mixes the fragments of two messages', async () => {
    const association = new FakeAssociation({ window: 8, sendLimit: 100, peer: ALL });
    const session = new Session(association, { services: [echo] });
    for (let n = 0; n < 5; n++) {
      const source = (async function* () {
        for (let i = 0; i < 5; i++) {
          await settle(1);
          yield Buffer.alloc(100_000, n);
        }
      })();
      session.scu.store(instance(n), source).catch(() => undefined);
    }
    for (let id = 1; id <= 5; id++) {
      association.message(1, {
        AffectedSOPClassUID: '1.2.840.10008.1.1',
        CommandField: 0x0030,
        MessageID: id,
        CommandDataSetType: 0x0101,
      });
      await settle(3);
    }
    await settle(60);
    const messages = association.messages();
    expect(messages).toHaveLength(10);
    for (const { data } of messages) if (data !== undefined) expect(data).toHaveLength(500_000);
    association.finish({ kind: 'released', reason: 'released' });
  });
});

describe('streaming', () => {
  const stream = async (sizes: readonly number[], sendLimit = 16384): Promise<FakeAssociation> => {
    const association = new FakeAssociation({ sendLimit });
    const sender = new MessageSender(association, { bytes: 0 });
    const command = { CommandField: 1, CommandDataSetType: 1 };
    await sender.send({ contextId: 3, command, data: chunks(...sizes.map((size) => Buffer.alloc(size))) });
    return association;
  };

  it('marks exactly the last fragment, also where the source ends with an empty read', async () => {
    for (const sizes of [
      [],
      [0],
      [10],
      [10, 0],
      [131024],
      [131024, 0],
      [131024, 131024],
      [131025],
      [300_000, 7],
    ]) {
      const { sent } = await stream(sizes);
      const data = sent.filter(({ command }) => !command);
      expect(data.map(({ last }) => last)).toEqual(data.map((_, i) => i === data.length - 1));
      expect(data.reduce((sum, { data: bytes }) => sum + bytes.length, 0)).toBe(
        sizes.reduce((a, b) => a + b, 0),
      );
      // Only a data set that is empty as a whole ends with an empty fragment.
      if (sizes.some((size) => size > 0))
        expect(data.every(({ data: bytes }) => bytes.length > 0)).toBe(true);
      expect(data.slice(0, -1).every(({ data: bytes }) => bytes.length % 2 === 0)).toBe(true);
    }
  });

  it('coalesces small reads into pieces of whole PDUs', async () => {
    const { sent } = await stream(Array.from({ length: 100_000 }, () => 7));
    const data = sent.filter(({ command }) => !command).map(({ data: bytes }) => bytes.length);
    expect(data).toEqual([...Array.from({ length: 5 }, () => 131024), 700_000 - 5 * 131024]);
    // 131024 = 8 fragments of 16378.
    expect(131024 % (16384 - 6)).toBe(0);
  });

  it('does not read its source ahead of a peer that takes nothing', async () => {
    let read = 0;
    const association = new FakeAssociation();
    const sender = new MessageSender(association, { bytes: 0 });
    const source = (async function* () {
      for (; read < 100; read++) yield Buffer.alloc(200_000);
    })();
    association.blocked = true;
    const sent = sender.send({
      contextId: 3,
      command: { CommandField: 1, CommandDataSetType: 1 },
      data: source,
    });
    await settle(20);
    expect(read).toBeLessThanOrEqual(2);
    association.letGo();
    await sent;
    expect(read).toBe(100);
  });
});
