/** What a caller may do; the words of `allow` in the configuration. */
export const RIGHTS = ['echo', 'store', 'find', 'get', 'move', 'commit'] as const;
export type Right = (typeof RIGHTS)[number];

/**
 * The remote that a caller was recognised as. `net` carries it without looking inside; services read it.
 */
export interface Peer {
  /** Its name in the configuration, or `unknown` under `unknownCallers: accept`. */
  readonly name: string;
  readonly allow: ReadonlySet<Right>;
  /** `duplicates` of this remote, where it differs from the node's. */
  readonly duplicates?: 'refuse' | 'replace';
  /** Character set assumed for data sets without (0008,0005): catalog only, bytes untouched. */
  readonly defaultCharset?: string;
  /** `false` refuses transfer syntaxes that are not in the table. */
  readonly unknownSyntaxes: boolean;
  /** Its queries may leave out the unique keys of upper levels, and name keys of lower ones, which are ignored then. */
  readonly lenient?: boolean;
  /** Character set of answers to it: a defined term, or several joined by `\`. Default: that of its request. */
  readonly charset?: string;
  /** `findMatches` of this remote, where it differs from the node's; 0 = no limit. */
  readonly findMatches?: number;
  /** Names of the remotes that it may name as destinations of C-MOVE; default all. */
  readonly destinations?: ReadonlySet<string>;
  /** `never`: it gets instances in the transfer syntax in which they are kept, or not at all. Default `lossless`. */
  readonly transcode?: 'never' | 'lossless';
  /** Names of the remotes that get what it stores. */
  readonly forwardTo?: readonly string[];
}
