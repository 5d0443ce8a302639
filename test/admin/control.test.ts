import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import type { NodeApi } from '../../src/admin/api';
import { ControlClient } from '../../src/admin/client';
import { ControlServer, type Health } from '../../src/admin/server';
import { EXIT, IsocenterError } from '../../src/errors';
import type { ImportEvent } from '../../src/services/import';

let folder: string;
let socket: string;
let server: ControlServer | undefined;
let client: ControlClient;
let logs: string[];
let ready: string | undefined;

const STATUS = { version: 'x', pid: 1, instances: 3 };

const unused = (): never => {
  throw new Error('not asked for');
};

function api(more: Partial<NodeApi> = {}): NodeApi {
  return {
    status: () => Promise.resolve(STATUS as unknown as Awaited<ReturnType<NodeApi['status']>>),
    find: unused,
    conflicts: unused,
    show: unused,
    locate: unused,
    quarantineList: unused,
    quarantineShow: unused,
    quarantineRelease: unused,
    quarantineDiscard: unused,
    jobsList: unused,
    jobsRetry: unused,
    jobsCancel: unused,
    commitmentReports: unused,
    importPaths: unused,
    ...more,
  };
}

const health: Health = { ready: () => ready };

async function start(more: Partial<NodeApi> = {}): Promise<void> {
  server = new ControlServer(socket, api(more), health, (level, message) => logs.push(`${level} ${message}`));
  await server.listen();
}

interface Answer {
  readonly status: number | undefined;
  readonly body: string;
}

/** As curl would ask. */
function ask(method: string, url: string, body?: string | Buffer): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = http.request({ socketPath: socket, path: url, method }, (response) => {
      let text = '';
      response.on('data', (part: Buffer) => (text += part.toString('utf8')));
      response.on('end', () => resolve({ status: response.statusCode, body: text }));
      response.on('error', reject);
    });
    request.on('error', reject);
    request.end(body);
  });
}

async function thrown(work: Promise<unknown>): Promise<Partial<IsocenterError>> {
  try {
    await work;
  } catch (error) {
    return error as IsocenterError;
  }
  throw new Error('nothing was thrown');
}

beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isocenter-admin-'));
  socket = path.join(folder, 'control.sock');
  client = new ControlClient(socket);
  logs = [];
  ready = undefined;
});

afterEach(async () => {
  await server?.close();
  server = undefined;
  fs.rmSync(folder, { recursive: true, force: true });
});

describe('the socket', () => {
  it('is for its owner only, and goes with the server', async () => {
    await start();
    expect(fs.statSync(socket).isSocket()).toBe(true);
    expect(fs.statSync(socket).mode & 0o777).toBe(0o600);
    await server!.close();
    server = undefined;
    expect(fs.existsSync(socket)).toBe(false);
  });

  it('takes the place of a dead one, and of a file', async () => {
    const dead = net.createServer();
    await new Promise<void>((resolve) => dead.listen(socket, resolve));
    // As a killed process leaves it.
    fs.renameSync(socket, `${socket}.kept`);
    await new Promise((resolve) => dead.close(resolve));
    fs.writeFileSync(socket, '');
    await start();
    expect(await client.probe()).toEqual(STATUS);
  });

  it('with a path too long says which key mends it', async () => {
    const deep = path.join(folder, 'd'.repeat(100), 'control.sock');
    fs.mkdirSync(path.dirname(deep));
    const far = new ControlServer(deep, api(), health, () => undefined);
    expect(await thrown(far.listen())).toMatchObject({
      code: 'SOCKET_PATH',
      exitCode: EXIT.configuration,
      hint: expect.stringMatching(/storage\.directory/) as string,
    });
    // Nothing can run there, so nothing does.
    expect(await new ControlClient(deep).probe()).toBeUndefined();
  });

  it('in a folder that is not there says so', async () => {
    const nowhere = new ControlServer(path.join(folder, 'x', 'control.sock'), api(), health, () => undefined);
    expect(await thrown(nowhere.listen())).toMatchObject({ code: expect.stringMatching(/^E/) as string });
  });
});

describe('health', () => {
  it('is alive as long as it answers', async () => {
    await start();
    ready = 'the store is being looked through';
    expect(await ask('GET', '/livez')).toEqual({ status: 200, body: '{"status":"ok"}' });
  });

  it('is ready when nothing is in the way, and else says what is', async () => {
    await start();
    expect(await ask('GET', '/readyz')).toEqual({ status: 200, body: '{"status":"ok"}' });
    ready = 'the store is being looked through after an unclean stop';
    expect(await ask('GET', '/readyz')).toEqual({
      status: 503,
      body: '{"status":"unavailable","reason":"the store is being looked through after an unclean stop"}',
    });
  });
});

