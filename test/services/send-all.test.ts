import type { OutgoingInstance } from '../../src/services/outgoing';
import { kindsOf, sendAll, type SendOptions, type SendResult } from '../../src/services/send';
import { SOP, TS } from '../support/data-sets';
import { made, transcoded, transcoder, type Made } from './send-kit';
import { SendPeer } from './send-peer';

const MiB = 1024 * 1024;
const FALLBACK = { [TS.rle]: [TS.explicit, TS.implicit], [TS.explicit]: [TS.implicit] };

let peer: SendPeer;

beforeEach(async () => {
  peer = new SendPeer();
  await peer.listen();
});

afterEach(() => peer.end());

async function send(
  instances: readonly OutgoingInstance[],
  options: Partial<SendOptions> = {},
): Promise<SendResult[]> {
  const results: SendResult[] = [];
  const all = sendAll(instances, {
    connect: peer.connect,
    kinds: kindsOf(instances),
    responseTimeout: 5000,
    ...options,
  });
  for await (const result of all) results.push(result);
  return results;
}

const outcomes = (results: readonly SendResult[]): string[] => results.map(({ outcome }) => outcome);
const many = (count: number): Made[] => Array.from({ length: count }, () => made());
const uids = (instances: readonly OutgoingInstance[]): string[] => instances.map((one) => one.SOPInstanceUID);

it('sends what comes as a stream, and tells of each in order', async () => {
  const instances = many(20);
  async function* pages(): AsyncIterable<OutgoingInstance> {
    for (const instance of instances) yield await Promise.resolve(instance);
  }
  const results: SendResult[] = [];
  for await (const result of sendAll(pages(), { connect: peer.connect, kinds: kindsOf(instances) })) {
    results.push(result);
  }
  expect(results.map(({ instance }) => instance)).toEqual(instances);
  expect(results[0]).toEqual({ instance: instances[0], outcome: 'completed', status: 0 });
  expect(peer.received.map((one) => one.sha256)).toEqual(instances.map((one) => one.sha256));
  expect(instances.every(({ opened, closed }) => opened === 1 && closed === 1)).toBe(true);
  expect((await peer.associations[0]!.closed).kind).toBe('released');
});

it('hands the move originator and the priority on', async () => {
  await send(many(1), { moveOriginator: { aeTitle: 'ASKER', messageId: 77 }, priority: 1 });
  await send(many(1));
  expect(peer.received[0]!.command).toMatchObject({
    MoveOriginatorApplicationEntityTitle: 'ASKER',
    MoveOriginatorMessageID: 77,
    Priority: 1,
  });
  expect(peer.received[1]!.command).toMatchObject({ Priority: 0 });
  expect(peer.received[1]!.command).not.toHaveProperty('MoveOriginatorMessageID');
});

it('does not call at all where there is nothing to send', async () => {
  expect(await send([])).toEqual([]);
  expect(peer.asked).toEqual([]);
});

it('ends, and releases, where the stream of instances fails; what was under way is told of', async () => {
  function* broken(): Iterable<OutgoingInstance> {
    yield* many(3);
    throw new Error('the catalog is gone');
  }
  const results: SendResult[] = [];
  const sending = async (): Promise<void> => {
    for await (const result of sendAll(broken(), { connect: peer.connect, kinds: kindsOf(many(1)) }))
      results.push(result);
  };
  await expect(sending()).rejects.toThrow('the catalog is gone');
  expect(outcomes(results)).toEqual(['completed', 'completed', 'completed']);
  expect((await peer.associations[0]!.closed).kind).toBe('released');
});

