import { Listener } from '../../src/net/listener';
import type { ListenerOptions } from '../../src/net/listener';
import type { ProtocolErrorInfo, RejectedInfo } from '../../src/net/acceptor';
import type { ConnectionTimeouts } from '../../src/net/connection-owner';
import type { AcceptorPolicy, Association, AssociationEnd, AssociationUser } from '../../src/net/types';
import type { Peer } from '../../src/peer';
import { FakeClock } from './fake-clock';

export const TIMEOUTS: ConnectionTimeouts = {
  association: 10_000,
  idle: 60_000,
  writeStall: 50_000,
  release: 7_000,
  abortGrace: 2_000,
};

export const PEER: Peer = { name: 'tester', allow: new Set(['echo']), unknownSyntaxes: true };

/** Accepts everybody, and of every context the first transfer syntax. */
export const OPEN_POLICY: AcceptorPolicy = {
  decideAccess: () => ({ accepted: true, peer: PEER }),
  negotiateContexts: (request) =>
    request.contexts.map(({ id, transferSyntaxes: [transferSyntax] }) =>
      transferSyntax === undefined
        ? { id, result: 4, transferSyntax: '' }
        : { id, result: 0, transferSyntax },
    ),
  negotiateRoles: () => [],
  negotiateExtended: () => [],
};

/** Waits for something that is on its way over a socket. */
export async function eventually(condition: () => boolean, what = 'it'): Promise<void> {
  const until = Date.now() + 8000;
  while (!condition()) {
    if (Date.now() > until) throw new Error(`${what} did not happen in time`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Lets everything that is under way between sockets of this process arrive. */
export async function settle(turns = 30): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
}

export interface ReceivedPart {
  readonly contextId: number;
  readonly command: boolean;
  readonly data: Buffer;
}

/** Writes down what it is told; answers a release at once unless told not to. */
export class RecordingUser implements AssociationUser {
  readonly parts: ReceivedPart[] = [];
  readonly fragments: string[] = [];
  readonly ends: AssociationEnd[] = [];
  releases = 0;
  bytes = 0;
  answersRelease = true;
  /** Called with each slice of data. */
  onData: ((chunk: Buffer) => void) | undefined;
  readonly association: Association;
  private chunks: Buffer[] = [];
  private current = { contextId: 0, command: false, last: false };

  constructor(association: Association, attach = true) {
    this.association = association;
    if (attach) association.attach(this);
  }

  fragmentStart(contextId: number, command: boolean, last: boolean): void {
    this.fragments.push(`${command ? 'command' : 'data'} ${contextId}${last ? ' last' : ''}`);
    this.current = { contextId, command, last };
  }

  fragmentData(chunk: Buffer): void {
    this.bytes += chunk.length;
    this.chunks.push(chunk);
    this.onData?.(chunk);
  }

  fragmentEnd(): void {
    const { contextId, command, last } = this.current;
    if (!last) return;
    this.parts.push({ contextId, command, data: Buffer.concat(this.chunks) });
    this.chunks = [];
  }

  releaseRequested(): void {
    this.releases += 1;
    if (this.answersRelease) this.association.answerRelease();
  }

  ended(end: AssociationEnd): void {
    this.ends.push(end);
  }
}

/** A listener on 127.0.0.1 whose time stands still, and what it reported. */
export class Acceptance {
  readonly clock = new FakeClock();
  readonly users: RecordingUser[] = [];
  readonly rejected: RejectedInfo[] = [];
  readonly violations: ProtocolErrorInfo[] = [];
  readonly faults: unknown[] = [];
  readonly limits = { associations: 100, associationsPerRemote: 100 };
  policy: AcceptorPolicy = OPEN_POLICY;
  unavailable: string | undefined;
  attaches = true;
  onUser: ((user: RecordingUser) => void) | undefined;
  listener!: Listener;
  port = 0;

  static async start(overrides: Partial<ListenerOptions> = {}): Promise<Acceptance> {
    const acceptance = new Acceptance();
    acceptance.listener = new Listener({
      host: '127.0.0.1',
      port: 0,
      limits: () => acceptance.limits,
      timeouts: () => TIMEOUTS,
      clock: acceptance.clock,
      implementation: { classUID: '2.25.42', versionName: 'TEST_1' },
      maximumLength: 131072,
      unavailable: () => acceptance.unavailable,
      policy: () => acceptance.policy,
      onAssociation: (association) => {
        const user = new RecordingUser(association, acceptance.attaches);
        acceptance.users.push(user);
        acceptance.onUser?.(user);
      },
      onRejected: (info) => acceptance.rejected.push(info),
      onProtocolError: (info) => acceptance.violations.push(info),
      onFault: (error) => acceptance.faults.push(error),
      ...overrides,
    });
    acceptance.port = (await acceptance.listener.listen()).port;
    return acceptance;
  }

  /** The user of the latest association, when it is there. */
  async user(index = this.users.length): Promise<RecordingUser> {
    await eventually(() => this.users.length > index, 'the association');
    return this.users[index]!;
  }

  async gone(): Promise<void> {
    await eventually(() => this.listener.sockets === 0, 'the end of every socket');
  }

  async close(): Promise<void> {
    const closed = this.listener.close();
    await settle(5);
    this.clock.advance(TIMEOUTS.association);
    await closed;
  }
}
