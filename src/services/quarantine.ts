import type { Catalog, InstanceLocation, QuarantineEntry } from '../catalog/types';
import { errorMessage, EXIT, IsocenterError } from '../errors';
import type { NodeEventBus } from '../events';
import type { Store } from '../store/types';
import { quarantineEntry, readArrival, unreadableEntry, type AssumedCharset } from './arrivals';
import type { Exchanger } from './exchange';

/** What people do with quarantined files: list, show, release, discard. */
export class Quarantine {
  private readonly store: Store;
  private readonly catalog: Catalog;
  private readonly exchanger: Exchanger;
  private readonly assumed: AssumedCharset;
  private readonly events: NodeEventBus;

  constructor(
    store: Store,
    catalog: Catalog,
    exchanger: Exchanger,
    assumed: AssumedCharset,
    events: NodeEventBus,
  ) {
    this.store = store;
    this.catalog = catalog;
    this.exchanger = exchanger;
    this.assumed = assumed;
    this.events = events;
  }

  list(page: {
    readonly limit: number;
    readonly after?: string;
  }): Promise<{ rows: QuarantineEntry[]; next: string | undefined }> {
    return this.catalog.quarantined(page);
  }

  /** @throws IsocenterError `QUARANTINE_UNKNOWN` */
  async show(arrivalId: string): Promise<QuarantineEntry & { readonly path: string }> {
    return { ...(await this.entry(arrivalId)), path: this.store.pathOf(arrivalId, 'quarantine') };
  }

  /**
   * Makes the quarantined copy current; the one that held its SOP Instance UID goes to quarantine.
   * @throws IsocenterError `QUARANTINE_UNKNOWN`; `FILE_DAMAGED` when the quarantined file isn't whole.
   */
  async release(arrivalId: string, reason: string): Promise<void> {
    await this.entry(arrivalId);
    const comes = await readArrival(this.store, arrivalId, this.assumed, 'quarantine');
    const [held] = await this.catalog.locate(comes.header.SOPInstanceUID);
    if (held === undefined) {
      await this.store.decide({ action: 'release', arrivalId, reason, time: new Date().toISOString() });
      await this.store.release(arrivalId);
      await this.catalog.record(comes);
      await this.catalog.removeQuarantine(arrivalId);
    } else {
      await this.exchanger.exchange({
        leaves: held.arrivalId,
        comes,
        quarantined: await this.describeLeaving(held, arrivalId),
        releases: true,
        reason,
      });
    }
    this.events.emit('quarantine', { action: 'release', arrivalId, reason });
  }

  /** Removes a quarantined file for good. @throws IsocenterError `QUARANTINE_UNKNOWN` */
  async discard(arrivalId: string, reason: string): Promise<void> {
    await this.entry(arrivalId);
    await this.store.decide({ action: 'discard', arrivalId, reason, time: new Date().toISOString() });
    if (await this.store.exists(arrivalId, 'quarantine')) await this.store.remove(arrivalId, 'quarantine');
    await this.catalog.removeQuarantine(arrivalId);
    this.events.emit('quarantine', { action: 'discard', arrivalId, reason });
  }

  /** What the list will say of the copy that gives way; undefined where there is no file any more. */
  private async describeLeaving(
    held: InstanceLocation,
    by: string,
  ): Promise<Omit<QuarantineEntry, 'count'> | undefined> {
    try {
      const out = await readArrival(this.store, held.arrivalId, this.assumed);
      return quarantineEntry(out, 'replaced', 'a quarantined copy was released in its place', by);
    } catch (error) {
      if (!(await this.store.exists(held.arrivalId))) return undefined;
      return {
        ...unreadableEntry(held.arrivalId, 'damaged', errorMessage(error)),
        conflictsWith: by,
      };
    }
  }

  private async entry(arrivalId: string): Promise<QuarantineEntry> {
    const entry = await this.catalog.quarantineEntry(arrivalId);
    if (entry === undefined) {
      throw new IsocenterError('QUARANTINE_UNKNOWN', `"${arrivalId}" is not in quarantine`, {
        exitCode: EXIT.failed,
        hint: 'isocenter quarantine list shows what is',
      });
    }
    return entry;
  }
}
