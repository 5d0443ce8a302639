import { isStorageClass, transferSyntax, UID } from '../dicom/uids';
import type {
  AssociateRequest,
  ContextResult,
  ExtendedNegotiation,
  ProposedContext,
  RoleSelection,
} from '../net/types';
import type { Peer } from '../peer';

/** UIDs of the standard start with this root: one that isn't in our table is no private class. */
const DICOM_ROOT = '1.2.840.10008.';

/** Storage service class application information (PS3.4 B.3.1): full storage, signatures kept bit by bit, no coercion. */
const STORAGE_INFORMATION = [2, 0, 3, 0, 0, 0];

/** Commands and identifiers: Explicit VR LE, else Implicit VR LE (UL-22). */
const COMMAND_SYNTAXES = ['1.2.840.10008.1.2.1', '1.2.840.10008.1.2'];

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
    if (context.abstractSyntax === UID.Verification)
      return accept(
        context,
        COMMAND_SYNTAXES.find((uid) => context.transferSyntaxes.includes(uid)),
      );
    if (isStored(context.abstractSyntax, peer)) return accept(context, storageSyntax(context, peer));
    return { id: context.id, result: 3, transferSyntax: context.transferSyntaxes[0] ?? '' };
  });
}

function accept(context: ProposedContext, chosen: string | undefined): ContextResult {
  return chosen === undefined
    ? { id: context.id, result: 4, transferSyntax: context.transferSyntaxes[0] ?? '' }
    : { id: context.id, result: 0, transferSyntax: chosen };
}

/** The first known syntax, so that nobody is made to transcode; an unknown one only where nothing known is offered. */
function storageSyntax(context: ProposedContext, peer: Peer): string | undefined {
  const known = context.transferSyntaxes.find((uid) => transferSyntax(uid)?.jpip === false);
  if (known !== undefined || !peer.unknownSyntaxes) return known;
  return context.transferSyntaxes.find((uid) => transferSyntax(uid) === undefined);
}

/** Requestors are SCU of all that is served here; the SCP role is never granted (PS3.7 D.3.3.4). */
export function negotiateRoles(request: AssociateRequest): RoleSelection[] {
  return request.roles.map(({ sopClass, scu }) => ({ sopClass, scu, scp: false }));
}

/** Answers storage's items only, never longer than what was offered (PS3.7 D.3.3.5). */
export function negotiateExtended(request: AssociateRequest, peer: Peer): ExtendedNegotiation[] {
  return request.extendedNegotiation
    .filter(({ sopClass }) => isStored(sopClass, peer))
    .map(({ sopClass, information }) => ({
      sopClass,
      information: Buffer.from(STORAGE_INFORMATION.slice(0, information.length)),
    }));
}
