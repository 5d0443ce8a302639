import { DimseError } from '../errors';
import type { AcceptedContext } from '../net/types';
import type { Peer } from '../peer';
import { NO_DATA_SET } from './command';
import type { Operation } from './operations';
import { OPERATIONS } from './operations';
import { STATUS } from './status';
import type { CommandSet, ServiceEntry } from './types';

/** What the dispatcher does with a request: `refusal` is thrown in the service's stead. */
export interface Admission {
  readonly operation: Operation | undefined;
  readonly entry: ServiceEntry | undefined;
  readonly refusal: DimseError | undefined;
}

/**
 * Decides whether a request may start (DM-06): command known, complete, of the context's SOP class, served there, and
 * allowed to the caller. The first that fails is the answer. `duplicate`: an operation with this Message ID is outstanding.
 */
export function admit(
  command: CommandSet,
  context: AcceptedContext,
  services: readonly ServiceEntry[],
  peer: Peer | undefined,
  duplicate: boolean,
): Admission {
  const operation = OPERATIONS.get(command.CommandField);
  if (duplicate) {
    return refuse(operation, STATUS.DuplicateInvocation, 'Message ID is still in use by an earlier request');
  }
  if (operation === undefined) {
    const field = command.CommandField.toString(16).toUpperCase().padStart(4, '0');
    return refuse(undefined, STATUS.UnrecognizedOperation, `Unknown command field ${field}H`);
  }
  const missing = missingElement(command, operation);
  if (missing !== undefined) {
    return refuse(operation, STATUS.MistypedArgument, `${operation.name}-RQ without ${missing}`);
  }
  const sopClass = command.AffectedSOPClassUID ?? command.RequestedSOPClassUID;
  if (sopClass !== context.abstractSyntax) {
    const status = operation.composite ? STATUS.SOPClassNotSupported : STATUS.NoSuchSOPClass;
    return refuse(operation, status, 'SOP class is not that of the presentation context');
  }
  const entry = services.find(
    (row) => row.commandField === command.CommandField && row.handles(context.abstractSyntax),
  );
  if (entry === undefined) {
    const comment = `${operation.name} is not served for this SOP class`;
    return refuse(operation, STATUS.UnrecognizedOperation, comment);
  }
  if (peer?.allow.has(entry.right) !== true) {
    return refuse(operation, STATUS.NotAuthorized, missingRight(entry.right, peer));
  }
  return { operation, entry, refusal: undefined };
}

function refuse(operation: Operation | undefined, status: number, comment: string): Admission {
  return { operation, entry: undefined, refusal: new DimseError(status, comment) };
}

function missingElement(command: CommandSet, operation: Operation): string | undefined {
  const missing = operation.mandatory.find(
    (keyword) => command[keyword] === undefined || command[keyword] === '',
  );
  if (missing !== undefined) return missing;
  return operation.dataSet === 'mandatory' && command.CommandDataSetType === NO_DATA_SET
    ? 'a data set'
    : undefined;
}

/** Names the key to change within the 64 characters of an Error Comment. */
function missingRight(right: string, peer: Peer | undefined): string {
  return peer === undefined || peer.name === 'unknown'
    ? `Not allowed: add this caller to remotes, with allow: [${right}]`
    : `Not allowed: add ${right} to remotes.${peer.name}.allow`;
}
