import type { Scu } from '../dimse/scu';
import { statusCategory, statusText } from '../dimse/status';
import { errorCode, errorMessage } from '../errors';
import type { Association } from '../net/types';
import type { OutgoingInstance } from './outgoing';
import { ReadAhead, type Prepared, type Ready, type Supply } from './send-ahead';
import { ContextTable } from './send-contexts';
import type { Instances, OverOptions, SendResult } from './send-types';

/** An association that stands, and the half of it that sends requests: a `Session`, or the context of a service. */
export interface Link {
  readonly association: Pick<Association, 'closed' | 'unsent'>;
  readonly scu: Pick<Scu, 'store' | 'window'>;
}

/** Of a request without an answer, by the code of its error. */
const FATES: Readonly<Record<string, SendResult['lost']>> = {
  ASSOCIATION_ENDED: 'ended',
  ASSOCIATION_RELEASED: 'ended',
  RESPONSE_TIMEOUT: 'silent',
};

/**
 * Sends instances over an association that stands, as many at once as was agreed, each read before its turn. One result for each instance
 * that was started, in order; a failure ends no other. It ends with the instances, when `signal` is aborted, or with the association:
 * what was not started then has no result. The association is left as it is.
 * @throws what `instances` throws, after the results of what was under way.
 */
export async function* sendOver(
  link: Link,
  instances: Instances,
  options: OverOptions,
): AsyncGenerator<SendResult, void, undefined> {
  const iterator =
    Symbol.asyncIterator in instances ? instances[Symbol.asyncIterator]() : instances[Symbol.iterator]();
  try {
    yield* new Transfer(link, new IteratorSupply(iterator), options).run();
  } finally {
    await iterator.return?.();
  }
}

class IteratorSupply implements Supply {
  private readonly iterator: Iterator<OutgoingInstance> | AsyncIterator<OutgoingInstance>;

  constructor(iterator: Iterator<OutgoingInstance> | AsyncIterator<OutgoingInstance>) {
    this.iterator = iterator;
  }

  async next(): Promise<OutgoingInstance | undefined> {
    const step = await this.iterator.next();
    return step.done === true ? undefined : step.value;
  }

  putBack(): void {
    // Nobody sends them any more.
  }
}

/** `sendOver` from a supply, which gets back what wasn't started. */
export class Transfer {
  private readonly link: Link;
  private readonly options: OverOptions;
  private readonly window: number;
  private readonly ahead: ReadAhead;
  private readonly running: Promise<SendResult>[] = [];
  private starting: Promise<void> | undefined;
  /** Apart from the transfer, which must not live as long as the association that tells of its end. */
  private readonly life = { over: false };
  private exhausted = false;
  private failure: { readonly error: unknown } | undefined;

  constructor(link: Link, supply: Supply, options: OverOptions) {
    const { association } = link;
    this.link = link;
    this.options = options;
    this.window = Math.max(1, Math.min(options.window ?? link.scu.window, link.scu.window));
    this.ahead = new ReadAhead(supply, new ContextTable(options.contexts), options, () => association.unsent);
    const { life } = this;
    void association.closed.then(() => (life.over = true));
  }

  async *run(): AsyncGenerator<SendResult, void, undefined> {
    try {
      for (;;) {
        this.start();
        if (this.running.length === 0) await this.starting;
        const result = await this.running[0];
        if (result === undefined) break;
        void this.running.shift();
        // The next one goes out while the caller looks at this one.
        this.start();
        yield result;
      }
    } finally {
      this.exhausted = true;
      await this.starting;
      await Promise.all(this.running);
      await this.ahead.stop();
    }
    if (this.failure !== undefined) throw this.failure.error;
  }

  private get mayStart(): boolean {
    const { signal, kill } = this.options;
    return !this.life.over && !this.exhausted && signal?.aborted !== true && kill?.aborted !== true;
  }

  /** Fills the window, unless that is under way. */
  private start(): void {
    if (this.starting !== undefined || !this.mayStart || this.running.length >= this.window) return;
    this.starting = this.fillWindow()
      .catch((error: unknown) => {
        this.exhausted = true;
        this.failure = { error };
      })
      .finally(() => (this.starting = undefined));
  }

  private async fillWindow(): Promise<void> {
    while (this.running.length < this.window) {
      const prepared = await this.ahead.take();
      if (prepared === undefined) {
        this.exhausted = true;
        return;
      }
      if (!this.mayStart) {
        this.ahead.untake(prepared);
        return;
      }
      this.running.push(this.send(prepared));
    }
  }

  private async send(prepared: Prepared): Promise<SendResult> {
    const { instance, problem } = prepared;
    try {
      return problem === undefined
        ? await this.store(prepared)
        : { instance, outcome: 'failed', reason: problem };
    } finally {
      await prepared.release();
    }
  }

  private async store({ instance, context, data, source }: Ready): Promise<SendResult> {
    const { SOPClassUID, SOPInstanceUID } = instance;
    const { priority, moveOriginator, kill } = this.options;
    try {
      const { status, command } = await this.link.scu.store(
        {
          contextId: context.id,
          SOPClassUID,
          SOPInstanceUID,
          ...(priority === undefined ? {} : { priority }),
          ...(moveOriginator === undefined ? {} : { moveOriginator }),
        },
        data,
        kill === undefined ? {} : { signal: kill },
      );
      source.recycle();
      return answered(instance, status, command.ErrorComment);
    } catch (error) {
      const failed = { instance, outcome: 'failed', reason: source.failure ?? errorMessage(error) } as const;
      const lost = source.failure === undefined ? FATES[errorCode(error) ?? ''] : 'cut';
      // The next one must not be started on what is being closed.
      if (lost !== undefined) this.life.over = true;
      return lost === undefined ? failed : { ...failed, lost };
    }
  }
}

/** What the peer's status says of the instance; its comment is the reason that a person can act on. */
function answered(instance: OutgoingInstance, status: number, comment: string | undefined): SendResult {
  const category = statusCategory(status);
  if (category === 'success') return { instance, outcome: 'completed', status };
  const reason = comment === undefined ? statusText(status) : `${statusText(status)}: ${comment}`;
  return { instance, outcome: category === 'warning' ? 'warning' : 'failed', status, reason };
}
