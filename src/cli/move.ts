import type { Command } from 'commander';
import type { Config } from '../config/config';
import { loadConfig } from '../config/load';
import type { AttributeLevel } from '../dicom/attributes';
import { Session } from '../dimse/session';
import { statusCategory, statusText } from '../dimse/status';
import { UID } from '../dicom/uids';
import { EXIT, errorMessage, IsocenterError, type ExitCode } from '../errors';
import { printable } from '../printable';
import { isPattern, titleProblem } from '../security/titles';
import {
  doneOf,
  retrieve,
  totalOf,
  type RetrieveOutcome,
  type SubOperations,
} from '../services/retrieve-scu';
import { caller } from './calling';
import { type CommandContext, examples } from './command';
import { reportError, withErrors } from './errors';
import { printJson, say, writeData } from './output';
import { resolvePeer } from './peers';
import { Progress } from './progress';
import { askFor, parseLevel, type RetrieveOptions, retrieveOptions } from './retrieve-question';
import { type Asked, exitOf, failureOf, meaningOf, modelRefused, who } from './retrieve-words';

interface MoveOptions extends RetrieveOptions {
  readonly to?: string;
  readonly aet?: string;
  readonly json?: true;
}

/** `isocenter move PEER` */
export function register(program: Command, context: CommandContext): void {
  const command = program
    .command('move')
    .description('have a peer send what it has to a node, ours by default (C-MOVE)')
    .argument('<peer>', "a remote's name, or AET@HOST:PORT")
    .argument(
      '[level]',
      'patients, studies, series or instances; default: that of the lowest key',
      parseLevel,
    )
    .option('--to <destination>', "a remote's name, or an AE title as the peer knows it; default: our own");
  retrieveOptions(command)
    .option('--aet <title>', 'our AE title, instead of the first of aeTitles')
    .option('--json', 'print one JSON object')
    .action(
      withErrors((peer: string, level: AttributeLevel | undefined, options: MoveOptions) =>
        run(context, peer, level, options),
      ),
    );
  command.addHelpText(
    'after',
    `
The peer sends to the host and port that it has for the destination's AE title itself: enter ours there before.
Ctrl-C cancels: what is under way is finished.

Exit codes: 0 all of it arrived; 1 the peer refused or nothing arrived; 3 some failed or had warnings, or nothing fits the keys; 4
association refused or aborted; 5 network; 130 interrupted.`,
  );
  examples(
    command,
    `isocenter move pacs --study 1.2.840.113619.2.55.3
     isocenter move pacs --to WORKSTATION1 --study 1.2.840.1 --series 1.2.840.1.1 --series 1.2.840.1.2
     isocenter move ARCHIVE@10.0.4.30:104 studies -k StudyInstanceUID=1.2.840.1 --json
     isocenter move pacs --to viewer --patient 4711`,
  );
}

