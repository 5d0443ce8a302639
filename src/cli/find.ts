import { InvalidArgumentError, type Command } from 'commander';
import type { NodeApi } from '../admin/api';
import type { EntityRow, FindFilter, Level } from '../catalog/types';
import { loadConfig } from '../config/load';
import { didYouMean } from '../config/suggest';
import { attributesOf, type AttributeTable } from '../dicom/attributes';
import { EXIT, IsocenterError, type ExitCode } from '../errors';
import { type CommandContext, examples } from './command';
import { withErrors } from './errors';
import { withNode } from './node-api';
import { type Column, printTable, say, writeData } from './output';

const LEVELS: Readonly<Record<string, Level>> = {
  patients: 'PATIENT',
  studies: 'STUDY',
  series: 'SERIES',
  instances: 'IMAGE',
};

/** What a table shows of each level; `--json` prints everything. */
const COLUMNS: Readonly<Record<Level, readonly string[]>> = {
  PATIENT: [
    'PatientID',
    'PatientName',
    'PatientBirthDate',
    'PatientSex',
    'NumberOfPatientRelatedStudies',
    'NumberOfPatientRelatedInstances',
  ],
  STUDY: [
    'PatientID',
    'PatientName',
    'StudyDate',
    'AccessionNumber',
    'ModalitiesInStudy',
    'StudyDescription',
    'NumberOfStudyRelatedSeries',
    'NumberOfStudyRelatedInstances',
    'StudyInstanceUID',
  ],
  SERIES: [
    'PatientID',
    'Modality',
    'SeriesNumber',
    'SeriesDescription',
    'NumberOfSeriesRelatedInstances',
    'SeriesInstanceUID',
  ],
  IMAGE: ['PatientID', 'InstanceNumber', 'SOPClassUID', 'SOPInstanceUID'],
};

const TITLES: Readonly<Record<string, string>> = {
  NumberOfPatientRelatedStudies: 'Studies',
  NumberOfPatientRelatedInstances: 'Instances',
  NumberOfStudyRelatedSeries: 'Series',
  NumberOfStudyRelatedInstances: 'Instances',
  NumberOfSeriesRelatedInstances: 'Instances',
  ModalitiesInStudy: 'Modalities',
};

const PAGE = 500;

interface FindOptions {
  readonly key: readonly string[];
  readonly limit: number;
  readonly conflicts?: true;
  readonly json?: true;
}

/** `isocenter find` */
export function register(program: Command, context: CommandContext): void {
  const command = program
    .command('find')
    .description('list what is stored: patients, studies, series or instances')
    .argument('[level]', 'patients, studies, series or instances; default: studies', parseLevel)
    .option(
      '-k, --key <keyword=value>',
      'only what matches; * and ? stand for characters, dates take ranges (20240101-20240131); may be repeated',
      (text: string, before: readonly string[]) => [...before, text],
      [] as readonly string[],
    )
    .option('-l, --limit <rows>', 'at most so many rows, 0 for all', parseRows, 1000)
    .option('--conflicts', 'list the attributes for which later images said something else than the first')
    .option('--json', 'print one JSON object a line')
    .action(
      withErrors((level: Level | undefined, options: FindOptions) => {
        const { config } = loadConfig(context.configFile(), process.env);
        const attributes = attributesOf(config.catalog.attributes);
        const filter: FindFilter = { level: level ?? 'STUDY', keys: parseKeys(options.key, attributes) };
        return withNode(context, 'read', (api) => find(api, filter, options));
      }),
    );
  examples(
    command,
    `isocenter find
     isocenter find studies -k PatientName='smith*' -k StudyDate=20240101-
     isocenter find instances -k StudyInstanceUID=1.2.840.1 --json
     isocenter find --conflicts`,
  );
}

