import fsp from 'node:fs/promises';
import { TS, type SentObject } from '../support/data-sets';
import { removeFolder, startNode, type NodeProcess } from '../support/node-process';
import {
  caller,
  destination,
  expectSums,
  newStudy,
  remotesConfig,
  store,
  study,
  summary,
} from '../support/retrieve-kit';
import { RetrieveCaller, type Retrieved } from '../support/retrieve-scu';
import { StorePeer } from '../support/store-peer';
import { storedFiles } from '../support/stored-files';
import { freePort } from '../support/tools';
import { eventually } from '../support/upper-layer';

/** C-MOVE on the real node, to destinations that do as they are told. */
let node: NodeProcess;
let dest: StorePeer;
let wide: StorePeer;
const open: RetrieveCaller[] = [];

beforeAll(async () => {
  [dest, wide] = await Promise.all([StorePeer.start(), StorePeer.start()]);
  const config = remotesConfig({
    bound: caller('BOUND', { destinations: ['wide'] }),
    finder: caller('FINDER', { allow: ['find', 'get'] }),
    dest: destination('DEST', dest),
    wide: destination('WIDE', wide, { associations: 4, transcode: 'never' }),
    dead: destination('DEAD', { port: await freePort() }),
    dead2: destination('DEAD2', { port: await freePort() }, { retryFailed: true }),
    portless: { aeTitle: 'PORTLESS', host: '127.0.0.1', allow: [] },
    several: { aeTitle: 'SEVERAL', host: ['127.0.0.1', '127.0.0.2'], port: 104, allow: [] },
  });
  node = await startNode({
    config: {
      ...config,
      timeouts: { association: '2s', idle: '30s', response: '1s', writeStall: '10s', pending: '200ms' },
    },
  });
});

afterEach(async () => {
  await Promise.all(open.splice(0).map((one) => one.release()));
  dest.reset();
  wide.reset();
});

afterAll(async () => {
  const { code } = await node.stop();
  await Promise.all([dest.close(), wide.close(), removeFolder(node.folder)]);
  expect(code).toBe(0);
});

async function call(calling = 'TESTER'): Promise<RetrieveCaller> {
  const one = await RetrieveCaller.open({ port: node.port, calling });
  open.push(one);
  return one;
}

async function stored(count: number, more?: Parameters<typeof newStudy>[1]) {
  const made = newStudy(count, more);
  await store(node.port, made.objects);
  return made;
}

async function move(uid: string, to = 'DEST', calling = 'TESTER'): Promise<Retrieved> {
  return (await call(calling)).retrieve('C-MOVE', study(uid), { destination: to });
}

const uids = (objects: readonly SentObject[]): string[] =>
  objects.map(({ SOPInstanceUID }) => SOPInstanceUID);

describe('a good destination', () => {
  it('gets every object as it is kept, on one association, and is told who asked', async () => {
    const { uid, objects } = await stored(5);
    const tester = await call();
    const result = await tester.retrieve('C-MOVE', study(uid), { priority: 2 });
    expect(summary(result)).toBe('0000 5/0/0');
    expect(result.failedUids).toBeUndefined();
    expect(result.comment).toBeUndefined();
    expect(result.pending.length).toBeGreaterThanOrEqual(1);
    expectSums(result, 5);
    expect(dest.received.map(({ dataSet }) => dataSet)).toEqual(objects.map(({ dataSet }) => dataSet));
    expect(dest.requests).toHaveLength(1);
    expect(dest.requests[0]).toMatchObject({ callingAETitle: 'NODE', calledAETitle: 'DEST' });
    for (const { command } of dest.received) {
      expect(command).toMatchObject({
        Priority: 2,
        MoveOriginatorApplicationEntityTitle: 'TESTER',
        MoveOriginatorMessageID: 1,
      });
    }
    await eventually(() => dest.open === 0, 'the release');
  });

  it('T80: gets only the series or instances that are named', async () => {
    const first = await stored(3);
    const second = await stored(2);
    const tester = await call();
    const wanted = [first.objects[0]!, first.objects[2]!, second.objects[1]!];
    const images = await tester.retrieve('C-MOVE', {
      QueryRetrieveLevel: 'IMAGE',
      SOPInstanceUID: uids(wanted).join('\\'),
    });
    expect(summary(images)).toBe('0000 3/0/0');
    expect(dest.received.map(({ SOPInstanceUID }) => SOPInstanceUID).sort()).toEqual(uids(wanted).sort());
    const series = await tester.retrieve('C-MOVE', {
      QueryRetrieveLevel: 'SERIES',
      StudyInstanceUID: first.uid,
      SeriesInstanceUID: `${first.uid}.1`,
    });
    expect(summary(series)).toBe('0000 3/0/0');
  });

  it('T82: gets nothing, over no association, of what is not there', async () => {
    const result = await move('1.2.3.99999');
    expect(summary(result)).toBe('0000 0/0/0');
    expect(result.pending).toEqual([]);
    expect(dest.requests).toEqual([]);
  });

  it('gets several associations where that is allowed', async () => {
    const { uid } = await stored(40);
    wide.behaviour = { answer: async () => eventually(() => wide.mostOpen >= 4).then(() => 0) };
    const result = await move(uid, 'WIDE');
    expect(summary(result)).toBe('0000 40/0/0');
    expectSums(result, 40);
    expect(wide.mostOpen).toBe(4);
  });
});

