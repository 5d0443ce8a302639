import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import type { Config } from '../config/config';
import { loadConfig } from '../config/load';
import type { AttributeLevel } from '../dicom/attributes';
import { statusText } from '../dimse/status';
import { EXIT, errorMessage, IsocenterError, type ExitCode } from '../errors';
import { printable } from '../printable';
import { FolderSink } from '../services/retrieve-scu-files';
import type { GetEvent, GetSink } from '../services/retrieve-scu-receive';
import { caller } from './calling';
import { type CommandContext, examples } from './command';
import { reportError, withErrors } from './errors';
import { conclude } from './move';
import { withNode } from './node-api';
import { printJson, say, writeData } from './output';
import { resolvePeer } from './peers';
import { Progress } from './progress';
import { fetchAll, type Fetched, type FetchParts } from './retrieve-fetch';
import { askFor, parseLevel, type RetrieveOptions, retrieveOptions } from './retrieve-question';
import { StoreSink } from './retrieve-store-sink';
import { type Asked, meaningOf } from './retrieve-words';

interface GetOptions extends RetrieveOptions {
  readonly output?: string;
  readonly store?: true;
  readonly force?: true;
  readonly aet?: string;
  readonly json?: true;
}

/** `isocenter get PEER` */
export function register(program: Command, context: CommandContext): void {
  const command = program
    .command('get')
    .description('fetch what a peer has, on the association that asks for it (C-GET)')
    .argument('<peer>', "a remote's name, or AET@HOST:PORT")
    .argument(
      '[level]',
      'patients, studies, series or instances; default: that of the lowest key',
      parseLevel,
    )
    .option('-o, --output <folder>', 'write files <SOPInstanceUID>.dcm into this folder')
    .option('--store', 'put them into our own store');
  retrieveOptions(command)
    .option('--force', 'replace files that have other bytes')
    .option('--aet <title>', 'our AE title, instead of the first of aeTitles')
    .option('--json', 'print one JSON object an instance')
    .action(
      withErrors((peer: string, level: AttributeLevel | undefined, options: GetOptions) =>
        run(context, peer, level, options),
      ),
    );
  command.addHelpText(
    'after',
    `
The peer is asked with C-FIND first which instances and SOP classes there are; where it tells, what is here already and whole is not
fetched again: run the same command again after an interruption. Each instance is taken in the transfer syntax in which the peer keeps it,
where the peer can choose so, and its data set is kept byte for byte.

Exit codes: 0 all of it is here; 1 the peer refused or nothing came; 3 some failed, or nothing fits the keys; 4 association refused or
aborted; 5 network; 130 interrupted.`,
  );
  examples(
    command,
    `isocenter get pacs --study 1.2.840.113619.2.55.3 -o study/
     isocenter get pacs --study 1.2.840.1 --series 1.2.840.1.1 --store
     isocenter get ARCHIVE@10.0.4.30:104 series -k StudyInstanceUID=1.2 -k SeriesInstanceUID=1.2.3 -o series --json
     isocenter get pacs --patient 4711 -o patient/`,
  );
}

async function run(
  context: CommandContext,
  peerText: string,
  level: AttributeLevel | undefined,
  options: GetOptions,
): Promise<ExitCode> {
  const { config } = loadConfig(context.configFile(), process.env);
  const peer = resolvePeer(config, peerText);
  const question = askFor(level, options);
  if ((options.output === undefined) === (options.store === undefined))
    throw new IsocenterError('USAGE', 'where do they go?', {
      exitCode: EXIT.usage,
      hint: 'give either -o FOLDER or --store',
    });
  const signal = context.interrupted();
  const asked: Asked = { operation: 'C-GET', peer, question };
  const connect = caller(config, peer, options.aet, signal);
  const report = new Report(options.json === true);
  const work = async (sink: GetSink, stop: AbortController): Promise<ExitCode> => {
    const parts: FetchParts = {
      asked,
      connect,
      responseTimeout: config.timeouts.response,
      sink,
      signal: AbortSignal.any([signal, stop.signal]),
      note: (text) => report.note(text),
      onTotal: (total) => report.total(total),
      onInstance: (event) => report.take(event),
      onListed: (count) => report.listed(count),
    };
    let fetched: Fetched | undefined;
    let failure: unknown;
    try {
      fetched = await fetchAll(parts);
    } catch (error) {
      failure = stop.signal.aborted ? stop.signal.reason : error;
    }
    if (stop.signal.aborted) failure ??= stop.signal.reason;
    report.end(fetched, failure, signal.aborted);
    if (signal.aborted) {
      say('isocenter: interrupted; the same command goes on from here');
      return EXIT.interrupted;
    }
    if (failure !== undefined || fetched === undefined) return reportError(failure);
    return conclusion(fetched, asked, report);
  };
  return options.output === undefined
    ? intoStore(context, config, work)
    : intoFolder(config, resolve(options.output), options.force === true, work);
}

