import type { Command } from 'commander';
import { loadConfig } from '../config/load';
import { EXIT, type ExitCode } from '../errors';
import { type CommandContext, examples } from './command';
import { withErrors } from './errors';
import { recoverAloud, withArchive } from './node-api';
import { printJson, writeData } from './output';

/** `isocenter reindex` */
export function register(program: Command, context: CommandContext): void {
  const command = program
    .command('reindex')
    .description(
      'build the catalog anew from the stored files, while the node is stopped; the old one is kept beside it',
    )
    .option('--json', 'print JSON')
    .action(withErrors((options: { json?: true }) => run(context, options.json === true)));
  examples(command, `isocenter reindex\nisocenter reindex --config /etc/isocenter.yaml --json`);
}

async function run(context: CommandContext, json: boolean): Promise<ExitCode> {
  const { config } = loadConfig(context.configFile(), process.env);
  const report = await withArchive(config, { freshCatalog: true }, (archive) =>
    recoverAloud(archive, 'reindex'),
  );
  if (json) printJson(report);
  else {
    const { adopted, removed, quarantined, segments } = report;
    writeData(
      `${adopted} files in ${segments} segments catalogued, ${quarantined} in quarantine, ${removed} unfinished ones removed\n`,
    );
  }
  return report.quarantined > 0 ? EXIT.warnings : EXIT.ok;
}
