import { randomBytes } from 'node:crypto';
import type { Connection } from './connection';
import type { Agreement } from './negotiation';
import type { Peer } from '../peer';
import type { Association, UserIdentity } from './types';

/** Tells this process's associations from those of its earlier lives in the same log. */
const PROCESS = `A${randomBytes(3).toString('hex').slice(1)}`;
let count = 0;

/** An id such as `A1b2c3-17`: unique in this process, and nearly so across restarts. */
export function nextAssociationId(): string {
  count += 1;
  return `${PROCESS}-${count}`;
}

/** What is known of the two sides beside the agreement. */
export interface Parties {
  readonly callingAETitle: string;
  readonly calledAETitle: string;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly peer: Peer | undefined;
  readonly userIdentity: UserIdentity | undefined;
  readonly implementationClassUID: string;
  readonly implementationVersionName: string;
}

/** The user's view of a connection in Sta6: what was agreed, and the calls that drive it. */
export function createAssociation(
  connection: Connection,
  parties: Parties,
  agreement: Agreement,
): Association {
  return {
    id: connection.id,
    role: connection.role,
    ...parties,
    ...agreement,
    get unsent() {
      return connection.socket.writableLength;
    },
    attach: (user) => connection.attach(user),
    sendFragment: (contextId, command, data, last) => connection.sendFragment(contextId, command, data, last),
    pause: () => connection.pause(),
    resume: () => connection.resume(),
    setBusy: (busy) => connection.setBusy(busy),
    answerRelease: () => connection.answerRelease(),
    release: () => connection.release(),
    abort: (source, reason, why) => connection.abort(source, reason, why),
    closed: connection.over,
  };
}

/** An IPv4 address that arrived on an IPv6 socket is the same caller (`::ffff:10.0.4.21`). */
export function plainAddress(address: string | undefined): string {
  return address?.replace(/^::ffff:(?=\d+\.)/i, '') ?? '';
}