describe('who may be sent to', () => {
  it.each([
    [
      'T75: nobody of that title',
      'NOWHERE',
      'Unknown destination: add a remote with its aeTitle, host, port',
    ],
    ['one without a port', 'PORTLESS', 'To move there remotes.portless needs a port'],
    ['one of several hosts', 'SEVERAL', 'To move there remotes.several needs a single address or name as'],
  ])('%s: A801, at once', async (_what, title, comment) => {
    const { uid } = await stored(1);
    const result = await move(uid, title);
    expect([result.final.status, result.comment, result.failedUids]).toEqual([0xa801, comment, undefined]);
    expect(dest.requests).toEqual([]);
  });

  it('only those of destinations: 0124', async () => {
    const { uid } = await stored(1);
    const result = await move(uid, 'DEST', 'BOUND');
    expect([result.final.status, result.comment]).toEqual([
      0x0124,
      'Not allowed: remotes.bound.destinations lacks dest',
    ]);
    expect(dest.requests).toEqual([]);
    expect(summary(await move(uid, 'WIDE', 'BOUND'))).toBe('0000 1/0/0');
  });

  it('nobody for a caller without the right: 0124', async () => {
    expect((await move('1.2.3', 'DEST', 'FINDER')).final.status).toBe(0x0124);
  });
});

describe('identifiers', () => {
  it.each<[string, Record<string, string>, number[]]>([
    ['without its unique key', { QueryRetrieveLevel: 'STUDY' }, [0x0020000d]],
    ['with an empty one', { QueryRetrieveLevel: 'SERIES', SeriesInstanceUID: '' }, [0x0020000e]],
    ['with a wildcard', { QueryRetrieveLevel: 'STUDY', StudyInstanceUID: '1.2.*' }, [0x0020000d]],
    ['by another attribute', { QueryRetrieveLevel: 'STUDY', AccessionNumber: 'A1' }, [0x0020000d]],
    ['without a level', { StudyInstanceUID: '1.2' }, [0x00080052]],
    ['of a level of another model', { QueryRetrieveLevel: 'PATIENT', PatientID: 'P1' }, [0x00080052]],
  ])('%s: A900 with the element', async (_what, keys, offending) => {
    const result = await (await call()).retrieve('C-MOVE', keys);
    expect([result.final.status, result.offending]).toEqual([0xa900, offending]);
    expect(dest.requests).toEqual([]);
  });
});

