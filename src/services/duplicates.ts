import type { Arrival, Catalog, InstanceLocation } from '../catalog/types';
import { CanonicalDigest } from '../dicom/canonical';
import { transferSyntax } from '../dicom/uids';
import type { NodeEventBus } from '../events';
import type { FileCheck, Store } from '../store/types';
import { quarantineDecision, quarantineEntry, unreadableEntry } from './arrivals';
import type { Exchanger } from './exchange';

/** `duplicates` of the configuration; `decided`: a replacement whose decision is on file already. */
export type DuplicatePolicy = 'refuse' | 'replace' | 'decided';

/** What is to be done with an arrival whose SOP Instance UID is taken. */
export type Settled =
  /** The same data set is held: forget the file. */
  | { readonly kind: 'same' }
  /** It is in quarantine now. */
  | { readonly kind: 'refused' }
  /** The held copy was damaged; this one stands in its place now. */
  | { readonly kind: 'mended' }
  /** Record it in place of this arrival. */
  | { readonly kind: 'replace'; readonly arrivalId: string };

/** ST-10: the rule for a second instance with a SOP Instance UID that is held already. */
export class Duplicates {
  private readonly store: Store;
  private readonly catalog: Catalog;
  private readonly exchanger: Exchanger;
  private readonly events: NodeEventBus;

  constructor(store: Store, catalog: Catalog, exchanger: Exchanger, events: NodeEventBus) {
    this.store = store;
    this.catalog = catalog;
    this.exchanger = exchanger;
    this.events = events;
  }

  /** `arrival` is sealed and synced in `instances/`, without a row. */
  async settle(arrival: Arrival, current: InstanceLocation, policy: DuplicatePolicy): Promise<Settled> {
    // Success for a resend promises that the copy held is whole: look at it, not at its row.
    const check = await this.checkHeld(current);
    if (check.state !== 'sealed') {
      await this.mend(arrival, current, check);
      return { kind: 'mended' };
    }
    if (await this.sameDataSet(arrival, current)) return { kind: 'same' };
    if (policy === 'decided') return { kind: 'replace', arrivalId: current.arrivalId };
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
    await this.refuse(arrival, current);
    return { kind: 'refused' };
  }

  private async checkHeld(current: InstanceLocation): Promise<FileCheck> {
    try {
      return await this.store.check(current.arrivalId);
    } catch {
      return { state: 'mismatch', reason: 'the file is missing or unreadable' };
    }
  }

  /** The same data set, byte for byte or in another encoding of the uncompressed syntaxes. */
  private async sameDataSet(arrival: Arrival, current: InstanceLocation): Promise<boolean> {
    if (arrival.sha256 === current.sha256 && arrival.TransferSyntaxUID === current.TransferSyntaxUID)
      return true;
    if (!isNative(arrival.TransferSyntaxUID) || !isNative(current.TransferSyntaxUID)) return false;
    return (await this.canonicalDigest(arrival)) === (await this.canonicalDigest(current));
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
    const entry = quarantineEntry(
      arrival,
      'duplicate',
      'other bytes under a SOP Instance UID that is held',
      current.arrivalId,
    );
    if (!(await this.catalog.addQuarantine(entry))) {
      // The same bytes were refused before and are kept once.
      await this.store.remove(arrival.arrivalId);
      return;
    }
    await this.store.decide(quarantineDecision(entry));
    await this.store.quarantine(arrival.arrivalId);
    this.events.emit('alert', {
      code: 'DUPLICATE_DIFFERS',
      message:
        'Other bytes came under a SOP Instance UID that is held; the first stays. Look with "isocenter quarantine list".',
      details: {
        SOPInstanceUID: arrival.header.SOPInstanceUID,
        arrivalId: arrival.arrivalId,
        sourceAETitle: arrival.sourceAETitle,
      },
    });
  }

  private async mend(arrival: Arrival, current: InstanceLocation, check: FileCheck): Promise<void> {
    const detail = check.state === 'mismatch' ? check.reason : 'the file was never finished';
    await this.catalog.markDamaged(current.arrivalId, detail);
    const present = await this.store.exists(current.arrivalId);
    await this.exchanger.exchange({
      leaves: current.arrivalId,
      comes: arrival,
      quarantined: present
        ? { ...unreadableEntry(current.arrivalId, 'damaged', detail), conflictsWith: arrival.arrivalId }
        : undefined,
      releases: false,
      reason: `the copy held was damaged: ${detail}`,
    });
    this.events.emit('alert', {
      code: 'FILE_DAMAGED',
      message: `A stored file was not whole (${detail}); a resend has taken its place. Check the disk.`,
      details: { SOPInstanceUID: current.SOPInstanceUID, arrivalId: current.arrivalId },
    });
  }
}

function isNative(uid: string): boolean {
  const syntax = transferSyntax(uid);
  return syntax !== undefined && !syntax.encapsulated;
}
