import type { ScuResponse, StoreRequest } from '../../src/dimse/scu';
import { IsocenterError } from '../../src/errors';
import type { AssociationEnd } from '../../src/net/types';
import type { OutgoingInstance } from '../../src/services/outgoing';
import { sendOver, type OverOptions, type SendResult } from '../../src/services/send';
import { SOP, TS } from '../support/data-sets';
import { sha256 } from '../support/ledger-scu';
import { settle } from '../support/upper-layer';
import { made, type Made } from './send-kit';

const MiB = 1024 * 1024;
const CONTEXTS = [{ id: 7, abstractSyntax: SOP.ct, transferSyntax: TS.explicit }];

/** A link whose far end the test is: requests wait until it answers them. */
class FakeLink {
  readonly requests: {
    request: StoreRequest;
    bytes: Buffer;
    whole: boolean;
    answer: (status: number) => void;
  }[] = [];
  unsent = 0;
  private end: (end: AssociationEnd) => void = () => undefined;
  readonly association: { readonly closed: Promise<AssociationEnd>; readonly unsent: number };
  readonly scu: {
    readonly window: number;
    store(request: StoreRequest, data: Buffer | AsyncIterable<Buffer>): Promise<ScuResponse>;
  };
  /** Called between the chunks of a stream. */
  onChunk: (bytes: number) => void | Promise<void> = () => undefined;

  constructor(window = 1) {
    const closed = new Promise<AssociationEnd>((resolve) => (this.end = resolve));
    const unsent = (): number => this.unsent;
    this.association = {
      closed,
      get unsent() {
        return unsent();
      },
    };
    this.scu = { window, store: (request, data) => this.store(request, data) };
  }

  close(): void {
    this.end({ kind: 'connection-lost', reason: 'the test says so' });
  }

  /** Answers all but the newest `except` requests. */
  async answer(status = 0, except = 0): Promise<void> {
    for (const one of this.requests.slice(0, this.requests.length - except)) one.answer(status);
    await settle(5);
  }

  private async store(request: StoreRequest, data: Buffer | AsyncIterable<Buffer>): Promise<ScuResponse> {
    const { promise, resolve } = Promise.withResolvers<number>();
    let bytes: Buffer;
    if (Buffer.isBuffer(data)) bytes = Buffer.from(data);
    else {
      const parts: Buffer[] = [];
      for await (const part of data) {
        parts.push(Buffer.from(part));
        await this.onChunk(part.length);
      }
      bytes = Buffer.concat(parts);
    }
    this.requests.push({ request, bytes, whole: Buffer.isBuffer(data), answer: resolve });
    const lost = this.association.closed.then(() => {
      throw new IsocenterError('ASSOCIATION_ENDED', 'the association has ended');
    });
    const status = await Promise.race([promise, lost]);
    return {
      status,
      command: { CommandField: 0x8001, CommandDataSetType: 0x101 },
      dataSet: undefined,
      context: CONTEXTS[0]!,
    };
  }
}

interface Sending {
  readonly results: SendResult[];
  readonly done: Promise<void>;
}

function start(
  link: FakeLink,
  instances: Iterable<OutgoingInstance> | AsyncIterable<OutgoingInstance>,
  options: Partial<OverOptions> = {},
): Sending {
  const results: SendResult[] = [];
  const run = async (): Promise<void> => {
    for await (const result of sendOver(link, instances, { contexts: CONTEXTS, ...options }))
      results.push(result);
  };
  return { results, done: run() };
}

const many = (count: number, bytes = 100): Made[] => Array.from({ length: count }, () => made({ bytes }));
const opened = (instances: readonly Made[]): number => instances.filter((one) => one.opened > 0).length;

it('sends on the context that it was given, as read', async () => {
  const link = new FakeLink();
  const [one] = many(1);
  const { results, done } = start(link, [one!], { priority: 2 });
  await settle(5);
  expect(link.requests[0]!.request).toEqual({
    contextId: 7,
    SOPClassUID: SOP.ct,
    SOPInstanceUID: one!.SOPInstanceUID,
    priority: 2,
  });
  expect(sha256(link.requests[0]!.bytes)).toBe(one!.sha256);
  await link.answer();
  await done;
  expect(results).toEqual([{ instance: one, outcome: 'completed', status: 0 }]);
});

it('uses no other context, even where the peer would take it', async () => {
  const { results, done } = start(new FakeLink(), many(2), { contexts: [] });
  await done;
  expect(results.map(({ outcome, lost }) => [outcome, lost])).toEqual(Array(2).fill(['failed', undefined]));
});

describe('reading before their turn', () => {
  it('two are ready while the receiver answers, and no more', async () => {
    const link = new FakeLink();
    const instances = many(10);
    const { done } = start(link, instances);
    await settle();
    expect(link.requests).toHaveLength(1);
    expect(opened(instances)).toBe(3);
    await link.answer();
    expect(link.requests).toHaveLength(2);
    expect(opened(instances)).toBe(4);
    for (let index = 0; index < 10; index++) await link.answer();
    await done;
  });

  it('no more than 16 MiB are held, however many may be under way', async () => {
    const link = new FakeLink(16);
    const instances = many(12, 4 * MiB);
    const { done, results } = start(link, instances);
    await settle();
    expect(opened(instances)).toBe(4);
    await link.answer(0, 3);
    await settle();
    expect(opened(instances)).toBe(5);
    for (let index = 0; index < 10; index++) await link.answer();
    await done;
    expect(results).toHaveLength(12);
  });

  it('of a large one only the start', async () => {
    const link = new FakeLink();
    const large = made({ bytes: 32 * MiB });
    let read = 0;
    const counted: OutgoingInstance = {
      ...large,
      async *read() {
        for await (const chunk of large.read()) {
          read += chunk.length;
          yield chunk;
        }
      },
    };
    const { done } = start(link, [...many(1), counted]);
    await settle();
    expect(read).toBeGreaterThan(0);
    expect(read).toBeLessThanOrEqual(MiB);
    await link.answer();
    await settle(200);
    expect(sha256(link.requests[1]!.bytes)).toBe(large.sha256);
    await link.answer();
    await done;
  });

  it('a slow one holds up its own turn only', async () => {
    const link = new FakeLink();
    const gate = Promise.withResolvers<undefined>();
    const { results, done } = start(link, [...many(1), made({ gate: gate.promise }), ...many(1)]);
    await settle();
    await link.answer();
    // The first is told of while the second is still being read.
    expect(results).toHaveLength(1);
    gate.resolve(undefined);
    await settle();
    await link.answer();
    await link.answer();
    await done;
    expect(results).toHaveLength(3);
  });
});

