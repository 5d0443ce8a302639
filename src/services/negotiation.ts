import { isStorageClass, transferSyntax, UID } from '../dicom/uids';
import type {
  AcceptedContext,
  AssociateRequest,
  Association,
  ContextResult,
  ExtendedNegotiation,
  ProposedContext,
  RoleSelection,
} from '../net/types';
import type { Peer } from '../peer';
import { queryClass } from './query-classes';

/** UIDs of the standard start with this root: one that isn't in our table is no private class. */
const DICOM_ROOT = '1.2.840.10008.';

/** Storage service class application information (PS3.4 B.3.1): full storage, signatures kept bit by bit, no coercion. */
const STORAGE_INFORMATION = [2, 0, 3, 0, 0, 0];

/** Commands and identifiers: Explicit VR LE, else Implicit VR LE (UL-22). */
const COMMAND_SYNTAXES: readonly string[] = [UID.ExplicitVRLittleEndian, UID.ImplicitVRLittleEndian];

/** Identifiers of queries: those two first, and what old peers may have instead of them. */
const IDENTIFIER_SYNTAXES: readonly string[] = [
  ...COMMAND_SYNTAXES,
  UID.ExplicitVRBigEndian,
  UID.DeflatedExplicitVRLittleEndian,
];

/**
 * Storage as ST-01 has it: every storage class of the standard, and, unless the remote has `unknownSyntaxes: false`, any UID from
 * outside the standard.
 */
export function isStored(abstractSyntax: string, peer: Pick<Peer, 'unknownSyntaxes'>): boolean {
  return isStorageClass(abstractSyntax) || (peer.unknownSyntaxes && !abstractSyntax.startsWith(DICOM_ROOT));
}

/** One result for each proposed context, each decided alone (UL-20 to UL-22). */
export function negotiateContexts(request: AssociateRequest, peer: Peer): ContextResult[] {
  return request.contexts.map((context) => {
    if (
      context.abstractSyntax === UID.Verification ||
      context.abstractSyntax === UID.StorageCommitmentPushModel
    )
      return accept(context, firstOf(COMMAND_SYNTAXES, context));
    if (queryClass(context.abstractSyntax) !== undefined)
      return accept(context, firstOf(IDENTIFIER_SYNTAXES, context));
    if (isStored(context.abstractSyntax, peer)) return accept(context, storageSyntax(context, peer));
    return { id: context.id, result: 3, transferSyntax: context.transferSyntaxes[0] ?? '' };
  });
}

function accept(context: ProposedContext, chosen: string | undefined): ContextResult {
  return chosen === undefined
    ? { id: context.id, result: 4, transferSyntax: context.transferSyntaxes[0] ?? '' }
    : { id: context.id, result: 0, transferSyntax: chosen };
}

/** The order of the proposal carries no preference (PS3.8 9.3.2.2): ours decides. */
function firstOf(preferred: readonly string[], { transferSyntaxes }: ProposedContext): string | undefined {
  return preferred.find((uid) => transferSyntaxes.includes(uid));
}

/** The first known syntax, so that nobody is made to transcode; an unknown one only where nothing known is offered. */
function storageSyntax(context: ProposedContext, peer: Peer): string | undefined {
  const known = context.transferSyntaxes.find((uid) => transferSyntax(uid)?.jpip === false);
  if (known !== undefined || !peer.unknownSyntaxes) return known;
  return context.transferSyntaxes.find((uid) => transferSyntax(uid) === undefined);
}

/**
 * Requestors are SCU of all that is served here. Where they may retrieve by C-GET they are SCP of storage as well, if they propose it: its
 * sub-operations come the other way (PS3.7 D.3.3.4, PS3.4 C.5.3.1). So do reports of storage commitment (PS3.4 J.3.3.1.2).
 */
export function negotiateRoles(request: AssociateRequest, peer: Peer): RoleSelection[] {
  return request.roles.map(({ sopClass, scu, scp }) => ({
    sopClass,
    scu,
    scp:
      scp &&
      (sopClass === UID.StorageCommitmentPushModel
        ? peer.allow.has('commit')
        : peer.allow.has('get') && isStored(sopClass, peer)),
  }));
}

/** Contexts of storage on which the requestor is SCP: those for sub-operations of C-GET. */
export function receivingContexts({ contexts, roles }: Association): AcceptedContext[] {
  const receives = new Set(roles.filter(({ scp }) => scp).map(({ sopClass }) => sopClass));
  return [...contexts.values()].filter(({ abstractSyntax }) => receives.has(abstractSyntax));
}

/**
 * Answers items of storage and of queries only, never longer than what was offered (PS3.7 D.3.3.5). For queries it is what
 * was offered and is built, bit by bit (PS3.4 C.5.1.1).
 */
export function negotiateExtended(request: AssociateRequest, peer: Peer): ExtendedNegotiation[] {
  return request.extendedNegotiation.flatMap(({ sopClass, information }) => {
    const query = queryClass(sopClass);
    if (query !== undefined) {
      const agreed = query.information
        .slice(0, information.length)
        .map((built, index) => (built === 1 && information[index] === 1 ? 1 : 0));
      return [{ sopClass, information: Buffer.from(agreed) }];
    }
    if (!isStored(sopClass, peer)) return [];
    return [{ sopClass, information: Buffer.from(STORAGE_INFORMATION.slice(0, information.length)) }];
  });
}
