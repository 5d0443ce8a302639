import type { StoredArrival } from '../types';
import type { ThreadData } from './thread';
import { ThreadHost } from './thread-host';

/** How long the thread stays for the next job, in milliseconds: starting it costs less than a day of its 30 MB. */
const IDLE = 10_000;

/** Work on the whole database, on a thread that is there while there is any. */
export class Maintenance {
  private readonly data: ThreadData;
  private thread: ThreadHost | undefined;
  private jobs = 0;
  private timer: NodeJS.Timeout | undefined;

  constructor(data: ThreadData) {
    this.data = data;
  }

  checkpoint(): Promise<void> {
    return this.run('checkpoint');
  }

  quickCheck(): Promise<string[]> {
    return this.run('quickCheck');
  }

  arrivalsAfter(range: unknown): Promise<StoredArrival[]> {
    return this.run('arrivalsAfter', range);
  }

  async close(): Promise<void> {
    clearTimeout(this.timer);
    const thread = this.thread;
    this.thread = undefined;
    await thread?.close();
  }

  private async run<T>(method: string, argument?: unknown): Promise<T> {
    clearTimeout(this.timer);
    // It only copies and reads: its death loses nothing, the next job gets another one.
    this.thread ??= new ThreadHost('maintenance', this.data, () => (this.thread = undefined));
    this.jobs++;
    try {
      return await this.thread.call<T>(method, argument);
    } finally {
      this.jobs--;
      if (this.jobs === 0) {
        this.timer = setTimeout(() => void this.close().catch(() => undefined), IDLE);
        this.timer.unref();
      }
    }
  }
}
