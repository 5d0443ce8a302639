import type { InstanceReference } from '../catalog/commitments';
import type { Catalog, InstanceLocation } from '../catalog/types';
import { STATUS } from '../dimse/status';
import { errorCode } from '../errors';
import type { NodeEventBus } from '../events';
import type { Store } from '../store/types';
import type { FailedReference } from './commitment-data';
import { Turns } from './turns';

/** Rows that are asked for together. */
const ROWS_AT_ONCE = 64;
/** Rest between two files is as long as the one before took, up to this: reading them takes half of what the disk and this thread have, at most. */
const LONGEST_REST = 1000;
/** Looks at an instance that changes while it is looked at. */
const MOST_LOOKS = 3;

const MISSING = STATUS.NoSuchSOPInstance;

export interface VerifierParts {
  readonly catalog: Pick<Catalog, 'locate' | 'markDamaged'>;
  readonly store: Pick<Store, 'check' | 'exists'>;
  readonly events: NodeEventBus;
}

export interface VerifyOptions {
  /** Milliseconds since 1970 until which instances that are not held are looked for again. */
  readonly until: number;
  /** Aborted: gives up. */
  readonly signal: AbortSignal;
  /** `false`: the bytes were read a short while ago; only what the catalog says is looked at. */
  readonly bytes?: boolean;
}

interface Watch {
  readonly waited: ReadonlySet<string>;
  readonly arrived: Set<string>;
  wake: () => void;
}

/**
 * Finds out whether instances are held and safe: current, of the class that is named, and with the bytes that were sealed, read from the file and
 * digested anew.
 *
 * A file that is sealed has been through fdatasync before its instance was answered Success (or adopted), so that it is there after a power cut; its
 * row in the catalog may be lost in one, and is then read back from the file. So nothing has to be synced here: the file alone carries the promise.
 */
export class Verifier {
  private readonly parts: VerifierParts;
  private readonly watches = new Set<Watch>();
  /** One file at a time, whoever asks: long lists take turns with short ones. */
  private readonly turns = new Turns();

  constructor(parts: VerifierParts) {
    this.parts = parts;
    parts.events.on('stored', ({ SOPInstanceUID }) => {
      for (const watch of this.watches) {
        if (!watch.waited.has(SOPInstanceUID)) continue;
        watch.arrived.add(SOPInstanceUID);
        watch.wake();
      }
    });
  }

  /**
   * @returns those that can't be committed, with a Failure Reason each: 0112 not held, 0119 of another class, 0110 damaged; undefined after `signal`.
   * @throws what says nothing about the instances: the catalog can't be asked, or a file not be read now.
   */
  async verify(
    references: readonly InstanceReference[],
    options: VerifyOptions,
  ): Promise<FailedReference[] | undefined> {
    const watch: Watch = {
      waited: new Set(references.map(({ SOPInstanceUID }) => SOPInstanceUID)),
      arrived: new Set(),
      wake: () => undefined,
    };
    // Before the first look, so that none comes in between.
    this.watches.add(watch);
    try {
      const failed: FailedReference[] = [];
      const missing = new Set<InstanceReference>();
      let open: readonly InstanceReference[] = references;
      for (;;) {
        const last = Date.now() >= options.until;
        if (last) open = [...open, ...missing];
        for await (const { reference, reason } of this.look(open, options)) {
          if (reason === MISSING && !last) missing.add(reference);
          else failed.push({ ...reference, reason });
        }
        if (options.signal.aborted) return undefined;
        if (last || missing.size === 0) return failed;
        await untilWoken(watch, options);
        open = [...missing].filter(({ SOPInstanceUID }) => watch.arrived.has(SOPInstanceUID));
        watch.arrived.clear();
        for (const reference of open) missing.delete(reference);
      }
    } finally {
      this.watches.delete(watch);
    }
  }

