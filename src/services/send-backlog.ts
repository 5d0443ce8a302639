import type { OutgoingInstance } from './outgoing';
import type { ContextGroup } from './send-contexts';
import type { Instances, OutgoingKind } from './send-types';

/** Instances that may wait for an association with other contexts: beyond that theirs is opened first. */
const MOST_WAITING = 4096;

/**
 * What is still to be sent, as a stream that is never held whole. Where the contexts don't fit one association, instances are handed out
 * group by group; only those of other groups than the current one wait in memory.
 */
export class Backlog {
  private readonly iterator: Iterator<OutgoingInstance> | AsyncIterator<OutgoingInstance>;
  private readonly groups: ContextGroup[];
  private readonly plan: (kinds: Iterable<OutgoingKind>) => ContextGroup[];
  private readonly waiting = new Map<ContextGroup, OutgoingInstance[]>();
  private waitingCount = 0;
  private ended = false;
  private broken: { readonly error: unknown } | undefined;
  private turn: Promise<unknown> = Promise.resolve();

  constructor(
    instances: Instances,
    kinds: Iterable<OutgoingKind>,
    plan: (kinds: Iterable<OutgoingKind>) => ContextGroup[],
  ) {
    this.iterator =
      Symbol.asyncIterator in instances ? instances[Symbol.asyncIterator]() : instances[Symbol.iterator]();
    this.plan = plan;
    this.groups = plan(kinds);
  }

  /** What the stream of instances ended with, where that was an error: what it gave before is sent all the same. */
  get failure(): { readonly error: unknown } | undefined {
    return this.broken;
  }

  /** The group to serve next: the one that most wait for, else that of the next instance; undefined at the end. */
  async group(): Promise<ContextGroup | undefined> {
    let most: ContextGroup | undefined;
    let count = 0;
    for (const [group, { length }] of this.waiting) {
      if (length > count) [most, count] = [group, length];
    }
    if (most !== undefined) return most;
    const instance = await this.pull();
    if (instance === undefined) return undefined;
    const group = this.groupOf(instance);
    this.putBack(group, [instance]);
    return group;
  }

  /** The next instance of the group; undefined when it has none, or when too many of other groups wait. Calls may overlap. */
  next(group: ContextGroup): Promise<OutgoingInstance | undefined> {
    const next = this.turn.then(() => this.nextOf(group));
    this.turn = next.catch(() => undefined);
    return next;
  }

  /** Instances that were not sent go first the next time. */
  putBack(group: ContextGroup, instances: readonly OutgoingInstance[]): void {
    if (instances.length === 0) return;
    this.waiting.set(group, [...instances, ...(this.waiting.get(group) ?? [])]);
    this.waitingCount += instances.length;
  }

  /** All that is left, whatever its group. */
  async *rest(): AsyncGenerator<OutgoingInstance> {
    for (const instances of this.waiting.values()) yield* instances;
    this.waiting.clear();
    for (let next = await this.pull(); next !== undefined; next = await this.pull()) yield next;
  }

  async close(): Promise<void> {
    await this.turn;
    await this.iterator.return?.();
  }

  private async nextOf(group: ContextGroup): Promise<OutgoingInstance | undefined> {
    const first = this.waiting.get(group)?.shift();
    if (first !== undefined) {
      this.waitingCount--;
      return first;
    }
    while (this.waitingCount < MOST_WAITING) {
      const instance = await this.pull();
      if (instance === undefined) return undefined;
      const other = this.groupOf(instance);
      if (other === group) return instance;
      const queue = this.waiting.get(other);
      if (queue === undefined) this.waiting.set(other, [instance]);
      else queue.push(instance);
      this.waitingCount++;
    }
    return undefined;
  }

  private async pull(): Promise<OutgoingInstance | undefined> {
    if (this.ended) return undefined;
    try {
      const step = await this.iterator.next();
      if (step.done !== true) return step.value;
    } catch (error) {
      this.broken = { error };
    }
    this.ended = true;
    return undefined;
  }

  /** An instance whose kind wasn't told of, since it came later, gets contexts of its own. */
  private groupOf(instance: OutgoingInstance): ContextGroup {
    let group = this.groups.find((one) => one.has(instance));
    if (group === undefined) {
      const more = this.plan([instance]);
      this.groups.push(...more);
      [group] = more;
    }
    if (group === undefined) throw new Error('an instance without a presentation context');
    return group;
  }
}
