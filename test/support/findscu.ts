import fsp from 'node:fs/promises';
import path from 'node:path';
import { encode, part10, TS, UID_ROOT, type Element } from './data-sets';
import { run, statusesOf } from './tools';

/** What findscu of DCMTK gets for an answer, by its own account: never by its exit code. */
export interface Answers {
  /** Of all responses in order, the final ones included. */
  readonly statuses: readonly number[];
  /** Of the pending ones, without padding; '' where there is no value. What stands in items: `Sequence.Attribute`, joined by `|`. */
  readonly rows: readonly Readonly<Record<string, string>>[];
  /** Responses as files, in order; only where `extract` was asked for. */
  readonly files: readonly string[];
  /** Error Comment and Offending Element of the responses, such as `0008,0052`. */
  readonly comments: readonly string[];
  readonly offending: readonly string[];
  readonly output: string;
}

export interface Asking {
  readonly port: number;
  /** Default NODE, TESTER. */
  readonly called?: string;
  readonly calling?: string;
  /** -P, -S (default) or -O. */
  readonly model?: '-P' | '-S' | '-O';
  /** Each becomes a -k. */
  readonly keys?: readonly string[];
  /** Query files; each is asked in turn. */
  readonly files?: readonly string[];
  readonly options?: readonly string[];
  /** Writes the responses to files (-X), in a new folder within this one. */
  readonly extract?: string;
}

export async function findscu(asking: Asking): Promise<Answers> {
  const folder =
    asking.extract === undefined ? undefined : await fsp.mkdtemp(path.join(asking.extract, 'responses-'));
  const { output } = await run('findscu', [
    ...['-d', '-aet', asking.calling ?? 'TESTER', '-aec', asking.called ?? 'NODE', asking.model ?? '-S'],
    ...(folder === undefined ? [] : ['-X', '+sr', '-od', folder]),
    ...(asking.options ?? []),
    ...(asking.keys ?? []).flatMap((key) => ['-k', key]),
    ...['127.0.0.1', String(asking.port), ...(asking.files ?? [])],
  ]);
  const files = folder === undefined ? [] : (await fsp.readdir(folder)).sort();
  return {
    statuses: statusesOf(output),
    rows: rowsOf(output),
    files: files.map((file) => path.join(folder!, file)),
    comments: all(output, /\(0000,0902\) LO \[(.*?) *\]/g),
    offending: all(output, /\(0000,0901\) AT \((.*?)\)/g),
    output,
  };
}

const all = (text: string, pattern: RegExp): string[] =>
  [...text.matchAll(pattern)].map((match) => match[1]!);

/** The values of one keyword, in order. */
export function column({ rows }: Answers, keyword: string): string[] {
  return rows.map((row) => row[keyword] ?? '(absent)').sort();
}

/** Indentation, tag, VR, value, keyword: `  (0040,0009) SH [SPS1]  #   4, 1 ScheduledProcedureStepID`. */
const LINE = /^[DI]: ( *)\((\w{4},\w{4})\) (\w\w) (.*?) *# *(?:\d+|u\/l), *\d+ (.*)$/;

/** What stands behind each title, up to what DCMTK has to say next. */
function rowsOf(output: string): Record<string, string>[] {
  const [, ...texts] = output.split(/^[DI]: Response Identifiers: *$/m);
  return texts.map((text) => rowOf(text.split(/^[DI]: (?:Dcm|Received|Writing)/m)[0]!.split('\n')));
}

function rowOf(lines: readonly string[]): Record<string, string> {
  const row: Record<string, string> = {};
  const within: string[] = [];
  for (const line of lines) {
    const match = LINE.exec(line);
    if (match === null) continue;
    const [, indentation = '', tag = '', vr, shown = '', title = ''] = match;
    const depth = indentation.length / 2;
    const keyword = title.trim().startsWith('Unknown') ? tag : title.trim();
    // Items and their ends.
    if (vr === 'na') continue;
    within[depth] = keyword;
    const name = within.filter((_, index) => index <= depth && index % 2 === 0).join('.');
    if (vr === 'SQ') {
      row[name] = '';
      continue;
    }
    const value = valueOf(shown);
    row[name] = row[name] === undefined ? value : `${row[name]}|${value}`;
  }
  return row;
}

function valueOf(shown: string): string {
  if (shown === '(no value available)') return '';
  const text = /^\[([^]*)\]$/.exec(shown)?.[1] ?? shown;
  return text.replace(/[ \0]+$/, '');
}

const STUDY_ROOT_FIND = '1.2.840.10008.5.1.4.1.2.2.1';

/** Writes a query file as a workstation might keep it, with text of any character set. */
export async function writeQuery(file: string, elements: readonly Element[]): Promise<string> {
  const object = {
    SOPClassUID: STUDY_ROOT_FIND,
    SOPInstanceUID: `${UID_ROOT}.99`,
    StudyInstanceUID: '',
    SeriesInstanceUID: '',
    transferSyntax: TS.explicit,
    dataSet: encode([...elements].sort((a, b) => a.tag - b.tag)),
  };
  await fsp.writeFile(file, part10(object));
  return file;
}

/** Keys for the studies of a name, in the bytes of a character set. */
export function studiesOfName(set: string, name: Buffer): Element[] {
  const padded = name.length % 2 === 0 ? name : Buffer.concat([name, Buffer.from(' ')]);
  return [
    { tag: 0x00080005, vr: 'CS', value: set },
    { tag: 0x00080052, vr: 'CS', value: 'STUDY' },
    { tag: 0x00100010, vr: 'PN', value: padded },
    { tag: 0x0020000d, vr: 'UI', value: '' },
  ];
}