describe('faults of a destination', () => {
  it('refuses the association: A702, all failed', async () => {
    const { uid, objects } = await stored(4);
    dest.behaviour = { refuses: true };
    const result = await move(uid);
    expect(summary(result)).toBe('a702 0/4/0');
    expect(result.failedUids).toEqual(uids(objects));
    expect(result.comment).toMatch(/^4 of 4 failed: DEST at 127/);
    expectSums(result, 4);
    expect(dest.requests).toHaveLength(1);
  });

  it('T76: is not there: A702, all failed', async () => {
    const { uid, objects } = await stored(4);
    const result = await move(uid, 'DEAD');
    expect(summary(result)).toBe('a702 0/4/0');
    expect(result.failedUids).toEqual(uids(objects));
    // The reason once, not for each of them.
    expect(
      node.logs().match(new RegExp(`an instance could not be sent.*destination|remote=dead `, 'g'))?.length,
    ).toBe(1);
  });

  it.each([
    ['first', 1],
    ['second', 2],
    ['last', 4],
  ])('aborts at the %s object, each time: that one failed', async (_what, bad) => {
    const { uid, objects } = await stored(4);
    dest.behaviour = {
      answer: ({ SOPInstanceUID }, _count, association) => {
        if (SOPInstanceUID === objects[bad - 1]!.SOPInstanceUID) association.abort(0, 0, 'told to');
        return 0;
      },
    };
    const result = await move(uid);
    expect(summary(result)).toBe('b000 3/1/0');
    expect(result.failedUids).toEqual([objects[bad - 1]!.SOPInstanceUID]);
    expectSums(result, 4);
  });

  it('aborts once: the object comes again', async () => {
    const { uid, objects } = await stored(4);
    dest.behaviour = {
      answer: (_object, count, association) => {
        if (count === 2) association.abort(0, 0, 'told to');
        return 0;
      },
    };
    expect(summary(await move(uid))).toBe('0000 4/0/0');
    expect(dest.requests).toHaveLength(2);
    expect(new Set(dest.received.map(({ SOPInstanceUID }) => SOPInstanceUID))).toEqual(
      new Set(uids(objects)),
    );
  });

  it('aborts at every object: given up, all failed', async () => {
    const { uid, objects } = await stored(6);
    dest.behaviour = {
      answer: async (_object, count, association) => {
        // All six are under way at once, and lost with the first association.
        if (count <= 6) await eventually(() => dest.received.length >= 6, 'a full window');
        association.abort(0, 0, 'told to');
        return 0;
      },
    };
    const result = await move(uid);
    expect(summary(result)).toBe('a702 0/6/0');
    expect([...result.failedUids!].sort()).toEqual(uids(objects).sort());
    // Two of them again, each alone: by then there is no use in trying the others.
    expect(dest.requests).toHaveLength(3);
    expect(dest.received).toHaveLength(6 + 2);
  });

  it('answers A700 to each second one: B000 with those', async () => {
    const { uid, objects } = await stored(5);
    dest.behaviour = { answer: (_object, count) => (count % 2 === 0 ? 0xa700 : 0) };
    const result = await move(uid);
    expect(summary(result)).toBe('b000 3/2/0');
    expect(result.failedUids).toEqual([objects[1]!.SOPInstanceUID, objects[3]!.SOPInstanceUID]);
    expect(result.comment).toMatch(/^2 of 5 failed: A700/);
    expect(dest.requests).toHaveLength(1);
  });

  it('answers a failure to all: A702', async () => {
    const { uid } = await stored(3);
    dest.behaviour = { answer: () => 0xc000 };
    expect(summary(await move(uid))).toBe('a702 0/3/0');
  });

  it('answers warnings: B000 without a list', async () => {
    const { uid } = await stored(3);
    dest.behaviour = { answer: (_object, count) => (count === 1 ? 0xb000 : 0) };
    const result = await move(uid);
    expect(summary(result)).toBe('b000 2/0/1');
    expect(result.failedUids).toBeUndefined();
    expect(result.comment).toMatch(/^1 of 3 with warnings/);
  });

  it('stalls at one: that one failed when its time is over, and the rest goes on', async () => {
    const { uid, objects } = await stored(4);
    dest.behaviour = { answer: (_object, count) => (count === 2 ? new Promise(() => undefined) : 0) };
    const result = await move(uid);
    expect(summary(result)).toBe('b000 3/1/0');
    expect(result.failedUids).toEqual([objects[1]!.SOPInstanceUID]);
    // Meanwhile the caller hears of it: every 200 ms for a second.
    expect(result.pending.length).toBeGreaterThanOrEqual(4);
    expectSums(result, 4);
  });

  it('takes only another syntax, which this remote must not be given: failed', async () => {
    const { uid } = await stored(2);
    wide.behaviour = { takes: [TS.implicit] };
    const result = await move(uid, 'WIDE');
    expect(summary(result)).toBe('a702 0/2/0');
    expect(wide.received).toEqual([]);
  });

  it('with retryFailed: what failed goes to the queue as well, the caller hears the truth', async () => {
    const { uid } = await stored(3);
    expect(summary(await move(uid, 'DEAD2'))).toBe('a702 0/3/0');
    const listed = await node.cli(['jobs', 'list', '--json']);
    expect(listed.stdout.trim().split('\n')).toHaveLength(3);
    expect(listed.stdout).toContain('dead2');
  });
});

describe('files that are not what they were', () => {
  async function fileOf(uid: string): Promise<string> {
    const file = (await storedFiles(node.dataDirectory)).find(({ SOPInstanceUID }) => SOPInstanceUID === uid);
    if (file === undefined) throw new Error(`no file of ${uid}`);
    return file.path;
  }

  it.each<[string, (file: string) => Promise<void>]>([
    ['missing', (file) => fsp.rm(file)],
    ['truncated', async (file) => fsp.truncate(file, (await fsp.stat(file)).size - 1)],
    [
      'with a flipped bit',
      async (file) => {
        const bytes = await fsp.readFile(file);
        bytes[bytes.length - 1]! ^= 1;
        await fsp.writeFile(file, bytes);
      },
    ],
  ])('%s: failed, marked and alarmed', async (_what, damage) => {
    const { uid, objects } = await stored(3);
    const bad = objects[1]!.SOPInstanceUID;
    await damage(await fileOf(bad));
    const result = await move(uid);
    expect(summary(result)).toBe('b000 2/1/0');
    expect(result.failedUids).toEqual([bad]);
    expect(dest.requests).toHaveLength(1);
    expect(dest.received).toHaveLength(2);
    await node.logged(
      new RegExp(`FILE_DAMAGED.*${bad.replaceAll('.', '\\.')}|${bad.replaceAll('.', '\\.')}.*FILE_DAMAGED`),
    );
    const shown = await node.cli(['show', bad, '--json']);
    expect(shown.stdout).toMatch(/"damaged":\s*"[^"]+/);
  });
});

