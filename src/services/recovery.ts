import type { Arrival, Catalog, QuarantineEntry, QuarantineReason } from '../catalog/types';
import { errorCode, errorMessage } from '../errors';
import type { NodeEventBus } from '../events';
import type { LogFn } from '../log';
import type { Decision, Store } from '../store/types';
import {
  headerOf,
  quarantineDecision,
  quarantineEntry,
  readArrival,
  unreadableEntry,
  type AssumedCharset,
} from './arrivals';
import type { Duplicates } from './duplicates';
import type { Ingest } from './ingest';

export interface RecoveryReport {
  segments: number;
  /** Files that had no row and have one now. */
  adopted: number;
  /** Never finished, never acknowledged: removed. */
  removed: number;
  quarantined: number;
  /** Rows whose file is gone. */
  missing: number;
}

export interface RecoveryParts {
  readonly store: Store;
  readonly catalog: Catalog;
  readonly duplicates: Duplicates;
  readonly ingest: Ingest;
  readonly assumed: AssumedCharset;
  readonly events: NodeEventBus;
  readonly log: LogFn;
  /** The node's `duplicates`: recovery applies the rule of ingest. */
  readonly policy: () => 'refuse' | 'replace';
  /** Segments that this process opened itself. */
  readonly isOwn: (segment: number) => boolean;
}

/**
 * The walk at start (architecture.md "Recovery"): every segment without a settled mark and every folder that the catalog doesn't
 * know, in arrival order; only files without a row are opened. `reindex` is the same walk over an empty catalog.
 */
export class Recovery {
  private readonly parts: RecoveryParts;
  private readonly report: RecoveryReport = {
    segments: 0,
    adopted: 0,
    removed: 0,
    quarantined: 0,
    missing: 0,
  };
  /** The last decision on each arrival. */
  private decided = new Map<string, Decision>();

  constructor(parts: RecoveryParts) {
    this.parts = parts;
  }

  /** @param progress called after each segment with what was done so far and how many segments are left. */
  async run(
    progress: (report: Readonly<RecoveryReport>, left: number) => void = () => undefined,
  ): Promise<RecoveryReport> {
    const { store, catalog } = this.parts;
    for (const decision of await store.decisions()) {
      this.decided.set(decision.arrivalId, decision);
      // A decision on one arrival moves the other one, too.
      if (decision.action === 'release' && decision.other !== undefined) {
        this.decided.set(decision.other, {
          ...decision,
          action: 'quarantine',
          kind: 'replaced',
          arrivalId: decision.other,
          other: decision.arrivalId,
        });
      }
    }
    const settled = new Set(
      (await catalog.segments()).filter((mark) => mark.settled).map((mark) => mark.segment),
    );
    const folders = await store.segments();
    const unsettled = [...new Set([...folders, ...(await catalog.segments()).map((mark) => mark.segment)])]
      .filter((segment) => !settled.has(segment) && !this.parts.isOwn(segment))
      .sort((a, b) => a - b);
    await this.reconcileQuarantine();
    for (const [done, segment] of unsettled.entries()) {
      await this.walk(segment, folders.includes(segment));
      progress(this.report, unsettled.length - done - 1);
    }
    return this.report;
  }

  private async walk(segment: number, present: boolean): Promise<void> {
    const { store, catalog } = this.parts;
    const rows = await catalog.arrivals(segment);
    for (const { arrivalId } of present ? await store.files(segment) : []) {
      if (!rows.delete(arrivalId)) await this.adopt(arrivalId);
    }
    for (const arrivalId of rows) {
      this.report.missing++;
      await catalog.markDamaged(arrivalId, 'the file is missing');
      this.alert('FILE_MISSING', 'A stored file is gone. Restore it from a backup.', arrivalId);
    }
    await catalog.openSegment(segment);
    await catalog.settle(segment);
    this.report.segments++;
  }

  /** A file without a row: whole and never decided upon, it was received and its row was lost. */
  private async adopt(arrivalId: string): Promise<void> {
    const { store, assumed } = this.parts;
    const decision = this.decided.get(arrivalId);
    if (decision?.action === 'delete' || decision?.action === 'discard') {
      await store.remove(arrivalId);
      this.report.removed++;
      return;
    }
    const check = await store.check(arrivalId);
    if (check.state === 'unsealed') {
      await store.remove(arrivalId);
      this.report.removed++;
      return;
    }
    if (check.state === 'mismatch') {
      await this.setAside(arrivalId, 'damaged', check.reason);
      return;
    }
    let arrival: Arrival;
    try {
      arrival = await headerOf(store, check.file, check.meta, assumed);
    } catch (error) {
      if (errorCode(error) !== 'DICOM_PARSE') throw error;
      await this.setAside(arrivalId, 'unreadable', errorMessage(error));
      return;
    }
    if (decision?.action === 'quarantine') {
      await this.setAside(arrivalId, 'duplicate', decision.reason, arrival);
      return;
    }
    if (decision?.action === 'distrust') {
      await this.rewrite(arrival, check.meta);
      return;
    }
    // Cached pages prove nothing about the disk.
    await store.sync(arrivalId);
    await this.record(arrival);
  }

  /** Ingest's rule for duplicates, except that a replacement which was decided on once is not decided again. */
  private async record(arrival: Arrival): Promise<void> {
    const { catalog, duplicates, store, policy } = this.parts;
    let result = await catalog.record(arrival);
    while (result.kind === 'exists') {
      const { current } = result;
      const decided =
        this.decided.get(arrival.arrivalId)?.action === 'replace' ||
        this.replaced(current.arrivalId, arrival.arrivalId);
      const settled = await duplicates.settle(arrival, current, decided ? 'decided' : policy());
      if (settled.kind === 'same') {
        await store.remove(arrival.arrivalId);
        this.report.removed++;
        return;
      }
      if (settled.kind === 'refused') {
        this.report.quarantined++;
        return;
      }
      if (settled.kind === 'mended') break;
      result = await catalog.record(arrival, { replaces: settled.arrivalId });
    }
    this.report.adopted++;
  }

