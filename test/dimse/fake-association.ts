import { decodeCommand, encodeCommand } from '../../src/dimse/command';
import type { CommandSet } from '../../src/dimse/types';
import type { AcceptedContext, Association, AssociationEnd, AssociationUser } from '../../src/net/types';
import type { Peer, Right } from '../../src/peer';

export const VERIFICATION = '1.2.840.10008.1.1';
export const CT = '1.2.840.10008.5.1.4.1.1.2';
export const STUDY_FIND = '1.2.840.10008.5.1.4.1.2.2.1';
export const STUDY_GET = '1.2.840.10008.5.1.4.1.2.2.3';
export const IMPLICIT = '1.2.840.10008.1.2';

const CONTEXTS: readonly AcceptedContext[] = [
  { id: 1, abstractSyntax: VERIFICATION, transferSyntax: IMPLICIT },
  { id: 3, abstractSyntax: CT, transferSyntax: IMPLICIT },
  { id: 5, abstractSyntax: STUDY_FIND, transferSyntax: IMPLICIT },
  { id: 7, abstractSyntax: STUDY_GET, transferSyntax: IMPLICIT },
];

export function peer(...allow: Right[]): Peer {
  return { name: 'ct1', allow: new Set(allow), unknownSyntaxes: true };
}

export interface Sent {
  readonly contextId: number;
  readonly command: boolean;
  readonly data: Buffer;
  readonly last: boolean;
}

export interface SentMessage {
  readonly contextId: number;
  readonly command: CommandSet;
  readonly data: Buffer | undefined;
}

/** An association without a socket: what the user sends is kept, or carried to another one by `link`. */
export class FakeAssociation implements Association {
  readonly id = 'a1';
  readonly role;
  readonly callingAETitle = 'CALLER';
  readonly calledAETitle = 'NODE';
  readonly remoteAddress = '127.0.0.1';
  readonly remotePort = 1;
  readonly peer: Peer | undefined;
  readonly contexts = new Map(CONTEXTS.map((context) => [context.id, context]));
  sendLimit = 16384;
  unsent = 0;
  asyncWindow = { invoked: 1, performed: 1 };
  readonly roles = [];
  readonly extendedNegotiation = [];
  readonly userIdentity = undefined;
  readonly implementationVersionName = '';
  readonly implementationClassUID = '';
  readonly closed: Promise<AssociationEnd>;

  readonly sent: Sent[] = [];
  readonly aborts: { source: number; reason: number; why: string }[] = [];
  readonly busy: boolean[] = [];
  pauses = 0;
  resumes = 0;
  paused = false;
  releaseAnswers = 0;
  /** While true, what is sent waits for `letGo`. */
  blocked = false;

  private user: AssociationUser | undefined;
  private end: AssociationEnd | undefined;
  private other: FakeAssociation | undefined;
  private readonly inbox: Sent[] = [];
  private carrying = false;
  private readonly waiting: { resolve: () => void; reject: (error: Error) => void }[] = [];
  private close: (end: AssociationEnd) => void = () => undefined;

  constructor(
    options: { role?: 'acceptor' | 'requestor'; peer?: Peer; window?: number; sendLimit?: number } = {},
  ) {
    this.role = options.role ?? 'acceptor';
    this.peer = options.peer;
    if (options.window !== undefined)
      this.asyncWindow = { invoked: options.window, performed: options.window };
    if (options.sendLimit !== undefined) this.sendLimit = options.sendLimit;
    this.closed = new Promise((resolve) => {
      this.close = resolve;
    });
  }

  static pair(options: { peer?: Peer; window?: number; sendLimit?: number } = {}): {
    requestor: FakeAssociation;
    acceptor: FakeAssociation;
  } {
    const { peer: caller, ...both } = options;
    const requestor = new FakeAssociation({ ...both, role: 'requestor' });
    const acceptor = new FakeAssociation({ ...both, ...(caller === undefined ? {} : { peer: caller }) });
    requestor.other = acceptor;
    acceptor.other = requestor;
    return { requestor, acceptor };
  }

  get hasEnded(): boolean {
    return this.end !== undefined;
  }

  attach(user: AssociationUser): void {
    this.user = user;
  }

