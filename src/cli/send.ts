import { resolve } from 'node:path';
import type { Command } from 'commander';
import { loadConfig } from '../config/load';
import { EXIT, errorMessage, type ExitCode } from '../errors';
import { printable } from '../printable';
import { type SendEvent, sendFiles } from '../services/send-files';
import { type CommandContext, examples } from './command';
import { caller } from './calling';
import { reportError, withErrors } from './errors';
import { printJson, say, writeData } from './output';
import { resolvePeer } from './peers';
import { Progress } from './progress';

interface SendOptions {
  readonly aet?: string;
  readonly json?: true;
}

/** `isocenter send PEER PATH…` */
export function register(program: Command, context: CommandContext): void {
  const command = program
    .command('send')
    .description('send files and folders to a peer (C-STORE), each in the transfer syntax that it has')
    .argument('<peer>', "a remote's name, or AET@HOST:PORT")
    .argument('<path...>', 'files or folders')
    .option('--aet <title>', 'our AE title, instead of the first of aeTitles')
    .option('--json', 'print one JSON object a file')
    .action(
      withErrors((peer: string, paths: string[], options: SendOptions) => run(context, peer, paths, options)),
    );
  examples(
    command,
    `isocenter send pacs study/
     isocenter send ARCHIVE@10.0.4.30:104 image.dcm --aet CT_ROOM1
     isocenter send pacs /media/cdrom --json > sent.jsonl`,
  );
}

async function run(
  context: CommandContext,
  peer: string,
  paths: readonly string[],
  options: SendOptions,
): Promise<ExitCode> {
  const { config } = loadConfig(context.configFile(), process.env);
  const signal = context.interrupted();
  const connect = caller(config, resolvePeer(config, peer), options.aet, signal);
  const counts = { sent: 0, warning: 0, failed: 0, skipped: 0 };
  const progress = new Progress({ label: 'send', unit: 'files' });
  let done = 0;
  let failure: unknown;
  try {
    const files = sendFiles(
      paths.map((path) => resolve(path)),
      {
        connect,
        // Several may be under way at once, so that a peer with an asynchronous window is kept busy.
        asyncWindow: 16,
        responseTimeout: config.timeouts.response,
        signal,
        kill: signal,
      },
    );
    for await (const event of files) {
      counts[event.outcome]++;
      done++;
      if (options.json === true) writeData(`${JSON.stringify(event)}\n`);
      else if (event.reason !== undefined && event.outcome !== 'skipped') {
        progress.clear();
        say(describe(event));
      }
      progress.update(done, counts.failed === 0 ? '' : `${counts.failed} failed`);
    }
  } catch (error) {
    failure = error;
  }
  progress.clear();
  if (options.json === true) {
    printJson({
      summary: counts,
      interrupted: signal.aborted,
      ...(failure === undefined ? {} : { error: errorMessage(failure) }),
    });
  } else {
    writeData(
      `${counts.sent} sent, ${counts.warning} with a warning, ${counts.failed} failed, ${counts.skipped} skipped\n`,
    );
  }
  if (signal.aborted) return EXIT.interrupted;
  if (failure !== undefined) return reportError(failure);
  if (counts.failed === 0) return counts.warning === 0 ? EXIT.ok : EXIT.warnings;
  return counts.sent + counts.warning === 0 ? EXIT.failed : EXIT.warnings;
}

function describe({ path, outcome, reason }: SendEvent): string {
  return `${printable(path, 4096)}: ${outcome}: ${printable(reason ?? '')}`;
}
