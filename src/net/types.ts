import type { Peer } from '../peer';

/** A-ASSOCIATE-RJ (PS3.8 9.3.4). */
export interface Rejection {
  readonly result: 1 | 2;
  readonly source: 1 | 2 | 3;
  readonly reason: number;
}

export interface ProposedContext {
  readonly id: number;
  readonly abstractSyntax: string;
  readonly transferSyntaxes: readonly string[];
}

/** Result of one proposed context (PS3.8 9.3.3.2): 0 accept, 1 user, 2 no reason, 3 abstract syntax, 4 transfer syntaxes. */
export interface ContextResult {
  readonly id: number;
  readonly result: 0 | 1 | 2 | 3 | 4;
  readonly transferSyntax: string;
}

/** A context on which messages may flow. */
export interface AcceptedContext {
  readonly id: number;
  readonly abstractSyntax: string;
  readonly transferSyntax: string;
}

/** SCP/SCU role selection (PS3.7 D.3.3.4). */
export interface RoleSelection {
  readonly sopClass: string;
  readonly scu: boolean;
  readonly scp: boolean;
}

/** SOP Class Extended Negotiation (PS3.7 D.3.3.5): service class application information, undecoded. */
export interface ExtendedNegotiation {
  readonly sopClass: string;
  readonly information: Buffer;
}

/** User Identity Negotiation (PS3.7 D.3.3.7): 1 name, 2 name and passcode, 3 Kerberos, 4 SAML, 5 JWT. */
export interface UserIdentity {
  readonly type: number;
  readonly positiveResponseRequested: boolean;
  readonly primary: Buffer;
  readonly secondary: Buffer;
}

/** Asynchronous operations window (PS3.7 D.3.3.3); 0 = unlimited. */
export interface AsyncWindow {
  readonly invoked: number;
  readonly performed: number;
}

/** What a caller asks for, decoded from A-ASSOCIATE-RQ, titles trimmed. */
export interface AssociateRequest {
  readonly callingAETitle: string;
  readonly calledAETitle: string;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly applicationContext: string;
  readonly contexts: readonly ProposedContext[];
  /** 0 = no limit. */
  readonly maximumLength: number;
  readonly implementationClassUID: string;
  readonly implementationVersionName: string;
  readonly asyncWindow: AsyncWindow | undefined;
  readonly roles: readonly RoleSelection[];
  readonly extendedNegotiation: readonly ExtendedNegotiation[];
  readonly userIdentity: UserIdentity | undefined;
}

/** What the node's policy answers to a caller. */
export type AccessDecision =
  | { readonly accepted: true; readonly peer: Peer; readonly userIdentityResponse?: Buffer }
  | {
      readonly accepted: false;
      readonly rejection: Rejection;
      /** For the log: the cause and what mends it. */ readonly why: string;
    };

/** Policy of an acceptor, handed in by the composition root. */
export interface AcceptorPolicy {
  /** Asked once a well-formed A-ASSOCIATE-RQ of the right version and application context is in. */
  decideAccess(request: AssociateRequest): AccessDecision | Promise<AccessDecision>;
  /** One result for each proposed context (PS3.8 9.3.2.2). */
  negotiateContexts(request: AssociateRequest, peer: Peer): ContextResult[];
  /** Answers to role items, only for classes that were offered, never more than offered. */
  negotiateRoles(request: AssociateRequest, peer: Peer): RoleSelection[];
  /** Answers to SOP class extended negotiation items, only for those offered. */
  negotiateExtended(request: AssociateRequest, peer: Peer): ExtendedNegotiation[];
}

/** How an association ended. `reason` is a short sentence for the summary line. */
export interface AssociationEnd {
  readonly kind:
    'released' | 'aborted-by-peer' | 'aborted-by-us' | 'connection-lost' | 'rejected' | 'timeout';
  readonly reason: string;
}

/**
 * The user of an established association: the DIMSE layer. All calls come in wire order, one at a time, and must not
 * throw; a violation is answered by calling `abort` of the association.
 */
export interface AssociationUser {
  /** A PDV begins: a fragment of a command (or of a data set) on an accepted context; another one was answered with abort. */
  fragmentStart(contextId: number, command: boolean, last: boolean): void;
  /** Bytes of that fragment, zero or more times; a slice of the receive buffer, valid for ever (never reused). */
  fragmentData(chunk: Buffer): void;
  /** The fragment is complete. */
  fragmentEnd(): void;
  /** A-RELEASE-RQ came (Sta8). The user ends what runs and then calls `association.answerRelease()`. */
  releaseRequested(): void;
  /** Nothing will come or go any more. Called exactly once. */
  ended(end: AssociationEnd): void;
}

/** An established association (Sta6), acceptor's or requestor's side alike. */
export interface Association {
  /** Unique in this process; stands on every log line. */
  readonly id: string;
  readonly role: 'acceptor' | 'requestor';
  readonly callingAETitle: string;
  readonly calledAETitle: string;
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** Acceptor: the recognised caller. Requestor: undefined. */
  readonly peer: Peer | undefined;
  /** Accepted contexts by id. */
  readonly contexts: ReadonlyMap<number, AcceptedContext>;
  /** Largest P-DATA-TF PDU length to send, in bytes: what the peer announced, at most 131072, also where it has no limit. */
  readonly sendLimit: number;
  /** Bytes that the operating system hasn't taken yet: while there are any, buffers that were handed over must not change. */
  readonly unsent: number;
  /** As agreed; 1/1 where nothing was. */
  readonly asyncWindow: AsyncWindow;
  readonly roles: readonly RoleSelection[];
  readonly extendedNegotiation: readonly ExtendedNegotiation[];
  readonly userIdentity: UserIdentity | undefined;
  readonly implementationVersionName: string;
  readonly implementationClassUID: string;

  /** Gives the association its user; called once, before any byte of Sta6 is handed out. */
  attach(user: AssociationUser): void;
  /**
   * Queues bytes of one message part, cut into PDVs that fit the peer's limit, fragments of even length. `last` closes the part. Resolves
   * when the socket takes more; rejects when the association ended. A command goes out in one call with `last`.
   */
  sendFragment(contextId: number, command: boolean, data: Buffer, last: boolean): Promise<void>;
  /**
   * Backpressure from a user whose sink falls behind: the socket is not read and nothing handed on, not even what was
   * read already. Timers that wait for the peer stop too.
   */
  pause(): void;
  /** Goes on in a later turn, never from within this call. */
  resume(): void;
  /**
   * While any operation is outstanding the idle timer rests. Not busy while a message comes in: then it is the peer's
   * turn, and one that stops in the middle must be found out.
   */
  setBusy(busy: boolean): void;
  /** Answers A-RELEASE-RQ (AR-4). */
  answerRelease(): void;
  /** Requests release and resolves when the association has ended, collision handled; never rejects. */
  release(): Promise<void>;
  /** A-ABORT: source 0 user, 2 provider (PS3.8 9.3.8); then closes. Idempotent. */
  abort(source: 0 | 2, reason: number, why: string): void;
  /** Resolves when it has ended. */
  readonly closed: Promise<AssociationEnd>;
}
