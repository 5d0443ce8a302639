import { formatTag } from '../dicom/dictionary';
import { STATUS, statusCategory, statusMeaning, statusText } from '../dimse/status';
import { EXIT, errorCode, type ExitCode, IsocenterError } from '../errors';
import { attributeName } from '../services/find-scu';
import type { RetrieveOutcome } from '../services/retrieve-scu';
import type { PeerAddress } from './peers';
import type { RetrieveQuestion } from './retrieve-question';

/** A peer in a sentence. */
export const who = ({ aeTitle, host, port }: PeerAddress): string => `${aeTitle} at ${host}:${port}`;

/** What was asked of whom. */
export interface Asked {
  readonly operation: 'C-MOVE' | 'C-GET';
  readonly peer: PeerAddress;
  readonly question: RetrieveQuestion;
  /** Of C-MOVE. */
  readonly destination?: string;
}

/** The error of an association on which the peer didn't take the model, in words for its user; any other as it is. */
export function modelRefused(error: unknown, { operation, peer, question }: Asked): unknown {
  if (errorCode(error) !== 'NO_CONTEXT') return error;
  const { modelName, model } = question;
  const uid = operation === 'C-MOVE' ? model.move : model.get;
  const other = modelName === 'study' ? 'patient' : 'study';
  return new IsocenterError(
    'NO_CONTEXT',
    `${who(peer)} takes no ${operation} of the ${modelName} model (${uid})`,
    {
      exitCode: EXIT.refused,
      hint:
        operation === 'C-GET'
          ? `many archives know C-MOVE alone: isocenter move; or try --model ${other}`
          : `try --model ${other}; or the peer does not let our AE title retrieve`,
    },
  );
}

/** What a status means in a retrieval: B000 has another meaning there than in C-STORE. */
export function meaningOf(status: number): string {
  return status === STATUS.SubOperationsCompleteWithFailures
    ? 'done, with failures or warnings'
    : statusMeaning(status);
}

/** What a final status says, to whom it happened and what mends it (PS3.4 C.4.2.1.5, C.4.3.1.4). */
export function failureOf(outcome: RetrieveOutcome, asked: Asked): IsocenterError {
  const { status, comment, offendingElements } = outcome;
  const elements = offendingElements.map((tag) => {
    const name = attributeName(tag);
    return name === formatTag(tag) ? name : `${name} ${formatTag(tag)}`;
  });
  const meaning = meaningOf(status);
  const said = comment === undefined || comment === '' || comment === meaning ? '' : `: "${comment}"`;
  const message =
    `${who(asked.peer)} answered the ${asked.operation} with ${statusText(status)} (${meaning})` +
    (elements.length === 0 ? '' : `, because of ${elements.join(', ')}`) +
    said;
  return new IsocenterError('RETRIEVE_FAILED', message, { hint: hintFor(status, asked) });
}

function hintFor(status: number, { operation, peer, question, destination = '' }: Asked): string {
  switch (status) {
    case STATUS.Cancel:
      return 'nobody here cancelled it: look into the log of the other side';
    case STATUS.MoveDestinationUnknown:
      return `${peer.aeTitle} does not know the AE title ${destination}: enter it there, with the host and port on which that node listens, or name another one with --to`;
    case STATUS.UnableToPerformSubOperations:
      return operation === 'C-MOVE'
        ? `${peer.aeTitle} can't send to ${destination}: check there the host and port that it has for ${destination}, that it runs, and that it lets ${peer.aeTitle} store`
        : 'the peer could send none of them: it may not take a role of ours, or keep them in transfer syntaxes that we did not propose; isocenter move is the other way';
    case STATUS.UnableToCountMatches:
      return 'the peer can not retrieve so much at once: ask for single series with --series';
    case STATUS.SubOperationsCompleteWithFailures:
      return operation === 'C-MOVE'
        ? `look into the logs of ${peer.aeTitle} and of ${destination} for what became of the others; run again, what is there already does no harm`
        : 'run the command again: what is here already is not fetched twice';
    case STATUS.NotAuthorized:
      return `the peer knows us and gives us no right to ${operation === 'C-MOVE' ? 'move' : 'get'}, or not to this destination: enter our AE title there, or use another one with --aet`;
    case STATUS.SOPClassNotSupported:
    case STATUS.UnrecognizedOperation:
      return `the peer does not serve ${operation} of the ${question.modelName} model after all; try another --model`;
  }
  if ((status & 0xff00) === STATUS.OutOfResources)
    return 'the peer is out of resources: try again later, or ask for less';
  const refusesKeys = (status & 0xff00) === STATUS.DataSetDoesNotMatchSOPClass || status >>> 12 === 0xc;
  if (refusesKeys && question.lacking.length > 0)
    return `the level ${question.level} needs ${question.lacking.join(' and ')} with most peers`;
  return 'look into the log of the other side';
}

/** Exit code of a retrieval by its final status and what came through. */
export function exitOf(outcome: RetrieveOutcome): ExitCode {
  const category = statusCategory(outcome.status);
  const { completed = 0, warning = 0, failed = 0 } = outcome.counts;
  if (category === 'failure' || category === 'cancel') return EXIT.failed;
  if (failed === 0 && warning === 0 && category === 'success') return EXIT.ok;
  return completed + warning === 0 && failed > 0 ? EXIT.failed : EXIT.warnings;
}
