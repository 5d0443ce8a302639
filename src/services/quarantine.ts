import type { Catalog, InstanceLocation, QuarantineEntry } from '../catalog/types';
import { errorMessage, EXIT, IsocenterError } from '../errors';
import type { NodeEventBus } from '../events';
import type { Store } from '../store/types';
import { quarantineEntry, readArrival, unreadableEntry, type HeaderRules } from './arrivals';
import { isNotWhole, type Exchanger } from './exchange';

/** Characters of a reason: it is kept in the log of decisions for ever. */
const LONGEST_REASON = 1000;

/** What people do with quarantined files: list, show, release, discard. */
export class Quarantine {
  private readonly store: Store;
  private readonly catalog: Catalog;
  private readonly exchanger: Exchanger;
  private readonly rules: HeaderRules;
  private readonly events: NodeEventBus;

  constructor(
    store: Store,
    catalog: Catalog,
    exchanger: Exchanger,
    rules: HeaderRules,
    events: NodeEventBus,
  ) {
    this.store = store;
    this.catalog = catalog;
    this.exchanger = exchanger;
    this.rules = rules;
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
   * @throws IsocenterError `QUARANTINE_UNKNOWN`, `REASON_TOO_LONG`; `FILE_DAMAGED` when the quarantined file isn't whole.
   */
  release(arrivalId: string, reason: string): Promise<void> {
    return this.exchanger.exclusive(async () => {
      requireReason(reason);
      await this.entry(arrivalId);
      await this.putInPlace(arrivalId, reason);
      this.events.emit('quarantine', { action: 'release', arrivalId, reason });
    });
  }

  /** A release that was decided and cut off before its end. @throws as `release` */
  finishRelease(arrivalId: string, reason: string): Promise<void> {
    return this.exchanger.exclusive(() => this.putInPlace(arrivalId, reason));
  }

  /** Removes a quarantined file for good. @throws IsocenterError `QUARANTINE_UNKNOWN`, `REASON_TOO_LONG` */
  discard(arrivalId: string, reason: string): Promise<void> {
    return this.exchanger.exclusive(async () => {
      requireReason(reason);
      await this.entry(arrivalId);
      await this.store.decide({ action: 'discard', arrivalId, reason, time: new Date().toISOString() });
      await this.store.remove(arrivalId, 'quarantine');
      await this.catalog.removeQuarantine(arrivalId);
      this.events.emit('quarantine', { action: 'discard', arrivalId, reason });
    });
  }

  /** Until the released arrival is the current one: of versions, too, the highest would be. */
  private async putInPlace(arrivalId: string, reason: string): Promise<void> {
    // An earlier attempt may have moved it already.
    const place = (await this.store.exists(arrivalId, 'quarantine')) ? 'quarantine' : 'instances';
    const comes = await readArrival(this.store, arrivalId, this.rules, place);
    for (;;) {
      const [held] = await this.catalog.locate(comes.header.SOPInstanceUID);
      if (held?.arrivalId === arrivalId) break;
      if (held === undefined) {
        await this.store.decide({ action: 'release', arrivalId, reason, time: new Date().toISOString() });
        await this.store.release(arrivalId);
        await this.catalog.record(comes);
      } else {
        await this.exchanger.exchange({
          leaves: held.arrivalId,
          comes,
          quarantined: await this.describeLeaving(held, arrivalId),
          release: { listed: await this.catalog.quarantineEntry(arrivalId) },
          reason,
        });
      }
    }
    await this.catalog.removeQuarantine(arrivalId);
  }

  /** What the list will say of the copy that gives way; undefined where there is no file any more. */
  private async describeLeaving(
    held: InstanceLocation,
    by: string,
  ): Promise<Omit<QuarantineEntry, 'count'> | undefined> {
    try {
      const out = await readArrival(this.store, held.arrivalId, this.rules);
      return quarantineEntry(out, 'replaced', 'a quarantined copy was released in its place', by);
    } catch (error) {
      if (!isNotWhole(error)) throw error;
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

function requireReason(reason: string): void {
  if (reason.length <= LONGEST_REASON) return;
  throw new IsocenterError('REASON_TOO_LONG', `A reason has at most ${LONGEST_REASON} characters`, {
    exitCode: EXIT.usage,
    hint: 'give a shorter --reason',
  });
}
