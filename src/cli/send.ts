import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { InstanceReference } from '../catalog/commitments';
import { loadConfig } from '../config/load';
import { EXIT, errorMessage, IsocenterError, type ExitCode } from '../errors';
import { createTranscoder } from '../transcode/transcoder';
import { printable } from '../printable';
import { type SendEvent, sendFiles, sendInstances } from '../services/send-files';
import { type CommandContext, examples } from './command';
import { caller } from './calling';
import { reportError, withErrors } from './errors';
import { withNode } from './node-api';
import { printJson, say, writeData } from './output';
import { resolvePeer } from './peers';
import { Progress } from './progress';
import { type SelectionOptions, selectionOptions } from './retrieve-question';
import { locateAll, outgoing, selectionOf } from './retrieve-stored';
import { type CommitOptions, commitOptions, commitSent } from './send-commit';

interface SendOptions extends SelectionOptions, CommitOptions {
  readonly aet?: string;
  readonly json?: true;
}

/** `isocenter send PEER PATH…`, `isocenter send PEER --study UID` */
export function register(program: Command, context: CommandContext): void {
  const command = selectionOptions(
    program
      .command('send')
      .description(
        'send files and folders, or what is stored, to a peer (C-STORE), as they are or, where it does not take that, uncompressed',
      )
      .argument('<peer>', "a remote's name, or AET@HOST:PORT")
      .argument('[path...]', 'files or folders; without them --study or its like'),
  )
    .option('--aet <title>', 'our AE title, instead of the first of aeTitles')
    .option('--json', 'print one JSON object a file')
    .action(
      withErrors((peer: string, paths: string[], options: SendOptions) => run(context, peer, paths, options)),
    );
  commitOptions(command);
  examples(
    command,
    `isocenter send pacs study/
     isocenter send ARCHIVE@10.0.4.30:104 image.dcm --aet CT_ROOM1
     isocenter send pacs /media/cdrom --json > sent.jsonl
     isocenter send pacs study/ --commit --commit-wait 5m
     isocenter send pacs --study 1.2.840.113619.2.55.3
     isocenter send pacs --patient 4711 --series 1.2.840.1.1`,
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
  const stored = namesStored(options);
  if (stored === paths.length > 0)
    throw new IsocenterError(
      'USAGE',
      stored ? 'files and what is stored are sent by themselves' : 'what is to be sent?',
      {
        exitCode: EXIT.usage,
        hint: 'give files and folders, or --study UID, --series UID, --instance UID or --patient ID',
      },
    );
  const address = resolvePeer(config, peer);
  const sent: InstanceReference[] = [];
  const transcoder = createTranscoder();
  const { transcode } = config.remotes.find(({ name }) => name === address.name) ?? {};
  const how = {
    connect: caller(config, address, options.aet, signal),
    // Several may be under way at once, so that a peer with an asynchronous window is kept busy.
    asyncWindow: 16,
    responseTimeout: config.timeouts.response,
    transcoder,
    ...(transcode === undefined ? {} : { transcode }),
    signal,
    kill: signal,
  };
  const json = options.json === true;
  const delivery = { signal, json, sent };
  let code: ExitCode;
  try {
    code = stored
      ? await withNode(context, 'read', async (api) => {
          const located = await locateAll(api, selectionOf(options));
          const instances = located.map((one) => ({ ...outgoing(one), name: one.path }));
          return deliver(sendInstances(instances, how), { ...delivery, total: instances.length });
        })
      : await deliver(
          sendFiles(
            paths.map((path) => resolve(path)),
            how,
          ),
          { ...delivery, total: undefined },
        );
  } finally {
    await transcoder.close();
  }
  if (options.commit !== true || signal.aborted || sent.length === 0) return code;
  const terms = { config, peer: address, aeTitle: options.aet, signal, json };
  const committed = await commitSent(sent, options, terms);
  return code === EXIT.ok ? committed : code;
}

function namesStored({ study, series, instance, patient }: SelectionOptions): boolean {
  return [study, series, instance, patient].some((option) => option !== undefined);
}

interface Delivery {
  readonly signal: AbortSignal;
  readonly json: boolean;
  readonly total: number | undefined;
  /** Gets what the peer took. */
  readonly sent: InstanceReference[];
}

/** Sends, and tells of each file. */
async function deliver(
  files: AsyncIterable<SendEvent>,
  { signal, json, total, sent }: Delivery,
): Promise<ExitCode> {
  const counts = { sent: 0, warning: 0, failed: 0, skipped: 0 };
  const progress = new Progress({ label: 'send', unit: 'files', total });
  let done = 0;
  let failure: unknown;
  try {
    for await (const event of files) {
      counts[event.outcome]++;
      done++;
      if (event.outcome === 'sent' || event.outcome === 'warning') sent.push(referenceTo(event));
      if (json) writeData(`${JSON.stringify(event)}\n`);
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
  if (json) {
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

function referenceTo({ SOPClassUID = '', SOPInstanceUID = '' }: SendEvent): InstanceReference {
  return { SOPClassUID, SOPInstanceUID };
}

function describe({ path, outcome, reason }: SendEvent): string {
  return `${printable(path, 4096)}: ${outcome}: ${printable(reason ?? '')}`;
}