describe('requests that are none', () => {
  it.each([
    ['POST', '/api/nothing'],
    ['POST', '/api/constructor'],
    ['POST', '/api/__proto__'],
    ['POST', '/api/'],
    ['POST', '/api/status/x'],
    ['GET', '/api/status'],
    ['POST', '/livez'],
    ['GET', '/'],
    ['DELETE', '/api/status'],
  ])('%s %s is answered 404', async (method, url) => {
    await start();
    const { status, body } = await ask(method, url);
    expect(status).toBe(404);
    expect(JSON.parse(body)).toMatchObject({ error: { code: 'UNKNOWN_COMMAND' } });
  });

  it.each([
    ['no JSON', '/api/status', '{', 400, 'BODY_INVALID'],
    ['no object', '/api/status', '"x"', 400, 'BODY_INVALID'],
    ['null', '/api/status', 'null', 400, 'BODY_INVALID'],
    ['a missing parameter', '/api/show', '{}', 400, 'PARAMETER'],
    ['a parameter of another type', '/api/show', '{"uid":5}', 400, 'PARAMETER'],
    ['a filter that is none', '/api/find', '{"filter":5}', 400, 'PARAMETER'],
    ['no filter', '/api/find', '{}', 400, 'PARAMETER'],
    ['a level that is none', '/api/find', '{"filter":{"level":"X","keys":{}}}', 400, 'PARAMETER'],
    ['keys that are no text', '/api/find', '{"filter":{"level":"STUDY","keys":{"a":5}}}', 400, 'PARAMETER'],
    ['paths that are no list', '/api/import', '{"paths":"x"}', 400, 'PARAMETER'],
    ['a path from nowhere', '/api/import', '{"paths":["x"]}', 400, 'PARAMETER'],
    ['nothing, where a reason is needed', '/api/quarantine-discard', '{"arrivalId":"x"}', 400, 'PARAMETER'],
  ])('%s is answered with what is wrong', async (_what, url, body, expected, code) => {
    await start();
    const answer = await ask('POST', url, body);
    expect(answer.status).toBe(expected);
    expect(JSON.parse(answer.body)).toMatchObject({ error: { code } });
    expect(await client.probe()).toEqual(STATUS);
  });

  it('a body without end is refused', async () => {
    await start();
    const answer = await ask('POST', '/api/show', JSON.stringify({ uid: 'x'.repeat(2 ** 20) }));
    expect(answer.status).toBe(413);
    expect(JSON.parse(answer.body)).toMatchObject({ error: { code: 'BODY_TOO_LARGE' } });
    expect(await client.probe()).toEqual(STATUS);
  });

  it('garbage instead of HTTP harms nobody', async () => {
    await start();
    const raw = net.connect(socket);
    raw.on('error', () => undefined);
    raw.resume();
    raw.write('\x00\x01\x02 not HTTP at all\r\n\r\n');
    await new Promise((resolve) => raw.on('close', resolve));
    expect(await client.probe()).toEqual(STATUS);
  });

  it('pages are bounded', async () => {
    const limits: number[] = [];
    await start({
      conflicts: ({ limit }) => {
        limits.push(limit);
        return Promise.resolve({ rows: [], next: undefined });
      },
    });
    for (const limit of ['1e9', '-1', '0', '"5"', '7', '1.5'])
      await ask('POST', '/api/conflicts', `{"limit":${limit}}`);
    expect(limits).toEqual([1000, 1000, 1000, 1000, 7, 1000]);
  });
});