describe('presentation contexts', () => {
  const kind = (index: number, syntax: string): Made =>
    made({ SOPClassUID: `1.2.3.${index}`, TransferSyntaxUID: syntax, bytes: 10 });

  it('more than 128 go over several associations, whatever the order of the instances', async () => {
    // Each class has three: two syntaxes and the fall-back.
    const instances = Array.from({ length: 300 }, (_, index) =>
      kind(index % 60, index % 2 ? TS.rle : TS.explicit),
    );
    const mixed = [
      ...instances,
      ...Array.from({ length: 60 }, (_, index) => kind(index, index % 2 ? TS.explicit : TS.rle)),
    ];
    const results = await send(mixed, { transcoder: transcoder(FALLBACK) });
    expect(new Set(outcomes(results))).toEqual(new Set(['completed']));
    expect(new Set(results.map(({ instance }) => instance))).toEqual(new Set(mixed));
    expect(results).toHaveLength(360);
    // 42 classes fit the first.
    expect(peer.asked.map(({ contexts }) => contexts)).toEqual([126, 54]);
    expect(peer.received.map(({ transferSyntax }) => transferSyntax)).toEqual(
      results.map(({ instance }) => instance.TransferSyntaxUID),
    );
  });

  it('those of a kind that nobody told of are asked for all the same', async () => {
    const instances = [made(), made({ SOPClassUID: SOP.mr }), made()];
    expect(outcomes(await send(instances, { kinds: kindsOf([made()]) }))).toEqual(Array(3).fill('completed'));
    expect(peer.asked).toHaveLength(2);
  });

  it('the stored syntax is preferred, another one is taken where it must be', async () => {
    const instances = [
      made({ TransferSyntaxUID: TS.rle }),
      made({ SOPClassUID: SOP.mr, TransferSyntaxUID: TS.rle }),
    ];
    peer.accepts = (sopClass, syntax) => (sopClass === SOP.ct ? true : syntax === TS.implicit);
    expect(outcomes(await send(instances, { transcoder: transcoder(FALLBACK) }))).toEqual([
      'completed',
      'completed',
    ]);
    expect(peer.received.map(({ transferSyntax }) => transferSyntax)).toEqual([TS.rle, TS.implicit]);
    expect(peer.received[0]!.sha256).toBe(instances[0]!.sha256);
    expect(peer.received[1]!.sha256).toBe(await transcoded(instances[1]!, TS.implicit));
  });

  it('where none fits, that one fails alone, with the class and the syntax', async () => {
    const odd = made({ TransferSyntaxUID: TS.mpeg4 });
    peer.accepts = (_sopClass, syntax) => syntax === TS.explicit;
    const results = await send([made(), odd, made()], { transcoder: transcoder(FALLBACK) });
    expect(outcomes(results)).toEqual(['completed', 'failed', 'completed']);
    expect(results[1]!.reason).toBe(
      `the peer does not take SOP class ${SOP.ct} in transfer syntax ${TS.mpeg4}, only in ${TS.explicit}`,
    );
    expect(odd.opened).toBe(0);
  });

  it('nothing is transcoded where it must not be', async () => {
    peer.accepts = (_sopClass, syntax) => syntax === TS.explicit;
    const results = await send([made({ TransferSyntaxUID: TS.rle }), made()], {
      transcode: 'never',
      transcoder: transcoder(FALLBACK),
    });
    expect(outcomes(results)).toEqual(['failed', 'completed']);
    expect(peer.asked[0]!.contexts).toBe(2);
  });

  it.each([
    ['small', 'after', 100],
    ['large', 'before', 5 * MiB],
  ] as const)(
    'a %s one that can not be transcoded (%s its first byte) fails alone',
    async (_size, when, bytes) => {
      const damaged: string[] = [];
      peer.accepts = (_sopClass, syntax) => syntax === TS.explicit;
      const results = await send([made({ TransferSyntaxUID: TS.rle, bytes }), made()], {
        transcoder: transcoder(FALLBACK, when),
        onDamaged: ({ name }) => damaged.push(name),
      });
      expect(outcomes(results)).toEqual(['failed', 'completed']);
      expect(results[0]!.reason).toMatch(/it has no pixels|a frame is broken/);
      expect(peer.associations).toHaveLength(1);
      // Its bytes are what they were.
      expect(damaged).toEqual([]);
    },
  );
});

