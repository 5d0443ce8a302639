import { Document, isScalar, visit } from 'yaml';
import type { Config, RemoteConfig } from './config';
import type { LoadedConfig } from './load';
import type { Path } from './problems';
import { pathText } from './problems';
import { durationText, reserveText, sizeText } from './values';

/** Where an effective value comes from. */
export interface Origin {
  readonly path: string;
  readonly value: unknown;
  readonly origin: 'default' | 'file' | 'environment';
  /** In the file, where it is there. */
  readonly line?: number;
  /** Environment variables that the value was made of. */
  readonly variables?: readonly string[];
}

/** The effective configuration in the grammar of the file: read again it gives the same. */
export function effective(config: Config): Record<string, unknown> {
  const { timeouts, log, storage } = config;
  return {
    version: config.version,
    aeTitles: config.aeTitles,
    listen: config.listen,
    storage: {
      directory: storage.directory,
      reserve: reserveText(storage.reserve),
      duplicates: storage.duplicates,
    },
    catalog: config.catalog,
    access: config.access,
    remotes: Object.fromEntries(config.remotes.map((remote) => [remote.name, remoteKeys(remote)])),
    limits: config.limits,
    timeouts: Object.fromEntries(Object.entries(timeouts).map(([key, ms]) => [key, durationText(ms)])),
    log: {
      level: log.level,
      format: log.format,
      ...(log.file === undefined ? {} : { file: log.file }),
      size: sizeText(log.size),
      count: log.count,
    },
  };
}

function remoteKeys(remote: RemoteConfig): Record<string, unknown> {
  const { aeTitle, hosts, port, allow, calledAeTitle, defaultCharset, unknownSyntaxes, duplicates } = remote;
  const { charset, lenient, findMatches, destinations, associations, transcode } = remote;
  const { forwardTo, retryFailed } = remote;
  const keys = {
    commit: remote.commit,
    port,
    allow,
    calledAeTitle,
    defaultCharset,
    unknownSyntaxes,
    duplicates,
    charset,
    lenient,
    findMatches,
    destinations,
    associations,
    transcode,
    forwardTo,
    retryFailed,
  };
  const set = Object.entries(keys).filter(([, value]) => value !== undefined);
  return { aeTitle, host: hosts.length === 1 ? hosts[0] : hosts, ...Object.fromEntries(set) };
}

/** Every value of the effective configuration with its origin; a list counts as one value. */
export function origins(loaded: LoadedConfig): Origin[] {
  const result: Origin[] = [];
  const walk = (value: unknown, path: Path): void => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      result.push({ path: pathText(path), value, ...originOf(loaded, path) });
    } else for (const [key, inner] of Object.entries(value)) walk(inner, [...path, key]);
  };
  walk(effective(loaded.config), []);
  return result;
}

function originOf({ document }: LoadedConfig, path: Path): Pick<Origin, 'origin' | 'line' | 'variables'> {
  if (!document.has(path)) return { origin: 'default' };
  const { line } = document.placeOf(path);
  const variables = document.variablesOf(path);
  return variables.length === 0 ? { origin: 'file', line } : { origin: 'environment', line, variables };
}

/** The effective configuration as YAML; with origins each value carries a comment. */
export function effectiveYaml(loaded: LoadedConfig, withOrigins: boolean): string {
  const document = new Document(effective(loaded.config), { aliasDuplicateObjects: false });
  visit(document, {
    Seq: (_key, node) => {
      node.flow = true;
    },
  });
  if (withOrigins) annotate(document, loaded);
  return document.toString({ lineWidth: 0 });
}

function annotate(document: Document, loaded: LoadedConfig): void {
  visit(document, {
    Pair: (_key, pair, ancestors) => {
      const path = [...ancestors, pair].flatMap((node) =>
        'key' in node && isScalar(node.key) ? [String(node.key.value)] : [],
      );
      const value = pair.value as { comment?: string | null; flow?: boolean } | null;
      if (value === null || !(isScalar(value) || value.flow === true)) return;
      const { origin, line, variables } = originOf(loaded, path);
      const where = line === undefined ? '' : `, line ${String(line)}`;
      value.comment = ` ${origin === 'environment' ? `environment ${(variables ?? []).join(', ')}` : origin}${where}`;
    },
  });
}
