import type { NewJob } from '../catalog/jobs';
import type { Arrival, Catalog, QuarantineEntry } from '../catalog/types';
import { errorCode, errorMessage, IsocenterError } from '../errors';
import type { Store } from '../store/types';
import { quarantineDecision, readArrival, type HeaderRules } from './arrivals';

/** How often the replay is read again because the patient's arrivals changed meanwhile. */
const ATTEMPTS = 5;

/** Codes after which the catalog certainly has nothing of the change. */
const UNCHANGED: ReadonlySet<string> = new Set(['EXCHANGE_BUSY', 'CATALOG_ROLLED_BACK', 'CATALOG_BUSY']);

/** Codes of a file that is not, or not any more, what was sealed; others say nothing about its bytes. */
const NOT_WHOLE: ReadonlySet<string> = new Set([
  'FILE_DAMAGED',
  'STORE_NO_FILE',
  'STORE_DAMAGED',
  'DICOM_PARSE',
]);

export function isNotWhole(error: unknown): boolean {
  return NOT_WHOLE.has(errorCode(error) ?? '');
}

export interface ExchangeRequest {
  /** The current arrival, which goes to quarantine. */
  readonly leaves: string;
  readonly comes: Arrival;
  /** What the quarantine's list will say of `leaves`; undefined where its file is gone. */
  readonly quarantined: Omit<QuarantineEntry, 'count'> | undefined;
  /** Where `comes` is released from quarantine: what the list says of it, unless an earlier exchange took it off. */
  readonly release: { readonly listed: QuarantineEntry | undefined } | undefined;
  readonly reason: string;
  /** Jobs that come with `comes`. */
  readonly jobs?: readonly NewJob[] | undefined;
}

/**
 * Puts one arrival in the place of another of the same SOP Instance UID. The decision is synced first, then the catalog changes
 * in one durable transaction, then the files follow; a start in between finishes it (`recovery.ts`).
 */
export class Exchanger {
  private readonly store: Store;
  private readonly catalog: Catalog;
  private readonly rules: HeaderRules;
  private last: Promise<unknown> = Promise.resolve();

  constructor(store: Store, catalog: Catalog, rules: HeaderRules) {
    this.store = store;
    this.catalog = catalog;
    this.rules = rules;
  }

  /** One after the other: whoever exchanges, releases or discards first looks at what is in place, and it must stay so. */
  exclusive<T>(work: () => Promise<T>): Promise<T> {
    const done = this.last.then(work);
    this.last = done.catch(() => undefined);
    return done;
  }

  /** Resolves when nothing runs any more. */
  async idle(): Promise<void> {
    await this.last;
  }

  /**
   * To be called within `exclusive`.
   * @throws IsocenterError `EXCHANGE_BUSY` when the patient keeps changing; `EXCHANGE_UNFINISHED` when the catalog has the change and a
   * file could not follow. After anything else but `CATALOG_UNKNOWN` nothing was changed.
   */
  async exchange(request: ExchangeRequest): Promise<void> {
    const { leaves, comes, quarantined, release, jobs } = request;
    const known = new Map<string, Arrival>([[comes.arrivalId, comes]]);
    // Before the decision: what can't be read now must not leave a decision behind.
    let { replay, unreadable } = await this.readPatient(leaves, known);
    await this.decide(request);
    for (let attempt = 1; ; attempt++) {
      try {
        const done = await this.catalog.exchange({
          leaves,
          replay,
          ...(unreadable.length === 0 ? {} : { unreadable }),
          ...(quarantined === undefined ? {} : { quarantineAdd: quarantined }),
          ...(release === undefined ? {} : { quarantineRemove: comes.arrivalId }),
          ...(jobs === undefined ? {} : { jobs }),
        });
        if (done === 'done') break;
        if (attempt === ATTEMPTS) throw busy();
        ({ replay, unreadable } = await this.readPatient(leaves, known));
      } catch (error) {
        if (UNCHANGED.has(errorCode(error) ?? '') || isStoreError(error)) await this.takeBack(request);
        throw error;
      }
    }
    try {
      if (release !== undefined) await this.store.release(comes.arrivalId);
      if (quarantined !== undefined) await this.store.quarantine(leaves);
    } catch (error) {
      throw new IsocenterError(
        'EXCHANGE_UNFINISHED',
        `The exchange is done, but a file could not be moved: ${errorMessage(error)}`,
        { hint: 'restart the node: it moves the file when it starts', cause: error },
      );
    }
  }

  /** The patient's arrivals without `leaves`, with what `known` holds already, and those whose files are not whole. */
  private async readPatient(
    leaves: string,
    known: Map<string, Arrival>,
  ): Promise<{ replay: Arrival[]; unreadable: string[] }> {
    const unreadable: string[] = [];
    for (const arrivalId of await this.catalog.arrivalsOfPatient(leaves)) {
      if (arrivalId === leaves || known.has(arrivalId)) continue;
      try {
        known.set(arrivalId, await readArrival(this.store, arrivalId, this.rules));
      } catch (error) {
        if (!isNotWhole(error)) throw error;
        unreadable.push(arrivalId);
        await this.catalog.markDamaged(arrivalId, errorMessage(error));
      }
    }
    return { replay: [...known.values()], unreadable };
  }

  /** Both in one append: a start must not find the one without the other. */
  private async decide({ leaves, comes, quarantined, release, reason }: ExchangeRequest): Promise<void> {
    await Promise.all([
      this.store.decide({
        action: release === undefined ? 'replace' : 'release',
        arrivalId: comes.arrivalId,
        other: leaves,
        reason,
        time: new Date().toISOString(),
      }),
      ...(quarantined === undefined ? [] : [this.store.decide(quarantineDecision(quarantined))]),
    ]);
  }

  /** The decision was not carried out, and neither a start nor a reindex may do it later. */
  private async takeBack({ leaves, release }: ExchangeRequest): Promise<void> {
    await Promise.all([
      this.store.decide({
        action: 'release',
        arrivalId: leaves,
        reason: 'its exchange could not be carried out',
        time: new Date().toISOString(),
      }),
      ...(release?.listed === undefined ? [] : [this.store.decide(quarantineDecision(release.listed))]),
    ]);
  }
}

function isStoreError(error: unknown): boolean {
  return errorCode(error)?.startsWith('STORE_') === true;
}

function busy(): IsocenterError {
  return new IsocenterError(
    'EXCHANGE_BUSY',
    'The patient of this instance is receiving images; nothing was changed',
    { hint: 'run the command again when its transfer has ended' },
  );
}
