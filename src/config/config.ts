import type { AddedAttribute } from '../dicom/attributes';
import type { LogLevel } from '../log';
import type { Right } from '../peer';
import { isSingleHost } from '../security/hosts';
import { isPattern } from '../security/titles';
import type { Reserve } from './values';

/** A peer, as configured. */
export interface RemoteConfig {
  readonly name: string;
  /** With `*` and `?`. */
  readonly aeTitle: string;
  readonly hosts: readonly string[];
  readonly port?: number;
  readonly allow: readonly Right[];
  readonly calledAeTitle?: string;
  readonly defaultCharset?: string;
  readonly unknownSyntaxes: boolean;
  readonly duplicates?: 'refuse' | 'replace';
  readonly commit?: 'new-association' | 'same-association';
  readonly charset?: string;
  readonly lenient?: boolean;
  readonly findMatches?: number;
  /** Names of remotes that can be called. */
  readonly destinations?: readonly string[];
  /** Default 1. */
  readonly associations?: number;
  /** Default `lossless`. */
  readonly transcode?: 'never' | 'lossless';
  /** Names of remotes that can be called. */
  readonly forwardTo?: readonly string[];
  readonly retryFailed?: boolean;
}

/** The effective configuration: validated, defaults filled in, paths absolute, frozen to the bottom. Durations are in ms, sizes in bytes. */
export interface Config {
  /** The file it was read from: absolute. */
  readonly file: string;
  readonly version: 1;
  /** The first is the node's own name. */
  readonly aeTitles: readonly [string, ...string[]];
  readonly listen: { readonly host: string; readonly port: number };
  readonly storage: {
    readonly directory: string;
    readonly reserve: Reserve;
    readonly duplicates: 'refuse' | 'replace';
  };
  readonly catalog: {
    /** Beside the built-in ones, in the file's order. */
    readonly attributes: readonly AddedAttribute[];
  };
  readonly access: {
    readonly unknownCallers: 'refuse' | 'accept';
    readonly calledAeTitle: 'check' | 'ignore';
  };
  /** In the file's order. */
  readonly remotes: readonly RemoteConfig[];
  readonly limits: {
    readonly associations: number;
    readonly associationsPerRemote: number;
    readonly pduLength: number;
    /** 0 = no limit. */
    readonly findMatches: number;
  };
  readonly timeouts: {
    readonly association: number;
    readonly idle: number;
    readonly response: number;
    readonly writeStall: number;
    readonly commit: number;
    readonly pending: number;
  };
  readonly log: {
    readonly level: LogLevel;
    readonly format: 'text' | 'json';
    readonly file?: string;
    readonly size: number;
    readonly count: number;
  };
}

/** A peer that this node can call. */
export interface Destination {
  readonly name: string;
  readonly aeTitle: string;
  readonly host: string;
  readonly port: number;
}

/** Where a remote is called, or why it can't be: it takes one title, one host and a port. */
export function destinationOf(
  remote: Pick<RemoteConfig, 'name' | 'aeTitle' | 'hosts'> & { readonly port?: number | undefined },
): Destination | { readonly missing: string } {
  const [host, ...others] = remote.hosts;
  if (isPattern(remote.aeTitle)) return { missing: 'an aeTitle without * and ?' };
  if (host === undefined || others.length > 0 || !isSingleHost(host))
    return { missing: 'a single address or name as host' };
  if (remote.port === undefined) return { missing: 'a port' };
  return { name: remote.name, aeTitle: remote.aeTitle, host, port: remote.port };
}

/** Freezes a value and all it holds. */
export function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFreeze);
  }
  return value;
}
