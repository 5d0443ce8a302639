import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { DimseResponse } from '../../src/dimse/types';
import { sendFiles, type SendEvent } from '../../src/services/send-files';
import { part10, SOP, TS, type ObjectFields } from '../support/data-sets';
import { sha256 } from '../support/ledger-scu';
import { cleanUp, object } from './kit';
import { SendPeer } from './send-peer';

let source: string;
let peer: SendPeer;

beforeEach(async () => {
  source = fs.mkdtempSync(path.join(os.tmpdir(), 'isocenter-send-'));
  peer = new SendPeer();
  await peer.listen();
});

afterEach(async () => {
  await peer.end();
  fs.rmSync(source, { recursive: true, force: true });
  await cleanUp();
});

/** Writes an object and returns its UID. */
function put(name: string, fields: ObjectFields = {}, syntax: string = TS.explicit): string {
  const one = object(fields, syntax);
  fs.writeFileSync(path.join(source, name), part10(one));
  return one.SOPInstanceUID;
}

interface Sent {
  readonly events: Record<string, string>;
  readonly all: SendEvent[];
  readonly error: unknown;
}

async function send(
  options: { window?: number; signal?: AbortSignal; timeout?: number } = {},
): Promise<Sent> {
  const all: SendEvent[] = [];
  let error: unknown;
  const signal = options.signal ?? new AbortController().signal;
  try {
    for await (const event of sendFiles([source], {
      connect: peer.connect,
      ...(options.window === undefined ? {} : { asyncWindow: options.window }),
      responseTimeout: options.timeout ?? 5000,
      signal,
      kill: signal,
    }))
      all.push(event);
  } catch (thrown) {
    error = thrown;
  }
  return {
    events: Object.fromEntries(all.map((event) => [path.basename(event.path), event.outcome])),
    all,
    error,
  };
}

it('sends each file unchanged, in its own syntax, one context for each class and syntax', async () => {
  const uids = [
    put('a', { SOPClassUID: SOP.ct }),
    put('b', { SOPClassUID: SOP.ct }, TS.implicit),
    put('c', { SOPClassUID: SOP.mr, size: 300 }, TS.rle),
    put('d', { SOPClassUID: SOP.ct }),
  ];
  const digests = fs
    .readdirSync(source)
    .sort()
    .map((name) => {
      const bytes = fs.readFileSync(path.join(source, name));
      return sha256(bytes.subarray(144 + bytes.readUInt32LE(140)));
    });
  const { events, error, all } = await send();
  expect(error).toBeUndefined();
  expect(events).toEqual({ a: 'sent', b: 'sent', c: 'sent', d: 'sent' });
  expect(peer.received.map(({ uid }) => uid)).toEqual(uids);
  expect(peer.received.map((one) => one.sha256)).toEqual(digests);
  expect(peer.received.map(({ transferSyntax }) => transferSyntax)).toEqual([
    TS.explicit,
    TS.implicit,
    TS.rle,
    TS.explicit,
  ]);
  expect(peer.asked).toEqual([{ contexts: 3, window: undefined }]);
  expect(all.map(({ status }) => status)).toEqual([0, 0, 0, 0]);
  // Released, not cut.
  expect((await peer.associations[0]!.closed).kind).toBe('released');
});

it('takes several associations where the kinds do not fit one', async () => {
  for (let index = 0; index < 130; index++)
    put(String(index).padStart(3, '0'), { SOPClassUID: `1.2.3.${index}`, size: 0 });
  const { events, error } = await send();
  expect(error).toBeUndefined();
  expect(new Set(Object.values(events))).toEqual(new Set(['sent']));
  expect(peer.asked.map(({ contexts }) => contexts)).toEqual([128, 2]);
  expect(peer.received).toHaveLength(130);
});

it('says of each file what the peer does not take', async () => {
  peer.accepts = (sopClass, syntax) => sopClass === SOP.ct && syntax === TS.explicit;
  put('a');
  put('b', { SOPClassUID: SOP.mr });
  put('c', {}, TS.rle);
  const { events, all, error } = await send();
  expect(error).toBeUndefined();
  expect(events).toEqual({ a: 'sent', b: 'failed', c: 'failed' });
  expect(all[1]!.reason).toBe(`the peer does not take SOP class ${SOP.mr} in transfer syntax ${TS.explicit}`);
  expect(peer.received).toHaveLength(1);
});

it('says so, too, where it takes nothing', async () => {
  peer.accepts = () => false;
  put('a');
  put('b');
  const { events } = await send();
  expect(events).toEqual({ a: 'failed', b: 'failed' });
});

it('tells warnings and failures apart, and goes on', async () => {
  const statuses: Record<number, DimseResponse> = {
    1: { status: 0xb000, comment: 'coerced' },
    2: { status: 0xa700, comment: 'full' },
    3: { status: 0x0111 },
    4: { status: 0 },
  };
  peer.answer = (_uid, nth) => statuses[nth]!;
  for (const name of ['a', 'b', 'c', 'd']) put(name);
  const { events, all } = await send();
  expect(events).toEqual({ a: 'warning', b: 'failed', c: 'failed', d: 'sent' });
  expect(all[0]).toMatchObject({ status: 0xb000, reason: expect.stringMatching(/coerced/) as string });
  expect(all[1]).toMatchObject({ status: 0xa700, bytes: 0, reason: expect.stringMatching(/full/) as string });
});