  /** Those of the references that can't be committed as things stand. */
  private async *look(
    references: readonly InstanceReference[],
    { signal, bytes }: VerifyOptions,
  ): AsyncGenerator<{ readonly reference: InstanceReference; readonly reason: number }> {
    for (let first = 0; first < references.length; first += ROWS_AT_ONCE) {
      const some = references.slice(first, first + ROWS_AT_ONCE);
      const rows = await Promise.all(some.map((reference) => this.current(reference)));
      for (const [index, reference] of some.entries()) {
        if (signal.aborted) return;
        const reason = await this.reasonAgainst(reference, rows[index], bytes !== false);
        if (reason !== undefined) yield { reference, reason };
      }
    }
  }

  private async current({ SOPInstanceUID }: InstanceReference): Promise<InstanceLocation | undefined> {
    return (await this.parts.catalog.locate(SOPInstanceUID)).find(({ state }) => state === 'current');
  }

  private async reasonAgainst(
    reference: InstanceReference,
    location: InstanceLocation | undefined,
    bytes: boolean,
  ): Promise<number | undefined> {
    let row = location;
    for (let looks = 1; ; looks++) {
      if (row === undefined) return MISSING;
      if (row.SOPClassUID !== reference.SOPClassUID) return STATUS.ClassInstanceConflict;
      if (row.damaged !== undefined)
        return (await this.parts.store.exists(row.arrivalId)) ? STATUS.ProcessingFailure : MISSING;
      if (!bytes) return undefined;
      const harm = await this.inTurn(row);
      if (harm === undefined) return undefined;
      // A replaced, exchanged or deleted file is looked for in vain: then there is another row, or none.
      const now = await this.current(reference);
      if (now?.arrivalId === row.arrivalId || looks === MOST_LOOKS) return this.report(row, harm);
      row = now;
    }
  }

  private async inTurn(location: InstanceLocation): Promise<Harm | undefined> {
    const turn = this.turns.begin('');
    if (turn !== undefined) await turn;
    const began = performance.now();
    try {
      return await this.examine(location);
    } finally {
      setTimeout(() => this.turns.end(''), Math.min(performance.now() - began, LONGEST_REST));
    }
  }

  /** Compares a file with its seal, and that with the row. @throws what says nothing about the bytes. */
  private async examine({ arrivalId, sha256 }: InstanceLocation): Promise<Harm | undefined> {
    try {
      const check = await this.parts.store.check(arrivalId);
      if (check.state === 'sealed') {
        if (check.file.sha256 === sha256) return undefined;
        return { what: 'it has other bytes than recorded', reason: STATUS.ProcessingFailure };
      }
      const what = check.state === 'unsealed' ? 'its seal is empty' : check.reason;
      return { what, reason: STATUS.ProcessingFailure };
    } catch (error) {
      if (errorCode(error) === 'STORE_NO_FILE') return { what: 'the file is missing', reason: MISSING };
      if (error instanceof Error && errorCode(error.cause) === 'EIO')
        return { what: 'it can not be read from its device', reason: STATUS.ProcessingFailure };
      throw error;
    }
  }

  private async report({ arrivalId, SOPInstanceUID }: InstanceLocation, harm: Harm): Promise<number> {
    await this.parts.catalog.markDamaged(arrivalId, harm.what);
    this.parts.events.emit('alert', {
      code: 'FILE_DAMAGED',
      message: `A stored file is not what it was (${harm.what}); its storage was not committed. Check the disk, and restore the file from a backup.`,
      details: { SOPInstanceUID, arrivalId },
    });
    return harm.reason;
  }
}

/** What is wrong with a file. */
interface Harm {
  readonly what: string;
  /** Failure Reason. */
  readonly reason: number;
}

/** Until something that is waited for has come, the time is over, or the signal comes. */
async function untilWoken(watch: Watch, { until, signal }: VerifyOptions): Promise<void> {
  if (watch.arrived.size > 0 || signal.aborted) return;
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const wake = (): void => resolve(undefined);
  watch.wake = wake;
  signal.addEventListener('abort', wake, { once: true });
  const timer = setTimeout(wake, Math.max(0, until - Date.now()) + 1);
  await promise;
  clearTimeout(timer);
  signal.removeEventListener('abort', wake);
}
