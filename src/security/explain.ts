import type { Right } from '../peer';
import { printable } from '../printable';
import type { AccessOptions, AccessRemote } from './access';
import { HostMatcher, parseHost } from './hosts';
import { compileTitle, isPattern, titleProblem } from './titles';

/** What access rules look at of an A-ASSOCIATE-RQ; the titles are trimmed, and otherwise whatever a peer chose to send. */
export interface Caller {
  readonly callingAETitle: string;
  readonly calledAETitle: string;
  readonly remoteAddress: string;
  readonly contexts: readonly { readonly abstractSyntax: string }[];
}

const quote = (text: string): string => `"${printable(text, 64)}"`;

/** Why a called title was refused, and which key would admit it. */
export function explainUnknownTitle(caller: Caller, options: AccessOptions): string {
  const { calledAETitle, callingAETitle, remoteAddress } = caller;
  const ours = options.aeTitles.map(quote).join(', ');
  const sameButCase = options.aeTitles.find((title) => title.toLowerCase() === calledAETitle.toLowerCase());
  const cause =
    sameButCase === undefined ? '' : ` (AE titles are case-sensitive: ${quote(sameButCase)} would do)`;
  return (
    `${quote(callingAETitle)} at ${printable(remoteAddress)} called ${quote(calledAETitle)}, and this node answers to ${ours}${cause}: ` +
    `correct the called AE title on that device, or add it to aeTitles in ${options.file}`
  );
}

/** Why a caller was refused: the nearest rule and the key that keeps it out, else the line that would let it in. */
export function explainUnknownCaller(caller: Caller, options: AccessOptions): string {
  const { callingAETitle, calledAETitle, remoteAddress } = caller;
  const who = `${quote(callingAETitle)} at ${printable(remoteAddress)}`;
  const ofTitle = options.remotes.filter((remote) => compileTitle(remote.aeTitle).matches(callingAETitle));
  const addressesOf = options.addressesOf ?? (() => []);
  const fits = (remote: AccessRemote): boolean =>
    new HostMatcher(remote.hosts, addressesOf).matches(remoteAddress);

  const otherTitle = ofTitle.find(fits);
  if (otherTitle !== undefined)
    return (
      `${who} called ${quote(calledAETitle)}, and remotes.${otherTitle.name}.calledAeTitle in ${options.file} ` +
      `allows only ${quote(otherTitle.calledAeTitle ?? '')}`
    );
  // The title alone says little where the rule takes any.
  const named = ofTitle.find((remote) => compileTitle(remote.aeTitle).prefix > 0);
  if (named !== undefined) {
    const unresolved = named.hosts.filter(
      (host) => parseHost(host).kind === 'name' && addressesOf(host).length === 0,
    );
    const why = unresolved.length === 0 ? '' : ` (no address was found yet for ${unresolved.join(', ')})`;
    return (
      `${who} has the title of remotes.${named.name}, whose host is ${named.hosts.join(', ')}${why}: ` +
      `if it is that device, write host: ${yamlList([...named.hosts, remoteAddress])} there in ${options.file}`
    );
  }
  return `${who} is not among the remotes: ${admission(caller, options)}`;
}

function admission(caller: Caller, options: AccessOptions): string {
  const { callingAETitle, remoteAddress } = caller;
  // A suggested line is pasted: a title that acts as a pattern there would open more than this device's door.
  if (isPattern(callingAETitle) || titleProblem(callingAETitle) !== undefined)
    return 'give that device an AE title of letters, digits, _ and - first';
  const name = freeName(callingAETitle, options.remotes);
  const rights = wantedRights(caller).join(', ');
  return (
    `to admit it add under remotes: in ${options.file} the line   ` +
    `${name}: { aeTitle: ${yamlText(callingAETitle)}, host: ${yamlText(remoteAddress)}, allow: [${rights}] }`
  );
}

function freeName(title: string, remotes: readonly AccessRemote[]): string {
  const base = title
    .toLowerCase()
    .replace(/[^a-z0-9_-]/g, '-')
    .replace(/^[^a-z]+/, 'remote-$&');
  const taken = new Set(['unknown', ...remotes.map((remote) => remote.name)]);
  for (let n = 1; ; n++) {
    const name = n === 1 ? base : `${base}-${String(n)}`;
    if (!taken.has(name)) return name;
  }
}

/** Rights that the proposed SOP classes are about; `echo` where none is. */
export function wantedRights(caller: Caller): Right[] {
  const wanted = new Set<Right>(['echo']);
  for (const { abstractSyntax } of caller.contexts) {
    const right = rightOf(abstractSyntax);
    if (right !== undefined) wanted.add(right);
  }
  return [...wanted];
}

function rightOf(abstractSyntax: string): Right | undefined {
  const uid = abstractSyntax.replace(/^1\.2\.840\.10008\./, '');
  if (uid === '1.20.1') return 'commit';
  if (uid.startsWith('5.1.4.1.1.')) return 'store';
  // Query/Retrieve models end in .1 FIND, .2 MOVE, .3 GET (PS3.4 C.6).
  const verb = /^5\.1\.4\.1\.2\.\d\.([123])$/.exec(uid)?.[1];
  return verb === undefined
    ? undefined
    : ({ 1: 'find', 2: 'move', 3: 'get' } as const)[verb as '1' | '2' | '3'];
}

/** A scalar for a flow collection: bare where it can't be read as anything but this text. */
function yamlText(text: string): string {
  const bare = /^[A-Za-z][A-Za-z0-9_.-]*$/.test(text) && !/^(true|false|null|yes|no|on|off)$/i.test(text);
  return bare || /^\d+\.\d+\.\d+\.\d+(\/\d+)?$/.test(text) ? text : JSON.stringify(text);
}

function yamlList(texts: readonly string[]): string {
  return `[${texts.map(yamlText).join(', ')}]`;
}
