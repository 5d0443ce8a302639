import { existsSync } from 'node:fs';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { RecodeProblem } from '../dicom/recode-problem';
import { errorMessage } from '../errors';
import type { DecoderReply } from './decoder-thread';
import type { DecodedFrame, EncodedFrame } from './pixel-module';

/** Calls back after some milliseconds; what is returned cancels. */
export type After = (milliseconds: number, callback: () => void) => () => void;

export interface DecoderOptions {
  /** A frame that takes longer is given up, in milliseconds. */
  readonly frameTimeout: number;
  /** The thread ends when it had nothing to do for so long, in milliseconds. */
  readonly idleTimeout: number;
  readonly after: After;
}

/** Heap of the thread, in MiB. Frames and the memory of the codecs are outside of it; those are held by `MAX_FRAME` and by WebAssembly's own 2 GiB. */
const HEAP = 256;

interface Job {
  readonly frame: EncodedFrame;
  readonly resolve: (frame: DecodedFrame) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Decodes frames in a thread, one after the other in the order in which they came. The thread is started by the first frame and ends when
 * idle. A frame that ends it or takes too long fails alone; the next one finds a new thread.
 */
export class Decoder {
  private readonly options: DecoderOptions;
  private readonly queue: Job[] = [];
  private worker: Worker | undefined;
  private current: Job | undefined;
  private cancelTimer: (() => void) | undefined;
  private closed = false;

  constructor(options: DecoderOptions) {
    this.options = options;
  }

  /** Whether the thread is there. */
  get running(): boolean {
    return this.worker !== undefined;
  }

  /** Hands over the bytes of the frame. @throws RecodeProblem why it can't be decoded. */
  decode(frame: EncodedFrame): Promise<DecodedFrame> {
    if (this.closed) return Promise.reject(new RecodeProblem('the node is stopping'));
    return new Promise((resolve, reject) => {
      this.queue.push({ frame, resolve, reject });
      if (this.current === undefined) this.next();
    });
  }

  /** Ends the thread; what waits fails. */
  async close(): Promise<void> {
    this.closed = true;
    const { worker } = this;
    this.drop(new RecodeProblem('the node is stopping'));
    for (const job of this.queue.splice(0)) job.reject(new RecodeProblem('the node is stopping'));
    await worker?.terminate();
  }

  private next(): void {
    this.cancelTimer?.();
    this.cancelTimer = undefined;
    const job = this.queue.shift();
    this.current = job;
    if (job === undefined) {
      this.rest();
      return;
    }
    const worker = (this.worker ??= this.start());
    worker.ref();
    worker.postMessage(job.frame, [job.frame.bytes]);
    this.cancelTimer = this.options.after(this.options.frameTimeout, () => {
      const seconds = Math.round(this.options.frameTimeout / 1000);
      this.drop(new RecodeProblem(`a frame was not decoded within ${seconds} s`));
      void worker.terminate();
      this.next();
    });
  }

  /** An idle thread keeps no process alive. */
  private rest(): void {
    const { worker } = this;
    if (worker === undefined) return;
    worker.unref();
    this.cancelTimer = this.options.after(this.options.idleTimeout, () => {
      this.cancelTimer = undefined;
      this.worker = undefined;
      void worker.terminate();
    });
  }

  private start(): Worker {
    const worker = new Worker(threadFile(), {
      name: 'decoder',
      resourceLimits: { maxOldGenerationSizeMb: HEAP, maxYoungGenerationSizeMb: 8 },
    });
    let cause: unknown;
    worker.on('message', (reply: DecoderReply) => {
      if (worker === this.worker) this.settle(reply);
    });
    worker.on('error', (error: unknown) => {
      cause = error;
    });
    worker.on('exit', (code) => {
      if (worker !== this.worker) return;
      const why = cause === undefined ? `exit code ${code}` : errorMessage(cause);
      this.drop(new RecodeProblem(`the decoder's thread ended: ${why}`));
      if (!this.closed) this.next();
    });
    return worker;
  }

  private settle(reply: DecoderReply): void {
    const job = this.current;
    this.current = undefined;
    if ('frame' in reply) job?.resolve(reply.frame);
    else job?.reject(new RecodeProblem(reply.problem));
    this.next();
  }

  /** Lets go of the thread, and of the frame that it was at. */
  private drop(error: Error): void {
    this.cancelTimer?.();
    this.cancelTimer = undefined;
    this.worker = undefined;
    this.current?.reject(error);
    this.current = undefined;
  }
}

/** A thread needs JavaScript: the file beside the compiled one, or its twin in dist/ where the sources run as they are. */
function threadFile(): string {
  const beside = path.join(__dirname, 'decoder-thread.js');
  return existsSync(beside)
    ? beside
    : path.join(__dirname, '..', '..', 'dist', 'transcode', 'decoder-thread.js');
}
