/** A caller in a thread of its own, so that its reading takes no turns from who measures: asks once, and tells how it went. */
import { createRequire } from 'node:module';
import { parentPort, workerData } from 'node:worker_threads';
import type * as FindClientModule from './find-client';
import type { Keys } from './find-client';

/** What the thread is started with. */
export interface Reading {
  readonly port: number;
  readonly calledAETitle: string;
  readonly keys: Keys;
}

const { FindClient } = createRequire(process.argv[1]!)('./find-client.ts') as typeof FindClientModule;

async function read({ port, calledAETitle, keys }: Reading): Promise<void> {
  const client = await FindClient.open(port, calledAETitle);
  parentPort!.postMessage('asking');
  const asked = await client.ask(keys);
  await client.release();
  parentPort!.postMessage(asked);
}

void read(workerData as Reading);
