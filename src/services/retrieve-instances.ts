import type { LocationPage, Selection } from '../catalog/query-types';
import type { Catalog, InstanceLocation } from '../catalog/types';
import type { OutgoingInstance } from './outgoing';

/** Instances of a page: some hundred bytes each, and a millisecond on the catalog's thread. */
const PAGE = 200;

export interface RetrievalOptions {
  readonly catalog: Pick<Catalog, 'retrieve'>;
  readonly selection: Selection;
  /** As the survey said: how many there are, and where the walk ends. */
  readonly total: number;
  readonly until: string;
  readonly instanceOf: (location: InstanceLocation) => OutgoingInstance;
}

/**
 * The instances of an operation, page by page while they are sent, the next page on its way. Remembers which of those that were handed out have
 * not ended yet: a sender that stops has read ahead.
 */
export class Retrieval implements AsyncIterableIterator<OutgoingInstance> {
  private readonly options: RetrievalOptions;
  private readonly open = new Set<OutgoingInstance>();
  private page: readonly InstanceLocation[] = [];
  private at = 0;
  private following: Promise<LocationPage> | undefined;
  private left: number;

  constructor(options: RetrievalOptions) {
    this.options = options;
    this.left = options.total;
    this.following = this.ask(undefined);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Never more than there were at the beginning. */
  async next(): Promise<IteratorResult<OutgoingInstance, undefined>> {
    while (this.at >= this.page.length) {
      if (this.following === undefined || this.left === 0) return { done: true, value: undefined };
      const { rows, next } = await this.following;
      this.page = rows;
      this.at = 0;
      this.following = next === undefined ? undefined : this.ask(next);
    }
    const location = this.page[this.at++];
    if (location === undefined || this.left === 0) return { done: true, value: undefined };
    this.left--;
    const instance = this.options.instanceOf(location);
    this.open.add(instance);
    return { done: false, value: instance };
  }

  /** What became of it is known. */
  ended(instance: OutgoingInstance): void {
    this.open.delete(instance);
  }

  /** SOP Instance UIDs of all that has not ended, handed out or not. */
  async *unfinished(): AsyncGenerator<string> {
    for (const { SOPInstanceUID } of this.open) yield SOPInstanceUID;
    this.open.clear();
    for (let step = await this.next(); step.done !== true; step = await this.next()) {
      this.open.delete(step.value);
      yield step.value.SOPInstanceUID;
    }
  }

  private ask(after: string | undefined): Promise<LocationPage> {
    const { catalog, selection, until } = this.options;
    const page = catalog.retrieve(selection, {
      limit: PAGE,
      until,
      ...(after === undefined ? {} : { after }),
    });
    // One that was fetched ahead may not be wanted any more when it fails.
    page.catch(() => undefined);
    return page;
  }
}
