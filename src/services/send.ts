import { EXIT, errorMessage, IsocenterError } from '../errors';
import { Session } from '../dimse/session';
import type { Proposal } from '../net/negotiation';
import type { Association } from '../net/types';
import { Backlog } from './send-backlog';
import type { Supply } from './send-ahead';
import { planContexts, type ContextGroup } from './send-contexts';
import { merge } from './send-merge';
import { Transfer } from './send-over';
import type { Instances, OutgoingKind, SendResult, StoreOptions } from './send-types';

export { sendOver, type Link } from './send-over';
export type { Instances, OutgoingKind, OverOptions, SendResult, StoreOptions } from './send-types';

/** Instances that may be lost for good one after the other, without a single answer, before the rest is given up. */
const FRUITLESS = 2;

export interface SendOptions extends StoreOptions {
  /** Opens an association with that proposal. @throws IsocenterError with the peer's or the network's reason. */
  readonly connect: (proposal: Proposal) => Promise<Association>;
  /** Every kind of instance that will come: presentation contexts are planned from them (see `kindsOf`). */
  readonly kinds: Iterable<OutgoingKind>;
  /** Associations at once; default 1. Fewer where there is no work for them, or the destination refuses more. */
  readonly parallel?: number;
  /** Requests under way at once that are offered to the destination (PS3.7 D.3.3.3); default 1. It has the last word. */
  readonly asyncWindow?: number;
  /** Milliseconds that the destination may take for a response; default 120000. */
  readonly responseTimeout?: number;
  /** Told of each association as it begins: for logs, and to end it from outside. */
  readonly onSession?: (session: Session) => void;
}

/** The kinds among instances that are all at hand. */
export function kindsOf(instances: Iterable<OutgoingKind>): OutgoingKind[] {
  const kinds = new Map<string, OutgoingKind>();
  for (const { SOPClassUID, TransferSyntaxUID } of instances) {
    const key = `${SOPClassUID} ${TransferSyntaxUID}`;
    if (!kinds.has(key)) kinds.set(key, { SOPClassUID, TransferSyntaxUID });
  }
  return [...kinds.values()];
}

/**
 * Sends instances to a destination over as many associations as it takes. Exactly one result for each instance, in order where there is one
 * association at a time and its window is one; only `signal` and `kill` leave instances without, those that weren't started.
 *
 * What was under way when an association was lost is sent again on the next one, alone; what is lost alone a second time has failed. Where
 * no association can be had, or two instances in a row were lost for good without an answer, the rest fails with `unreachable`.
 * @throws what `instances` throws, after the results of what was under way.
 */
export function sendAll(
  instances: Instances,
  options: SendOptions,
): AsyncGenerator<SendResult, void, undefined> {
  return new Delivery(instances, options).run();
}

class Delivery {
  private readonly options: SendOptions;
  private readonly backlog: Backlog;
  /** Lost with their association, and to be sent once more. */
  private readonly again: SendResult[] = [];
  private workers = 0;
  private fruitless = 0;
  private givenUp: { readonly error: unknown } | undefined;

  constructor(instances: Instances, options: SendOptions) {
    this.options = options;
    this.backlog = new Backlog(instances, options.kinds, (kinds) => planContexts(kinds, options));
  }

  async *run(): AsyncGenerator<SendResult, void, undefined> {
    try {
      while (!this.stopped) {
        const group = await this.backlog.group();
        if (group === undefined) break;
        const workers = Array.from({ length: Math.max(1, this.options.parallel ?? 1) }, () =>
          this.work(group),
        );
        yield* workers.length === 1 && workers[0] !== undefined ? workers[0] : merge(workers);
      }
      yield* this.leftOver();
    } finally {
      await this.backlog.close();
    }
    if (this.backlog.failure !== undefined) throw this.backlog.failure.error;
  }

  private get cancelled(): boolean {
    const { signal, kill } = this.options;
    return signal?.aborted === true || kill?.aborted === true;
  }

  private get stopped(): boolean {
    return this.cancelled || this.givenUp !== undefined;
  }

  private async *leftOver(): AsyncGenerator<SendResult, void, undefined> {
    const unreachable = this.givenUp === undefined ? {} : { unreachable: this.givenUp.error };
    for (const result of this.again.splice(0)) yield { ...result, ...unreachable };
    if (this.givenUp === undefined) return;
    const reason = errorMessage(this.givenUp.error);
    for await (const instance of this.backlog.rest()) {
      if (this.cancelled) return;
      yield { instance, outcome: 'failed', reason, ...unreachable };
    }
  }