describe('memory', () => {
  /** Memory that was used more than once. */
  const reuse = async (link: FakeLink, instances: readonly Made[]): Promise<number> => {
    const buffers: ArrayBufferLike[] = [];
    const noted = instances.map((instance): OutgoingInstance => ({
      ...instance,
      read: (allocate) =>
        instance.read((length) => {
          const memory = allocate!(length);
          buffers.push(memory.buffer);
          return memory;
        }),
    }));
    const { done } = start(link, noted);
    for (let index = 0; index < instances.length; index++) {
      await settle(8);
      await link.answer();
    }
    await done;
    expect(link.requests.map(({ bytes }) => sha256(bytes))).toEqual(instances.map((one) => one.sha256));
    return buffers.length - new Set(buffers).size;
  };

  it('is used again', async () => {
    expect(await reuse(new FakeLink(), many(10, 1000))).toBe(7);
  });

  it('is not used again while the system has not taken all of it', async () => {
    const link = new FakeLink();
    link.unsent = 1;
    expect(await reuse(link, many(10, 1000))).toBe(0);
  });

  it('of a stream is used again behind what is unsent', async () => {
    const link = new FakeLink();
    link.unsent = 200_000;
    const again = await reuse(link, [made({ bytes: 10 * MiB })]);
    // 40 chunks of 256 KiB.
    expect(again).toBeGreaterThan(30);
    link.unsent = 3 * MiB;
    const less = await reuse(Object.assign(new FakeLink(), { unsent: 3 * MiB }), [made({ bytes: 10 * MiB })]);
    expect(less).toBeGreaterThan(10);
    expect(less).toBeLessThan(again - 8);
  });

  it('of a stream that is not sent is not', async () => {
    const link = new FakeLink();
    link.unsent = 64 * MiB;
    expect(await reuse(link, [made({ bytes: 10 * MiB })])).toBe(0);
  });
});

describe('a window', () => {
  it('is filled, and results come in the order of the instances', async () => {
    const link = new FakeLink(4);
    const instances = many(10);
    const { results, done } = start(link, instances);
    await settle();
    expect(link.requests).toHaveLength(4);
    link.requests[1]!.answer(0);
    link.requests[2]!.answer(0xa700);
    await settle();
    expect(results).toEqual([]);
    link.requests[0]!.answer(0xb000);
    await settle();
    expect(results.map(({ outcome }) => outcome)).toEqual(['warning', 'completed', 'failed']);
    expect(link.requests).toHaveLength(7);
    for (let index = 0; index < 4; index++) await link.answer();
    await done;
    expect(results.map(({ instance }) => instance)).toEqual(instances);
  });

  it('may be asked to be smaller, and is never larger than agreed', async () => {
    for (const [agreed, asked, most] of [
      [4, 2, 2],
      [2, 16, 2],
    ] as const) {
      const link = new FakeLink(agreed);
      const { done } = start(link, many(5), { window: asked });
      await settle();
      expect(link.requests).toHaveLength(most);
      for (let index = 0; index < 5; index++) await link.answer();
      await done;
    }
  });
});

it('ends with the association: what was under way has failed, what was not started has no result', async () => {
  const link = new FakeLink(2);
  const instances = many(10);
  const { results, done } = start(link, instances);
  await settle();
  link.close();
  await done;
  expect(results.map(({ instance, lost }) => [instance, lost])).toEqual([
    [instances[0], 'ended'],
    [instances[1], 'ended'],
  ]);
  expect(instances.every((one) => one.opened === one.closed)).toBe(true);
});

it('ends when half an object went out', async () => {
  const link = new FakeLink();
  const instances = [made({ bytes: 5 * MiB, damaged: 'last' }), ...many(3)];
  const { results, done } = start(link, instances);
  await done;
  expect(results).toMatchObject([{ outcome: 'failed', lost: 'cut' }]);
  expect(link.requests).toEqual([]);
});

it('stops at a signal, and gives back the stream of instances', async () => {
  const link = new FakeLink();
  const cancel = new AbortController();
  const instances = many(10);
  let returned = false;
  function* stream(): Iterable<OutgoingInstance> {
    try {
      yield* instances;
    } finally {
      returned = true;
    }
  }
  const { results, done } = start(link, stream(), { signal: cancel.signal });
  await settle();
  cancel.abort();
  await settle();
  expect(results).toEqual([]);
  await link.answer();
  await done;
  expect(results).toHaveLength(1);
  expect(link.requests).toHaveLength(1);
  expect(returned).toBe(true);
  expect(instances.every((one) => one.opened === one.closed)).toBe(true);
});
