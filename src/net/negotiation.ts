import { DICOM_APPLICATION_CONTEXT, PDV_HEADER_LENGTH, calledTitle, callingTitle } from './pdu';
import type { AssociateAcceptPdu, AssociateRequestPdu } from './pdu';
import { REJECTION } from './reject-reasons';
import type {
  AcceptedContext,
  AcceptorPolicy,
  AssociateRequest,
  AsyncWindow,
  ContextResult,
  ExtendedNegotiation,
  ProposedContext,
  Rejection,
  RoleSelection,
} from './types';
import type { Peer } from '../peer';

/** How this node names itself (PS3.7 D.3.3.2). */
export interface Implementation {
  readonly classUID: string;
  readonly versionName: string;
}

/** A refusal with the sentence for the log: the cause and what mends it. */
export interface Refusal {
  readonly rejection: Rejection;
  readonly why: string;
}

/** What both sides know once an association stands. */
export interface Agreement {
  readonly contexts: ReadonlyMap<number, AcceptedContext>;
  readonly sendLimit: number;
  readonly asyncWindow: AsyncWindow;
  readonly roles: readonly RoleSelection[];
  readonly extendedNegotiation: readonly ExtendedNegotiation[];
}

const IMPLICIT_VR_LITTLE_ENDIAN = '1.2.840.10008.1.2';
/**
 * No peer is sent longer PDUs, whatever it announces or not: nothing is gained, and on a slow line a longer one could
 * look like a stall.
 */
const SEND_CEILING = 131072;
/** Assumed for a peer that leaves out the mandatory item 51H: what every implementation takes. */
const SEND_UNANNOUNCED = 16384;
/** Operations that a requestor may have outstanding, at most. */
const INVOKED_CEILING = 16;
/** Outside of the characters of an AE title (PS3.5 6.2): printable ASCII but the backslash. */
const TITLE = /^[\x20-\x5b\x5d-\x7e]{1,16}$/;
const UID = /^[0-9.]{1,64}$/;

/** True for an AE title as it may stand in an association, spaces around it removed. */
export function isTitle(title: string): boolean {
  return TITLE.test(title);
}

/** A text from a peer with everything but printable ASCII replaced. */
export function asciiText(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?');
}

/** The longest P-DATA-TF PDU to send to a peer that announced `announced` (PS3.8 D.1; 0 = no limit). */
export function sendLimitOf(announced: number | undefined): number {
  if (announced === undefined) return SEND_UNANNOUNCED;
  return announced === 0 ? SEND_CEILING : Math.min(announced, SEND_CEILING);
}

/** True where not even a fragment of two bytes fits. */
export function holdsNoFragment(announced: number | undefined): boolean {
  return announced !== undefined && announced > 0 && announced < PDV_HEADER_LENGTH + 2;
}

/**
 * A request as policy sees it: titles trimmed, texts printable, only well-formed UIDs. A context whose abstract syntax
 * is no UID is left out and refused without asking.
 */
export function describeRequest(
  pdu: AssociateRequestPdu,
  remote: { readonly address: string; readonly port: number },
): AssociateRequest {
  const info = pdu.userInformation;
  return {
    callingAETitle: asciiText(callingTitle(pdu.addressing)),
    calledAETitle: asciiText(calledTitle(pdu.addressing)),
    remoteAddress: remote.address,
    remotePort: remote.port,
    applicationContext: asciiText(pdu.applicationContext),
    contexts: pdu.contexts
      .filter((context) => UID.test(context.abstractSyntax))
      .map((context) => ({
        ...context,
        transferSyntaxes: context.transferSyntaxes.filter((syntax) => UID.test(syntax)),
      })),
    maximumLength: info.maximumLength ?? SEND_UNANNOUNCED,
    implementationClassUID: asciiText(info.implementationClassUID),
    implementationVersionName: asciiText(info.implementationVersionName),
    asyncWindow: info.asyncWindow,
    roles: info.roles.filter((role) => UID.test(role.sopClass)),
    extendedNegotiation: info.extendedNegotiation.filter((item) => UID.test(item.sopClass)),
    userIdentity: info.userIdentity,
  };
}