  /** One association after the other, until nothing is left of the group. */
  private async *work(group: ContextGroup): AsyncGenerator<SendResult, void, undefined> {
    this.workers++;
    try {
      while (!this.stopped) {
        // Only who has work calls, and keeps it for itself meanwhile.
        const first = this.again.length > 0 ? undefined : await this.backlog.next(group);
        if (first === undefined && this.again.length === 0) return;
        const alone = this.workers === 1;
        let association: Association | undefined;
        try {
          association = await this.options.connect(this.proposal(group));
        } catch (error) {
          // Nobody there, or not for us: the same answer awaits the rest, unless other associations stand or have stood meanwhile.
          if (alone) this.givenUp = { error };
        }
        if (first !== undefined) this.backlog.putBack(group, [first]);
        if (association === undefined) {
          if (this.workers === 1) continue;
          return;
        }
        yield* this.serve(association, group);
        if (this.fruitless >= FRUITLESS && this.workers === 1) this.givenUp = { error: futile() };
        if (this.fruitless >= FRUITLESS) return;
      }
    } finally {
      this.workers--;
    }
  }

  /** Sends until nothing is left of the group or the association ends; releases it. */
  private async *serve(
    association: Association,
    group: ContextGroup,
  ): AsyncGenerator<SendResult, void, undefined> {
    const { responseTimeout } = this.options;
    const session = new Session(association, responseTimeout === undefined ? {} : { responseTimeout });
    this.options.onSession?.(session);
    const progress: Progress = { over: false, answers: 0 };
    void association.closed.then(() => (progress.over = true));
    const backlog: Supply = {
      next: () => this.backlog.next(group),
      putBack: (instances) => this.backlog.putBack(group, instances),
    };
    try {
      do {
        while (this.again.length > 0 && !progress.over && !this.cancelled) {
          yield* this.retry(session, progress);
        }
        yield* this.transfer(session, backlog, progress);
      } while (this.again.length > 0 && !progress.over && !this.cancelled);
    } finally {
      await association.release();
    }
  }

  private async *transfer(
    session: Session,
    supply: Supply,
    progress: Progress,
  ): AsyncGenerator<SendResult, void, undefined> {
    for await (const result of this.transferOf(session, supply).run()) {
      this.note(result, progress);
      if (result.lost === 'ended' && !this.cancelled) this.again.push(result);
      else yield result;
    }
  }

  /** Sends one lost instance again, alone: if it is what the peer can't bear, it takes no others with it. */
  private async *retry(session: Session, progress: Progress): AsyncGenerator<SendResult, void, undefined> {
    const withheld = this.again.shift();
    if (withheld === undefined) return;
    const rest = [withheld.instance];
    const supply: Supply = {
      next: () => Promise.resolve(rest.shift()),
      putBack: (instances) => void rest.push(...instances),
    };
    // The first on its association: nothing else can have ended it.
    const alone = progress.answers === 0;
    try {
      for await (const result of this.transferOf(session, supply, 1).run()) {
        this.note(result, progress);
        if (result.lost === 'ended' && !this.cancelled && !alone) {
          this.again.unshift(result);
          continue;
        }
        if (result.lost === 'ended') this.fruitless++;
        yield result;
      }
    } finally {
      if (rest.length > 0) this.again.unshift(withheld);
    }
  }

  private note({ status, lost }: SendResult, progress: Progress): void {
    if (lost !== undefined) progress.over = true;
    if (lost === 'silent') this.fruitless++;
    if (status === undefined) return;
    progress.answers++;
    this.fruitless = 0;
  }

  private transferOf(session: Session, supply: Supply, window?: number): Transfer {
    const contexts = session.association.contexts.values();
    return new Transfer(session, supply, {
      ...this.options,
      contexts,
      ...(window === undefined ? {} : { window }),
    });
  }

  private proposal({ contexts }: ContextGroup): Proposal {
    const { asyncWindow = 1 } = this.options;
    return asyncWindow === 1
      ? { contexts }
      : { contexts, asyncWindow: { invoked: asyncWindow, performed: 1 } };
  }
}

/** Of one association. */
interface Progress {
  over: boolean;
  answers: number;
}

function futile(): IsocenterError {
  return new IsocenterError('ASSOCIATION_ENDED', 'the peer ended the association again and again', {
    exitCode: EXIT.refused,
    hint: 'look into the log of the other side',
  });
}
