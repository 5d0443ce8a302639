import { parentPort, workerData } from 'node:worker_threads';
import { toWire, type WireError } from './failure';
import type { CatalogAttribute } from './layout';

/** What a thread is started with. Plain data: a thread's file must not load the dictionary, which costs 20 MB. */
export interface ThreadData {
  readonly file: string;
  readonly attributes: readonly CatalogAttribute[];
}

export interface ThreadRequest {
  readonly id: number;
  readonly method: string;
  readonly argument: unknown;
}

export type ThreadReply =
  { readonly id: number; readonly value: unknown } | { readonly id: number; readonly error: WireError };

/** The inside of a thread: answers one request after the other, synchronously. */
export function serve(
  start: (data: ThreadData) => Readonly<Record<string, (argument: never) => unknown>>,
): void {
  const port = parentPort;
  if (port === null) throw new Error('this file is run as a worker thread');
  let handlers: Readonly<Record<string, (argument: never) => unknown>> | undefined;
  port.on('message', ({ id, method, argument }: ThreadRequest) => {
    let reply: ThreadReply;
    try {
      // Opened by the first request, so that its failure has somebody to go to.
      handlers ??= start(workerData as ThreadData);
      const handler = handlers[method];
      reply = { id, value: handler?.(argument as never) };
    } catch (error) {
      reply = { id, error: toWire(error) };
    }
    port.postMessage(reply);
    if (method === 'close') port.close();
  });
}