describe('bytes that are not what they were', () => {
  it('fail alone where that is known before the first of them is sent', async () => {
    const damaged: string[] = [];
    const bad = made({ damaged: 'before' });
    const large = made({ damaged: 'before', bytes: 5 * MiB });
    const whole = made({ damaged: 'last', bytes: 4 * MiB });
    const results = await send([made(), bad, large, whole, made()], {
      onDamaged: ({ name }, reason) => damaged.push(`${name}: ${reason}`),
    });
    expect(outcomes(results)).toEqual(['completed', 'failed', 'failed', 'failed', 'completed']);
    expect(results[1]).toEqual({
      instance: bad,
      outcome: 'failed',
      reason: 'it has other bytes than sealed',
    });
    expect(damaged).toEqual([bad, large, whole].map(({ name }) => `${name}: it has other bytes than sealed`));
    expect(peer.associations).toHaveLength(1);
    expect(peer.received).toHaveLength(2);
  });

  it('are never taken for a whole object where it is known later; the rest goes over another association', async () => {
    const damaged: string[] = [];
    const bad = made({ damaged: 'last', bytes: 5 * MiB });
    const instances = [made(), bad, made({ bytes: 5 * MiB }), made()];
    const results = await send(instances, { onDamaged: ({ name }) => damaged.push(name) });
    expect(outcomes(results)).toEqual(['completed', 'failed', 'completed', 'completed']);
    expect(results[1]).toMatchObject({ lost: 'cut', reason: 'it has other bytes than sealed' });
    expect(damaged).toEqual([bad.name]);
    expect(peer.received.map(({ uid }) => uid)).not.toContain(bad.SOPInstanceUID);
    expect(peer.received.map((one) => one.sha256)).toEqual(
      [0, 2, 3].map((index) => instances[index]!.sha256),
    );
    expect(await peer.associations[0]!.closed).toMatchObject({ kind: 'aborted-by-peer' });
    expect(peer.associations).toHaveLength(2);
  });
});

describe('answers', () => {
  it('A700 to every second one: those fail, with the comment of the peer', async () => {
    peer.answer = (_uid, nth) => (nth % 2 === 0 ? { status: 0xa700, comment: 'disk full' } : { status: 0 });
    const results = await send(many(6));
    expect(outcomes(results)).toEqual(['completed', 'failed', 'completed', 'failed', 'completed', 'failed']);
    expect(results[1]).toMatchObject({ status: 0xa700, reason: 'A700: disk full' });
    expect(peer.associations).toHaveLength(1);
  });

  it.each([0x0001, 0x0107, 0x0116, 0xb000, 0xb006, 0xb007, 0xbabe])('%s is a warning', async (status) => {
    peer.answer = () => ({ status });
    expect(await send(many(1))).toMatchObject([{ outcome: 'warning', status }]);
  });

  it.each([0x0110, 0x0111, 0x0122, 0x0124, 0xa900, 0xc000, 0xfe00, 0x1234])(
    '%s is a failure',
    async (status) => {
      peer.answer = () => ({ status });
      expect(await send(many(1))).toMatchObject([{ outcome: 'failed', status }]);
    },
  );
});

describe('an association that ends', () => {
  it.each([0, 1, 4])('at object %s is opened again, and that one is sent once more', async (at) => {
    const instances = many(5);
    let killed = false;
    peer.answer = (uid) => {
      if (killed || uid !== instances[at]!.SOPInstanceUID) return { status: 0 };
      killed = true;
      return 'abort';
    };
    const results = await send(instances);
    expect(results.map(({ instance }) => instance)).toEqual(instances);
    expect(outcomes(results)).toEqual(Array(5).fill('completed'));
    expect(peer.associations).toHaveLength(2);
    expect(peer.received).toHaveLength(6);
  });

  it('after each answer: each is sent, over one association after the other', async () => {
    peer.answer = (_uid, nth) => {
      if (nth > 0) setImmediate(() => peer.associations.at(-1)!.abort(0, 0, 'one is enough'));
      return { status: 0 };
    };
    expect(outcomes(await send(many(8)))).toEqual(Array(8).fill('completed'));
  });

  it('for want of an answer: that one fails, and the next ones are tried', async () => {
    const instances = many(4);
    peer.answer = (uid) => (uid === instances[1]!.SOPInstanceUID ? 'silence' : { status: 0 });
    const results = await send(instances, { responseTimeout: 50 });
    expect(outcomes(results)).toEqual(['completed', 'failed', 'completed', 'completed']);
    expect(results[1]).toMatchObject({ lost: 'silent' });
  });

  it('under several requests: each of them is sent again, alone', async () => {
    const instances = many(12);
    let killed = 0;
    peer.answer = (uid) => (uid === instances[2]!.SOPInstanceUID && killed++ === 0 ? 'abort' : { status: 0 });
    const results = await send(instances, { asyncWindow: 4 });
    expect(outcomes(results)).toEqual(Array(12).fill('completed'));
    expect(new Set(results.map(({ instance }) => instance)).size).toBe(12);
    expect(peer.associations).toHaveLength(2);
  });

  it('and is refused then: what was under way and the rest fail, and say why', async () => {
    peer.admits = (nth) => nth === 1;
    peer.answer = (_uid, nth) => (nth === 2 ? 'abort' : { status: 0 });
    const results = await send(many(4));
    expect(outcomes(results)).toEqual(['completed', 'failed', 'failed', 'failed']);
    expect(results[1]).toMatchObject({ lost: 'ended' });
    for (const { unreachable } of results.slice(1)) expect(unreachable).toMatchObject({ exitCode: 4 });
  });
});

