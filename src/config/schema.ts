import { z } from 'zod';
import { RIGHTS } from '../peer';
import * as read from './values';

/** Keys that are known and read, but whose feature is not in this version: they have no effect, and the user is told. */
export const withoutEffect = new WeakSet<z.ZodType>();

/** A value that one reader understands; its problems become issues, and a key that is needed says so. */
function value<T>(reader: read.Reader<T>) {
  return z.unknown().transform((raw, context): T => {
    const result = raw === undefined ? { problem: 'is missing' } : reader(raw);
    if ('value' in result) return result.value;
    context.addIssue({ code: 'custom', message: result.problem });
    return z.NEVER;
  });
}

/** A list; a single value is a list of one. */
function list<T>(reader: read.Reader<T>, minimum = 0) {
  return z.preprocess(
    (raw): unknown => {
      if (raw === undefined) return [];
      return Array.isArray(raw) ? raw : [raw];
    },
    z.array(value(reader)).min(minimum, 'needs at least one entry'),
  );
}

function unbuilt<T extends z.ZodType>(schema: T, doc: string): z.ZodOptional<T> {
  const result = schema.optional().describe(doc);
  withoutEffect.add(result);
  return result;
}

/** A key that promises protection this version can't give: never accepted in silence. */
function refused(doc: string, why: string) {
  return value<undefined>(() => ({ problem: `not available in this version: ${why}` }))
    .optional()
    .describe(doc);
}

const NO_TLS = 'the node would speak without encryption; take the key out';

const listen = z.strictObject({
  host: value(read.listenHost)
    .default('0.0.0.0')
    .describe('Address to listen on; 0.0.0.0 = every IPv4 interface, "::" = IPv6 and IPv4.'),
  port: value(read.integer(0, 65_535))
    .default(11_112)
    .describe(
      'TCP port; 0 = any free one, which the log names. Ports below 1024 need a right of the system.',
    ),
  tls: refused('A second listener with TLS.', NO_TLS),
  plain: refused('false = TLS only.', NO_TLS),
});

const storage = z.strictObject({
  directory: value(read.text)
    .default('../data')
    .describe('Folder of everything that is kept; relative to the configuration file.'),
  reserve: value(read.reserve)
    .default({ percent: 5 })
    .describe(
      'Free space below which C-STORE is answered A700 (out of resources): 5% or 2GiB. Nothing is ever deleted to make room.',
    ),
  duplicates: value(read.oneOf(['refuse', 'replace']))
    .default('refuse')
    .describe(
      'A known SOP Instance UID with other bytes: refuse (0111, the new copy goes to quarantine) or replace (the old one stays as a version).',
    ),
});

/** Each one is a column, and a value in every row: a bound before the catalog grows beyond its use. */
const MOST_ATTRIBUTES = 64;

const addedAttribute = z.strictObject({
  keyword: value(read.addableKeyword).describe('Keyword of the standard.'),
  level: value(read.attributeLevel).describe('Where it is kept: patient, study, series or instance.'),
});

const catalog = z.strictObject({
  attributes: z
    .array(
      addedAttribute,
      'this has to be a list of entries such as { keyword: StudyComments, level: study }',
    )
    .max(MOST_ATTRIBUTES, `at most ${MOST_ATTRIBUTES} attributes can be added`)
    .default([])
    .describe(
      'Attributes to answer queries with beside the built-in ones. For instances that are there already they are filled in the background after the next start.',
    ),
});

const access = z.strictObject({
  unknownCallers: value(read.oneOf(['refuse', 'accept']))
    .default('refuse')
    .describe('Callers that are no remote: refuse, or accept for echo and store only.'),
  calledAeTitle: value(read.oneOf(['check', 'ignore']))
    .default('check')
    .describe('check = callers must call one of aeTitles; ignore = any called title will do.'),
});

