import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import ts from 'typescript';

/** Holds the sources to the table of layers in the architecture: imports point down, third parties stay where they belong. */

const SRC = join(__dirname, '..', 'src');

/** Layer of a folder or of a file beside them. What is not named here has no place yet: name it. */
const LAYERS: Readonly<Record<string, number>> = {
  cli: 6,
  // The composition root, and the part of it that commands without a running node use too.
  'node.ts': 5,
  'archive.ts': 5,
  'outbound.ts': 5,
  config: 4,
  admin: 4,
  services: 3,
  dimse: 2,
  net: 1,
  catalog: 1,
  store: 1,
  security: 1,
  transcode: 1,
  dicom: 0,
  'errors.ts': 0,
  'events.ts': 0,
  'log.ts': 0,
  'log-output.ts': 0,
  'peer.ts': 0,
  'printable.ts': 0,
  'version.ts': 0,
};

/** Where each third party may be imported; a prefix of the path below src/. */
const THIRD_PARTIES: Readonly<Record<string, readonly string[]>> = {
  dcmjs: ['dicom/dictionary.ts'],
  'dcmjs-codecs': ['transcode/'],
  'better-sqlite3': ['catalog/sqlite/'],
  winston: ['log.ts'],
  commander: ['cli/'],
  yaml: ['config/'],
  zod: ['config/'],
  'fastest-levenshtein': ['config/suggest.ts'],
};

/** What services may see of catalog and store: their words, and what matching means, which both sides have to agree on. */
const CONTRACTS: ReadonlySet<string> = new Set([
  'catalog/types.ts',
  'catalog/commitments.ts',
  'catalog/jobs.ts',
  'catalog/query-types.ts',
  'catalog/match.ts',
  'store/types.ts',
]);

/** Knowledge without input and output (layer 0). */
const DICOM_BUILT_INS: readonly string[] = ['node:zlib', 'node:util', 'node:buffer', 'node:crypto'];

const MAX_LINES = 450;
/** Generated, and no reading matter. */
const GENERATED: readonly string[] = ['dicom/dictionary-data.ts'];

/** A file's folder, or its own name beside the folders. */
const partOf = (file: string): string => file.split('/')[0] ?? file;

/** What is wrong with one import of one file, or undefined. Paths are relative to src/, `target` is a path or a package. */
function violation(file: string, target: string): string | undefined {
  if (target.startsWith('node:'))
    return partOf(file) === 'dicom' && !DICOM_BUILT_INS.includes(target)
      ? `${file}: src/dicom is knowledge without I/O, and imports ${target}`
      : undefined;
  const from = partOf(file);
  if (!target.endsWith('.ts')) {
    const name = /^(@[^/]+\/)?[^/]+/.exec(target)?.[0] ?? target;
    const places = THIRD_PARTIES[name] ?? [];
    return places.some((place) => file.startsWith(place))
      ? undefined
      : `${file}: ${name} may be imported in ${places.join(', ') || 'no source file'}`;
  }
  const to = partOf(target);
  const [fromLayer, toLayer] = [LAYERS[from], LAYERS[to]];
  if (fromLayer === undefined || toLayer === undefined)
    return `${file} → ${target}: ${fromLayer === undefined ? from : to} has no layer`;
  if (to === 'config' && from !== 'config' && fromLayer < 5)
    return `${file} → ${target}: only the composition root and cli see the configuration`;
  if (from !== to && isAdapter(target) && fromLayer < 5)
    return `${file} → ${target}: an adapter is seen by the composition root only`;
  if (from === 'services' && (to === 'catalog' || to === 'store') && !CONTRACTS.has(target))
    return `${file} → ${target}: services see contracts, never an adapter`;
  const down = toLayer < fromLayer || from === to || (toLayer === fromLayer && [0, 5].includes(toLayer));
  return down ? undefined : `${file} → ${target}: imports point down`;
}

function isAdapter(target: string): boolean {
  return target.startsWith('catalog/sqlite/') || target.startsWith('store/filesystem');
}

