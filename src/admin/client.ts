import { request, type IncomingMessage } from 'node:http';
import type { FindFilter } from '../catalog/types';
import { errorCode, EXIT, IsocenterError, type ExitCode } from '../errors';
import type { ReportNews } from '../services/commitment-expected';
import type { ImportEvent } from '../services/import';
import type { NodeApi, PageRequest, Status } from './api';
import { socketPath } from './socket-path';

interface Reply {
  readonly result?: unknown;
  readonly event?: unknown;
  readonly done?: boolean;
  readonly error?: {
    readonly code: string;
    readonly message: string;
    readonly hint?: string;
    readonly exitCode?: ExitCode;
  };
}

/** `NodeApi` of a running node, over its control socket. */
export class ControlClient implements NodeApi {
  private readonly path: string | undefined;

  constructor(path: string) {
    this.path = socketPath(path);
  }

  /** What the node that answers there says of itself; undefined where none does. */
  async probe(): Promise<Status | undefined> {
    try {
      return await this.status();
    } catch (error) {
      if (errorCode(error) === 'NOT_RUNNING') return undefined;
      throw error;
    }
  }

  status: NodeApi['status'] = () => this.call('status', {});
  find: NodeApi['find'] = (filter: FindFilter, page: PageRequest) => this.call('find', { filter, ...page });
  conflicts: NodeApi['conflicts'] = (page) => this.call('conflicts', { ...page });
  show: NodeApi['show'] = (uid) => this.call('show', { uid });
  locate: NodeApi['locate'] = (selection, page) => this.call('locate', { selection, ...page });
  quarantineList: NodeApi['quarantineList'] = (page) => this.call('quarantine-list', { ...page });
  quarantineShow: NodeApi['quarantineShow'] = (arrivalId) => this.call('quarantine-show', { arrivalId });
  quarantineRelease: NodeApi['quarantineRelease'] = (arrivalId, reason) =>
    this.call('quarantine-release', { arrivalId, reason });
  quarantineDiscard: NodeApi['quarantineDiscard'] = (arrivalId, reason) =>
    this.call('quarantine-discard', { arrivalId, reason });
  jobsList: NodeApi['jobsList'] = (filter, page) => this.call('jobs-list', { filter, ...page });
  jobsRetry: NodeApi['jobsRetry'] = (selection) => this.call('jobs-retry', { ...selection });
  jobsCancel: NodeApi['jobsCancel'] = (selection) => this.call('jobs-cancel', { ...selection });

  importPaths(paths: readonly string[], signal: AbortSignal): AsyncIterable<ImportEvent> {
    return this.stream('import', { paths }, signal);
  }

  commitmentReports(
    aeTitle: string,
    TransactionUIDs: readonly string[],
    signal: AbortSignal,
  ): AsyncIterable<ReportNews> {
    return this.stream('commitment-reports', { aeTitle, TransactionUIDs }, signal);
  }

  private async *stream<T>(method: string, params: unknown, signal: AbortSignal): AsyncGenerator<T> {
    try {
      for await (const line of linesOf(await this.send(method, params, signal))) {
        const reply = parse(line);
        if (reply.error !== undefined) throw asError(reply.error);
        if (reply.done === true) return;
        yield reply.event as T;
      }
    } catch (error) {
      // Whoever interrupts it knows why it ended.
      if (signal.aborted) return;
      throw error;
    }
    if (!signal.aborted) throw nodeGone();
  }

  private async call<T>(method: string, params: unknown): Promise<T> {
    const response = await this.send(method, params);
    let text = '';
    for await (const line of linesOf(response)) text += line;
    const reply = parse(text);
    if (reply.error !== undefined) throw asError(reply.error);
    // Pages have an undefined `next` at the end, which JSON leaves out.
    return reply.result as T;
  }

  private send(method: string, params: unknown, signal?: AbortSignal): Promise<IncomingMessage> {
    const { path } = this;
    // No node could listen there either.
    if (path === undefined) return Promise.reject(notRunning());
    return new Promise((resolve, reject) => {
      const outgoing = request(
        {
          socketPath: path,
          path: `/api/${method}`,
          method: 'POST',
          headers: { 'content-type': 'application/json' },
        },
        resolve,
      );
      outgoing.on('error', (error) => reject(unreachable(error)));
      // Not as an option: that one would destroy the socket, too, when it serves nobody any more.
      const cut = (): void => {
        outgoing.destroy();
      };
      signal?.addEventListener('abort', cut, { once: true });
      outgoing.on('close', () => signal?.removeEventListener('abort', cut));
      if (signal?.aborted === true) cut();
      outgoing.end(JSON.stringify(params));
    });
  }
}

/** Whole lines as they come, the last one without its end too; one that was cut off is an error. */
async function* linesOf(response: IncomingMessage): AsyncIterable<string> {
  response.setEncoding('utf8');
  let rest = '';
  try {
    for await (const part of response as AsyncIterable<string>) {
      const lines = (rest + part).split('\n');
      rest = lines.pop() ?? '';
      yield* lines;
    }
  } catch (error) {
    throw nodeGone(error);
  }
  if (rest !== '') yield rest;
}

function parse(text: string): Reply {
  try {
    const reply: unknown = JSON.parse(text);
    if (typeof reply === 'object' && reply !== null) return reply;
  } catch {
    // Below.
  }
  throw nodeGone();
}

function unreachable(error: Error): Error {
  switch (errorCode(error)) {
    case 'ENOENT':
    case 'ECONNREFUSED':
      return notRunning();
    case 'EACCES':
    case 'EPERM':
      return new IsocenterError('NODE_FOREIGN', 'The node on this store is run by another user', {
        hint: 'run the command as that user',
        cause: error,
      });
    case 'ECONNRESET':
    case 'EPIPE':
      return nodeGone(error);
    default:
      return error;
  }
}

function notRunning(): IsocenterError {
  return new IsocenterError('NOT_RUNNING', 'No node runs on this store', {
    exitCode: EXIT.notRunning,
    hint: 'npm start',
  });
}

function nodeGone(cause?: unknown): IsocenterError {
  return new IsocenterError('NODE_GONE', 'The node ended in the middle of the command', {
    exitCode: EXIT.notRunning,
    hint: 'look into the log of the node, then run the command again',
    cause,
  });
}

function asError(error: NonNullable<Reply['error']>): IsocenterError {
  return new IsocenterError(error.code, error.message, {
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(error.exitCode === undefined ? {} : { exitCode: error.exitCode }),
  });
}