type Work = (sink: GetSink, stop: AbortController) => Promise<ExitCode>;

async function intoFolder(config: Config, directory: string, force: boolean, work: Work): Promise<ExitCode> {
  const stop = new AbortController();
  const sink = new FolderSink({
    directory,
    aeTitle: config.aeTitles[0],
    force,
    onUnwritable: (error) => stop.abort(error),
  });
  await sink.open();
  try {
    return await work(sink, stop);
  } finally {
    await sink.close();
  }
}

/** Through the running node where there is one, else into the store itself; each instance rests in a temporary file for a moment. */
async function intoStore(context: CommandContext, config: Config, work: Work): Promise<ExitCode> {
  const directory = await mkdtemp(join(tmpdir(), 'isocenter-get-'));
  try {
    return await withNode(context, 'write', (api) =>
      work(new StoreSink({ api, directory, aeTitle: config.aeTitles[0] }), new AbortController()),
    );
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function conclusion(fetched: Fetched, asked: Asked, { counts }: Report): ExitCode {
  let code: ExitCode = EXIT.ok;
  for (const outcome of fetched.outcomes) {
    const one = conclude(outcome, asked);
    if (code === EXIT.ok || one === EXIT.failed) code = one;
  }
  if (fetched.outcomes.length === 0 && counts.present === 0) {
    say('isocenter: the peer has nothing that fits');
    return EXIT.warnings;
  }
  if (fetched.missing > 0) say(`isocenter: ${fetched.missing} instances that the peer listed did not come`);
  const here = counts.fetched + counts.present;
  if (code === EXIT.failed && here > 0) return EXIT.warnings;
  return code === EXIT.ok && (counts.failed > 0 || fetched.missing > 0)
    ? here === 0
      ? EXIT.failed
      : EXIT.warnings
    : code;
}

/** Tells of each instance, and sums up. */
class Report {
  readonly counts = { fetched: 0, present: 0, failed: 0 };
  private readonly json: boolean;
  private bytes = 0;
  private progress = new Progress({ label: 'list', unit: 'instances' });

  constructor(json: boolean) {
    this.json = json;
  }

  note(text: string): void {
    this.progress.clear();
    say(`isocenter: ${printable(text, 2000)}`);
  }

  listed(count: number): void {
    this.progress.update(count);
  }

  total(total: number | undefined): void {
    this.progress.clear();
    this.progress = new Progress({ label: 'get', unit: 'instances', total });
  }

  take(event: GetEvent): void {
    this.counts[event.outcome]++;
    this.bytes += event.bytes;
    if (this.json) writeData(`${JSON.stringify(event)}\n`);
    else if (event.reason !== undefined) {
      this.progress.clear();
      say(`${printable(event.SOPInstanceUID, 64)}: ${event.outcome}: ${printable(event.reason)}`);
    }
    const { fetched, present, failed } = this.counts;
    this.progress.update(fetched + present + failed, failed === 0 ? '' : `${failed} failed`);
  }

  end(fetched: Fetched | undefined, failure: unknown, interrupted: boolean): void {
    this.progress.clear();
    const { counts, bytes } = this;
    const last = fetched?.outcomes.at(-1);
    if (this.json) {
      printJson({
        summary: { ...counts, bytes },
        ...(last === undefined ? {} : { status: statusText(last.status), meaning: meaningOf(last.status) }),
        failedSOPInstanceUIDs: [...new Set(fetched?.outcomes.flatMap(({ failedUids }) => failedUids))],
        interrupted,
        ...(failure === undefined ? {} : { error: errorMessage(failure) }),
      });
      return;
    }
    for (const uid of new Set(fetched?.outcomes.flatMap(({ failedUids }) => failedUids)))
      say(`${printable(uid, 64)}: failed`);
    const failed = counts.failed + (fetched?.failedThere ?? 0);
    writeData(`${counts.fetched} fetched, ${counts.present} here already, ${failed} failed\n`);
  }
}
