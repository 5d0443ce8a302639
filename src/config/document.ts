import { LineCounter, type Scalar, isAlias, isMap, isScalar, isSeq, parseDocument } from 'yaml';
import type { Document } from 'yaml';
import { printable } from '../printable';
import { substitute } from './environment';
import type { Path, Problem } from './problems';

/** A number or a boolean that was written without quotes; `source` keeps what YAML forgets, such as leading zeros. */
export class Unquoted {
  readonly value: number | boolean;
  readonly source: string;

  constructor(value: number | boolean, source: string) {
    this.value = value;
    this.source = source;
  }
}

/** Stands where a value could not be read and a problem says so: nothing more is to be said about it. */
export const BROKEN = Symbol('broken');

/** Scalars are `string` or `Unquoted`; a key without a value is left out (and in `empty`). */
export type Tree = string | Unquoted | typeof BROKEN | Tree[] | { [key: string]: Tree };

interface Place {
  readonly line: number;
  readonly column: number;
}

/** A YAML file as values and the places they stand at. */
export interface ConfigDocument {
  readonly tree: { readonly [key: string]: Tree };
  readonly problems: readonly Problem[];
  /** Keys that were written without a value. */
  readonly empty: readonly Path[];
  /** Place of the value, or of the nearest thing around it that is there. */
  placeOf(path: Path): Place;
  /** Place of the key, likewise. */
  keyPlaceOf(path: Path): Place;
  has(path: Path): boolean;
  /** Environment variables that went into the value or its parts. */
  variablesOf(path: Path): string[];
}

/** Deeper and larger documents than a configuration can be are refused before they are expanded: aliases multiply. */
const MAX_DEPTH = 16;
const MAX_NODES = 50_000;

const keyOf = (path: Path): string => JSON.stringify(path);

/**
 * Parses YAML 1.2. Problems are complete for what could be read; after an error of syntax the tree is empty, so that no consequence of it is
 * reported.
 */