/** Imports, exports from, `require` and `import()`, type imports included, as paths below src/ or names of packages. */
function importsOf(file: string): string[] {
  const text = readFileSync(join(SRC, file), 'utf8');
  return ts.preProcessFile(text, true, true).importedFiles.map(({ fileName }) => {
    if (!fileName.startsWith('.')) return fileName;
    const path = relative(SRC, resolve(SRC, dirname(file), fileName)).replace(/\.js$/, '');
    return path.endsWith('.json')
      ? `${path}.ts`
      : files.includes(`${path}.ts`)
        ? `${path}.ts`
        : `${path}/index.ts`;
  });
}

const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .sort();

it('imports point down, and third parties stay in their places', () => {
  expect(files.length).toBeGreaterThan(20);
  const found = files.flatMap((file) => importsOf(file).map((target) => violation(file, target)));
  expect(found.length).toBeGreaterThan(50);
  expect(found.filter((sentence) => sentence !== undefined)).toEqual([]);
});

it.each([
  ['net/listener.ts', 'dimse/session.ts', /point down/],
  ['net/listener.ts', 'security/access.ts', /point down/],
  ['security/access.ts', 'net/types.ts', /point down/],
  ['dicom/uids.ts', 'net/types.ts', /point down/],
  ['errors.ts', 'services/echo.ts', /point down/],
  ['admin/api.ts', 'config/config.ts', /only the composition root/],
  ['services/send.ts', 'config/config.ts', /only the composition root/],
  ['services/ingest.ts', 'catalog/merge.ts', /contracts/],
  ['services/ingest.ts', 'catalog/sqlite/catalog.ts', /composition root only/],
  ['admin/api.ts', 'store/filesystem.ts', /composition root only/],
  ['node.ts', 'cli/main.ts', /point down/],
  ['net/pdu.ts', 'newcomer/x.ts', /newcomer has no layer/],
  ['newcomer.ts', 'errors.ts', /newcomer\.ts has no layer/],
  ['services/echo.ts', 'dcmjs-dimse', /no source file/],
  ['services/echo.ts', 'zod/v4', /zod may be imported in config\//],
  ['dicom/uids.ts', 'dcmjs', /dictionary\.ts/],
  ['cli/echo.ts', 'winston', /log\.ts/],
  ['net/listener.ts', 'left-pad', /no source file/],
  ['dicom/header.ts', 'node:fs', /without I\/O/],
  ['dicom/header.ts', 'node:net', /without I\/O/],
])('the rules refuse %s → %s', (file, target, sentence) => {
  expect(violation(file, target)).toMatch(sentence);
});

it.each([
  ['cli/main.ts', 'commander'],
  ['cli/find.ts', 'node.ts'],
  ['node.ts', 'archive.ts'],
  ['node.ts', 'catalog/sqlite/catalog.ts'],
  ['services/ingest.ts', 'store/types.ts'],
  ['dimse/session.ts', 'net/types.ts'],
  ['log.ts', 'log-output.ts'],
  ['dicom/header.ts', 'errors.ts'],
  ['config/load.ts', 'security/hosts.ts'],
  ['net/listener.ts', 'node:net'],
  ['dicom/inflate.ts', 'node:zlib'],
])('the rules allow %s → %s', (file, target) => {
  expect(violation(file, target)).toBeUndefined();
});

it('only the command line and the composition root look at the environment', () => {
  const readers = files.filter(
    (file) =>
      (LAYERS[partOf(file)] ?? 0) < 5 &&
      /process\s*\.\s*env|\benv\b.*from 'node:process'/.test(readFileSync(join(SRC, file), 'utf8')),
  );
  expect(readers).toEqual([]);
});

it('a file is short enough to be read at one sitting', () => {
  const long = files
    .filter((file) => !GENERATED.includes(file))
    .map((file) => ({ file, lines: readFileSync(join(SRC, file), 'utf8').split('\n').length - 1 }))
    .filter(({ lines }) => lines > MAX_LINES);
  expect(long).toEqual([]);
});

it('no part is called "utils"', () => {
  expect(files.filter((file) => /\b(utils?|helpers?|common|misc)\b/i.test(file))).toEqual([]);
});
