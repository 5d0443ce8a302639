import type { NewJob } from '../catalog/jobs';
import type { Arrival, Catalog, InstanceLocation } from '../catalog/types';
import { CanonicalDigest } from '../dicom/canonical';
import { transferSyntax } from '../dicom/uids';
import { errorCode, errorMessage, IsocenterError } from '../errors';
import type { NodeEventBus } from '../events';
import type { FileCheck, Store } from '../store/types';
import {
  quarantineDecision,
  quarantineEntry,
  readArrival,
  unreadableEntry,
  type HeaderRules,
} from './arrivals';
import type { Exchanger } from './exchange';

/**
 * `duplicates` of the configuration; `decided`: a replacement whose decision is on file already; `precedes`: the arrival was there first,
 * and the one in place is to be refused.
 */
export type DuplicatePolicy = 'refuse' | 'replace' | 'decided' | 'precedes';

/** What is to be done with an arrival whose SOP Instance UID is taken. */
export type Settled =
  /** The same data set is held: forget the file. */
  | { readonly kind: 'same' }
  /** It is in quarantine now. */
  | { readonly kind: 'refused' }
  /** It stands in the place of the held one, which was damaged or has come later. */
  | { readonly kind: 'exchanged' }
  /** Another one is in place by now: record it again. */
  | { readonly kind: 'again' }
  /** Record it in place of this arrival. */
  | { readonly kind: 'replace'; readonly arrivalId: string };

const REFUSED = 'other bytes under a SOP Instance UID that is held';

/** ST-10: the rule for a second instance with a SOP Instance UID that is held already. */
export class Duplicates {
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

  /**
   * `arrival` is sealed and synced in `instances/`, without a row; `jobs` come with it where it takes the other one's place.
   * @throws IsocenterError `EXCHANGE_UNFINISHED` when rows were written and a file could not follow; after anything else but
   * `CATALOG_UNKNOWN` the catalog has nothing of the arrival.
   */
  async settle(
    arrival: Arrival,
    current: InstanceLocation,
    policy: DuplicatePolicy,
    jobs?: readonly NewJob[],
  ): Promise<Settled> {
    // Success for a resend promises that the copy held is whole: look at it, not at its row.
    const damage = await this.damageOf(current, arrival);
    if (damage !== undefined) {
      return this.exchangeWhile(current, () => this.mend(arrival, current, damage, jobs));
    }
    // Two versions may well be alike, with another one between them.
    if (policy === 'decided') return { kind: 'replace', arrivalId: current.arrivalId };
    if (await this.sameDataSet(arrival, current)) return { kind: 'same' };
    if (policy === 'replace') {
      await this.store.decide({
        action: 'replace',
        arrivalId: arrival.arrivalId,
        other: current.arrivalId,
        reason: 'duplicates: replace',
        time: new Date().toISOString(),
      });
      return { kind: 'replace', arrivalId: current.arrivalId };
    }
    if (policy === 'precedes') return this.exchangeWhile(current, () => this.precede(arrival, current, jobs));
    await this.refuse(arrival, current);
    return { kind: 'refused' };
  }

  /** Exchanges the held one, if it is still in place when its turn comes. */
  private exchangeWhile(current: InstanceLocation, exchange: () => Promise<void>): Promise<Settled> {
    return this.exchanger.exclusive(async () => {
      const [held] = await this.catalog.locate(current.SOPInstanceUID);
      if (held?.arrivalId !== current.arrivalId) return { kind: 'again' };
      await exchange();
      return { kind: 'exchanged' };
    });
  }

  /** Why the copy held can't be trusted, or undefined. */
  private async damageOf(current: InstanceLocation, arrival: Arrival): Promise<string | undefined> {
    let check: FileCheck;
    try {
      check = await this.store.check(current.arrivalId);
    } catch (error) {
      if (errorCode(error) === 'STORE_NO_FILE') return 'the file is missing';
      // That it can't be read now says nothing about its bytes: only the very same ones may take its place.
      if (errorCode(error) !== 'STORE_FAILED' || !sameBytes(arrival, current)) throw error;
      return `the file can't be read (${errorMessage(error)})`;
    }
    if (check.state === 'sealed') return undefined;
    return check.state === 'mismatch' ? check.reason : 'the file was never finished';
  }

