import { errorCode } from '../errors';
import type { DimseError } from '../errors';
import { DATA_SET_FOLLOWS, NO_DATA_SET } from './command';
import { RESPONSE } from './operations';
import { STATUS, statusCategory, statusMeaning } from './status';
import type { CommandSet, DimseResponse } from './types';

/** Error Comment is LO (PS3.7 C.1, PS3.5 6.2). */
const COMMENT_LENGTH = 64;

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/**
 * The command set of a response: what follows from the request (PS3.7 9.3, 10.3), the status, and for anything but
 * Success, Pending and Cancel an Error Comment.
 */
export function responseCommand(request: CommandSet, response: DimseResponse): CommandSet {
  const command: Writable<CommandSet> = {
    CommandField: request.CommandField | RESPONSE,
    MessageIDBeingRespondedTo: request.MessageID ?? 0,
    CommandDataSetType: response.dataSet === undefined ? NO_DATA_SET : DATA_SET_FOLLOWS,
    Status: response.status,
  };
  const sopClass = request.AffectedSOPClassUID ?? request.RequestedSOPClassUID;
  if (sopClass !== undefined) command.AffectedSOPClassUID = sopClass;
  const sopInstance = request.AffectedSOPInstanceUID ?? request.RequestedSOPInstanceUID;
  if (sopInstance !== undefined) command.AffectedSOPInstanceUID = sopInstance;
  if (request.EventTypeID !== undefined) command.EventTypeID = request.EventTypeID;
  if (request.ActionTypeID !== undefined) command.ActionTypeID = request.ActionTypeID;
  if (response.offendingElements !== undefined && response.offendingElements.length > 0) {
    command.OffendingElement = response.offendingElements;
  }
  const category = statusCategory(response.status);
  const comment =
    response.comment ??
    (category === 'failure' || category === 'warning' ? statusMeaning(response.status) : undefined);
  if (comment !== undefined && comment !== '') command.ErrorComment = errorComment(comment);
  return Object.assign(command, response.fields);
}

/** Cut to 64 characters of the default repertoire; a backslash would make two values of it. */
export function errorComment(text: string): string {
  return text
    .replace(/[^ -~]/g, '?')
    .replaceAll('\\', '/')
    .slice(0, COMMENT_LENGTH)
    .trim();
}

/** True for what services throw on purpose; told by `code`, since test realms have classes of their own. */
export function isDimseError(error: unknown): error is DimseError {
  return errorCode(error) === 'DIMSE';
}

/** The answer to anything thrown: a `DimseError` says it itself, all else is 0110. */
export function failureResponse(error: unknown): DimseResponse {
  if (!isDimseError(error)) {
    return { status: STATUS.ProcessingFailure, comment: 'Processing failure; see the log of the node' };
  }
  const category = statusCategory(error.status);
  return {
    // A thrown Success or Pending would be a lie about work that did not end well.
    status: category === 'success' || category === 'pending' ? STATUS.ProcessingFailure : error.status,
    comment: error.comment,
    offendingElements: error.offendingElements,
  };
}
