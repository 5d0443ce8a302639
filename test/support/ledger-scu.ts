import { createHash } from 'node:crypto';
import fsp from 'node:fs/promises';
import { pData, pdv, storeRq, Wire } from './wire';
import type { AssociateRequestFields, Command, Proposal } from './wire';
import type { SentObject } from './data-sets';

/** A storage SCU of a few lines: sends data sets as they are and tells the status of each. */
export class PlainScu {
  readonly wire: Wire;
  private readonly contexts: ReadonlyMap<string, number>;
  private readonly fragment: number;
  private messageId = 0;

  /** One context for each class and syntax of `objects`, and Verification. */
  static async open(
    port: number,
    objects: readonly Pick<SentObject, 'SOPClassUID' | 'transferSyntax'>[],
    fields: AssociateRequestFields = {},
  ): Promise<PlainScu> {
    const proposals: Proposal[] = [
      { id: 1, abstractSyntax: '1.2.840.10008.1.1', transferSyntaxes: ['1.2.840.10008.1.2'] },
    ];
    for (const { SOPClassUID, transferSyntax } of objects) {
      const known = proposals.some(
        (proposal) =>
          proposal.abstractSyntax === SOPClassUID && proposal.transferSyntaxes[0] === transferSyntax,
      );
      if (known) continue;
      proposals.push({
        id: proposals.length * 2 + 1,
        abstractSyntax: SOPClassUID,
        transferSyntaxes: [transferSyntax],
      });
    }
    const { wire, ac } = await Wire.associate(port, { ...fields, contexts: proposals });
    const accepted = new Map<string, number>();
    for (const { id, abstractSyntax, transferSyntaxes } of proposals) {
      if (ac.contexts.get(id)?.result === 0) accepted.set(`${abstractSyntax}/${transferSyntaxes[0]!}`, id);
    }
    return new PlainScu(wire, accepted, ac.maximumLength === 0 ? 131072 : ac.maximumLength);
  }

  private constructor(wire: Wire, contexts: ReadonlyMap<string, number>, maximumLength: number) {
    this.wire = wire;
    this.contexts = contexts;
    this.fragment = Math.min(maximumLength, 131072) - 6;
  }

  contextFor(object: Pick<SentObject, 'SOPClassUID' | 'transferSyntax'>): number {
    const id = this.contexts.get(`${object.SOPClassUID}/${object.transferSyntax}`);
    if (id === undefined) throw new Error(`no context for ${object.SOPClassUID} in ${object.transferSyntax}`);
    return id;
  }

  /** Sends one object and waits for its response. `sent` is called with the length of each part that went out. */
  async store(
    object: SentObject,
    options: {
      readonly commandInstanceUID?: string;
      readonly timeout?: number;
      readonly sent?: (bytes: number) => void;
    } = {},
  ): Promise<Command> {
    this.messageId = (this.messageId % 0xffff) + 1;
    const messageId = this.messageId;
    const contextId = this.contextFor(object);
    const instance = options.commandInstanceUID ?? object.SOPInstanceUID;
    await this.wire.send(pData(pdv(contextId, true, true, storeRq(messageId, object.SOPClassUID, instance))));
    for (const part of this.dataPdus(contextId, object.dataSet)) {
      await this.wire.send(part);
      options.sent?.(part.length);
    }
    const { command } = await this.wire.nextMessage(options.timeout ?? 20_000);
    if (command.field !== 0x8001 || command.respondsTo !== messageId) {
      throw new Error(
        `C-STORE ${messageId} was answered by ${String(command.field)}/${String(command.respondsTo)}`,
      );
    }
    return command;
  }

  /** P-DATA PDUs of one data set, each as long as the peer allows. */
  dataPdus(contextId: number, dataSet: Buffer): Buffer[] {
    const parts: Buffer[] = [];
    for (let at = 0; at < dataSet.length || parts.length === 0; at += this.fragment) {
      const end = Math.min(at + this.fragment, dataSet.length);
      parts.push(pData(pdv(contextId, false, end === dataSet.length, dataSet.subarray(at, end))));
    }
    return parts;
  }

  echo(messageId = 9999): Promise<number | undefined> {
    return this.wire.echo(messageId, 1);
  }

  release(): Promise<void> {
    return this.wire.release();
  }
}

export function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

export interface LedgerEntry {
  readonly uid: string;
  readonly sha256: string;
  readonly status: number;
}

/** What was answered, in a file that is synced before anything else happens: the truth after a kill. */
export class Ledger {
  private readonly handle: fsp.FileHandle;
  readonly file: string;

  static async open(file: string): Promise<Ledger> {
    return new Ledger(file, await fsp.open(file, 'a'));
  }

  private constructor(file: string, handle: fsp.FileHandle) {
    this.file = file;
    this.handle = handle;
  }

  async append(entry: LedgerEntry): Promise<void> {
    await this.handle.appendFile(`${entry.uid} ${entry.sha256} ${entry.status.toString(16)}\n`);
    await this.handle.datasync();
  }

  async read(): Promise<LedgerEntry[]> {
    const text = await fsp.readFile(this.file, 'latin1');
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => {
        const [uid, digest, status] = line.split(' ');
        return { uid: uid!, sha256: digest!, status: Number.parseInt(status!, 16) };
      });
  }

  close(): Promise<void> {
    return this.handle.close();
  }
}

export interface Storm {
  /** Objects that were begun, answered or not, by SOP Instance UID: SHA-256 of their data sets. */
  readonly begun: ReadonlyMap<string, string>;
  /** Resolves when every association has ended; connection loss is no error. */
  readonly ended: Promise<void>;
  stop(): void;
}

/**
 * Eight associations at once, each sending the objects that `next` makes until it has none or the node is gone.
 * `onBytes` is told of every part written, `onAnswer` of every response that is in the ledger.
 */
export function storm(options: {
  readonly port: number;
  readonly ledger: Ledger;
  readonly next: (association: number, index: number) => SentObject | undefined;
  readonly associations?: number;
  readonly onBytes?: (bytes: number) => void;
  readonly onAnswer?: (entry: LedgerEntry) => void;
}): Storm {
  const begun = new Map<string, string>();
  let stopped = false;
  const one = async (association: number): Promise<void> => {
    const first = options.next(association, 0);
    if (first === undefined) return;
    let scu: PlainScu;
    try {
      scu = await PlainScu.open(options.port, [first], { calling: `LEDGER${association}` });
    } catch {
      return;
    }
    try {
      for (let index = 0; !stopped; index += 1) {
        const object = options.next(association, index);
        if (object === undefined) {
          await scu.release();
          return;
        }
        const digest = sha256(object.dataSet);
        begun.set(object.SOPInstanceUID, digest);
        const answer = await scu.store(object, options.onBytes ? { sent: options.onBytes } : {});
        const entry = { uid: object.SOPInstanceUID, sha256: digest, status: answer.status ?? -1 };
        await options.ledger.append(entry);
        options.onAnswer?.(entry);
      }
    } catch {
      // The node went away: what was answered by then stands in the ledger.
    } finally {
      scu.wire.destroy();
    }
  };
  const associations = options.associations ?? 8;
  const ended = Promise.all(Array.from({ length: associations }, (_, index) => one(index))).then(
    () => undefined,
  );
  return {
    begun,
    ended,
    stop: () => {
      stopped = true;
    },
  };
}