const limits = z.strictObject({
  associations: value(read.integer(1, 10_000))
    .default(200)
    .describe('Associations at a time; one more is answered 2/3/2 (local limit exceeded).'),
  associationsPerRemote: value(read.integer(1, 10_000))
    .default(20)
    .describe('Associations at a time from one remote.'),
  pduLength: value(read.size(4096, 1_048_576))
    .default(131_072)
    .describe('Largest P-DATA PDU, in bytes, that is announced and taken.'),
  findMatches: value(read.integer(0, 1_000_000_000))
    .default(0)
    .describe('Most matches of a C-FIND: a query that has more is refused (A700), never cut; 0 = no limit.'),
});

const timeouts = z.strictObject({
  association: value(read.duration)
    .default(10_000)
    .describe('From the connection to a complete A-ASSOCIATE-RQ, and the ARTIM timer (PS3.8 9.1.5).'),
  idle: value(read.duration)
    .default(60_000)
    .describe('An association without any operation for so long is aborted.'),
  response: value(read.duration)
    .default(120_000)
    .describe('Wait for the next bytes of a message, or for a response, from a peer.'),
  writeStall: value(read.duration)
    .default(60_000)
    .describe('A peer that takes no bytes for so long is aborted.'),
  commit: value(read.duration)
    .default(60_000)
    .describe(
      'Instances of a storage commitment request that are not held yet are looked for again for so long; then they are reported as not held (0112).',
    ),
  pending: value(read.duration)
    .default(5000)
    .describe(
      'Time between two Pending responses of a C-MOVE or C-GET; the first comes after the first instance.',
    ),
});

const log = z.strictObject({
  level: value(read.oneOf(['error', 'warn', 'info', 'debug']))
    .default('info')
    .describe('error, warn, info or debug.'),
  format: value(read.oneOf(['text', 'json']))
    .default('text')
    .describe('text or json, one line an event.'),
  file: value(read.text)
    .optional()
    .describe('A file instead of standard output; relative to the configuration file. Reopened on SIGUSR2.'),
  size: value(read.size(1024, 2 ** 40))
    .default(20 * 2 ** 20)
    .describe('Size at which the log file is rotated.'),
  count: value(read.integer(2, 1000)).default(10).describe('Log files kept, the current one included.'),
});

/** One entry of `remotes`. */
export const remote = z.strictObject({
  aeTitle: value(read.aeTitlePattern).describe(
    'AE title that it calls with, and is called by; * and ? are wildcards.',
  ),
  host: list(read.host, 1).describe('Address, CIDR range or host name, or a list of them.'),
  port: value(read.integer(1, 65_535)).optional().describe('Port it listens on, where this node calls it.'),
  allow: list(read.oneOf(RIGHTS)).describe(`What it may do here: ${RIGHTS.join(', ')}. Nothing by default.`),
  calledAeTitle: value(read.aeTitle).optional().describe('The one of aeTitles that it has to call.'),
  defaultCharset: value(read.characterSet)
    .optional()
    .describe('Character set of its data sets without (0008,0005); for the catalog only, the bytes stay.'),
  unknownSyntaxes: value(read.truth)
    .default(true)
    .describe('false refuses transfer syntaxes that this node does not know.'),
  duplicates: value(read.oneOf(['refuse', 'replace']))
    .optional()
    .describe('As storage.duplicates, for this remote.'),
  tls: unbuilt(
    value<false>((raw) => {
      const result = read.truth(raw);
      if ('problem' in result) return result;
      return result.value ? { problem: `not available in this version: ${NO_TLS}` } : { value: false };
    }),
    'Speak TLS with it.',
  ),
  certificate: refused('Certificate that it has to show.', 'nobody would check it; take the key out'),
  user: refused('User identity that it has to give.', 'nobody would check it; take the key out'),
  charset: value(read.characterSet)
    .optional()
    .describe(
      'Character set of answers to it, instead of that of its request; where it can not hold a value, ISO_IR 192.',
    ),
  lenient: value(read.truth)
    .optional()
    .describe(
      'true answers its queries without the unique keys of upper levels, and with keys of lower ones.',
    ),
  findMatches: value(read.integer(0, 1_000_000_000))
    .optional()
    .describe('As limits.findMatches, for this remote.'),
  destinations: list(read.text)
    .optional()
    .describe(
      'Names of the remotes that it may move instances to (C-MOVE); without it all that can be called.',
    ),
  associations: value(read.integer(1, 64))
    .optional()
    .describe('Associations at a time over which it is sent instances, all moves together; default 1.'),
  transcode: value(read.oneOf(['never', 'lossless']))
    .optional()
    .describe(
      'Of instances in a transfer syntax that it does not take: lossless (default) = sent in one that it takes, without loss; never = not sent.',
    ),
  retryFailed: value(read.truth)
    .optional()
    .describe(
      'true: instances of a C-MOVE to this remote that it did not get are tried again later; the caller is told the truth all the same.',
    ),
  forwardTo: list(read.text)
    .optional()
    .describe('Remotes that get what it stores, however long they can not be reached.'),
  commit: value(read.oneOf(['new-association', 'same-association']))
    .optional()
    .describe(
      'How it is told what came of its storage commitment requests: new-association = this node calls it, the default where it has one aeTitle, host and port; same-association = on the one that it asked on, or on its next one.',
    ),
});

