import type { Command } from 'commander';
import type { NodeApi } from '../admin/api';
import { EXIT, type ExitCode } from '../errors';
import { printable } from '../printable';
import { type CommandContext, examples } from './command';
import { withErrors } from './errors';
import { withNode } from './node-api';
import { printJson, writeData } from './output';

/** `isocenter show UID` */
export function register(program: Command, context: CommandContext): void {
  const command = program
    .command('show')
    .description('show all that is known of a study, a series or an instance, and where its file is')
    .argument('<uid>', 'a Study, Series or SOP Instance UID')
    .option('--json', 'print JSON')
    .action(
      withErrors((uid: string, options: { json?: true }) =>
        withNode(context, 'read', (api) => show(api, uid, options.json === true)),
      ),
    );
  examples(
    command,
    `isocenter show 1.2.840.113619.2.1
     isocenter show 1.2.840.113619.2.1 --json
     dcmdump "$(isocenter show 1.2.840.113619.2.1.7 --json | jq -r '.files[0].path')"`,
  );
}

async function show(api: NodeApi, uid: string, json: boolean): Promise<ExitCode> {
  const shown = await api.show(uid);
  if (json) {
    printJson(shown);
    return EXIT.ok;
  }
  const lines: string[] = [];
  for (const row of shown.rows) {
    for (const [keyword, value] of Object.entries(row)) {
      if (value !== null && value !== '') lines.push(`${keyword}: ${printable(String(value), 4096)}`);
    }
    lines.push('');
  }
  for (const file of shown.files) {
    lines.push(
      `File: ${file.path} (${file.state}${file.damaged === undefined ? '' : `, damaged: ${file.damaged}`})`,
    );
    lines.push(
      `  arrival ${file.arrivalId}, transfer syntax ${file.TransferSyntaxUID}, data set ${file.dataSetLength} bytes from ${file.dataSetOffset}, SHA-256 ${file.sha256}`,
    );
  }
  writeData(`${lines.join('\n').trimEnd()}\n`);
  return EXIT.ok;
}
