import type { Arrival, Catalog, QuarantineEntry } from '../catalog/types';
import { IsocenterError } from '../errors';
import type { Store } from '../store/types';
import { quarantineDecision, readArrival, type AssumedCharset } from './arrivals';

/** How often the replay is read again because the patient's arrivals changed meanwhile. */
const ATTEMPTS = 5;

export interface ExchangeRequest {
  /** The current arrival, which goes to quarantine. */
  readonly leaves: string;
  readonly comes: Arrival;
  /** What the quarantine's list will say of `leaves`; undefined where its file is gone. */
  readonly quarantined: Omit<QuarantineEntry, 'count'> | undefined;
  /** `comes` is released from quarantine. */
  readonly releases: boolean;
  readonly reason: string;
}

/**
 * Puts one arrival in the place of another of the same SOP Instance UID. The decision is synced first, then the catalog changes
 * in one durable transaction, then the files follow; a start in between moves them after the catalog (`recovery.ts`).
 */
export class Exchanger {
  private readonly store: Store;
  private readonly catalog: Catalog;
  private readonly assumed: AssumedCharset;

  constructor(store: Store, catalog: Catalog, assumed: AssumedCharset) {
    this.store = store;
    this.catalog = catalog;
    this.assumed = assumed;
  }

  /** @throws IsocenterError `EXCHANGE_BUSY` when the patient keeps changing; `FILE_DAMAGED` when another of its files can't be read. */
  async exchange(request: ExchangeRequest): Promise<void> {
    const { leaves, comes, quarantined, releases } = request;
    await this.store.decide({
      action: releases ? 'release' : 'replace',
      arrivalId: comes.arrivalId,
      other: leaves,
      reason: request.reason,
      time: new Date().toISOString(),
    });
    if (quarantined !== undefined) await this.store.decide(quarantineDecision(quarantined));
    for (let attempt = 1; ; attempt++) {
      const replay: Arrival[] = [];
      for (const arrivalId of await this.catalog.arrivalsOfPatient(leaves)) {
        if (arrivalId !== leaves) replay.push(await readArrival(this.store, arrivalId, this.assumed));
      }
      const done = await this.catalog.exchange({
        leaves,
        replay: [...replay, comes],
        ...(quarantined === undefined ? {} : { quarantineAdd: quarantined }),
        ...(releases ? { quarantineRemove: comes.arrivalId } : {}),
      });
      if (done === 'done') break;
      if (attempt === ATTEMPTS) {
        throw new IsocenterError(
          'EXCHANGE_BUSY',
          'The patient of this instance is receiving images; nothing was changed',
          {
            hint: 'run the command again when its transfer has ended',
          },
        );
      }
    }
    if (releases) await this.store.release(comes.arrivalId);
    if (quarantined !== undefined) await this.store.quarantine(leaves);
  }
}
