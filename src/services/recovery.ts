import { forwardJob, type NewJob } from '../catalog/jobs';
import type { Arrival, Catalog, InstanceLocation, QuarantineEntry, QuarantineReason } from '../catalog/types';
import { errorCode, errorMessage, type DimseError } from '../errors';
import type { NodeEventBus } from '../events';
import type { LogFn } from '../log';
import type { Decision, SealedFile, Store } from '../store/types';
import {
  headerOf,
  quarantineDecision,
  quarantineEntry,
  readArrival,
  unreadableEntry,
  type HeaderRules,
} from './arrivals';
import type { DuplicatePolicy, Duplicates } from './duplicates';
import { isNotWhole } from './exchange';
import type { Ingest } from './ingest';
import type { Quarantine } from './quarantine';

export interface RecoveryReport {
  segments: number;
  /** Files that had no row and have one now. */
  adopted: number;
  /** Never finished, never acknowledged: removed. */
  removed: number;
  quarantined: number;
  /** Rows whose file is gone. */
  missing: number;
  /** Files that could not be looked at now: their segments are looked through again at the next start. */
  left: number;
}

export interface RecoveryParts {
  readonly store: Store;
  readonly catalog: Catalog;
  readonly duplicates: Duplicates;
  readonly quarantine: Quarantine;
  readonly ingest: Ingest;
  readonly rules: HeaderRules;
  readonly events: NodeEventBus;
  readonly log: LogFn;
  /** The node's `duplicates`: recovery applies the rule of ingest. */
  readonly policy: () => 'refuse' | 'replace';
  /** Remotes that get what a title stores: for files that were never answered, what was answered has its jobs. */
  readonly forwardTo?: (sourceAETitle: string) => readonly string[] | undefined;
  /** Segments that this process opened itself. */
  readonly isOwn: (segment: number) => boolean;
  /** Asked after each file: the node is to stop, what is left waits for the next start. */
  readonly isStopping: () => boolean;
}