function parseLevel(text: string): Level {
  const level = Object.hasOwn(LEVELS, text) ? LEVELS[text] : undefined;
  if (level === undefined)
    throw new InvalidArgumentError(
      `choose one of ${Object.keys(LEVELS).join(', ')}${didYouMean(text, Object.keys(LEVELS))}.`,
    );
  return level;
}

function parseRows(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('a number of rows is expected.');
  return Number(text);
}

async function find(api: NodeApi, filter: FindFilter, options: FindOptions): Promise<ExitCode> {
  if (options.conflicts === true) return findConflicts(api, options);
  const { level } = filter;
  await sayIncomplete(api, filter);
  const columns: Column<EntityRow>[] = COLUMNS[level].map((keyword) => ({
    title: TITLES[keyword] ?? keyword,
    value: (row) => row[keyword],
    ...(keyword.startsWith('NumberOf') ? { align: 'right' } : {}),
  }));
  return printPages(
    options,
    (after, limit) => api.find(filter, { limit, ...(after === undefined ? {} : { after }) }),
    columns,
  );
}

/** Rows from before an attribute was kept don't match by it until it is filled in. */
async function sayIncomplete(api: NodeApi, { keys }: FindFilter): Promise<void> {
  if (Object.keys(keys).length === 0) return;
  const { backfill } = await api.status();
  const missing = backfill?.attributes.filter((keyword) => keyword in keys) ?? [];
  if (backfill === undefined || missing.length === 0) return;
  say(
    `isocenter: ${missing.join(', ')}: filled in for ${backfill.done} of ${backfill.total} instances so far; what it will find may be missing here`,
  );
}

function findConflicts(api: NodeApi, options: FindOptions): Promise<ExitCode> {
  return printPages(
    options,
    (after, limit) => api.conflicts({ limit, ...(after === undefined ? {} : { after }) }),
    [
      { title: 'Level', value: (row) => row.level },
      { title: 'PatientID', value: (row) => row.PatientID },
      { title: 'Attribute', value: (row) => row.keyword },
      { title: 'Kept', value: (row) => row.kept },
      { title: 'Differing', value: (row) => row.differing },
      { title: 'First in', value: (row) => row.arrivalId },
      { title: 'UID', value: (row) => row.SeriesInstanceUID ?? row.StudyInstanceUID },
    ],
  );
}

/** Rows page by page; as JSON they leave as they come, a table waits for its widths. */
export async function printPages<Row>(
  options: { readonly limit: number; readonly json?: true },
  fetch: (
    after: string | undefined,
    limit: number,
  ) => Promise<{ readonly rows: Row[]; readonly next: string | undefined }>,
  columns: readonly Column<Row>[],
): Promise<ExitCode> {
  const kept: Row[] = [];
  let left = options.limit === 0 ? Infinity : options.limit;
  let after: string | undefined;
  let more = false;
  do {
    const page = await fetch(after, Math.min(PAGE, left));
    left -= page.rows.length;
    if (options.json === true) writeData(page.rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    else kept.push(...page.rows);
    after = page.next;
    more = after !== undefined;
  } while (more && left > 0);
  if (options.json !== true) printTable(columns, kept);
  if (more) say(`isocenter: there is more; --limit 0 shows all`);
  return EXIT.ok;
}

function parseKeys(texts: readonly string[], attributes: AttributeTable): Record<string, string> {
  const keys: Record<string, string> = {};
  for (const text of texts) {
    const equals = text.indexOf('=');
    const keyword = equals < 0 ? text : text.slice(0, equals);
    if (attributes.of(keyword) === undefined) {
      const known = attributes.rows.map((attribute) => attribute.keyword);
      throw new IsocenterError(
        'KEY_UNKNOWN',
        `"${keyword}" is not a key that can be searched${didYouMean(keyword, known)}`,
        {
          exitCode: EXIT.usage,
          hint: 'write -k KEYWORD=VALUE with a keyword of the standard, such as -k PatientID=4711',
        },
      );
    }
    keys[keyword] = equals < 0 ? '*' : text.slice(equals + 1);
  }
  return keys;
}