/** Why no policy needs to be asked about a request, or undefined (AE-6). */
export function refuseRequest(pdu: AssociateRequestPdu): Refusal | undefined {
  if ((pdu.protocolVersion & 1) === 0) {
    return {
      rejection: REJECTION.protocolVersion,
      why: `protocol version ${pdu.protocolVersion} lacks bit 0, the only version there is`,
    };
  }
  if (pdu.applicationContext !== DICOM_APPLICATION_CONTEXT) {
    return {
      rejection: REJECTION.applicationContext,
      why: `application context "${asciiText(pdu.applicationContext)}" is not DICOM's`,
    };
  }
  if (!isTitle(calledTitle(pdu.addressing))) {
    return {
      rejection: REJECTION.calledAETitle,
      why: 'the called AE title is empty or has characters that no AE title may have',
    };
  }
  if (!isTitle(callingTitle(pdu.addressing))) {
    return {
      rejection: REJECTION.callingAETitle,
      why: 'the calling AE title is empty or has characters that no AE title may have',
    };
  }
  const { maximumLength } = pdu.userInformation;
  if (holdsNoFragment(maximumLength)) {
    return {
      rejection: REJECTION.noReason,
      why: `its maximum PDU length ${maximumLength ?? 0} can hold no fragment; it must be 0 or at least 8`,
    };
  }
  if (pdu.contexts.length === 0) {
    return { rejection: REJECTION.noReason, why: 'it proposes no presentation context' };
  }
  return undefined;
}

/**
 * The answer to a proposed window (PS3.7 D.3.3.3): only ever lowered, 0 counting as no limit; nothing to a
 * requestor that proposes none.
 */
export function answerAsyncWindow(offered: AsyncWindow | undefined): AsyncWindow | undefined {
  if (offered === undefined) return undefined;
  return { invoked: lower(offered.invoked, INVOKED_CEILING), performed: 1 };
}

function lower(offered: number, ceiling: number): number {
  return offered === 0 ? ceiling : Math.min(offered, ceiling);
}

/** One result for each proposed context, in its order; what policy left out or muddled is refused. */
function answerContexts(
  proposed: readonly ProposedContext[],
  asked: readonly ProposedContext[],
  decided: readonly ContextResult[],
): ContextResult[] {
  const results = new Map(decided.map((result) => [result.id, result]));
  const well = new Map(asked.map((context) => [context.id, context]));
  return proposed.map(({ id }) => {
    const context = well.get(id);
    if (context === undefined) return { id, result: 3, transferSyntax: IMPLICIT_VR_LITTLE_ENDIAN };
    const result = results.get(id);
    if (result?.result === 0) {
      if (context.transferSyntaxes.includes(result.transferSyntax)) return result;
      return { id, result: 4, transferSyntax: IMPLICIT_VR_LITTLE_ENDIAN };
    }
    // The transfer syntax of a refused context is not significant, but must be there (PS3.8 9.3.3.2).
    return { id, result: result?.result ?? 2, transferSyntax: IMPLICIT_VR_LITTLE_ENDIAN };
  });
}

/** Bits only where the requestor offered them, one item a SOP class (PS3.7 D.3.3.4). */
function boundRoles(offered: readonly RoleSelection[], answered: readonly RoleSelection[]): RoleSelection[] {
  const offers = new Map(offered.map((role) => [role.sopClass, role]));
  const bounded = new Map<string, RoleSelection>();
  for (const { sopClass, scu, scp } of answered) {
    const offer = offers.get(sopClass);
    if (offer === undefined || bounded.has(sopClass)) continue;
    bounded.set(sopClass, { sopClass, scu: scu && offer.scu, scp: scp && offer.scp });
  }
  return [...bounded.values()];
}

/** Items only for SOP classes that were offered one, one each. */
function boundExtended(
  offered: readonly ExtendedNegotiation[],
  answered: readonly ExtendedNegotiation[],
): ExtendedNegotiation[] {
  const open = new Set(offered.map((item) => item.sopClass));
  return answered.filter((item) => open.delete(item.sopClass));
}

function acceptedContexts(
  proposed: readonly ProposedContext[],
  results: readonly { readonly id: number; readonly result: number; readonly transferSyntax: string }[],
): Map<number, AcceptedContext> {
  const abstractSyntaxes = new Map(proposed.map((context) => [context.id, context.abstractSyntax]));
  const accepted = new Map<number, AcceptedContext>();
  for (const { id, result, transferSyntax } of results) {
    const abstractSyntax = abstractSyntaxes.get(id);
    if (result === 0 && abstractSyntax !== undefined) {
      accepted.set(id, { id, abstractSyntax, transferSyntax });
    }
  }
  return accepted;
}

