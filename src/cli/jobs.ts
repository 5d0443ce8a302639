import { type Command, InvalidArgumentError } from 'commander';
import type { ShownJob } from '../admin/api';
import { JOB_STATES, type JobFilter, type JobSelection, type JobState } from '../catalog/jobs';
import { didYouMean } from '../config/suggest';
import { EXIT, IsocenterError, type ExitCode } from '../errors';
import { type CommandContext, examples } from './command';
import { withErrors } from './errors';
import { printPages } from './find';
import { withNode } from './node-api';
import { say, type Column } from './output';

const COLUMNS: readonly Column<ShownJob>[] = [
  { title: 'Job', value: (row) => row.id, align: 'right' },
  { title: 'State', value: (row) => row.state },
  { title: 'Destination', value: (row) => row.destination },
  { title: 'Kind', value: (row) => row.kind },
  { title: 'Tries', value: (row) => row.attempts, align: 'right' },
  { title: 'Due', value: (row) => time(row.dueAt) },
  { title: 'Added', value: (row) => time(row.addedAt) },
  { title: 'SOPInstanceUID', value: (row) => row.SOPInstanceUID },
  { title: 'LastError', value: (row) => row.lastError },
];

interface Chosen {
  readonly all?: true;
  readonly destination?: string;
  readonly yes?: true;
}

/** `isocenter jobs list|retry|cancel` */
export function register(program: Command, context: CommandContext): void {
  const group = program
    .command('jobs')
    .description('look at what is queued for other nodes (forwards, retries, reports), and decide on it');
  examples(
    group,
    `isocenter jobs list --state parked
     isocenter jobs retry --all --destination pacs
     isocenter jobs cancel 4711`,
  );
  registerList(group, context);
  registerRetry(group, context);
  registerCancel(group, context);
}

function registerList(group: Command, context: CommandContext): void {
  const list = group
    .command('list')
    .description('list what waits, runs, or is not tried any more (parked), and why')
    .option('-d, --destination <remote>', 'only jobs for this remote')
    .option('-s, --state <state>', `only ${JOB_STATES.join(', ')}`, parseState)
    .option('-l, --limit <rows>', 'at most so many rows, 0 for all', parseRows, 1000)
    .option('--json', 'print one JSON object a line')
    .action(
      withErrors((options: JobFilter & { limit: number; json?: true }) => {
        const { destination, state } = options;
        const filter: JobFilter = {
          ...(destination === undefined ? {} : { destination }),
          ...(state === undefined ? {} : { state }),
        };
        return withNode(context, 'read', (api) =>
          printPages(
            options,
            (after, limit) => api.jobsList(filter, { limit, ...(after === undefined ? {} : { after }) }),
            COLUMNS,
          ),
        );
      }),
    );
  examples(
    list,
    `isocenter jobs list
     isocenter jobs list --destination pacs --state waiting
     isocenter jobs list --state parked --json`,
  );
}

function registerRetry(group: Command, context: CommandContext): void {
  const retry = group
    .command('retry')
    .description('try jobs now: parked ones, and those that wait for their next try')
    .argument('[job...]', 'numbers of jobs, as in the list', parseId)
    .option('-a, --all', 'all jobs for a remote')
    .option('-d, --destination <remote>', 'the remote of --all')
    .action(
      withErrors((ids: number[] | undefined, options: Chosen) => {
        const selection = selectionOf(ids ?? [], options);
        return withNode(context, 'write', async (api) =>
          summary(await api.jobsRetry(selection), 'due now', selection),
        );
      }),
    );
  examples(
    retry,
    `isocenter jobs retry 4711 4712
     isocenter jobs retry --all --destination pacs`,
  );
}

function registerCancel(group: Command, context: CommandContext): void {
  const cancel = group
    .command('cancel')
    .description('take jobs out of the queue; what is stored here stays')
    .argument('[job...]', 'numbers of jobs, as in the list', parseId)
    .option('-a, --all', 'all jobs for a remote but those that run')
    .option('-d, --destination <remote>', 'the remote of --all')
    .option('-y, --yes', 'with --all: do it, nobody will send them')
    .action(
      withErrors((ids: number[] | undefined, options: Chosen) => {
        const selection = selectionOf(ids ?? [], options);
        if ('destination' in selection && options.yes !== true) {
          throw new IsocenterError(
            'NOT_CONFIRMED',
            `nothing that is queued for ${selection.destination} would be sent`,
            { exitCode: EXIT.usage, hint: 'add --yes to cancel it' },
          );
        }
        return withNode(context, 'write', async (api) =>
          summary(await api.jobsCancel(selection), 'cancelled', selection),
        );
      }),
    );
  examples(
    cancel,
    `isocenter jobs cancel 4711 4712
     isocenter jobs cancel --all --destination oldpacs --yes`,
  );
}

function selectionOf(ids: readonly number[], { all, destination }: Chosen): JobSelection {
  const wrong = (message: string): IsocenterError =>
    new IsocenterError('SELECTION', message, {
      exitCode: EXIT.usage,
      hint: 'name jobs by number, or write --all --destination REMOTE; isocenter jobs list shows them',
    });
  if (all === true) {
    if (ids.length > 0) throw wrong('job numbers and --all exclude each other');
    if (destination === undefined) throw wrong('--all needs the remote');
    return { destination };
  }
  if (destination !== undefined) throw wrong('--destination needs --all');
  if (ids.length === 0) throw wrong('which jobs?');
  return { ids };
}

function summary(
  { changed, left }: { readonly changed: number; readonly left: readonly number[] },
  what: string,
  selection: JobSelection,
): ExitCode {
  say(`isocenter: ${changed} ${changed === 1 ? 'job is' : 'jobs are'} ${what}`);
  if ('destination' in selection) {
    if (changed === 0) say('isocenter: nothing is parked or waits for a later time there');
    return EXIT.ok;
  }
  for (const id of left) say(`isocenter: job ${id} runs at this moment, or is done or unknown`);
  if (left.length === 0) return EXIT.ok;
  return changed === 0 ? EXIT.failed : EXIT.warnings;
}

function parseState(text: string): JobState {
  const state = JOB_STATES.find((one) => one === text);
  if (state === undefined)
    throw new InvalidArgumentError(`choose one of ${JOB_STATES.join(', ')}${didYouMean(text, JOB_STATES)}.`);
  return state;
}

function parseRows(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('a number of rows is expected.');
  return Number(text);
}

/** Commander hands over what the words before it gave. */
function parseId(text: string, before: number[] | undefined): number[] {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('the number of a job is expected.');
  return [...(before ?? []), Number(text)];
}

function time(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
