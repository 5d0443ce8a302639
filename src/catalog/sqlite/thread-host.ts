import { existsSync } from 'node:fs';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { IsocenterError, errorMessage } from '../../errors';
import { fromWire } from './failure';
import type { ThreadData, ThreadReply, ThreadRequest } from './thread';

/** Heap that a thread may grow to, in MiB; no reservation. The whole replay of a patient's headers goes through the writer's. */
const OLD_GENERATION = 512;
/** A batch's arrivals die young; more room for them buys nothing that was measured, and is never given back. */
const YOUNG_GENERATION = 8;

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** The outside of a thread: calls by method name, answered in order. A thread that dies rejects what waits. */
export class ThreadHost {
  private readonly worker: Worker;
  private readonly waiting = new Map<number, Waiting>();
  private readonly ended: Promise<void>;
  private nextId = 1;
  private closing = false;
  private death: IsocenterError | undefined;

  /** @param onDeath called once, where the thread ends without having been asked to. */
  constructor(name: string, data: ThreadData, onDeath: (error: IsocenterError) => void) {
    this.worker = new Worker(threadFile(name), {
      workerData: data,
      name: `catalog ${name}`,
      resourceLimits: {
        maxOldGenerationSizeMb: OLD_GENERATION,
        maxYoungGenerationSizeMb: YOUNG_GENERATION,
      },
    });
    this.worker.on('message', (reply: ThreadReply) => this.settle(reply));
    let cause: unknown;
    this.worker.on('error', (error: unknown) => {
      cause = error;
    });
    this.ended = new Promise((resolve) => {
      this.worker.on('exit', (code) => {
        const why = cause === undefined ? `exit code ${code}` : errorMessage(cause);
        this.death = new IsocenterError('CATALOG_THREAD', `The catalog's ${name} thread ended: ${why}`, {
          hint: 'restart the node; "isocenter doctor" checks the catalog',
          cause,
        });
        for (const call of this.waiting.values()) call.reject(this.death);
        this.waiting.clear();
        if (!this.closing) onDeath(this.death);
        resolve();
      });
    });
  }

  call<T>(method: string, argument?: unknown): Promise<T> {
    if (this.death !== undefined) return Promise.reject(this.death);
    return new Promise<T>((resolve, reject) => {
      const id = this.nextId++;
      this.waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
      const request: ThreadRequest = { id, method, argument };
      this.worker.postMessage(request);
    });
  }

  /** Lets it finish what was asked, then ends it. */
  async close(): Promise<void> {
    this.closing = true;
    try {
      if (this.death === undefined) await this.call('close');
    } catch (error) {
      if (error !== this.death) throw error;
    }
    await this.ended;
  }

  /** Ends it where it stands. */
  async terminate(): Promise<void> {
    this.closing = true;
    await this.worker.terminate();
    await this.ended;
  }

  private settle(reply: ThreadReply): void {
    const call = this.waiting.get(reply.id);
    this.waiting.delete(reply.id);
    if ('error' in reply) call?.reject(fromWire(reply.error));
    else call?.resolve(reply.value);
  }
}

/** A thread needs JavaScript: the file beside the compiled one, or its twin in dist/ where the sources run as they are. */
function threadFile(name: string): string {
  const file = `${name}-thread.js`;
  const beside = path.join(__dirname, file);
  if (existsSync(beside)) return beside;
  return path.join(__dirname, '..', '..', '..', 'dist', 'catalog', 'sqlite', file);
}
