import { chmod, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { isAbsolute } from 'node:path';
import type { Selection } from '../catalog/query-types';
import { JOB_STATES, type JobFilter, type JobSelection, type JobState } from '../catalog/jobs';
import type { FindFilter, Level } from '../catalog/types';
import { EXIT, IsocenterError, errorCode, errorMessage } from '../errors';
import type { LogFn } from '../log';
import type { NodeApi, PageRequest } from './api';
import { SOCKET_PATH_LIMIT, socketPath } from './socket-path';

/** Requests are small; anything larger is no command of ours. */
const BODY_LIMIT = 1 << 20;

type Handler = (
  api: NodeApi,
  params: Record<string, unknown>,
  signal: AbortSignal,
) => Promise<unknown> | AsyncIterable<unknown>;

/** The API behind the commands, by the last part of the path: `POST /api/find`. */
const HANDLERS: Readonly<Record<string, Handler>> = {
  status: (api) => api.status(),
  find: (api, params) => api.find(filter(params), page(params)),
  conflicts: (api, params) => api.conflicts(page(params)),
  show: (api, params) => api.show(text(params, 'uid')),
  locate: (api, params) => api.locate(selection(params), page(params)),
  'quarantine-list': (api, params) => api.quarantineList(page(params)),
  'quarantine-show': (api, params) => api.quarantineShow(text(params, 'arrivalId')),
  'quarantine-release': (api, params) =>
    api.quarantineRelease(text(params, 'arrivalId'), text(params, 'reason')),
  'quarantine-discard': (api, params) =>
    api.quarantineDiscard(text(params, 'arrivalId'), text(params, 'reason')),
  'jobs-list': (api, params) => api.jobsList(jobFilter(params), page(params)),
  'jobs-retry': (api, params) => api.jobsRetry(jobSelection(params)),
  'jobs-cancel': (api, params) => api.jobsCancel(jobSelection(params)),
  'commitment-reports': (api, params, signal) =>
    api.commitmentReports(text(params, 'aeTitle'), uids(params), signal),
  import: (api, params, signal) => api.importPaths(paths(params), signal),
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
    const short = socketPath(this.path);
    if (short === undefined) {
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
      refuse(response, new IsocenterError('UNKNOWN_COMMAND', 'no such command'));
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
      else refuse(response, error);
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
      if (!response.write(`${JSON.stringify({ event })}\n`)) await drained(response);
    }
    response.end(`${JSON.stringify({ done: true })}\n`);
  } catch (error) {
    response.end(`${JSON.stringify(failure(error))}\n`);
  }
}

/** Resolves when more can be written, or when nobody reads any more. */
function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.on('drain', done);
    response.on('close', done);
    // A response that was cut already says nothing any more.
    if (response.destroyed) done();
  });
}

async function body(request: IncomingMessage): Promise<Record<string, unknown>> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > BODY_LIMIT) throw new IsocenterError('BODY_TOO_LARGE', 'The request is too large');
    parts.push(part);
  }
  if (length === 0) return {};
  const parsed = parse(Buffer.concat(parts).toString('utf8'));
  if (isObject(parsed)) return parsed;
  throw new IsocenterError('BODY_INVALID', 'The request is not a JSON object');
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** HTTP status of an error, by its code; 500 for the others. */
const STATUSES: Readonly<Record<string, number>> = {
  BODY_INVALID: 400,
  PARAMETER: 400,
  UNKNOWN_COMMAND: 404,
  UID_UNKNOWN: 404,
  QUARANTINE_UNKNOWN: 404,
  BODY_TOO_LARGE: 413,
  NOT_READY: 503,
};

function refuse(response: ServerResponse, error: unknown): void {
  reply(response, STATUSES[errorCode(error) ?? ''] ?? 500, failure(error));
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
    limit: Number.isSafeInteger(limit) && Number(limit) > 0 ? Math.min(Number(limit), 1000) : 1000,
    ...(typeof after === 'string' ? { after } : {}),
  };
}

function text(params: Record<string, unknown>, name: string): string {
  const value = params[name];
  if (typeof value === 'string') return value;
  throw parameter(`"${name}" is missing`);
}

/** Transactions that a command waits for. */
function uids(params: Record<string, unknown>): string[] {
  const value = params['TransactionUIDs'];
  if (Array.isArray(value) && value.every((uid) => typeof uid === 'string')) return value;
  throw parameter('"TransactionUIDs" is no list of texts');
}

/** By absolute path: a relative one would start at the node's own folder. */
function paths(params: Record<string, unknown>): string[] {
  const value = params['paths'];
  if (Array.isArray(value) && value.every((path) => typeof path === 'string' && isAbsolute(path)))
    return value as string[];
  throw parameter('"paths" is no list of absolute paths');
}

function filter(params: Record<string, unknown>): FindFilter {
  const value = params['filter'];
  const { level, keys } = isObject(value) ? value : {};
  if (!LEVELS.has(level)) throw parameter('"filter.level" is none of the levels');
  if (isObject(keys) && Object.values(keys).every((key) => typeof key === 'string'))
    return { level: level as Level, keys: keys as Record<string, string> };
  throw parameter('"filter.keys" is no object of texts');
}

/** Lists of UIDs, and a patient; one of them at least, or it would name everything. */
function selection(params: Record<string, unknown>): Selection {
  const value = params['selection'];
  const given = isObject(value) ? Object.entries(value) : [];
  const known = given.every(([key, one]) =>
    SELECTION_TEXTS.has(key)
      ? typeof one === 'string'
      : SELECTION_LISTS.has(key) && Array.isArray(one) && one.every((uid) => typeof uid === 'string'),
  );
  if (known && given.some(([key]) => key !== 'IssuerOfPatientID')) return Object.fromEntries(given);
  throw parameter('"selection" names no patient, study, series or instance');
}

const SELECTION_TEXTS: ReadonlySet<string> = new Set<keyof Selection>(['PatientID', 'IssuerOfPatientID']);
const SELECTION_LISTS: ReadonlySet<string> = new Set<keyof Selection>([
  'StudyInstanceUID',
  'SeriesInstanceUID',
  'SOPInstanceUID',
]);

function jobFilter(params: Record<string, unknown>): JobFilter {
  const value = params['filter'];
  const { destination, state } = isObject(value) ? value : {};
  if (destination !== undefined && typeof destination !== 'string')
    throw parameter('"filter.destination" is no text');
  if (state !== undefined && !STATES.has(state)) throw parameter('"filter.state" is none of the states');
  return {
    ...(destination === undefined ? {} : { destination }),
    ...(state === undefined ? {} : { state: state as JobState }),
  };
}

const STATES: ReadonlySet<unknown> = new Set(JOB_STATES);

function jobSelection({ ids, destination }: Record<string, unknown>): JobSelection {
  if (ids === undefined && typeof destination === 'string') return { destination };
  if (destination === undefined && Array.isArray(ids) && ids.every((id) => Number.isSafeInteger(id)))
    return { ids: ids as number[] };
  throw parameter('either "ids", a list of numbers, or "destination", a text, is expected');
}

const LEVELS: ReadonlySet<unknown> = new Set<Level>(['PATIENT', 'STUDY', 'SERIES', 'IMAGE']);

function parameter(message: string): IsocenterError {
  return new IsocenterError('PARAMETER', message, { exitCode: EXIT.usage });
}
