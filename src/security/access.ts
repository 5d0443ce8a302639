import type { Peer, Right } from '../peer';
import { printable } from '../printable';
import { HostMatcher, plainAddress } from './hosts';
import { type Caller, explainUnknownCaller, explainUnknownTitle } from './explain';
import { type TitlePattern, compileTitle } from './titles';

/** What the access rules need of a remote in the configuration. */
export interface AccessRemote {
  readonly name: string;
  /** With `*` and `?`. */
  readonly aeTitle: string;
  /** Addresses, CIDR ranges and names; one of them has to fit. */
  readonly hosts: readonly string[];
  /** The only title of ours that this remote may call. */
  readonly calledAeTitle?: string;
  readonly allow: readonly Right[];
  readonly defaultCharset?: string;
  readonly unknownSyntaxes: boolean;
  readonly duplicates?: 'refuse' | 'replace';
  readonly charset?: string;
  readonly lenient?: boolean;
  readonly findMatches?: number;
  readonly destinations?: readonly string[];
  readonly transcode?: 'never' | 'lossless';
  readonly forwardTo?: readonly string[];
}

export interface AccessOptions {
  /** Titles that this node answers to. */
  readonly aeTitles: readonly string[];
  readonly unknownCallers: 'refuse' | 'accept';
  readonly calledAeTitle: 'check' | 'ignore';
  /** In the file's order. */
  readonly remotes: readonly AccessRemote[];
  /** The configuration file, for sentences that say what to change. */
  readonly file: string;
  /** Addresses last found for a host name. */
  readonly addressesOf?: (name: string) => readonly string[];
}

/** `net` takes it as its AccessDecision. */
export type Decision =
  | { readonly accepted: true; readonly peer: Peer }
  | {
      readonly accepted: false;
      readonly rejection: { readonly result: 1; readonly source: 1; readonly reason: 3 | 7 };
      readonly why: string;
    };

export interface Access {
  decide(caller: Caller): Decision;
}

/** Called AE title not recognised (PS3.8 9.3.4): rejected permanent, by the service user. */
const UNKNOWN_CALLED = { result: 1, source: 1, reason: 7 } as const;
/** Calling AE title not recognised (PS3.8 9.3.4): title or address. */
const UNKNOWN_CALLER = { result: 1, source: 1, reason: 3 } as const;

interface Rule {
  readonly remote: AccessRemote;
  readonly title: TitlePattern;
  readonly hosts: HostMatcher;
  readonly peer: Peer;
}

/**
 * The rules of `access` and `remotes`. The called title is looked at first. The caller is then the remote whose title, host and, where set, called
 * title all fit; an exact title beats a wildcard, a longer text before the first wildcard beats a shorter one, then the file's order
 * decides. Rights aren't added up.
 *
 * An AE title authenticates nobody (anyone can send any): the host is what a rule leans on.
 */
export function createAccess(options: AccessOptions): Access {
  const addressesOf = options.addressesOf ?? (() => []);
  // In order of precedence: the first that fits is the caller. The sort is stable, which keeps the file's order.
  const rules = options.remotes
    .map((remote) => compileRule(remote, addressesOf))
    .sort((a, b) => Number(b.title.exact) - Number(a.title.exact) || b.title.prefix - a.title.prefix);
  const stranger: Peer = { name: 'unknown', allow: new Set(['echo', 'store']), unknownSyntaxes: true };

  return {
    decide(caller) {
      const { calledAETitle, callingAETitle } = caller;
      if (options.calledAeTitle === 'check' && !options.aeTitles.includes(calledAETitle))
        return { accepted: false, rejection: UNKNOWN_CALLED, why: explainUnknownTitle(caller, options) };
      // PS3.5 6.2: a title that is all spaces is none.
      if (callingAETitle === '') {
        const why = `a caller at ${printable(caller.remoteAddress)} gave no calling AE title: set one on that device`;
        return { accepted: false, rejection: UNKNOWN_CALLER, why };
      }
      const address = plainAddress(caller.remoteAddress);
      const rule = rules.find(
        ({ remote, title, hosts }) =>
          title.matches(callingAETitle) &&
          (remote.calledAeTitle === undefined || remote.calledAeTitle === calledAETitle) &&
          hosts.matches(address),
      );
      if (rule !== undefined) return { accepted: true, peer: rule.peer };
      if (options.unknownCallers === 'accept') return { accepted: true, peer: stranger };
      const why = explainUnknownCaller({ ...caller, remoteAddress: address }, options);
      return { accepted: false, rejection: UNKNOWN_CALLER, why };
    },
  };
}

function compileRule(remote: AccessRemote, addressesOf: (name: string) => readonly string[]): Rule {
  return {
    remote,
    title: compileTitle(remote.aeTitle),
    hosts: new HostMatcher(remote.hosts, addressesOf),
    peer: {
      name: remote.name,
      allow: new Set(remote.allow),
      unknownSyntaxes: remote.unknownSyntaxes,
      ...(remote.duplicates === undefined ? {} : { duplicates: remote.duplicates }),
      ...(remote.defaultCharset === undefined ? {} : { defaultCharset: remote.defaultCharset }),
      ...(remote.charset === undefined ? {} : { charset: remote.charset }),
      ...(remote.lenient === undefined ? {} : { lenient: remote.lenient }),
      ...(remote.findMatches === undefined ? {} : { findMatches: remote.findMatches }),
      ...(remote.destinations === undefined ? {} : { destinations: new Set(remote.destinations) }),
      ...(remote.transcode === undefined ? {} : { transcode: remote.transcode }),
      ...(remote.forwardTo === undefined ? {} : { forwardTo: remote.forwardTo }),
    },
  };
}