  /** Arrivals may end in another order than they began: the replacement can be the older file. */
  private replaced(by: string, arrivalId: string): boolean {
    const decision = this.decided.get(by);
    return decision?.action === 'replace' && decision.other === arrivalId;
  }

  /**
   * A file whose sync or removal failed before the stop: its pages may be clean in memory and yet never have reached the disk. Written
   * anew, as an arrival of its own, it is on the disk for certain.
   */
  private async rewrite(arrival: Arrival, meta: Parameters<Ingest['take']>[0]['meta']): Promise<void> {
    const { store, ingest, assumed, policy } = this.parts;
    const bytes = store.readDataSet(arrival)[Symbol.asyncIterator]();
    const defaultCharset = assumed(meta.SourceApplicationEntityTitle);
    await ingest.take({
      meta,
      dataSet: {
        read: async () => {
          const next = await bytes.next();
          return next.done === true ? undefined : next.value;
        },
      },
      ...(defaultCharset === undefined ? {} : { defaultCharset }),
      duplicates: policy(),
      associationId: 'recovery',
      remoteName: 'recovery',
    });
    await store.remove(arrival.arrivalId);
    this.report.adopted++;
  }

  private async setAside(
    arrivalId: string,
    reason: QuarantineReason,
    detail: string,
    arrival?: Arrival,
  ): Promise<void> {
    const { store, catalog } = this.parts;
    const entry = this.entryOf(arrivalId, arrival, reason, detail);
    await catalog.addQuarantine(entry);
    if (this.decided.get(arrivalId) === undefined) await store.decide(quarantineDecision(entry));
    await store.quarantine(arrivalId);
    this.report.quarantined++;
    this.alert(
      'FILE_SET_ASIDE',
      'A file was moved to quarantine: see "isocenter quarantine list".',
      arrivalId,
    );
  }

  /** What the quarantine's list says: what was decided, where something was. */
  private entryOf(
    arrivalId: string,
    arrival: Arrival | undefined,
    reason: QuarantineReason,
    detail: string,
  ): Omit<QuarantineEntry, 'count'> {
    const decision = this.decided.get(arrivalId);
    const known =
      decision?.action === 'quarantine'
        ? {
            reason: decision.kind ?? reason,
            detail: decision.reason,
            by: decision.other,
            time: decision.time,
          }
        : { reason, detail, by: decision?.other, time: new Date().toISOString() };
    return arrival === undefined
      ? { ...unreadableEntry(arrivalId, known.reason, known.detail, known.time), conflictsWith: known.by }
      : quarantineEntry(arrival, known.reason, known.detail, known.by, known.time);
  }

  /** The catalog's rows tell where a file belongs; where they are lost, the decisions do. Files follow. */
  private async reconcileQuarantine(): Promise<void> {
    const { store, catalog } = this.parts;
    const files = new Set(await store.quarantined());
    const rows = new Set<string>();
    let after: string | undefined;
    do {
      const page = await catalog.quarantined({ limit: 1000, ...(after === undefined ? {} : { after }) });
      for (const row of page.rows) rows.add(row.arrivalId);
      after = page.next;
    } while (after !== undefined);

    for (const arrivalId of rows) {
      if (files.has(arrivalId)) continue;
      if (await store.exists(arrivalId)) {
        if (this.decided.get(arrivalId)?.action === 'release') await this.finishRelease(arrivalId);
        else await store.quarantine(arrivalId);
      } else {
        await catalog.removeQuarantine(arrivalId);
        if (this.decided.get(arrivalId)?.action !== 'discard') {
          this.alert('FILE_MISSING', 'A quarantined file is gone.', arrivalId);
        }
      }
    }
    for (const arrivalId of files) if (!rows.has(arrivalId)) await this.placeQuarantined(arrivalId);
  }

  /** A file in `quarantine/` that the catalog doesn't list there. */
  private async placeQuarantined(arrivalId: string): Promise<void> {
    const { store, catalog, assumed } = this.parts;
    const decision = this.decided.get(arrivalId);
    if (decision?.action === 'discard' || decision?.action === 'delete') {
      await store.remove(arrivalId, 'quarantine');
      return;
    }
    let arrival: Arrival | undefined;
    let detail = decision?.reason ?? 'found in quarantine without a decision';
    try {
      arrival = await readArrival(store, arrivalId, assumed, 'quarantine');
    } catch (error) {
      detail = errorMessage(error);
    }
    if (arrival !== undefined) {
      const held = await catalog.locate(arrival.header.SOPInstanceUID);
      const isCurrent = held.some((location) => location.arrivalId === arrivalId);
      if (isCurrent || (decision?.action === 'release' && held.length === 0)) {
        await store.release(arrivalId);
        if (!isCurrent) await this.record(arrival);
        return;
      }
    }
    await catalog.addQuarantine(
      this.entryOf(arrivalId, arrival, arrival === undefined ? 'damaged' : 'replaced', detail),
    );
  }

  /** A release without a rival was cut off between the move and the row. */
  private async finishRelease(arrivalId: string): Promise<void> {
    const { store, catalog, assumed } = this.parts;
    const arrival = await readArrival(store, arrivalId, assumed);
    await this.record(arrival);
    await catalog.removeQuarantine(arrivalId);
  }

  private alert(code: string, message: string, arrivalId: string): void {
    this.parts.events.emit('alert', { code, message, details: { arrivalId } });
  }
}
