import { UID } from '../dicom/uids';
import type { ProposedContext, RoleSelection } from '../net/types';

/** Presentation context ids are the odd numbers up to 255 (PS3.8 9.3.2.2). */
const CONTEXTS_PER_ASSOCIATION = 128;

/** Storage classes below 1.2.840.10008.5.1.4.1.1 that most archives have, where a peer doesn't say which ones it will send. */
const COMMON =
  '1 1.1 1.1.1 1.2 1.2.1 1.3 2 2.1 3.1 4 4.1 6.1 7 7.2 7.4 9.1.1 9.1.2 11.1 12.1 12.1.1 12.2 13.1.3 20 66 66.1 66.4 77.1.1 77.1.4 77.1.5.1 77.1.6 88.11 88.22 88.33 88.59 88.67 104.1 128 130 481.1 481.2 481.3 481.5';

export const COMMON_STORAGE_CLASSES: readonly string[] = COMMON.split(' ').map(
  (suffix) => `1.2.840.10008.5.1.4.1.1.${suffix}`,
);

/** Below 1.2.840.10008.1.2, the most used ones first; what doesn't get a context of its own shares one with the rest. */
const SUFFIXES =
  '.1  .4.70 .4.50 .4.90 .4.80 .5 .4.91 .4.81 .4.51 .4.57 .1.99 .2 .4.201 .4.203 .4.202 .4.102 .4.103 .4.100 .4.101 .4.107';

const SYNTAXES: readonly string[] = SUFFIXES.split(' ').map((suffix) => UID.ImplicitVRLittleEndian + suffix);

export interface GetProposal {
  readonly contexts: readonly ProposedContext[];
  readonly roles: readonly RoleSelection[];
}

/** So many classes at most have room for a context of each syntax alone. */
export const ROOMY = Math.floor((CONTEXTS_PER_ASSOCIATION - 1) / SYNTAXES.length);

/**
 * What an association for C-GET proposes (PS3.4 C.5.3): the model, and each storage class with the role of SCP. As many transfer
 * syntaxes as there is room for get a context of their own, so that the peer can send each instance as it keeps it; a class's last context
 * has all the others.
 */
export function proposeGet(model: string, classes: readonly string[]): GetProposal {
  const room = CONTEXTS_PER_ASSOCIATION - 1;
  const taken = classes.slice(0, room);
  const each = Math.max(1, Math.min(SYNTAXES.length, Math.floor(room / Math.max(1, taken.length))));
  const lists: string[][] = SYNTAXES.slice(0, each - 1).map((syntax) => [syntax]);
  lists.push(SYNTAXES.slice(each - 1));
  const proposed = [
    { abstractSyntax: model, transferSyntaxes: [UID.ExplicitVRLittleEndian, UID.ImplicitVRLittleEndian] },
    ...taken.flatMap((abstractSyntax) =>
      lists.map((transferSyntaxes) => ({ abstractSyntax, transferSyntaxes })),
    ),
  ];
  return {
    contexts: proposed.map((context, index) => ({ id: 2 * index + 1, ...context })),
    roles: taken.map((sopClass) => ({ sopClass, scu: false, scp: true })),
  };
}