  /** The same data set, byte for byte or in another encoding of the uncompressed syntaxes. */
  private async sameDataSet(arrival: Arrival, current: InstanceLocation): Promise<boolean> {
    if (sameBytes(arrival, current)) return true;
    if (!isNative(arrival.TransferSyntaxUID) || !isNative(current.TransferSyntaxUID)) return false;
    try {
      return (await this.canonicalDigest(arrival)) === (await this.canonicalDigest(current));
    } catch (error) {
      if (errorCode(error) === 'DICOM_PARSE') return false;
      throw error;
    }
  }

  private async canonicalDigest(file: Arrival | InstanceLocation): Promise<string> {
    const digest = new CanonicalDigest(file.TransferSyntaxUID);
    for await (const chunk of this.store.readDataSet(file)) {
      const digested = digest.push(chunk);
      if (digested !== undefined) await digested;
    }
    return digest.digest();
  }

  private async refuse(arrival: Arrival, current: InstanceLocation): Promise<void> {
    const entry = quarantineEntry(arrival, 'duplicate', REFUSED, current.arrivalId);
    if (!(await this.catalog.addQuarantine(entry))) {
      // The same bytes were refused before and are kept once.
      await this.store.remove(arrival.arrivalId);
      return;
    }
    try {
      await this.store.decide(quarantineDecision(entry));
    } catch (error) {
      await this.catalog.removeQuarantine(arrival.arrivalId);
      throw error;
    }
    try {
      await this.store.quarantine(arrival.arrivalId);
    } catch (error) {
      throw new IsocenterError(
        'EXCHANGE_UNFINISHED',
        `A refused file could not be moved to quarantine: ${errorMessage(error)}`,
        { hint: 'restart the node: it moves the file when it starts', cause: error },
      );
    }
    this.alertRefused(arrival);
  }

  private async mend(
    arrival: Arrival,
    current: InstanceLocation,
    detail: string,
    jobs: readonly NewJob[] | undefined,
  ): Promise<void> {
    await this.catalog.markDamaged(current.arrivalId, detail);
    const present = await this.store.exists(current.arrivalId);
    await this.exchanger.exchange({
      leaves: current.arrivalId,
      comes: arrival,
      quarantined: present
        ? { ...unreadableEntry(current.arrivalId, 'damaged', detail), conflictsWith: arrival.arrivalId }
        : undefined,
      release: undefined,
      jobs,
      reason: `the copy held was damaged: ${detail}`,
    });
    this.events.emit('alert', {
      code: 'FILE_DAMAGED',
      message: `A stored file was not whole (${detail}); a resend has taken its place. Check the disk.`,
      details: { SOPInstanceUID: current.SOPInstanceUID, arrivalId: current.arrivalId },
    });
  }

  /** What `refuse` would have done to the held one, had it come second as its seal says. */
  private async precede(
    arrival: Arrival,
    current: InstanceLocation,
    jobs: readonly NewJob[] | undefined,
  ): Promise<void> {
    const held = await readArrival(this.store, current.arrivalId, this.rules);
    await this.exchanger.exchange({
      leaves: current.arrivalId,
      comes: arrival,
      quarantined: quarantineEntry(held, 'duplicate', REFUSED, arrival.arrivalId),
      release: undefined,
      jobs,
      reason: 'it was sealed before the other one under its SOP Instance UID',
    });
    this.alertRefused(held);
  }

  private alertRefused({ header, arrivalId, sourceAETitle }: Arrival): void {
    this.events.emit('alert', {
      code: 'DUPLICATE_DIFFERS',
      message:
        'Other bytes came under a SOP Instance UID that is held; the first stays. Look with "isocenter quarantine list".',
      details: { SOPInstanceUID: header.SOPInstanceUID, arrivalId, sourceAETitle },
    });
  }
}

function sameBytes(arrival: Arrival, current: InstanceLocation): boolean {
  return arrival.sha256 === current.sha256 && arrival.TransferSyntaxUID === current.TransferSyntaxUID;
}

function isNative(uid: string): boolean {
  const syntax = transferSyntax(uid);
  return syntax !== undefined && !syntax.encapsulated;
}