describe('fairness', () => {
  it('eight moves at once share one association at a time, slowest at most 1.5 times the fastest', async () => {
    const { uid } = await stored(200);
    const callers = await Promise.all(Array.from({ length: 8 }, () => call()));
    dest.behaviour = { answer: async () => new Promise((resolve) => setTimeout(() => resolve(0), 15)) };
    const began = performance.now();
    const times = await Promise.all(
      callers.map(async (one) => {
        const result = await one.retrieve('C-MOVE', study(uid));
        expect(summary(result)).toBe('0000 200/0/0');
        expectSums(result, 200);
        return performance.now() - began;
      }),
    );
    expect(dest.mostOpen).toBe(1);
    expect(dest.received).toHaveLength(1600);
    expect(Math.max(...times) / Math.min(...times)).toBeLessThanOrEqual(1.5);
  });

  it('a destination that hangs holds up no other', async () => {
    const { uid } = await stored(2);
    dest.behaviour = { delay: () => new Promise(() => undefined) };
    const hanging = (await call()).retrieve('C-MOVE', study(uid));
    expect(summary(await move(uid, 'WIDE'))).toBe('0000 2/0/0');
    expect(summary(await hanging)).toBe('a702 0/2/0');
  });
});

describe('the end before the end', () => {
  /** What the node offers to have under way at once; the destination agrees. */
  const WINDOW = 16;

  /** Answers two, then none until it is told to: by then the window is full. */
  function answerTwo(): { readonly full: () => Promise<void>; readonly answerAll: () => void } {
    const gate = Promise.withResolvers<undefined>();
    dest.behaviour = {
      answer: async (_object, count) => {
        if (count > 2) await gate.promise;
        return 0;
      },
    };
    return {
      full: () => eventually(() => dest.received.length === 2 + WINDOW, 'a full window'),
      answerAll: () => gate.resolve(undefined),
    };
  }

  /** When the node has answered another caller it has read what came before. */
  async function seenByNode(): Promise<void> {
    await (await call()).association.release();
  }

  it('T81: C-CANCEL: FE00 with what remains, nothing more is sent, the association is released', async () => {
    const { uid } = await stored(50);
    const cancel = new AbortController();
    const { full, answerAll } = answerTwo();
    const tester = await call();
    const retrieving = tester.retrieve('C-MOVE', study(uid), { signal: cancel.signal });
    await full();
    cancel.abort();
    await seenByNode();
    answerAll();
    const result = await retrieving;
    expect(result.final.status).toBe(0xfe00);
    expect(result.final.remaining).toBe(50 - 2 - WINDOW);
    expectSums(result, 50);
    const sent = dest.received.length;
    expect(sent).toBe(50 - result.final.remaining!);
    await eventually(() => dest.open === 0, 'the release');
    expect(dest.received).toHaveLength(sent);
    // The association goes on.
    dest.reset();
    expect(summary(await tester.retrieve('C-MOVE', study(uid)))).toBe('0000 50/0/0');
  });

  it('C-CANCEL while it waits for the destination', async () => {
    const { uid } = await stored(2);
    dest.behaviour = { delay: () => new Promise(() => undefined) };
    const cancel = new AbortController();
    const tester = await call();
    const result = await tester.retrieve('C-MOVE', study(uid), {
      signal: cancel.signal,
      onPending: () => cancel.abort(),
    });
    expect([result.final.status, result.final.remaining]).toEqual([0xfe00, 2]);
  });

  it('the caller is lost: nothing more is sent', async () => {
    const { uid } = await stored(50);
    const tester = await call();
    const { full, answerAll } = answerTwo();
    const retrieving = tester.retrieve('C-MOVE', study(uid));
    const failing = expect(retrieving).rejects.toMatchObject({ code: 'ASSOCIATION_ENDED' });
    await full();
    tester.association.abort(0, 0, 'told to');
    await failing;
    await seenByNode();
    answerAll();
    await eventually(() => dest.open === 0, 'the release');
    expect(dest.received).toHaveLength(2 + WINDOW);
    await node.logged(/retrieve of study ended: nobody was there to be answered/);
  });
});

it('says in the log what was done, without a word on the patient', async () => {
  const { uid } = await stored(7, { patient: 'SECRET-ID' });
  await move(uid);
  const line = await node.logged(new RegExp('retrieve of study ended .*completed=7.*'));
  expect(line).toMatch(/destination=dest/);
  expect(line).toMatch(/milliseconds=\d+/);
  expect(node.logs()).not.toContain('SECRET-ID');
});
