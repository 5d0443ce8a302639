import { chmod, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { relative } from 'node:path';
import { EXIT, IsocenterError, errorCode, errorMessage } from '../errors';
import type { LogFn } from '../log';
import type { NodeApi, PageRequest } from './api';

/** Requests are small; anything larger is no command of ours. */
const BODY_LIMIT = 1 << 20;

/** sun_path of Linux holds 108 bytes with its end mark. */
const SOCKET_PATH_LIMIT = 107;

type Handler = (
  api: NodeApi,
  params: Record<string, unknown>,
  signal: AbortSignal,
) => Promise<unknown> | AsyncIterable<unknown>;

/** The API behind the commands, by the last part of the path: `POST /api/find`. */
const HANDLERS: Readonly<Record<string, Handler>> = {
  status: (api) => api.status(),
  find: (api, params) => api.find(params['filter'] as Parameters<NodeApi['find']>[0], page(params)),
  conflicts: (api, params) => api.conflicts(page(params)),
  show: (api, params) => api.show(text(params, 'uid')),
  'quarantine-list': (api, params) => api.quarantineList(page(params)),
  'quarantine-show': (api, params) => api.quarantineShow(text(params, 'arrivalId')),
  'quarantine-release': (api, params) =>
    api.quarantineRelease(text(params, 'arrivalId'), text(params, 'reason')),
  'quarantine-discard': (api, params) =>
    api.quarantineDiscard(text(params, 'arrivalId'), text(params, 'reason')),
  import: (api, params, signal) => api.importPaths(texts(params, 'paths'), signal),
};

/** Health as a probe asks for it: undefined = well, else why not. */
export interface Health {
  ready(): string | undefined;
}

/**
 * The control socket (interface: "Commands talk to the running node over its control socket"): HTTP with JSON, in a folder that only
 * the node's user can enter. Its owner holds the store's lock, so a socket file found at start is a dead one.
 */
export class ControlServer {
  private readonly server: Server;
  private readonly path: string;
  private readonly log: LogFn;

  constructor(path: string, api: NodeApi, health: Health, log: LogFn) {
    this.path = path;
    this.log = log;
    this.server = createServer((request, response) => {
      this.answer(api, health, request, response).catch((error: unknown) => {
        log('warn', 'a command over the control socket failed', { cause: errorMessage(error) });
        response.destroy();
      });
    });
    this.server.on('error', (error) => this.log('error', 'control socket failed', { cause: error.message }));
  }

  /** @throws IsocenterError `SOCKET_PATH` when the path is too long for a socket. */
  async listen(): Promise<void> {
    // A path from here is often the shorter one.
    const fromHere = relative(process.cwd(), this.path);
    const short = fromHere.length < this.path.length ? fromHere : this.path;
    if (Buffer.byteLength(short) > SOCKET_PATH_LIMIT) {
      throw new IsocenterError(
        'SOCKET_PATH',
        `The path of the control socket is longer than ${SOCKET_PATH_LIMIT} bytes: ${this.path}`,
        {
          exitCode: EXIT.configuration,
          hint: 'choose a shorter storage.directory',
        },
      );
    }
    await rm(this.path, { force: true });
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(short, () => {
        this.server.off('error', reject);
        resolve();
      });
    });
    await chmod(this.path, 0o600);
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.server.close(() => resolve());
      this.server.closeAllConnections();
    });
    await rm(this.path, { force: true });
  }

  private async answer(
    api: NodeApi,
    health: Health,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    if (request.method === 'GET' && request.url === '/livez') {
      reply(response, 200, { status: 'ok' });
      return;
    }
    if (request.method === 'GET' && request.url === '/readyz') {
      const reason = health.ready();
      if (reason === undefined) reply(response, 200, { status: 'ok' });
      else reply(response, 503, { status: 'unavailable', reason });
      return;
    }
    const method = /^\/api\/([a-z-]+)$/.exec(request.url ?? '')?.[1];
    const handler = method === undefined || !Object.hasOwn(HANDLERS, method) ? undefined : HANDLERS[method];
    if (request.method !== 'POST' || handler === undefined) {
      reply(response, 404, failure(new IsocenterError('UNKNOWN_COMMAND', 'no such command')));
      return;
    }
    const gone = new AbortController();
    response.on('close', () => gone.abort());
    try {
      const result = handler(api, await body(request), gone.signal);
      if (isStream(result)) await stream(response, result);
      else reply(response, 200, { result: (await result) ?? null });
    } catch (error) {
      if (response.headersSent) response.destroy();
      else reply(response, 500, failure(error));
    }
  }
}

function isStream(value: Promise<unknown> | AsyncIterable<unknown>): value is AsyncIterable<unknown> {
  return Symbol.asyncIterator in value;
}

/** One JSON line an event; a last line says how it ended, so that a cut stream can't look complete. */
async function stream(response: ServerResponse, events: AsyncIterable<unknown>): Promise<void> {
  response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  response.flushHeaders();
  try {
    for await (const event of events) {
      if (!response.write(`${JSON.stringify({ event })}\n`)) {
        await new Promise<void>((resolve) => {
          response.once('drain', resolve);
          response.once('close', resolve);
        });
      }
    }
    response.end(`${JSON.stringify({ done: true })}\n`);
  } catch (error) {
    response.end(`${JSON.stringify(failure(error))}\n`);
  }
}

async function body(request: IncomingMessage): Promise<Record<string, unknown>> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > BODY_LIMIT) throw new IsocenterError('BODY_TOO_LARGE', 'The request is too large');
    parts.push(part);
  }
  const parsed: unknown = length === 0 ? {} : JSON.parse(Buffer.concat(parts).toString('utf8'));
  if (typeof parsed !== 'object' || parsed === null)
    throw new IsocenterError('BODY_INVALID', 'The request is not a JSON object');
  return parsed as Record<string, unknown>;
}

function reply(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
}

function failure(error: unknown): unknown {
  const known = error as Partial<IsocenterError>;
  return {
    error: {
      code: errorCode(error) ?? 'FAILED',
      message: errorMessage(error),
      hint: known.hint,
      exitCode: known.exitCode,
    },
  };
}

function page(params: Record<string, unknown>): PageRequest {
  const limit = params['limit'];
  const after = params['after'];
  return {
    limit: typeof limit === 'number' && limit > 0 ? Math.min(limit, 1000) : 1000,
    ...(typeof after === 'string' ? { after } : {}),
  };
}

function text(params: Record<string, unknown>, name: string): string {
  const value = params[name];
  if (typeof value !== 'string')
    throw new IsocenterError('PARAMETER', `"${name}" is missing`, { exitCode: EXIT.usage });
  return value;
}

function texts(params: Record<string, unknown>, name: string): string[] {
  const value = params[name];
  if (!Array.isArray(value) || !value.every((item) => typeof item === 'string')) {
    throw new IsocenterError('PARAMETER', `"${name}" is missing`, { exitCode: EXIT.usage });
  }
  return value;
}
