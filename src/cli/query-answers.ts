import { formatTag } from '../dicom/dictionary';
import { STATUS, statusCategory, statusMeaning, statusText } from '../dimse/status';
import { EXIT, errorCode, IsocenterError } from '../errors';
import { attributeName, type FindFeature, type FindOutcome } from '../services/find-scu';
import type { Question } from './query-question';

const FEATURE_WORDS: Readonly<Record<FindFeature, string>> = {
  relational: 'relational queries (--relational)',
  dateTime: 'combined matching of date and time (--datetime)',
  fuzzy: 'fuzzy matching of names (--fuzzy)',
  timezone: 'adjustment to a timezone (--timezone)',
  emptyValue: 'matching of empty values (--empty-value)',
  multipleValue: 'matching of several values (--multiple-value)',
};

export function featureWords(feature: FindFeature): string {
  return FEATURE_WORDS[feature];
}

/** The error of an association on which the peer didn't take the model, in words for its user; any other as it is. */
export function modelRefused(error: unknown, who: string, { modelName, model }: Question): unknown {
  if (errorCode(error) !== 'NO_CONTEXT') return error;
  return new IsocenterError(
    'NO_CONTEXT',
    `${who} takes no queries of the ${modelName} model (${model.sopClass})`,
    {
      exitCode: EXIT.refused,
      hint:
        modelName === 'worklist'
          ? 'worklists are served by the information system, seldom by an archive'
          : `try another one: --model ${modelName === 'study' ? 'patient' : 'study'}; or the peer does not let our AE title query`,
    },
  );
}

/** What a status that is no success says, to whom it happened and what mends it (PS3.4 C.4.1.1.4). */
export function failureOf(outcome: FindOutcome, who: string, question: Question): IsocenterError {
  const { status, comment, offendingElements } = outcome;
  const elements = offendingElements.map((tag) => {
    const name = attributeName(tag);
    return name === formatTag(tag) ? name : `${name} ${formatTag(tag)}`;
  });
  const message =
    `${who} answered the query with ${statusText(status)} (${statusMeaning(status)})` +
    (elements.length === 0 ? '' : `, because of ${elements.join(', ')}`) +
    (comment === undefined || comment === '' || comment === statusMeaning(status) ? '' : `: "${comment}"`);
  return new IsocenterError('QUERY_FAILED', message, { hint: hintFor(status, question) });
}

function hintFor(status: number, { lacking, level, modelName }: Question): string {
  const other = 'look into the log of the other side';
  if (status === STATUS.Cancel) return 'nobody here cancelled it: look into the log of the other side';
  if (status === STATUS.SOPClassNotSupported)
    return `the peer does not serve the ${modelName} model after all; try another --model`;
  if (status === STATUS.NotAuthorized)
    return 'the peer knows us and gives us no right to query: enter our AE title there, or use another one with --aet';
  // A700 to A7FF, whatever the peer makes of the last two digits.
  if ((status & 0xff00) === STATUS.OutOfResources)
    return 'the peer can not answer so much: ask for less, such as a narrower -k StudyDate';
  const refusesKeys = (status & 0xff00) === STATUS.DataSetDoesNotMatchSOPClass || status >>> 12 === 0xc;
  if (refusesKeys && lacking.length > 0)
    return `the level ${level ?? ''} needs ${lacking.map((keyword) => `-k ${keyword}=VALUE`).join(' and ')}, or --relational where the peer can do it`;
  if ((status & 0xff00) === STATUS.DataSetDoesNotMatchSOPClass)
    return 'the peer does not take a key of this query, or its value: mend or leave out what it names; --only asks for the given keys alone';
  return statusCategory(status) === 'failure' ? other : '';
}
