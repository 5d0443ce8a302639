import { dirname, resolve } from 'node:path';
import type { Command } from 'commander';
import type { Located } from '../admin/api';
import { EXIT, errorMessage, IsocenterError, type ExitCode } from '../errors';
import { printable } from '../printable';
import { exportInstances, type ExportEvent, type ExportItem } from '../services/export';
import { isThere, syncFolder } from '../services/export-part-file';
import { ZipWriter } from '../services/zip';
import { type CommandContext, examples } from './command';
import { reportError, withErrors } from './errors';
import { withNode } from './node-api';
import { printJson, say, writeData } from './output';
import { Progress } from './progress';
import { type SelectionOptions, selectionOptions } from './retrieve-question';
import { locateAll, outgoing, selectionOf } from './retrieve-stored';

interface ExportOptions extends SelectionOptions {
  readonly output?: string;
  readonly zip?: string;
  readonly dicomdir?: true;
  readonly force?: true;
  readonly json?: true;
}

/** `isocenter export` */
export function register(program: Command, context: CommandContext): void {
  const command = selectionOptions(
    program
      .command('export')
      .description(
        'copy what is stored into a folder or a ZIP file: data sets byte for byte, checked on the way',
      ),
  )
    .option('-o, --output <folder>', 'write STUDY/SERIES/INSTANCE.dcm into this folder')
    .option('--zip <file>', 'write a ZIP file')
    .option(
      '--dicomdir',
      'for media: names such as DICOM/PAT00001/STU00001/SER00001/IMG00001, and a DICOMDIR',
    )
    .option('--force', 'replace files that have other bytes')
    .option('--json', 'print one JSON object an instance')
    .action(withErrors((options: ExportOptions) => run(context, options)));
  command.addHelpText(
    'after',
    `
Several options name what all of them fit: --patient 4711 --series 1.2.3 is that series of that patient.
Files that are there already, whole, are left as they are: run the same command again after an interruption. A ZIP file is written anew.

Exit codes: 0 all exported; 1 failed; 3 some instances could not be read; 130 interrupted.`,
  );
  examples(
    command,
    `isocenter export --study 1.2.840.113619.2.55.3 -o study/
     isocenter export --patient 4711 -o /media/usb --dicomdir
     isocenter export --study 1.2.840.1 --series 1.2.840.1.1 --zip series.zip --dicomdir`,
  );
}

async function run(context: CommandContext, options: ExportOptions): Promise<ExitCode> {
  const selection = selectionOf(options);
  if (options.output === undefined && options.zip === undefined)
    throw new IsocenterError('USAGE', 'where do they go?', {
      exitCode: EXIT.usage,
      hint: 'give -o FOLDER, or --zip FILE, or both',
    });
  const zipPath = options.zip === undefined ? undefined : resolve(options.zip);
  // Known before anything is read, not when all is done.
  if (zipPath !== undefined && options.force !== true && (await isThere(zipPath)))
    throw new IsocenterError('FILE_EXISTS', `${zipPath} is there already`, { hint: '--force replaces it' });
  return withNode(context, 'read', async (api) => {
    const located = await locateAll(api, selection);
    return copy(located, zipPath, options, context.interrupted());
  });
}

async function copy(
  located: readonly Located[],
  zipPath: string | undefined,
  options: ExportOptions,
  signal: AbortSignal,
): Promise<ExitCode> {
  const counts = { exported: 0, present: 0, failed: 0 };
  let bytes = 0;
  let failure: unknown;
  const progress = new Progress({ label: 'export', unit: 'instances', total: located.length });
  const take = (event: ExportEvent): void => {
    if (options.json === true) writeData(`${JSON.stringify(event)}\n`);
    else if (event.reason !== undefined) {
      progress.clear();
      say(`${printable(event.SOPInstanceUID, 64)}: ${event.outcome}: ${printable(event.reason, 512)}`);
    }
    if (event.SOPInstanceUID === '') return;
    counts[event.outcome]++;
    bytes += event.bytes;
    const done = counts.exported + counts.present + counts.failed;
    progress.update(done, counts.failed === 0 ? '' : `${counts.failed} failed`);
  };
  const zip = zipPath === undefined ? undefined : await ZipWriter.create(zipPath);
  try {
    const events = exportInstances(items(located), {
      ...(options.output === undefined ? {} : { directory: resolve(options.output) }),
      ...(zip === undefined ? {} : { zip }),
      dicomdir: options.dicomdir === true,
      force: options.force === true,
      signal,
    });
    for await (const event of events) take(event);
    // Half a ZIP file would be taken for a whole one.
    if (
      zip !== undefined &&
      zipPath !== undefined &&
      !signal.aborted &&
      counts.exported + counts.present > 0
    ) {
      await zip.commit({ replace: options.force === true });
      await syncFolder(dirname(zipPath));
    }
  } catch (error) {
    failure = error;
  } finally {
    await zip?.discard();
  }
  progress.clear();
  if (options.json === true) {
    printJson({
      summary: { ...counts, bytes },
      interrupted: signal.aborted,
      ...(failure === undefined ? {} : { error: errorMessage(failure) }),
    });
  } else {
    writeData(`${counts.exported} exported, ${counts.present} there already, ${counts.failed} failed\n`);
  }
  if (signal.aborted) {
    say('isocenter: interrupted; the same command goes on from here');
    return EXIT.interrupted;
  }
  if (failure !== undefined) return reportError(failure);
  if (counts.failed === 0) return EXIT.ok;
  return counts.exported + counts.present === 0 ? EXIT.failed : EXIT.warnings;
}

function* items(located: readonly Located[]): Iterable<ExportItem> {
  for (const location of located) yield { location, instance: outgoing(location) };
}
