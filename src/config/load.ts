import { readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { z } from 'zod';
import { EXIT, IsocenterError, errorMessage } from '../errors';
import { checkMeaning } from './check';
import { type Config, type RemoteConfig, deepFreeze } from './config';
import { type ConfigDocument, readDocument } from './document';
import { type Draft, type ParsedRemote, findWithoutEffect, readDraft } from './draft';
import { ConfigInvalid, type Problem } from './problems';
import type { Section, sections } from './schema';

/** A configuration is a few hundred lines; more than this is some other file. */
const MAX_FILE = 1024 * 1024;

export type Environment = Readonly<Record<string, string | undefined>>;

export interface LoadedConfig {
  readonly config: Config;
  /** Keys that are set and have no effect in this version. */
  readonly warnings: readonly Problem[];
  /** The name under which the file was asked for; problems are reported with it. */
  readonly file: string;
  readonly document: ConfigDocument;
}

/**
 * Reads a configuration file. Variables come from `environment`; nothing else does.
 * @throws IsocenterError `CONFIG_INVALID` (exit 78) with every problem, one a line, and `CONFIG_UNREADABLE` (exit 78).
 */
export function loadConfig(file: string, environment: Environment): LoadedConfig {
  return parseConfig(file, readText(file), environment);
}

function readText(file: string): string {
  const unreadable = (why: string, hint: string, cause?: unknown): never => {
    throw new IsocenterError('CONFIG_UNREADABLE', `the configuration file ${file} ${why}`, {
      exitCode: EXIT.configuration,
      hint,
      ...(cause === undefined ? {} : { cause }),
    });
  };
  let bytes: Buffer;
  try {
    const stat = statSync(file);
    if (!stat.isFile()) return unreadable('is not a file', 'name a YAML file with --config FILE');
    if (stat.size > MAX_FILE)
      return unreadable('is larger than 1 MiB', 'is it the right file? --config FILE names another');
    bytes = readFileSync(file);
  } catch (error) {
    if (error instanceof IsocenterError) throw error;
    return unreadable(
      `cannot be read: ${errorMessage(error)}`,
      'name one with --config FILE or ISOCENTER_CONFIG',
      error,
    );
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return unreadable('is not UTF-8 text', 'save it as UTF-8');
  }
}

/** The text of a file, checked. `file` names it in problems, and its folder is where relative paths start. */
export function parseConfig(file: string, text: string, environment: Environment): LoadedConfig {
  const document = readDocument(text, environment);
  const problems: Problem[] = [...document.problems];
  const readable = document.problems.every((problem) => problem.path.length > 0);
  const draft = readDraft(document, problems, readable);
  if (readable) problems.push(...checkMeaning(draft, document));
  if (problems.length > 0) throw new ConfigInvalid(file, problems);
  const config = deepFreeze(build(resolve(file), draft));
  return { config, warnings: findWithoutEffect(document), file, document };
}

/** The sections that `build` needs; with no problem found, all are there. */
function need<K extends Section>(draft: Draft, key: K): z.output<(typeof sections)[K]> {
  const found = draft.sections[key];
  if (found === undefined) throw new Error(`section ${key} was neither read nor refused`);
  return found;
}

function build(file: string, draft: Draft): Config {
  const folder = dirname(file);
  const [first = 'ISOCENTER', ...others] = need(draft, 'aeTitles');
  const { host, port } = need(draft, 'listen');
  const storage = need(draft, 'storage');
  const { associations, associationsPerRemote, pduLength, findMatches } = need(draft, 'limits');
  const { commit, association, idle, response, writeStall, pending } = need(draft, 'timeouts');
  const { file: logFile, ...log } = need(draft, 'log');
  return {
    file,
    version: need(draft, 'version'),
    aeTitles: [first, ...others],
    listen: { host, port },
    storage: { ...storage, directory: resolve(folder, storage.directory) },
    catalog: need(draft, 'catalog'),
    access: need(draft, 'access'),
    remotes: draft.remotes.map(buildRemote),
    limits: { associations, associationsPerRemote, pduLength, findMatches },
    timeouts: { association, idle, response, writeStall, commit, pending },
    log: { ...log, ...(logFile === undefined ? {} : { file: resolve(folder, logFile) }) },
  };
}

function buildRemote(remote: ParsedRemote): RemoteConfig {
  const { name, aeTitle, host, port, allow, calledAeTitle, defaultCharset, unknownSyntaxes, duplicates } =
    remote;
  const { charset, lenient, findMatches, forwardTo, retryFailed, destinations, associations, transcode } =
    remote;
  return {
    name,
    aeTitle,
    hosts: host,
    allow,
    unknownSyntaxes,
    ...(port === undefined ? {} : { port }),
    ...(calledAeTitle === undefined ? {} : { calledAeTitle }),
    ...(defaultCharset === undefined ? {} : { defaultCharset }),
    ...(duplicates === undefined ? {} : { duplicates }),
    ...(remote.commit === undefined ? {} : { commit: remote.commit }),
    ...(charset === undefined ? {} : { charset }),
    ...(lenient === undefined ? {} : { lenient }),
    ...(findMatches === undefined ? {} : { findMatches }),
    ...(destinations === undefined ? {} : { destinations: [...new Set(destinations)] }),
    ...(associations === undefined ? {} : { associations }),
    ...(transcode === undefined ? {} : { transcode }),
    ...(forwardTo === undefined ? {} : { forwardTo: [...new Set(forwardTo)] }),
    ...(retryFailed === undefined ? {} : { retryFailed }),
  };
}
