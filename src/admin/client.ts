import { request, type IncomingMessage } from 'node:http';
import { relative } from 'node:path';
import { createInterface } from 'node:readline';
import type { FindFilter } from '../catalog/types';
import { errorCode, EXIT, IsocenterError, type ExitCode } from '../errors';
import type { ImportEvent } from '../services/import';
import type { NodeApi, PageRequest } from './api';

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
  private readonly path: string;

  constructor(path: string) {
    const fromHere = relative(process.cwd(), path);
    this.path = fromHere.length < path.length ? fromHere : path;
  }

  /** Whether a node answers there. */
  async reachable(): Promise<boolean> {
    try {
      await this.status();
      return true;
    } catch (error) {
      if (errorCode(error) === 'NOT_RUNNING') return false;
      throw error;
    }
  }

  status: NodeApi['status'] = () => this.call('status', {});
  find: NodeApi['find'] = (filter: FindFilter, page: PageRequest) => this.call('find', { filter, ...page });
  conflicts: NodeApi['conflicts'] = (page) => this.call('conflicts', { ...page });
  show: NodeApi['show'] = (uid) => this.call('show', { uid });
  quarantineList: NodeApi['quarantineList'] = (page) => this.call('quarantine-list', { ...page });
  quarantineShow: NodeApi['quarantineShow'] = (arrivalId) => this.call('quarantine-show', { arrivalId });
  quarantineRelease: NodeApi['quarantineRelease'] = (arrivalId, reason) =>
    this.call('quarantine-release', { arrivalId, reason });
  quarantineDiscard: NodeApi['quarantineDiscard'] = (arrivalId, reason) =>
    this.call('quarantine-discard', { arrivalId, reason });

  async *importPaths(paths: readonly string[], signal: AbortSignal): AsyncIterable<ImportEvent> {
    const response = await this.send('import', { paths }, signal);
    for await (const line of createInterface({ input: response })) {
      const reply = JSON.parse(line) as Reply;
      if (reply.error !== undefined) throw asError(reply.error);
      if (reply.done === true) return;
      yield reply.event as ImportEvent;
    }
    if (!signal.aborted)
      throw new IsocenterError('NODE_GONE', 'The node ended in the middle of the command', {
        exitCode: EXIT.notRunning,
      });
  }

  private async call<T>(method: string, params: unknown): Promise<T> {
    const response = await this.send(method, params);
    const parts: Buffer[] = [];
    for await (const part of response as AsyncIterable<Buffer>) parts.push(part);
    const reply = JSON.parse(Buffer.concat(parts).toString('utf8')) as Reply;
    if (reply.error !== undefined) throw asError(reply.error);
    // Pages have an undefined `next` at the end, which JSON leaves out.
    return reply.result as T;
  }

  private send(method: string, params: unknown, signal?: AbortSignal): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const outgoing = request(
        {
          socketPath: this.path,
          path: `/api/${method}`,
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          ...(signal && { signal }),
        },
        resolve,
      );
      outgoing.on('error', (error) => {
        const gone = ['ENOENT', 'ECONNREFUSED'].includes(errorCode(error) ?? '');
        reject(
          gone
            ? new IsocenterError('NOT_RUNNING', 'No node runs on this store', {
                exitCode: EXIT.notRunning,
                hint: 'npm start',
              })
            : error,
        );
      });
      outgoing.end(JSON.stringify(params));
    });
  }
}

function asError(error: NonNullable<Reply['error']>): IsocenterError {
  return new IsocenterError(error.code, error.message, {
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(error.exitCode === undefined ? {} : { exitCode: error.exitCode }),
  });
}
