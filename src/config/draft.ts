import type { z } from 'zod';
import { BROKEN, type ConfigDocument, type Tree, Unquoted } from './document';
import { type Path, type Problem, pathText } from './problems';
import {
  REMOTE_NAME,
  ROOT_KEYS,
  type Section,
  keysOf,
  remote as remoteSchema,
  sections,
  withoutEffect,
} from './schema';
import { closest } from './suggest';

type Parsed = { [K in Section]?: z.output<(typeof sections)[K]> };
export type ParsedRemote = z.output<typeof remoteSchema> & { readonly name: string };

/** What could be read of a file: what is missing here has a problem of its own. */
export interface Draft {
  readonly sections: Parsed;
  readonly remotes: readonly ParsedRemote[];
  /** Every name under `remotes`, also of those that could not be read. */
  readonly remoteNames: readonly string[];
}

/** Reads every section and every remote on its own, so that one mistake does not hide another. */
export function readDraft(document: ConfigDocument, problems: Problem[], readable: boolean): Draft {
  const parsed: Record<string, unknown> = {};
  const remotes: ParsedRemote[] = [];
  const remoteNames: string[] = [];
  if (!readable) return { sections: parsed, remotes, remoteNames };

  const { tree } = document;
  for (const key of Object.keys(tree))
    if (!ROOT_KEYS.includes(key)) problems.push(unknownKey(document, [key], ROOT_KEYS));
  for (const path of document.empty) if (needsValue(path)) problems.push(emptyKey(document, path));
  for (const [name, schema] of Object.entries(sections)) {
    const result = schema.safeParse(groupOf(tree[name], schema));
    if (result.success) parsed[name] = result.data;
    else problems.push(...issuesToProblems(result.error, [name], tree[name], schema, document));
  }
  const entries = tree['remotes'];
  if (entries instanceof Unquoted || typeof entries === 'string' || Array.isArray(entries))
    problems.push({
      ...document.placeOf(['remotes']),
      path: ['remotes'],
      message: 'this has to be a group of names, each with the keys of a remote',
    });
  else if (typeof entries === 'object')
    for (const [name, raw] of Object.entries(entries)) {
      remoteNames.push(name);
      const path = ['remotes', name];
      const nameProblem = remoteNameProblem(name);
      if (nameProblem !== undefined)
        problems.push({ ...document.keyPlaceOf(path), path, message: nameProblem });
      const result = remoteSchema.safeParse(groupOf(raw, remoteSchema));
      if (result.success) remotes.push({ name, ...result.data });
      else problems.push(...issuesToProblems(result.error, path, raw, remoteSchema, document));
    }
  return { sections: parsed, remotes, remoteNames };
}

/** An `Unquoted` is an object, but no group of keys: zod is shown what it stands for. */
function groupOf(raw: Tree | undefined, schema: z.ZodType): unknown {
  return raw instanceof Unquoted && keysOf(schema) !== undefined ? raw.value : raw;
}

function remoteNameProblem(name: string): string | undefined {
  if (name === 'unknown') return 'this name is kept for callers that are no remote: choose another';
  if (REMOTE_NAME.test(name)) return undefined;
  return 'the name of a remote starts with a letter and holds letters, digits, _ and - (at most 64)';
}

/** Sections may be empty (everything in them commented out), other keys have to say something. */
function needsValue(path: Path): boolean {
  const [first, second, third] = path;
  if (path.length === 1) return first === 'version' || first === 'aeTitles';
  if (first === 'remotes')
    return path.length === 2 || (path.length === 3 && hasKey(remoteSchema, String(third)));
  const schema = sections[first as Section] as z.ZodType | undefined;
  return schema !== undefined && path.length === 2 && hasKey(schema, String(second));
}

function emptyKey(document: ConfigDocument, path: Path): Problem {
  const message =
    path.length === 2 && path[0] === 'remotes'
      ? 'this remote has no keys: it needs aeTitle and host'
      : 'there is no value: write one, or take the line out';
  return { ...document.keyPlaceOf(path), path, message };
}

function unknownKey(document: ConfigDocument, path: Path, known: readonly string[]): Problem {
  const key = String(path.at(-1));
  const near = closest(key, known);
  const place = near === undefined ? placesOfKey(key) : [];
  const hint =
    near !== undefined
      ? ` - did you mean "${near}"?`
      : place.length > 0
        ? ` - it belongs under ${place.join(' or ')}`
        : '';
  const message =
    key === '<<'
      ? 'merge keys are not supported: write the keys out, or use an alias for a single value'
      : `unknown key${hint}`;
  return { ...document.keyPlaceOf(path), path, message };
}

function hasKey(schema: z.ZodType, key: string): boolean {
  return Object.hasOwn(keysOf(schema) ?? {}, key);
}

/** Where a key exists that was written in the wrong place. */
function placesOfKey(key: string): string[] {
  const places = Object.entries(sections)
    .filter(([, schema]) => !withoutEffect.has(schema) && hasKey(schema, key))
    .map(([name]) => name);
  return hasKey(remoteSchema, key) ? [...places, 'a remote'] : places;
}

function issuesToProblems(
  error: z.ZodError,
  base: Path,
  raw: unknown,
  schema: z.ZodType,
  document: ConfigDocument,
): Problem[] {
  return error.issues.flatMap((issue) => {
    const relative = issue.path.map((part) => (typeof part === 'number' ? part : String(part)));
    if (issue.code === 'unrecognized_keys')
      return issue.keys.map((key) =>
        unknownKey(document, [...base, ...relative, key], Object.keys(keysOf(schema, relative) ?? {})),
      );
    const { path, value } = existing(base, relative, raw);
    if (value === BROKEN || (value === undefined && document.has(path))) return [];
    const message = issueText(issue, value);
    return [{ ...document.placeOf(path), path, message }];
  });
}

function issueText(issue: z.core.$ZodIssue, value: unknown): string {
  if (issue.code === 'invalid_type' && issue.expected === 'object') return 'this has to be a group of keys';
  return issue.code === 'too_small' && value === undefined ? 'is missing' : issue.message;
}

/** A single value is read as a list of one: its path in the file is the list's. */
function existing(base: Path, relative: Path, raw: unknown): { path: Path; value: unknown } {
  let value: unknown = raw;
  const path = [...base];
  for (const part of relative) {
    if (typeof part === 'number' && !Array.isArray(value)) break;
    path.push(part);
    value =
      typeof value === 'object' && value !== null
        ? (value as Readonly<Record<string | number, unknown>>)[part]
        : undefined;
  }
  return { path, value };
}

/** Keys that are set and that this version does nothing with. */
export function findWithoutEffect(document: ConfigDocument): Problem[] {
  const candidates: { path: Path; schema: z.ZodType }[] = [];
  for (const [name, schema] of Object.entries(sections)) {
    candidates.push({ path: [name], schema });
    for (const [key, inner] of Object.entries(keysOf(schema) ?? {}))
      // One warning speaks for a whole section.
      if (!withoutEffect.has(schema)) candidates.push({ path: [name, key], schema: inner });
  }
  const entries = document.tree['remotes'];
  if (typeof entries === 'object')
    for (const name of Object.keys(entries))
      for (const [key, schema] of Object.entries(keysOf(remoteSchema) ?? {}))
        candidates.push({ path: ['remotes', name, key], schema });
  return candidates
    .filter(({ path, schema }) => withoutEffect.has(schema) && document.has(path))
    .map(({ path }) => ({
      ...document.keyPlaceOf(path),
      path,
      message: `${pathText(path.slice(-1))} has no effect in this version`,
    }));
}