async function run(
  context: CommandContext,
  peerText: string,
  level: AttributeLevel | undefined,
  options: MoveOptions,
): Promise<ExitCode> {
  const { config } = loadConfig(context.configFile(), process.env);
  const peer = resolvePeer(config, peerText);
  const question = askFor(level, options);
  const destination = destinationTitle(config, options.to);
  const asked: Asked = { operation: 'C-MOVE', peer, question, destination };
  const signal = context.interrupted();
  const association = await caller(
    config,
    peer,
    options.aet,
    signal,
  )({
    contexts: [
      {
        id: 1,
        abstractSyntax: question.model.move,
        transferSyntaxes: [UID.ExplicitVRLittleEndian, UID.ImplicitVRLittleEndian],
      },
    ],
  });
  const session = new Session(association, { responseTimeout: config.timeouts.response });
  const cancelling = (): void => say('isocenter: cancelling; Ctrl-C again ends at once');
  signal.addEventListener('abort', cancelling, { once: true });
  const watch = new Watch();
  let outcome: RetrieveOutcome | undefined;
  let failure: unknown;
  try {
    outcome = await retrieve(session, {
      operation: 'C-MOVE',
      sopClass: question.model.move,
      identifier: question.identifier,
      destination,
      signal,
      onProgress: (counts) => watch.show(counts),
    });
  } catch (error) {
    failure = modelRefused(error, asked);
  } finally {
    signal.removeEventListener('abort', cancelling);
    await association.release();
  }
  watch.clear();
  const counts = outcome?.counts ?? watch.counts;
  if (options.json === true) {
    printJson({
      peer: who(peer),
      destination,
      level: question.level,
      ...countsOf(counts),
      ...(outcome === undefined ? {} : statusOf(outcome)),
      failedSOPInstanceUIDs: outcome?.failedUids ?? [],
      interrupted: signal.aborted,
      ...(failure === undefined ? {} : { error: errorMessage(failure) }),
    });
  } else {
    for (const uid of outcome?.failedUids ?? []) say(`${printable(uid, 64)}: failed`);
    if (counts.completed !== undefined) writeData(`${summary(counts)}, to ${destination}\n`);
  }
  if (signal.aborted) {
    say('isocenter: interrupted');
    return EXIT.interrupted;
  }
  if (outcome === undefined) return reportError(failure);
  return conclude(outcome, asked);
}

/** Says what a user should know beside the numbers. */
export function conclude(outcome: RetrieveOutcome, asked: Asked): ExitCode {
  const code = exitOf(outcome);
  if (statusCategory(outcome.status) !== 'success') {
    reportError(failureOf(outcome, asked));
    return code;
  }
  if (code === EXIT.ok && doneOf(outcome.counts) === 0 && outcome.counts.completed === 0) {
    say(`isocenter: ${who(asked.peer)} has nothing that fits`);
    return EXIT.warnings;
  }
  return code;
}

function statusOf({ status, comment }: RetrieveOutcome): Record<string, unknown> {
  return { status: statusText(status), meaning: meaningOf(status), ...(comment ? { comment } : {}) };
}

function countsOf({ completed, warning, failed, remaining }: SubOperations): Record<string, number | null> {
  const known = (count: number | undefined): number | null => count ?? null;
  return {
    completed: known(completed),
    warning: known(warning),
    failed: known(failed),
    remaining: known(remaining),
  };
}

function summary({ completed, warning, failed, remaining }: SubOperations): string {
  const rest = remaining === undefined || remaining === 0 ? '' : `, ${remaining} not begun`;
  return `${completed ?? 0} completed, ${warning ?? 0} with a warning, ${failed ?? 0} failed${rest}`;
}

/** The title that goes into the request: that of a remote, or what was written. */
function destinationTitle(config: Config, text: string | undefined): string {
  if (text === undefined) return config.aeTitles[0];
  const remote = config.remotes.find(({ name }) => name === text);
  const title = remote?.aeTitle ?? text;
  const problem =
    titleProblem(title) ?? (isPattern(title) ? 'a title with * or ? is no destination' : undefined);
  if (problem === undefined) return title;
  throw new IsocenterError('DESTINATION_INVALID', `--to "${printable(text, 64)}": ${problem}`, {
    exitCode: EXIT.usage,
    hint: "write a remote's name, or an AE title as the peer knows it",
  });
}

/** A bar, once the peer says of how many. */
export class Watch {
  counts: SubOperations = {
    remaining: undefined,
    completed: undefined,
    failed: undefined,
    warning: undefined,
  };
  private progress: Progress | undefined;

  show(counts: SubOperations): void {
    this.counts = counts;
    this.progress ??= new Progress({ label: 'move', unit: 'instances', total: totalOf(counts) });
    const failed = counts.failed ?? 0;
    this.progress.update(doneOf(counts), failed === 0 ? '' : `${failed} failed`);
  }

  clear(): void {
    this.progress?.clear();
  }
}
