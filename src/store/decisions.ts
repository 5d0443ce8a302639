import { constants } from 'node:fs';
import { parseArrivalId } from './arrival-id';
import type { Durability } from './durability';
import { StoreError, storeFailure } from './errors';
import type { FileCalls } from './file-calls';
import type { Decision } from './types';

/** Never O_CREAT: on a bare mount point there is no file to append to. */
const WRITE = constants.O_RDWR | constants.O_NOFOLLOW;
const READ = constants.O_RDONLY | constants.O_NOFOLLOW;
const PIECE = 64 * 1024;
/** Far above what a reason of some sentences needs; a reader holds no more than this of a line. */
const LONGEST_LINE = 16 * 1024;
/** Decisions that share one sync. */
const BATCH = 256;
const NEWLINE = 0x0a;

const ACTIONS: ReadonlySet<string> = new Set<Decision['action']>([
  'quarantine',
  'release',
  'discard',
  'replace',
  'delete',
  'distrust',
]);

const KINDS: ReadonlySet<string> = new Set<NonNullable<Decision['kind']>>([
  'duplicate',
  'damaged',
  'replaced',
  'unreadable',
]);

interface Waiting {
  readonly line: Buffer;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * `decisions.jsonl`: a line of JSON a decision, synced before the decision is carried out. A line without its newline
 * was cut off before that: nobody acted on it, so readers pass it over and the next append takes its place.
 */
export class DecisionLog {
  private readonly calls: FileCalls;
  private readonly durability: Durability;
  private readonly path: string;
  private readonly waiting: Waiting[] = [];
  private writing: Promise<void> | undefined;
  private fd: number | undefined;
  /** End of the last whole line, once the file has been looked at. */
  private end: number | undefined;
  private broken = false;

  constructor(parts: { readonly calls: FileCalls; readonly durability: Durability }, path: string) {
    this.calls = parts.calls;
    this.durability = parts.durability;
    this.path = path;
  }

  /**
   * Appends and syncs; decisions that come together share a sync.
   * @throws StoreError `STORE_FULL`, `STORE_FAILED`, `STORE_SYNC_FAILED`, `STORE_STOPPED`
   */
  append(decision: Decision): Promise<void> {
    const line = Buffer.from(`${JSON.stringify(decision)}\n`);
    if (line.length > LONGEST_LINE) {
      const message = `a decision has at most ${LONGEST_LINE} bytes`;
      return Promise.reject(new StoreError('STORE_FAILED', message, { hint: 'give a shorter reason' }));
    }
    return new Promise((resolve, reject) => {
      this.waiting.push({ line, resolve, reject });
      this.writing ??= this.writeWaiting().finally(() => {
        this.writing = undefined;
      });
    });
  }

  async close(): Promise<void> {
    await this.writing;
    await this.release();
  }

  /** Every whole line, oldest first. @throws StoreError `STORE_DAMAGED` where a line is no decision. */
  async read(): Promise<Decision[]> {
    const decisions: Decision[] = [];
    let fd: number;
    try {
      fd = await this.calls.open(this.path, READ);
    } catch (error) {
      throw storeFailure('opening decisions.jsonl', error);
    }
    try {
      for await (const line of wholeLines(this.calls, fd)) {
        const decision = parseDecision(line);
        if (decision === undefined) throw damaged(decisions.length + 1);
        decisions.push(decision);
      }
    } catch (error) {
      throw storeFailure('reading decisions.jsonl', error);
    } finally {
      await this.calls.close(fd).catch(() => undefined);
    }
    return decisions;
  }

  private async writeWaiting(): Promise<void> {
    while (this.waiting.length > 0) {
      const batch = this.waiting.splice(0, BATCH);
      try {
        await this.write(Buffer.concat(batch.map((one) => one.line)));
        for (const one of batch) one.resolve();
      } catch (error) {
        for (const one of batch) one.reject(error);
      }
    }
  }

  private async write(lines: Buffer): Promise<void> {
    // After an instance's failed sync this file is still tried: the next start has to learn what not to trust.
    if (this.broken) this.durability.requireRunning();
    try {
      this.fd ??= await this.openForWriting();
      await this.writeAtEnd(this.fd, lines);
    } catch (error) {
      await this.takeBack();
      throw storeFailure('appending to decisions.jsonl', error);
    }
    try {
      await this.durability.syncData(this.fd, 'the sync of decisions.jsonl');
    } catch (error) {
      this.broken = true;
      await this.takeBack();
      throw error;
    }
    this.end = (this.end ?? 0) + lines.length;
  }