it('skips what is no instance and fails what is broken, before it calls', async () => {
  fs.writeFileSync(path.join(source, 'a.txt'), 'no DICOM file, but a long one. '.repeat(20));
  put('b');
  fs.truncateSync(path.join(source, 'b'), 400);
  fs.symlinkSync('/etc/hostname', path.join(source, 'c'));
  const { events } = await send();
  expect(events).toEqual({ 'a.txt': 'skipped', b: 'failed', c: 'skipped' });
  expect(peer.associations).toHaveLength(0);
});

describe('an association that ends in the middle', () => {
  it.each(['abort', 'release'] as const)(
    '(%s) is opened again, and what was under way is tried once more',
    async (how) => {
      peer.answer = (_uid, nth) => (nth === 2 ? how : { status: 0 });
      const uids = ['a', 'b', 'c', 'd'].map((name) => put(name));
      const { events, error } = await send();
      expect(error).toBeUndefined();
      expect(events).toEqual({ a: 'sent', b: 'sent', c: 'sent', d: 'sent' });
      expect(peer.received.map(({ uid }) => uids.indexOf(uid))).toEqual([0, 1, 1, 2, 3]);
      expect(peer.associations).toHaveLength(2);
    },
  );

  it('each time at the same file: it fails, the others are sent', async () => {
    const bad = put('b');
    peer.answer = (uid) => (uid === bad ? 'abort' : { status: 0 });
    for (const name of ['a', 'c', 'd']) put(name);
    const { events, error, all } = await send();
    expect(error).toBeUndefined();
    expect(events).toEqual({ a: 'sent', b: 'failed', c: 'sent', d: 'sent' });
    expect(all.find((event) => event.outcome === 'failed')!.reason).toMatch(/association/);
    expect(peer.received.filter(({ uid }) => uid === bad)).toHaveLength(2);
  });

  it('each time at the same file of many under way: it takes no others with it', async () => {
    const bad = put('b');
    peer.answer = (uid) => (uid === bad ? 'abort' : { status: 0 });
    for (const name of ['a', 'c', 'd', 'e', 'f']) put(name);
    const { events } = await send({ window: 4 });
    expect(events).toEqual({ a: 'sent', b: 'failed', c: 'sent', d: 'sent', e: 'sent', f: 'sent' });
  });

  it('always: the rest is given up, and each file is told of', async () => {
    peer.answer = () => 'abort';
    for (let index = 0; index < 10; index++) put(`${index}`);
    const { events, error } = await send();
    expect(Object.values(events)).toEqual(Array<string>(10).fill('failed'));
    expect(error).toMatchObject({ code: 'ASSOCIATION_ENDED', exitCode: 4 });
    // Two files, each sent twice.
    expect(peer.associations).toHaveLength(4);
  });

  it('because the peer never answers: the rest is given up after two', async () => {
    peer.answer = () => 'silence';
    for (let index = 0; index < 5; index++) put(`${index}`);
    const { events, error, all } = await send({ timeout: 50 });
    expect(Object.values(events)).toEqual(Array<string>(5).fill('failed'));
    expect(all[0]!.reason).toMatch(/did not answer C-STORE/);
    expect(error).toMatchObject({ code: 'ASSOCIATION_ENDED' });
    expect(peer.associations).toHaveLength(2);
  });

  it('and nobody listens any more: what is left fails with that reason', async () => {
    peer.answer = async (_uid, nth) => {
      if (nth < 2) return { status: 0 };
      void peer.close();
      return 'abort';
    };
    for (let index = 0; index < 4; index++) put(`${index}`);
    const { events, error, all } = await send();
    expect(events).toEqual({ '0': 'sent', '1': 'failed', '2': 'failed', '3': 'failed' });
    expect(error).toMatchObject({ code: 'CONNECT_FAILED', exitCode: 5 });
    expect(all).toHaveLength(4);
  });
});

it('fails every file with the reason where nobody takes the call, those of further associations, too', async () => {
  await peer.close();
  for (let index = 0; index < 130; index++) put(`${index}`, { SOPClassUID: `1.2.3.${index}`, size: 0 });
  const { events, error, all } = await send();
  expect(Object.values(events)).toEqual(Array<string>(130).fill('failed'));
  expect(all).toHaveLength(130);
  expect(error).toMatchObject({ code: 'CONNECT_FAILED' });
});

it('has as many under way as the peer agreed to', async () => {
  for (let index = 0; index < 12; index++) put(String(index).padStart(2, '0'));
  const { events } = await send({ window: 4 });
  expect(new Set(Object.values(events))).toEqual(new Set(['sent']));
  const most = Math.max(...peer.received.map(({ besides }) => besides));
  expect(most).toBeGreaterThan(0);
  expect(most).toBeLessThan(4);
  peer.received.length = 0;
  await send();
  expect(Math.max(...peer.received.map(({ besides }) => besides))).toBe(0);
});

it('stops when it is interrupted', async () => {
  const stop = new AbortController();
  for (let index = 0; index < 5; index++) put(`${index}`);
  peer.answer = (_uid, nth) => {
    if (nth === 2) stop.abort();
    return { status: 0 };
  };
  const { all, error } = await send({ signal: stop.signal });
  expect(error).toBeUndefined();
  expect(all.length).toBeLessThan(4);
  expect(peer.received.length).toBeLessThan(4);
});

it('a file that becomes shorter while it is sent is never taken for a whole one', async () => {
  put('a', { size: 900 });
  put('b');
  const file = path.join(source, 'a');
  peer.accepts = () => {
    fs.truncateSync(file, 300_000);
    return true;
  };
  const { events, all } = await send();
  expect(events).toEqual({ a: 'failed', b: 'sent' });
  expect(all[0]!.reason).toMatch(/shorter/);
  expect(peer.received).toHaveLength(1);
});
