import type { Command } from 'commander';
import { EXIT, IsocenterError, type ExitCode } from '../errors';
import { printable } from '../printable';
import { type CommandContext, examples } from './command';
import { withErrors } from './errors';
import { printPages } from './find';
import { withNode } from './node-api';
import { printJson, say, writeData } from './output';

interface Decided {
  readonly reason: string;
  readonly yes?: true;
}

/** `isocenter quarantine list|show|release|discard` */
export function register(program: Command, context: CommandContext): void {
  const group = program
    .command('quarantine')
    .description(
      'look at files that were set aside (other bytes under a known UID, damaged ones) and decide on them',
    );
  examples(
    group,
    `isocenter quarantine list
     isocenter quarantine show 00000001-000002-9f86d081884c7d65
     isocenter quarantine release 00000001-000002-9f86d081884c7d65 --reason "the resend is right"`,
  );
  registerList(group, context);
  const show = group
    .command('show')
    .description('show why a file was set aside and where it is')
    .argument('<arrival>', 'its arrival id, as in the list')
    .option('--json', 'print JSON')
    .action(
      withErrors((arrivalId: string, options: { json?: true }) =>
        withNode(context, 'read', async (api) => {
          const entry = await api.quarantineShow(arrivalId);
          if (options.json === true) printJson(entry);
          else
            writeData(
              Object.entries(entry)
                .map(([key, value]) => `${key}: ${printable(String(value ?? ''), 4096)}\n`)
                .join(''),
            );
        }),
      ),
    );
  examples(
    show,
    `isocenter quarantine show 00000001-000002-9f86d081884c7d65\nisocenter quarantine show 00000001-000002-9f86d081884c7d65 --json`,
  );
  registerRelease(group, context);
  registerDiscard(group, context);
}

function registerList(group: Command, context: CommandContext): void {
  const list = group
    .command('list')
    .description('list what was set aside')
    .option('--json', 'print one JSON object a line')
    .action(
      withErrors((options: { json?: true }) =>
        withNode(context, 'read', (api) =>
          printPages(
            { ...options, limit: 0 },
            (after, limit) => api.quarantineList({ limit, ...(after === undefined ? {} : { after }) }),
            [
              { title: 'Arrival', value: (row) => row.arrivalId },
              { title: 'Time', value: (row) => row.time },
              { title: 'Reason', value: (row) => row.reason },
              { title: 'From', value: (row) => row.sourceAETitle },
              { title: 'Came', value: (row) => row.count, align: 'right' },
              { title: 'Bytes', value: (row) => row.dataSetLength, align: 'right' },
              { title: 'SOPInstanceUID', value: (row) => row.SOPInstanceUID },
            ],
          ),
        ),
      ),
    );
  examples(list, `isocenter quarantine list\nisocenter quarantine list --json`);
}

function registerRelease(group: Command, context: CommandContext): void {
  const release = group
    .command('release')
    .description(
      'make the quarantined copy the current one; the one that holds its UID now goes to quarantine',
    )
    .argument('<arrival>', 'its arrival id, as in the list')
    .requiredOption('--reason <text>', 'why, for the record')
    .action(
      withErrors((arrivalId: string, { reason }: Decided) =>
        withNode(context, 'write', async (api): Promise<ExitCode> => {
          await api.quarantineRelease(arrivalId, reason);
          say(`isocenter: ${arrivalId} is current now`);
          return EXIT.ok;
        }),
      ),
    );
  examples(
    release,
    `isocenter quarantine release 00000001-000002-9f86d081884c7d65 --reason "the first send was cut"`,
  );
}

function registerDiscard(group: Command, context: CommandContext): void {
  const discard = group
    .command('discard')
    .description('remove a quarantined file for good')
    .argument('<arrival>', 'its arrival id, as in the list')
    .requiredOption('--reason <text>', 'why, for the record')
    .option('-y, --yes', 'do it: there is no way back')
    .action(
      withErrors((arrivalId: string, { reason, yes }: Decided) => {
        if (yes !== true) {
          throw new IsocenterError('NOT_CONFIRMED', `${arrivalId} would be gone for good`, {
            exitCode: EXIT.usage,
            hint: 'add --yes to discard it',
          });
        }
        return withNode(context, 'write', async (api): Promise<ExitCode> => {
          await api.quarantineDiscard(arrivalId, reason);
          say(`isocenter: ${arrivalId} is gone`);
          return EXIT.ok;
        });
      }),
    );
  examples(
    discard,
    `isocenter quarantine discard 00000001-000002-9f86d081884c7d65 --reason "test image" --yes`,
  );
}
