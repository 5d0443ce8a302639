import { once } from 'node:events';
import { InvalidArgumentError, type Command } from 'commander';
import { loadConfig } from '../config/load';
import { didYouMean } from '../config/suggest';
import type { AttributeLevel } from '../dicom/attributes';
import { Session } from '../dimse/session';
import { statusCategory } from '../dimse/status';
import { EXIT, type ExitCode } from '../errors';
import { printable } from '../printable';
import {
  find,
  FIND_MODELS,
  type FindModelName,
  type FindOutcome,
  type FindRow,
  proposeFind,
  refusedFeatures,
} from '../services/find-scu';
import { caller } from './calling';
import { type CommandContext, examples } from './command';
import { reportError, withErrors } from './errors';
import { printTable, say, writeData } from './output';
import { type PeerAddress, resolvePeer } from './peers';
import { Progress } from './progress';
import { failureOf, featureWords, modelRefused } from './query-answers';
import { type QueryKey, parseKey } from './query-keys';
import { ask, levelsToChoose, type Question, type QuestionOptions, readLevel } from './query-question';
import { columnsFor, jsonLine } from './query-rows';

interface QueryOptions extends QuestionOptions {
  readonly aet?: string;
  readonly json?: true;
}

/** `isocenter query PEER` */
export function register(program: Command, context: CommandContext): void {
  const command = program
    .command('query')
    .description('ask a peer what it has (C-FIND): patients, studies, series, instances, or a worklist')
    .argument('<peer>', "a remote's name, or AET@HOST:PORT")
    .argument('[level]', 'patients, studies, series or instances; default: studies', parseLevel)
    .option(
      '-k, --key <key[=value]>',
      'an attribute to match, or without a value to return: KEYWORD, gggg,eeee, or SEQUENCE[0].KEYWORD; may be repeated',
      (text: string, before: readonly QueryKey[] | undefined) => [...(before ?? []), parseKey(text)],
    )
    .option(
      '-m, --model <model>',
      'study, patient, patient-study or worklist; default: study, for patients patient',
      parseModel,
    )
    .option('--only', 'ask for the given keys alone, not for the usual ones too')
    .option('--relational', 'the unique keys of upper levels may be left out')
    .option('--datetime', 'a range of dates and one of times make one span of time')
    .option('--fuzzy', 'names that sound or are spelt alike')
    .option('--timezone <offset>', 'dates and times are those of this offset from UTC, such as +0100')
    .option('--empty-value', `a key '""' matches what has no value`)
    .option('--multiple-value', 'of a key A\\B both must be there')
    .option(
      '--charset <terms>',
      'Specific Character Set of the request; default: ISO_IR 192 where it is needed',
    )
    .option('-l, --limit <matches>', 'cancel after so many matches; 0 and default: all of them', parseLimit)
    .option('--aet <title>', 'our AE title, instead of the first of aeTitles')
    .option('--json', 'print one JSON object a line, as the matches come')
    .action(
      withErrors((peer: string, level: AttributeLevel | undefined, options: QueryOptions) =>
        run(context, peer, level, options),
      ),
    );
  command.addHelpText(
    'after',
    `
--relational, --datetime, --fuzzy, --timezone, --empty-value and --multiple-value count only if the peer agrees to them; where
it doesn't, the query is made all the same, a warning says so, and the exit code is 3.

--json: the attributes of a match by keyword, (gggg,eeee) where the standard has none; text in Unicode, several values joined by \\,
null for no value; numbers of binary attributes and of related entities as numbers; a sequence as a list of such objects.
An attribute that the peer left out is not there.

Exit codes: 0 also where nothing matched, and where --limit cut the answer; 1 the peer refused or failed; 3 with a warning; 4 association
refused or aborted; 5 network; 130 interrupted.`,
  );
  examples(
    command,
    `isocenter query pacs -k PatientID=4711
     isocenter query pacs studies -k PatientName='SMITH*' -k StudyDate=20240101-20240131 -k StudyTime
     isocenter query ARCHIVE@10.0.4.30:104 series -k StudyInstanceUID=1.2.840.1 --json
     isocenter query pacs instances --relational -k 0008,0016=1.2.840.10008.5.1.4.1.1.7 --limit 10
     isocenter query ris --model worklist -k 'ScheduledProcedureStepSequence[0].Modality=CT'`,
  );
}

function parseLevel(text: string): AttributeLevel {
  const level = readLevel(text);
  if (level === undefined) throw new InvalidArgumentError(`${levelsToChoose(text)}.`);
  return level;
}

