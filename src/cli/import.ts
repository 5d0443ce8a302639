import { resolve } from 'node:path';
import type { Command } from 'commander';
import { EXIT, type ExitCode } from '../errors';
import { printable } from '../printable';
import type { ImportEvent } from '../services/import';
import { type CommandContext, examples } from './command';
import { withErrors } from './errors';
import { withNode } from './node-api';
import { printJson, say, writeData } from './output';
import { Progress } from './progress';

/** `isocenter import PATH…` */
export function register(program: Command, context: CommandContext): void {
  const command = program
    .command('import')
    .description(
      'take files and folders into the store; they stay untouched, and running it again goes on where it stopped',
    )
    .argument('<path...>', 'files or folders, on the machine of the node')
    .option('--json', 'print one JSON object a file')
    .action(
      withErrors((paths: string[], options: { json?: true }) => run(context, paths, options.json === true)),
    );
  examples(
    command,
    `isocenter import /media/cdrom
     isocenter import old-archive/2019 old-archive/2020
     isocenter import incoming --json > import.jsonl`,
  );
}

async function run(context: CommandContext, paths: readonly string[], json: boolean): Promise<ExitCode> {
  const signal = context.interrupted();
  const counts = { stored: 0, duplicate: 0, quarantined: 0, skipped: 0, failed: 0 };
  await withNode(context, 'write', async (api) => {
    const progress = new Progress({ label: 'import', unit: 'files' });
    let done = 0;
    for await (const event of api.importPaths(
      paths.map((path) => resolve(path)),
      signal,
    )) {
      counts[event.outcome]++;
      done++;
      if (json) writeData(`${JSON.stringify(event)}\n`);
      else if (event.reason !== undefined && event.outcome !== 'skipped') {
        progress.clear();
        say(describe(event));
      }
      progress.update(done, counts.failed === 0 ? '' : `${counts.failed} failed`);
    }
    progress.clear();
  });
  if (json) printJson({ summary: counts, interrupted: signal.aborted });
  else {
    const { stored, duplicate, quarantined, skipped, failed } = counts;
    writeData(
      `${stored} stored, ${duplicate} held already, ${quarantined} in quarantine, ${skipped} skipped, ${failed} failed\n`,
    );
  }
  if (signal.aborted) {
    say('isocenter: interrupted; the same command goes on from here');
    return EXIT.interrupted;
  }
  if (counts.failed + counts.quarantined === 0) return EXIT.ok;
  return counts.stored + counts.duplicate === 0 && counts.failed > 0 ? EXIT.failed : EXIT.warnings;
}

function describe({ path, outcome, reason }: ImportEvent): string {
  return `${printable(path, 4096)}: ${outcome}: ${printable(reason ?? '')}`;
}