/** What a place is full of, or a disk that can't be read, says nothing about the file: it stays where it is. */
const LEAVES_FILE: ReadonlySet<string> = new Set(['STORE_FAILED', 'STORE_FULL', 'STORE_RESERVE']);

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
    left: 0,
  };
  /** The last decision on each arrival. */
  private readonly decided = new Map<string, Decision>();
  /** Arrivals that were in place when another one replaced them. */
  private readonly displaced = new Set<string>();
  /** Segments of this walk: elsewhere every file has long had its row. */
  private readonly walked = new Set<number>();
  /** Segments that a process was writing when it ended: in others, of a new or a restored catalog, all was forwarded long ago. */
  private interrupted: ReadonlySet<number> = new Set();

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
      if (decision.action === 'replace' && decision.other !== undefined) this.displaced.add(decision.other);
      // A release moves the other one, too, unless that is where it is already.
      const { action, arrivalId, other } = decision;
      if (action === 'release' && other !== undefined && this.decided.get(other)?.action !== 'quarantine') {
        this.decided.set(other, {
          ...decision,
          action: 'quarantine',
          kind: 'replaced',
          arrivalId: other,
          other: arrivalId,
        });
      }
    }
    const marks = await catalog.segments();
    const settled = new Set(marks.filter((mark) => mark.settled).map((mark) => mark.segment));
    const known = marks.map(({ segment }) => segment).filter((segment) => !this.parts.isOwn(segment));
    // The one that was opened last may not have been written down yet.
    this.interrupted = new Set(
      known.length === 0 ? [] : [...known, known.reduce((a, b) => Math.max(a, b)) + 1],
    );
    const folders = await store.segments();
    const unsettled = [...new Set([...folders, ...marks.map((mark) => mark.segment)])]
      .filter((segment) => !settled.has(segment) && !this.parts.isOwn(segment))
      .sort((a, b) => a - b);
    await this.reconcileQuarantine();
    for (const [done, segment] of unsettled.entries()) {
      if (this.parts.isStopping()) break;
      await this.walk(segment, folders.includes(segment));
      progress(this.report, unsettled.length - done - 1);
    }
    return this.report;
  }

  private async walk(segment: number, present: boolean): Promise<void> {
    const { store, catalog } = this.parts;
    const rows = await catalog.arrivals(segment);
    const leftBefore = this.report.left;
    this.walked.add(segment);
    for (const { arrivalId } of present ? await store.files(segment) : []) {
      if (rows.delete(arrivalId)) continue;
      if (this.parts.isStopping()) return;
      await this.adoptOrLeave(arrivalId);
    }
    for (const arrivalId of rows) {
      this.report.missing++;
      await catalog.markDamaged(arrivalId, 'the file is missing');
      this.alert('FILE_MISSING', 'A stored file is gone. Restore it from a backup.', arrivalId);
    }
    await catalog.openSegment(segment);
    if (this.report.left === leftBefore) await catalog.settle(segment);
    this.report.segments++;
  }

  /** One file that can't be dealt with now must not keep the others, and every caller, waiting for ever. */
  private async adoptOrLeave(arrivalId: string): Promise<void> {
    try {
      await this.adopt(arrivalId);
    } catch (error) {
      if (!LEAVES_FILE.has(errorCode(error) ?? '')) throw error;
      this.report.left++;
      this.parts.log('error', 'a stored file could not be looked at', {
        arrivalId,
        error: errorMessage(error),
      });
      this.alert(
        'FILE_LEFT',
        'A stored file is not in the catalog: it could not be read or written anew. Mend the volume and restart the node.',
        arrivalId,
      );
    }
  }

  /** A file without a row: whole and never decided upon, it was received and its row was lost. */
  private async adopt(arrivalId: string): Promise<void> {
    const { store, rules } = this.parts;
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
      arrival = await headerOf(store, check.file, check.meta, rules);
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
    await this.record(arrival, check.file);
  }

  /** Ingest's rule for duplicates, except that a replacement which was decided on once is not decided again. */
  private async record(arrival: Arrival, file: SealedFile): Promise<void> {
    const { catalog, duplicates, store } = this.parts;
    const jobs = this.forwards(arrival);
    const forwards = jobs.length === 0 ? {} : { jobs };
    let result = await catalog.record(arrival, forwards);
    while (result.kind === 'exists') {
      const { current } = result;
      const rule = await this.ruleFor(file, current);
      const settled = await duplicates.settle(arrival, current, rule, jobs);
      if (settled.kind === 'same') {
        await store.remove(arrival.arrivalId);
        this.report.removed++;
        return;
      }
      if (settled.kind === 'refused') {
        this.report.quarantined++;
        return;
      }
      if (settled.kind === 'exchanged') {
        // What it displaces was counted as adopted.
        if (rule === 'precedes') this.report.adopted--;
        if (rule === 'precedes') this.report.quarantined++;
        break;
      }
      result = await catalog.record(
        arrival,
        settled.kind === 'again' ? forwards : { ...forwards, replaces: settled.arrivalId },
      );
    }
    this.report.adopted++;
  }

  private forwards({ segment, sourceAETitle, header }: Arrival): NewJob[] {
    if (!this.interrupted.has(segment)) return [];
    const destinations = this.parts.forwardTo?.(sourceAETitle) ?? [];
    return destinations.map((destination) => forwardJob(destination, header.SOPInstanceUID));
  }

  private async ruleFor(file: SealedFile, current: InstanceLocation): Promise<DuplicatePolicy> {
    if (this.heldItsPlace(file.arrivalId)) return 'decided';
    const policy = this.parts.policy();
    if (policy === 'replace' || this.heldItsPlace(current.arrivalId)) return policy;
    return (await this.wasSealedBefore(file, current.arrivalId)) ? 'precedes' : 'refuse';
  }

  /**
   * Arrival ids are given when a file is begun, and a slow sender may begin first and end last. What ingest records first it seals
   * first, so where the rows of both are lost the seals tell which of the two was answered.
   */
  private async wasSealedBefore(file: SealedFile, other: string): Promise<boolean> {
    const { store } = this.parts;
    // The rule for a held copy that is gone is another one.
    if (!(await store.exists(other))) return false;
    const check = await store.check(other);
    if (check.state !== 'sealed' || !this.walked.has(check.file.segment)) return false;
    const { arrivedAt, ordinal } = check.file;
    return file.arrivedAt < arrivedAt || (file.arrivedAt === arrivedAt && file.ordinal < ordinal);
  }

  /** Whether the arrival replaced another one, was released, or was itself replaced later: it isn't decided on again. */
  private heldItsPlace(arrivalId: string): boolean {
    const action = this.decided.get(arrivalId)?.action;
    return action === 'replace' || action === 'release' || this.displaced.has(arrivalId);
  }

  /**
   * A file whose sync or removal failed before the stop: its pages may be clean in memory and yet never have reached the disk. Written
   * anew, as an arrival of its own, it is on the disk for certain.
   */
  private async rewrite(arrival: Arrival, meta: Parameters<Ingest['take']>[0]['meta']): Promise<void> {
    const { store } = this.parts;
    await this.takeAgain(arrival, meta);
    await store.remove(arrival.arrivalId);
  }

  private async takeAgain(arrival: Arrival, meta: Parameters<Ingest['take']>[0]['meta']): Promise<void> {
    const { store, ingest, rules, policy } = this.parts;
    const bytes = store.readDataSet(arrival)[Symbol.asyncIterator]();
    const defaultCharset = rules.assumed(meta.SourceApplicationEntityTitle);
    try {
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
        forwardTo: this.forwards(arrival).map(({ destination }) => destination),
        associationId: 'recovery',
        remoteName: 'recovery',
      });
      this.report.adopted++;
    } catch (error) {
      const { status, cause } = error as Partial<DimseError>;
      // Nobody waits for an answer: with other bytes than those held it is in quarantine now.
      if (status !== 0x0111) throw errorCode(error) === 'DIMSE' && cause !== undefined ? cause : error;
      this.report.quarantined++;
    }
  }

  private async setAside(
    arrivalId: string,
    reason: QuarantineReason,
    detail: string,
    arrival?: Arrival,
  ): Promise<void> {
    const { store, catalog } = this.parts;
    const entry = this.entryOf(arrivalId, arrival, reason, detail);
    await catalog.addQuarantine(entry, { kept: true });
    await this.decideQuarantine(entry);
    await store.quarantine(arrivalId);
    this.report.quarantined++;
    this.alert(
      'FILE_SET_ASIDE',
      'A file was moved to quarantine: see "isocenter quarantine list".',
      arrivalId,
    );
  }

  /** So that a reindex finds the file where it is, and why. */
  private async decideQuarantine(entry: Omit<QuarantineEntry, 'count'>): Promise<void> {
    if (this.decided.get(entry.arrivalId)?.action === 'quarantine') return;
    const decision = quarantineDecision(entry);
    await this.parts.store.decide(decision);
    this.decided.set(entry.arrivalId, decision);
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

  /** Decisions that were cut off are carried out; the catalog's rows tell the rest, and where they are lost, the decisions. */
  private async reconcileQuarantine(): Promise<void> {
    const { store, catalog } = this.parts;
    const files = new Set(await store.quarantined());
    const rows = new Map<string, QuarantineEntry>();
    let after: string | undefined;
    do {
      const page = await catalog.quarantined({ limit: 1000, ...(after === undefined ? {} : { after }) });
      for (const row of page.rows) rows.set(row.arrivalId, row);
      after = page.next;
    } while (after !== undefined);

    for (const row of rows.values()) await this.placeListed(row, files.has(row.arrivalId));
    for (const arrivalId of files) if (!rows.has(arrivalId)) await this.placeUnlisted(arrivalId);
    for (const [arrivalId, decision] of this.decided) {
      if (decision.action === 'quarantine' && !rows.has(arrivalId) && !files.has(arrivalId))
        await this.finishExchange(decision);
    }
  }

  /** An arrival that was to give way, and still stands in its place. What comes without a row of its own is met by the walk. */
  private async finishExchange({ arrivalId, other, reason }: Decision): Promise<void> {
    const { store, quarantine } = this.parts;
    if (other === undefined || this.decided.get(other)?.action !== 'release') return;
    if (!(await store.exists(arrivalId))) return;
    try {
      await quarantine.finishRelease(other, reason);
    } catch (error) {
      if (!isNotWhole(error)) throw error;
    }
  }

  /** What the catalog lists as quarantined. */
  private async placeListed(row: QuarantineEntry, inQuarantine: boolean): Promise<void> {
    const { store, catalog, quarantine } = this.parts;
    const { arrivalId } = row;
    const decision = this.decided.get(arrivalId);
    if (decision?.action === 'discard' || decision?.action === 'delete') {
      if (inQuarantine) await store.remove(arrivalId, 'quarantine');
      await catalog.removeQuarantine(arrivalId);
      return;
    }
    const inInstances = !inQuarantine && (await store.exists(arrivalId));
    if (!inQuarantine && !inInstances) {
      await catalog.removeQuarantine(arrivalId);
      this.alert('FILE_MISSING', 'A quarantined file is gone.', arrivalId);
      return;
    }
    if (decision?.action === 'release') {
      try {
        await quarantine.finishRelease(arrivalId, decision.reason);
        return;
      } catch (error) {
        // Damaged since: it stays aside.
        if (!isNotWhole(error)) throw error;
      }
    }
    await this.decideQuarantine(row);
    if (inInstances) await store.quarantine(arrivalId);
  }

  /** A file in `quarantine/` that the catalog doesn't list there. */
  private async placeUnlisted(arrivalId: string): Promise<void> {
    const { store, catalog, quarantine, rules } = this.parts;
    const decision = this.decided.get(arrivalId);
    if (decision?.action === 'discard' || decision?.action === 'delete') {
      await store.remove(arrivalId, 'quarantine');
      return;
    }
    let arrival: Arrival | undefined;
    let detail = decision?.reason ?? 'found in quarantine without a decision';
    try {
      arrival = await readArrival(store, arrivalId, rules, 'quarantine');
    } catch (error) {
      if (!isNotWhole(error)) throw error;
      detail = errorMessage(error);
    }
    if (arrival !== undefined) {
      const held = await catalog.locate(arrival.header.SOPInstanceUID);
      if (held.some((location) => location.arrivalId === arrivalId)) {
        await store.release(arrivalId);
        return;
      }
    }
    const entry = this.entryOf(arrivalId, arrival, arrival === undefined ? 'damaged' : 'replaced', detail);
    await catalog.addQuarantine(entry, { kept: true });
    if (arrival !== undefined && decision?.action === 'release') {
      await quarantine.finishRelease(arrivalId, decision.reason);
      return;
    }
    await this.decideQuarantine(entry);
  }

  private alert(code: string, message: string, arrivalId: string): void {
    this.parts.events.emit('alert', { code, message, details: { arrivalId } });
  }
}