it('fails everything with the reason of a refusal, over one call', async () => {
  let calls = 0;
  peer.admits = () => ++calls === 0;
  const results = await send(many(5), { parallel: 1 });
  expect(outcomes(results)).toEqual(Array(5).fill('failed'));
  expect(results[0]!.reason).toMatch(/limit/);
  expect(calls).toBe(1);
});

describe('cancelled', () => {
  it('it finishes what is under way, starts nothing, and releases', async () => {
    const instances = many(10);
    const cancel = new AbortController();
    peer.answer = (_uid, nth) => {
      if (nth === 3) cancel.abort();
      return { status: 0 };
    };
    const results = await send(instances, { signal: cancel.signal });
    expect(outcomes(results)).toEqual(['completed', 'completed', 'completed']);
    expect(peer.received).toHaveLength(3);
    expect((await peer.associations[0]!.closed).kind).toBe('released');
    // What was read before its turn is closed again.
    expect(instances.every(({ opened, closed }) => opened === closed)).toBe(true);
  });

  it('before it began it does not call', async () => {
    expect(await send(many(3), { signal: AbortSignal.abort() })).toEqual([]);
    expect(peer.asked).toEqual([]);
  });

  it('while the association is lost: what was under way has failed, and is not sent again', async () => {
    const cancel = new AbortController();
    peer.answer = () => {
      cancel.abort();
      return 'abort';
    };
    expect(await send(many(3), { signal: cancel.signal })).toMatchObject([
      { outcome: 'failed', lost: 'ended' },
    ]);
    expect(peer.associations).toHaveLength(1);
  });

  it('by its reader it closes what it opened', async () => {
    const instances = many(10);
    const all = sendAll(instances, { connect: peer.connect, kinds: kindsOf(instances) });
    await all.next();
    await all.return();
    expect((await peer.associations[0]!.closed).kind).toBe('released');
    expect(instances.every(({ opened, closed }) => opened === closed)).toBe(true);
  });
});

describe('associations at once', () => {
  it('share the instances fairly', async () => {
    let waiting: (() => void)[] = [];
    // Answers only when all three have one under way.
    peer.answer = (_uid, nth) =>
      new Promise((resolve) => {
        waiting.push(() => resolve({ status: 0 }));
        if (waiting.length < 3 && nth < 30) return;
        for (const answer of waiting) answer();
        waiting = [];
      });
    const instances = many(30);
    const results = await send(instances, { parallel: 3 });
    expect(outcomes(results)).toEqual(Array(30).fill('completed'));
    expect(new Set(results.map(({ instance }) => instance)).size).toBe(30);
    const shares = [1, 2, 3].map(
      (one) => peer.received.filter(({ association }) => association === one).length,
    );
    expect(shares).toEqual([10, 10, 10]);
  });

  it('are no more than there is work for', async () => {
    expect(outcomes(await send(many(2), { parallel: 5 }))).toEqual(['completed', 'completed']);
    expect(peer.asked).toHaveLength(2);
  });

  it('are fewer where the peer refuses more', async () => {
    peer.admits = (nth) => nth !== 2;
    expect(outcomes(await send(many(20), { parallel: 3 }))).toEqual(Array(20).fill('completed'));
    expect(peer.associations).toHaveLength(2);
  });

  it('are all refused: each instance fails once', async () => {
    peer.admits = () => false;
    const results = await send(many(20), { parallel: 3 });
    expect(outcomes(results)).toEqual(Array(20).fill('failed'));
    expect(new Set(results.map(({ instance }) => instance)).size).toBe(20);
  });
});

it('tells of each association', async () => {
  const sessions: number[] = [];
  peer.answer = (_uid, nth) => (nth === 2 ? 'abort' : { status: 0 });
  const instances = many(3);
  const all = sendAll(instances, {
    connect: peer.connect,
    kinds: kindsOf(instances),
    onSession: (session) => {
      void session.finished.then(() => sessions.push(session.counters.instances));
    },
  });
  for await (const { outcome } of all) expect(outcome).toBe('completed');
  expect(sessions).toEqual([1, 2]);
  expect(new Set(uids(instances))).toEqual(new Set(peer.received.map(({ uid }) => uid)));
});