/**
 * Builds the A-ASSOCIATE-AC for a caller that is let in. Nothing stands in it that was not proposed, and nothing more
 * than was offered, whatever policy says.
 */
export function acceptRequest(
  pdu: AssociateRequestPdu,
  request: AssociateRequest,
  caller: { readonly peer: Peer; readonly userIdentityResponse?: Buffer },
  policy: AcceptorPolicy,
  own: { readonly implementation: Implementation; readonly maximumLength: number },
): { readonly answer: AssociateAcceptPdu; readonly agreement: Agreement } {
  const results = answerContexts(
    pdu.contexts,
    request.contexts,
    policy.negotiateContexts(request, caller.peer),
  );
  const roles =
    request.roles.length === 0 ? [] : boundRoles(request.roles, policy.negotiateRoles(request, caller.peer));
  const extendedNegotiation =
    request.extendedNegotiation.length === 0
      ? []
      : boundExtended(request.extendedNegotiation, policy.negotiateExtended(request, caller.peer));
  const asyncWindow = answerAsyncWindow(request.asyncWindow);
  const wantsIdentityResponse = request.userIdentity?.positiveResponseRequested === true;
  return {
    answer: {
      type: 'associate-ac',
      protocolVersion: 1,
      addressing: pdu.addressing,
      applicationContext: DICOM_APPLICATION_CONTEXT,
      contexts: results,
      userInformation: {
        maximumLength: own.maximumLength,
        implementationClassUID: own.implementation.classUID,
        implementationVersionName: own.implementation.versionName,
        asyncWindow,
        roles,
        extendedNegotiation,
        commonExtendedNegotiation: [],
        userIdentity: undefined,
        userIdentityResponse: wantsIdentityResponse ? caller.userIdentityResponse : undefined,
      },
    },
    agreement: {
      contexts: acceptedContexts(pdu.contexts, results),
      sendLimit: sendLimitOf(pdu.userInformation.maximumLength),
      asyncWindow: asyncWindow ?? { invoked: 1, performed: 1 },
      roles,
      extendedNegotiation,
    },
  };
}

/** What a requestor proposed, as far as the answer is measured against it. */
export interface Proposal {
  readonly contexts: readonly ProposedContext[];
  readonly asyncWindow?: AsyncWindow;
  readonly roles?: readonly RoleSelection[];
  readonly extendedNegotiation?: readonly ExtendedNegotiation[];
}

/**
 * Measures an A-ASSOCIATE-AC against what was proposed. Answers to items that weren't proposed are dropped; a context
 * that wasn't proposed, or accepted with another syntax, is a protocol error: its sentence is returned.
 */
export function readAnswer(
  proposal: Proposal,
  pdu: AssociateAcceptPdu,
): { readonly agreement: Agreement } | { readonly violation: string } {
  const proposed = new Map(proposal.contexts.map((context) => [context.id, context]));
  for (const { id, result, transferSyntax } of pdu.contexts) {
    const context = proposed.get(id);
    if (context === undefined) return { violation: `context ${id} was answered but not proposed` };
    if (result === 0 && !context.transferSyntaxes.includes(transferSyntax)) {
      return { violation: `context ${id} was accepted with a transfer syntax that was not proposed` };
    }
  }
  const info = pdu.userInformation;
  if (holdsNoFragment(info.maximumLength)) {
    return { violation: `maximum PDU length ${info.maximumLength ?? 0} can hold no fragment` };
  }
  return {
    agreement: {
      contexts: acceptedContexts(proposal.contexts, pdu.contexts),
      sendLimit: sendLimitOf(info.maximumLength),
      asyncWindow: agreedWindow(proposal.asyncWindow, info.asyncWindow),
      roles: boundRoles(proposal.roles ?? [], info.roles),
      extendedNegotiation: boundExtended(proposal.extendedNegotiation ?? [], info.extendedNegotiation),
    },
  };
}

function agreedWindow(proposed: AsyncWindow | undefined, answered: AsyncWindow | undefined): AsyncWindow {
  if (proposed === undefined || answered === undefined) return { invoked: 1, performed: 1 };
  return {
    invoked: boundWindow(proposed.invoked, answered.invoked),
    performed: boundWindow(proposed.performed, answered.performed),
  };
}

function boundWindow(proposed: number, answered: number): number {
  if (proposed === 0) return answered;
  return answered === 0 ? proposed : Math.min(proposed, answered);
}