export function readDocument(
  text: string,
  environment: Readonly<Record<string, string | undefined>>,
): ConfigDocument {
  const counter = new LineCounter();
  const placeAt = (offset: number): Place => {
    const { line, col } = counter.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const problems: Problem[] = [];
  const document = parse(text, counter);
  if (typeof document === 'string') problems.push({ line: 1, column: 1, path: [], message: document });
  else problems.push(...syntaxProblems(document, text, placeAt));

  const reader = new TreeReader(placeAt, environment);
  if (typeof document !== 'string' && problems.length === 0) reader.readRoot(document);
  problems.push(...reader.problems);
  return {
    tree: reader.tree,
    problems,
    empty: reader.empty,
    placeOf: (path) => reader.nearest(reader.values, path),
    keyPlaceOf: (path) => reader.nearest(reader.keys, path),
    has: (path) => reader.values.has(keyOf(path)),
    variablesOf: (path) => reader.variablesOf(path),
  };
}

function parse(text: string, counter: LineCounter): Document.Parsed | string {
  try {
    return parseDocument(text, { lineCounter: counter, prettyErrors: false, uniqueKeys: false });
  } catch {
    return 'this is not a YAML file that can be read: it is nested too deeply';
  }
}

class TreeReader {
  tree: { [key: string]: Tree } = {};
  readonly problems: Problem[] = [];
  readonly empty: Path[] = [];
  readonly values = new Map<string, Place>();
  readonly keys = new Map<string, Place>();
  private readonly variables: { readonly path: Path; readonly name: string }[] = [];
  private nodes = 0;
  private document: Document.Parsed | undefined;
  private readonly placeAt: (offset: number) => Place;
  private readonly environment: Readonly<Record<string, string | undefined>>;

  constructor(placeAt: (offset: number) => Place, environment: Readonly<Record<string, string | undefined>>) {
    this.placeAt = placeAt;
    this.environment = environment;
  }

  readRoot(document: Document.Parsed): void {
    this.document = document;
    const root = document.contents;
    if (isMap(root)) {
      this.tree = this.readMap(root.items, [], 0);
    } else {
      const message =
        root === null || (isScalar(root) && root.value === null)
          ? 'the file is empty: start from the config/isocenter.yaml that is shipped'
          : 'a configuration is keys with values, such as "version: 1"';
      this.problems.push({ line: 1, column: 1, path: [], message });
    }
  }

  nearest(places: ReadonlyMap<string, Place>, path: Path): Place {
    for (let length = path.length; length > 0; length--) {
      // A list's entries have no keys.
      const at = typeof path[length - 1] === 'number' ? this.values : places;
      const place = at.get(keyOf(path.slice(0, length)));
      if (place !== undefined) return place;
      // Below a missing key the nearest thing is the key of what surrounds it.
      places = this.keys;
    }
    return { line: 1, column: 1 };
  }

  variablesOf(path: Path): string[] {
    const within = this.variables.filter((use) => path.every((part, i) => use.path[i] === part));
    return [...new Set(within.map((use) => use.name))];
  }

  private report(node: unknown, path: Path, message: string): typeof BROKEN {
    this.problems.push({ ...this.placeOfNode(node), path, message });
    return BROKEN;
  }

  private placeOfNode(node: unknown): Place {
    const range = (node as { range?: [number, number, number] | null } | null)?.range;
    return this.placeAt(range?.[0] ?? 0);
  }

  private read(node: unknown, path: Path, depth: number): Tree {
    // Said once: every further node would say it again.
    if (++this.nodes > MAX_NODES)
      return this.nodes > MAX_NODES + 1
        ? BROKEN
        : this.report(node, path, 'this file expands to too many values');
    if (depth > MAX_DEPTH) return this.report(node, path, 'this is nested too deeply');
    const known = this.values.get(keyOf(path));
    if (known === undefined) this.values.set(keyOf(path), this.placeOfNode(node));
    if (isAlias(node)) {
      const target = this.document === undefined ? undefined : node.resolve(this.document);
      if (target === undefined)
        return this.report(
          node,
          path,
          `this starts with *, which YAML reads as an alias: write "*${node.source}"`,
        );
      return this.read(target, path, depth + 1);
    }
    if (isMap(node)) return this.readMap(node.items, path, depth);
    if (isSeq(node)) return node.items.map((item, i) => this.read(item, [...path, i], depth + 1));
    return isScalar(node) ? this.readScalar(node, path) : BROKEN;
  }

  private readMap(
    items: readonly { key: unknown; value: unknown }[],
    path: Path,
    depth: number,
  ): { [key: string]: Tree } {
    // Without a prototype: a key named __proto__ is a key like any other.
    const result = Object.create(null) as { [key: string]: Tree };
    for (const { key, value } of items) {
      if (!isScalar(key)) {
        this.report(key, path, 'a key has to be a word');
        continue;
      }
      const name = keyName(key);
      const at = [...path, name];
      const first = this.keys.get(keyOf(at));
      if (first !== undefined) {
        this.report(key, at, `this key is there twice, first on line ${String(first.line)}`);
        continue;
      }
      this.keys.set(keyOf(at), this.placeOfNode(key));
      if (value === null || (isScalar(value) && value.value === null)) {
        this.empty.push(at);
        this.values.set(keyOf(at), this.placeOfNode(key));
        continue;
      }
      // A group in block style starts on the line below: its key is the better place.
      if ((isMap(value) || isSeq(value)) && value.flow !== true)
        this.values.set(keyOf(at), this.placeOfNode(key));
      result[name] = this.read(value, at, depth + 1);
    }
    return result;
  }

  private readScalar(node: Scalar, path: Path): Tree {
    const { value } = node;
    if (typeof value === 'number' || typeof value === 'boolean')
      return new Unquoted(value, node.source ?? String(value));
    if (typeof value !== 'string') return this.report(node, path, 'a list entry without a value');
    const result = substitute(value, this.environment);
    for (const name of result.variables) this.variables.push({ path, name });
    for (const message of result.problems) this.report(node, path, message);
    return result.problems.length === 0 ? result.text : BROKEN;
  }
}

function keyName(key: Scalar): string {
  return typeof key.value === 'string' ? key.value : (key.source ?? String(key.value));
}

function syntaxProblems(
  document: Document.Parsed,
  text: string,
  placeAt: (offset: number) => Place,
): Problem[] {
  const said = new Set<string>();
  return [...document.errors, ...document.warnings].flatMap(({ code, message, pos }) => {
    const place = placeAt(pos[0]);
    const words = syntaxMessage(code, message, text, pos[0]);
    // One slip makes the parser stumble over the rest of the line too.
    const key = `${String(place.line)} ${words}`;
    if (said.has(key)) return [];
    said.add(key);
    return [{ ...place, path: [], message: words }];
  });
}

/** What the parser says, in words for somebody who writes YAML twice a year. */
function syntaxMessage(code: string, message: string, text: string, offset: number): string {
  const line = text.slice(text.lastIndexOf('\n', offset - 1) + 1).split(/\r?\n/, 1)[0] ?? '';
  if (code === 'TAB_AS_INDENT') return 'a tab in the indentation: YAML allows spaces only';
  if (code === 'BAD_ALIAS') return 'a * alone is an alias to YAML: write "*" in quotes';
  if (code === 'MULTIPLE_DOCS') return 'a second document starts here (---): one file is one configuration';
  // ${…} opens a flow mapping where it stands within { } or [ ].
  if (/[^"']\$\{/.test(line))
    return `inside { } or [ ] a \${VARIABLE} has to stand in quotes: "\${VARIABLE}"`;
  if (code === 'MISSING_CHAR' && message.startsWith('Implicit map keys'))
    return 'a key is followed by a colon and a space, as in "port: 11112"';
  if (code === 'BAD_SCALAR_START') return `${message}: put the value in quotes`;
  if (code === 'TAG_RESOLVE_FAILED') return `${message}: tags (words that start with !) have no meaning here`;
  return printable(message);
}