  sendFragment(contextId: number, command: boolean, data: Buffer, last: boolean): Promise<void> {
    if (this.end !== undefined) return Promise.reject(new Error('the association has ended'));
    const sent = { contextId, command, data, last };
    this.sent.push(sent);
    this.other?.receive(sent);
    if (!this.blocked) return Promise.resolve();
    return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }));
  }

  /** Lets what is blocked go out, and all that follows. */
  letGo(): void {
    this.blocked = false;
    for (const { resolve } of this.waiting.splice(0)) resolve();
  }

  pause(): void {
    this.pauses++;
    this.paused = true;
  }

  resume(): void {
    this.resumes++;
    this.paused = false;
    this.carry();
  }

  setBusy(busy: boolean): void {
    this.busy.push(busy);
  }

  answerRelease(): void {
    this.releaseAnswers++;
    this.finish({ kind: 'released', reason: 'released' });
  }

  async release(): Promise<void> {
    this.other?.user?.releaseRequested();
    await this.closed;
  }

  abort(source: 0 | 2, reason: number, why: string): void {
    if (this.end !== undefined) return;
    this.aborts.push({ source, reason, why });
    this.finish({ kind: 'aborted-by-us', reason: why });
  }

  finish(end: AssociationEnd): void {
    if (this.end !== undefined) return;
    this.end = end;
    for (const { reject } of this.waiting.splice(0)) reject(new Error('the association has ended'));
    this.user?.ended(end);
    this.close(end);
    this.other?.finish(
      end.kind === 'aborted-by-us' ? { kind: 'aborted-by-peer', reason: 'aborted by peer' } : end,
    );
  }

  /** Hands one fragment to the user, in chunks of at most `chunk` bytes. */
  fragment(contextId: number, command: boolean, data: Buffer, last: boolean, chunk = data.length): void {
    this.user!.fragmentStart(contextId, command, last);
    for (let at = 0; at < data.length; at += Math.max(1, chunk)) {
      this.user!.fragmentData(data.subarray(at, at + Math.max(1, chunk)));
    }
    this.user!.fragmentEnd();
  }

  /** Hands a whole message to the user at once. */
  message(contextId: number, command: CommandSet, data?: Buffer): void {
    this.fragment(contextId, true, encodeCommand(command), true);
    if (data !== undefined) this.fragment(contextId, false, data, true);
  }

  askRelease(): void {
    this.user!.releaseRequested();
  }

  /** What was sent, put together again; fails on anything out of order. */
  messages(): SentMessage[] {
    const messages: SentMessage[] = [];
    let command: CommandSet | undefined;
    let data: Buffer[] = [];
    for (const fragment of this.sent) {
      if (fragment.command) {
        if (command !== undefined) throw new Error('a command before the data set of the last one ended');
        command = decodeCommand(fragment.data);
        if (!fragment.last) throw new Error('a command in pieces');
        if (command.CommandDataSetType !== 0x0101) continue;
        messages.push({ contextId: fragment.contextId, command, data: undefined });
        command = undefined;
      } else {
        if (command === undefined) throw new Error('a data set without a command');
        data.push(fragment.data);
        if (!fragment.last) continue;
        messages.push({ contextId: fragment.contextId, command, data: Buffer.concat(data) });
        command = undefined;
        data = [];
      }
    }
    return messages;
  }

  /** [Message ID Being Responded To, status] of every response sent. */
  answers(): [number, number][] {
    return this.messages().map(({ command }) => [command.MessageIDBeingRespondedTo!, command.Status!]);
  }

  private receive(sent: Sent): void {
    this.inbox.push(sent);
    this.carry();
  }

  /** As a socket would: in order, later, and not while paused. */
  private carry(): void {
    if (this.carrying) return;
    this.carrying = true;
    setImmediate(() => {
      this.carrying = false;
      while (!this.paused && this.end === undefined) {
        const next = this.inbox.shift();
        if (next === undefined) return;
        this.fragment(next.contextId, next.command, next.data, next.last);
      }
    });
  }
}

/** Lets everything that can happen without the outside happen. */
export async function settle(turns = 5): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
}

export function echoRequest(MessageID: number, fields: Partial<CommandSet> = {}): CommandSet {
  return {
    AffectedSOPClassUID: VERIFICATION,
    CommandField: 0x0030,
    MessageID,
    CommandDataSetType: 0x0101,
    ...fields,
  };
}

export function storeRequest(MessageID: number, fields: Partial<CommandSet> = {}): CommandSet {
  return {
    AffectedSOPClassUID: CT,
    CommandField: 0x0001,
    MessageID,
    Priority: 0,
    CommandDataSetType: 1,
    AffectedSOPInstanceUID: `1.2.3.${MessageID}`,
    ...fields,
  };
}

export function findRequest(MessageID: number, fields: Partial<CommandSet> = {}): CommandSet {
  return {
    AffectedSOPClassUID: STUDY_FIND,
    CommandField: 0x0020,
    MessageID,
    Priority: 0,
    CommandDataSetType: 1,
    ...fields,
  };
}

export function cancelRequest(MessageIDBeingRespondedTo: number): CommandSet {
  return { CommandField: 0x0fff, MessageIDBeingRespondedTo, CommandDataSetType: 0x0101 };
}