function parseModel(text: string): FindModelName {
  if (Object.hasOwn(FIND_MODELS, text)) return text as FindModelName;
  const models = Object.keys(FIND_MODELS);
  throw new InvalidArgumentError(`choose one of ${models.join(', ')}${didYouMean(text, models)}.`);
}

function parseLimit(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('a number of matches is expected.');
  return Number(text);
}

async function run(
  context: CommandContext,
  peerText: string,
  level: AttributeLevel | undefined,
  options: QueryOptions,
): Promise<ExitCode> {
  const { config } = loadConfig(context.configFile(), process.env);
  const peer = resolvePeer(config, peerText);
  const question = ask(level, options);
  const signal = context.interrupted();
  const { defaultCharset } = config.remotes.find(({ name }) => name === peer.name) ?? {};
  const answers = new Printer(question, options.json === true);

  const association = await caller(
    config,
    peer,
    options.aet,
    signal,
  )(proposeFind(question.model, question.features));
  const session = new Session(association, { responseTimeout: config.timeouts.response });
  const refused = refusedFeatures(association, question.model, question.features);
  const cancelling = (): void => say('isocenter: cancelling; Ctrl-C again ends at once');
  signal.addEventListener('abort', cancelling, { once: true });
  let outcome: FindOutcome | undefined;
  let failure: unknown;
  try {
    outcome = await find(session, {
      model: question.model,
      identifier: question.identifier(refused),
      ...(question.limit === 0 ? {} : { limit: question.limit }),
      ...(defaultCharset === undefined ? {} : { defaultCharset }),
      signal,
      onMatch: (row) => answers.take(row),
    });
  } catch (error) {
    failure = modelRefused(error, who(peer), question);
  } finally {
    signal.removeEventListener('abort', cancelling);
    await association.release();
  }
  answers.end(outcome !== undefined && ['success', 'warning'].includes(statusCategory(outcome.status)));
  if (signal.aborted) {
    say('isocenter: interrupted');
    return EXIT.interrupted;
  }
  if (outcome === undefined) return reportError(failure);
  for (const feature of refused)
    note(`${who(peer)} does not do ${featureWords(feature)}: it matched without`);
  const code = report(outcome, peer, question);
  return code === EXIT.ok && refused.length > 0 ? EXIT.warnings : code;
}

const who = ({ aeTitle, host, port }: PeerAddress): string => `${aeTitle} at ${host}:${port}`;

const note = (text: string): void => say(`isocenter: ${printable(text, 2000)}`);

/** Says what a user should know of the answer beside the matches. */
function report(outcome: FindOutcome, peer: PeerAddress, question: Question): ExitCode {
  const { status, matches, further, missing, partial, unreadable, problem } = outcome;
  // What wasn't asked for by the user is worth a word only where the peer says itself that something is missing.
  const unsupported = partial ? missing : missing.filter((path) => question.wasGiven(path));
  if (unsupported.length > 0) note(`${who(peer)} does not support ${unsupported.join(', ')}`);
  if (unreadable > 0)
    note(`${unreadable} answers can't be read and are left out; the first one: ${problem ?? ''}`);
  const limited = question.limit > 0 && matches >= question.limit;
  const category = statusCategory(status);
  if (category === 'failure' || (category === 'cancel' && !limited))
    return reportError(failureOf(outcome, who(peer), question));
  if (further > 0) note('there is more; a higher --limit shows it');
  else if (category === 'cancel') note('there may be more; a higher --limit shows it');
  if (category === 'warning') note(failureOf(outcome, who(peer), question).message);
  return unreadable > 0 || category === 'warning' ? EXIT.warnings : EXIT.ok;
}

/** Prints matches: as JSON when they come, as a table at the end. */
class Printer {
  private readonly question: Question;
  private readonly json: boolean;
  private readonly rows: FindRow[] = [];
  private readonly progress = new Progress({ label: 'query', unit: 'matches' });
  private count = 0;

  constructor(question: Question, json: boolean) {
    this.question = question;
    this.json = json;
  }

  async take(row: FindRow): Promise<void> {
    this.count++;
    if (!this.json) {
      this.rows.push(row);
      this.progress.update(this.count);
      return;
    }
    writeData(jsonLine(row));
    // A reader that falls behind holds the peer back.
    if (process.stdout.writableNeedDrain) await once(process.stdout, 'drain');
  }

  /** @param whole False: an empty table would say that nothing matched. */
  end(whole: boolean): void {
    this.progress.clear();
    if (this.json || (!whole && this.rows.length === 0)) return;
    printTable(columnsFor(this.question.columns), this.rows);
  }
}