const admin = z.strictObject({
  host: value(read.listenHost).optional().describe('Address of the admin port.'),
  port: value(read.integer(0, 65_535)).optional().describe('Port of the admin interface.'),
});

/** The file's keys but `remotes`, whose entries are read one by one. */
export const sections = {
  version: value((raw) => {
    const result = read.integer(0, 1_000_000)(raw);
    if ('problem' in result) return result;
    return result.value === 1 ? { value: 1 as const } : { problem: 'this isocenter reads version 1' };
  }).describe('Version of this format: 1.'),
  aeTitles: list(read.aeTitle, 1)
    .default(['ISOCENTER'])
    .describe('Called AE titles that this node answers to; the first is its own name.'),
  listen: listen.prefault({}).describe('Where the node listens.'),
  storage: storage.prefault({}).describe('Where the node keeps what it receives.'),
  catalog: catalog.prefault({}).describe('What is known of each instance without opening its file.'),
  access: access.prefault({}).describe('Who gets in.'),
  limits: limits.prefault({}).describe('Upper bounds.'),
  timeouts: timeouts.prefault({}).describe('Durations: 500ms, 10s, 2m, 1h.'),
  admin: unbuilt(admin, 'Loopback HTTP: health, metrics and the API behind the commands.'),
  log: log.prefault({}).describe('What the node says of itself; never patient data.'),
} as const;

export type Section = keyof typeof sections;

/** Keys at the root of the file. */
export const ROOT_KEYS = [...Object.keys(sections), 'remotes'];

/** Remotes are named by words that start with a letter: a name stands in commands, log lines and paths of problems. */
export const REMOTE_NAME = /^[A-Za-z][A-Za-z0-9_-]{0,63}$/;

/** The keys of a section or of a remote, or of what is in it at a path, with their schemas; undefined for what has none. */
export function keysOf(
  schema: z.ZodType,
  path: readonly (string | number)[] = [],
): Readonly<Record<string, z.ZodType>> | undefined {
  let inner: unknown = schema;
  while (inner instanceof z.ZodPrefault || inner instanceof z.ZodOptional || inner instanceof z.ZodDefault)
    inner = inner.unwrap();
  const [part, ...rest] = path;
  if (part !== undefined && inner instanceof z.ZodArray) return keysOf(inner.element as z.ZodType, rest);
  const keys = inner instanceof z.ZodObject ? (inner.shape as Record<string, z.ZodType>) : undefined;
  const next = part === undefined ? undefined : keys?.[part];
  if (part === undefined) return keys;
  return next === undefined ? undefined : keysOf(next, rest);
}