  private async writeAtEnd(fd: number, lines: Buffer): Promise<void> {
    for (let done = 0; done < lines.length;) {
      const written = await this.calls.writev(fd, [lines.subarray(done)], (this.end ?? 0) + done);
      if (written === 0) throw Object.assign(new Error('nothing was written'), { code: 'EIO' });
      done += written;
    }
  }

  /** Opens the file and cuts off what stands behind its last whole line, or behind the last that was synced. */
  private async openForWriting(): Promise<number> {
    const fd = await this.calls.open(this.path, WRITE);
    try {
      const { size } = await this.calls.fstat(fd);
      this.end ??= await endOfLastLine(this.calls, fd, size);
      if (size < this.end) throw shorter();
      if (this.end < size) await this.calls.ftruncate(fd, this.end);
      return fd;
    } catch (error) {
      await this.calls.close(fd).catch(() => undefined);
      throw error;
    }
  }

  /** Decisions that were refused must not stand there for a later start to carry out; where that fails the next append tries. */
  private async takeBack(): Promise<void> {
    if (this.fd !== undefined && this.end !== undefined) {
      await this.calls.ftruncate(this.fd, this.end).catch(() => undefined);
    }
    await this.release();
  }

  private async release(): Promise<void> {
    const fd = this.fd;
    if (fd === undefined) return;
    this.fd = undefined;
    await this.calls.close(fd).catch(() => undefined);
  }
}

async function endOfLastLine(calls: FileCalls, fd: number, size: number): Promise<number> {
  const piece = Buffer.alloc(PIECE);
  // A cut batch may leave more than one piece without a newline (zeros, on some file systems).
  for (let end = size; end > 0;) {
    const start = Math.max(0, end - PIECE);
    const read = await calls.read(fd, piece.subarray(0, end - start), start);
    if (read < end - start) throw shorter();
    const newline = piece.subarray(0, read).lastIndexOf(NEWLINE);
    if (newline >= 0) return start + newline + 1;
    end = start;
  }
  return 0;
}

async function* wholeLines(calls: FileCalls, fd: number): AsyncGenerator<string, void, undefined> {
  const piece = Buffer.alloc(PIECE);
  let rest = Buffer.alloc(0);
  for (let position = 0; ;) {
    const read = await calls.read(fd, piece, position);
    if (read === 0) return;
    position += read;
    let part = piece.subarray(0, read);
    for (let at = part.indexOf(NEWLINE); at >= 0; at = part.indexOf(NEWLINE)) {
      const line = Buffer.concat([rest, part.subarray(0, at)]);
      yield line.length > LONGEST_LINE ? '' : line.toString('utf8');
      rest = Buffer.alloc(0);
      part = part.subarray(at + 1);
    }
    // Beyond the longest line it is no decision, whatever follows: no need to hold more of it.
    if (rest.length <= LONGEST_LINE) rest = Buffer.concat([rest, part]);
  }
}

function parseDecision(line: string): Decision | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { action, arrivalId, other, reason, kind, time } = value as Record<keyof Decision, unknown>;
  if (typeof action !== 'string' || !ACTIONS.has(action)) return undefined;
  if (typeof arrivalId !== 'string' || parseArrivalId(arrivalId) === undefined) return undefined;
  if (other !== undefined && (typeof other !== 'string' || parseArrivalId(other) === undefined))
    return undefined;
  if (kind !== undefined && (typeof kind !== 'string' || !KINDS.has(kind))) return undefined;
  if (typeof reason !== 'string' || typeof time !== 'string') return undefined;
  return {
    action: action as Decision['action'],
    arrivalId,
    ...(other === undefined ? {} : { other }),
    reason,
    ...(kind === undefined ? {} : { kind: kind as NonNullable<Decision['kind']> }),
    time,
  };
}

function shorter(): Error {
  return Object.assign(new Error('the file is shorter than it was'), { code: 'EIO' });
}

function damaged(line: number): StoreError {
  return new StoreError('STORE_DAMAGED', `line ${line} of decisions.jsonl is not a decision`, {
    hint: 'put decisions.jsonl back from a backup, or mend that line by hand: it says what was removed or set aside',
  });
}