describe('ControlClient', () => {
  it('knows when nothing runs', async () => {
    expect(await client.probe()).toBeUndefined();
    expect(await thrown(client.status())).toMatchObject({ code: 'NOT_RUNNING', exitCode: EXIT.notRunning });
    const dead = net.createServer();
    await new Promise<void>((resolve) => dead.listen(socket, resolve));
    fs.renameSync(socket, `${socket}.kept`);
    await new Promise((resolve) => dead.close(resolve));
    fs.renameSync(`${socket}.kept`, socket);
    expect(await client.probe()).toBeUndefined();
  });

  it('hands on results, pages and their ends', async () => {
    const asked: unknown[] = [];
    await start({
      find: (filter, page) => {
        asked.push([filter, page]);
        return Promise.resolve({
          rows: [{ PatientID: 'Müller\u2028' }],
          next: page.after === undefined ? 'x' : undefined,
        });
      },
      quarantineRelease: (arrivalId, reason) => {
        asked.push([arrivalId, reason]);
        return Promise.resolve();
      },
    });
    const filter = { level: 'STUDY' as const, keys: { PatientID: 'a*' } };
    expect(await client.find(filter, { limit: 5 })).toEqual({
      rows: [{ PatientID: 'Müller\u2028' }],
      next: 'x',
    });
    const last = await client.find(filter, { limit: 5, after: 'x' });
    expect(last.next).toBeUndefined();
    await client.quarantineRelease('id', 'why "quoted"');
    expect(asked).toEqual([
      [filter, { limit: 5 }],
      [filter, { limit: 5, after: 'x' }],
      ['id', 'why "quoted"'],
    ]);
  });

  it("hands on an error's code, hint and exit code", async () => {
    await start({
      show: () =>
        Promise.reject(
          new IsocenterError('UID_UNKNOWN', 'no such UID', { hint: 'look', exitCode: EXIT.locked }),
        ),
      quarantineShow: () => Promise.reject(new Error('something else')),
    });
    const error = await thrown(client.show('x'));
    expect(error).toMatchObject({
      name: 'IsocenterError',
      code: 'UID_UNKNOWN',
      message: 'no such UID',
      hint: 'look',
      exitCode: EXIT.locked,
    });
    expect(await thrown(client.quarantineShow('x'))).toMatchObject({
      message: 'something else',
      exitCode: 1,
    });
  });

  it('says that the node is gone where the answer is cut', async () => {
    await start({
      show: () => {
        void server!.close();
        return new Promise(() => undefined);
      },
    });
    expect(await thrown(client.show('x'))).toMatchObject({
      code: 'NODE_GONE',
      exitCode: EXIT.notRunning,
    });
    server = undefined;
  });

  it.each([
    ['in the middle of a line', '{"result":{"a'],
    ['before its first byte', ''],
  ])('says so, too, where it is cut %s', async (_when, body) => {
    const cut = http.createServer((_request, response) => {
      response.writeHead(200, { 'content-length': 1000 });
      response.write(body);
      setImmediate(() => response.destroy());
    });
    await new Promise<void>((resolve) => cut.listen(socket, resolve));
    expect(await thrown(client.show('x'))).toMatchObject({ code: 'NODE_GONE', exitCode: EXIT.notRunning });
    await new Promise((resolve) => cut.close(resolve));
  });

  it('says that what answers there is no node of ours', async () => {
    const other = http.createServer((_request, response) => response.end('<html>hello</html>'));
    await new Promise<void>((resolve) => other.listen(socket, resolve));
    expect(await thrown(client.show('x'))).toMatchObject({ code: 'NODE_GONE' });
    await new Promise((resolve) => other.close(resolve));
  });
});

describe('a stream', () => {
  const event = (index: number): ImportEvent => ({ path: `/x/${index}`, outcome: 'stored', bytes: index });

  async function collect(signal = new AbortController().signal): Promise<ImportEvent[]> {
    const events: ImportEvent[] = [];
    for await (const each of client.importPaths(['/x'], signal)) events.push(each);
    return events;
  }

  it('comes whole, however long', async () => {
    await start({
      async *importPaths(paths) {
        expect(paths).toEqual(['/x']);
        for (let index = 0; index < 20_000; index++) yield event(index);
      },
    });
    const events = await collect();
    expect(events).toHaveLength(20_000);
    expect(events.at(-1)).toEqual(event(19_999));
  });

  it('that fails says why, after what came before', async () => {
    await start({
      async *importPaths() {
        yield event(1);
        throw new IsocenterError('STORE_FAILED', 'the disk is gone', { hint: 'look', exitCode: EXIT.failed });
      },
    });
    const events: ImportEvent[] = [];
    const work = (async () => {
      for await (const each of client.importPaths(['/x'], new AbortController().signal)) events.push(each);
    })();
    expect(await thrown(work)).toMatchObject({ code: 'STORE_FAILED', hint: 'look' });
    expect(events).toEqual([event(1)]);
  });

  it('that is refused at once says why', async () => {
    await start({
      importPaths: () => {
        throw new IsocenterError('NOT_READY', 'not yet', { exitCode: EXIT.locked });
      },
    });
    expect(await thrown(collect())).toMatchObject({ code: 'NOT_READY', exitCode: EXIT.locked });
  });

  it('that is cut is not taken for a whole one', async () => {
    await start({
      async *importPaths() {
        yield event(1);
        setImmediate(() => void server!.close());
        await new Promise(() => undefined);
      },
    });
    expect(await thrown(collect())).toMatchObject({ code: 'NODE_GONE', exitCode: EXIT.notRunning });
    server = undefined;
  });

  it('ends where its reader is interrupted, and the node is told', async () => {
    const told = Promise.withResolvers<undefined>();
    await start({
      async *importPaths(_paths, signal) {
        signal.addEventListener('abort', () => told.resolve(undefined));
        yield event(1);
        await told.promise;
      },
    });
    const stop = new AbortController();
    const events: ImportEvent[] = [];
    for await (const each of client.importPaths(['/x'], stop.signal)) {
      events.push(each);
      stop.abort();
    }
    expect(events).toEqual([event(1)]);
    await told.promise;
  });

  it('waits for a slow reader', async () => {
    let made = 0;
    await start({
      async *importPaths() {
        for (; made < 200_000; made++) yield { ...event(made), reason: 'x'.repeat(200) };
      },
    });
    const raw = net.connect(socket);
    raw.on('error', () => undefined);
    const body = JSON.stringify({ paths: ['/x'] });
    raw.write(`POST /api/import HTTP/1.1\r\nhost: x\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
    raw.pause();
    let before = -1;
    while (made !== before || made === 0) {
      before = made;
      for (let turn = 0; turn < 200; turn++) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(made).toBeLessThan(100_000);
    raw.destroy();
  });
});
