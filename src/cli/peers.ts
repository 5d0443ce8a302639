import { isIP } from 'node:net';
import { type Config, destinationOf } from '../config/config';
import { didYouMean } from '../config/suggest';
import { EXIT, IsocenterError } from '../errors';
import { printable } from '../printable';
import { parseHost } from '../security/hosts';
import { isPattern, titleProblem } from '../security/titles';

/** Whom a command calls. */
export interface PeerAddress {
  /** The remote's name, or undefined for AET@HOST:PORT. */
  readonly name: string | undefined;
  readonly aeTitle: string;
  readonly host: string;
  readonly port: number;
}

/**
 * A remote's name, or AET@HOST:PORT (an IPv6 address in brackets).
 * @throws IsocenterError `PEER_UNKNOWN`, `PEER_INVALID` (exit 2)
 */
export function resolvePeer(config: Config, text: string): PeerAddress {
  if (text.includes('@')) return parseAddress(text);
  const remote = config.remotes.find(({ name }) => name === text);
  if (remote === undefined) {
    const names = config.remotes.map(({ name }) => name);
    throw new IsocenterError(
      'PEER_UNKNOWN',
      `there is no remote "${printable(text, 64)}" in ${config.file}${didYouMean(text, names)}`,
      { exitCode: EXIT.usage, hint: 'write the name of a remote, or AET@HOST:PORT' },
    );
  }
  const found = destinationOf(remote);
  if (!('missing' in found)) return found;
  throw new IsocenterError(
    'PEER_INVALID',
    `the remote "${text}" can't be called: it needs ${found.missing}`,
    {
      exitCode: EXIT.usage,
      hint: `add it to remotes.${text} in ${config.file}, or write AET@HOST:PORT`,
    },
  );
}

function parseAddress(text: string): PeerAddress {
  const at = text.lastIndexOf('@');
  const aeTitle = text.slice(0, at);
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text.slice(at + 1));
  const host = match?.[1] ?? match?.[2] ?? '';
  const port = Number(match?.[3]);
  const problem = addressProblem(aeTitle, host, port, match?.[1] !== undefined);
  if (problem === undefined) return { name: undefined, aeTitle, host, port };
  throw new IsocenterError('PEER_INVALID', `"${printable(text, 128)}" is no peer: ${problem}`, {
    exitCode: EXIT.usage,
    hint: 'write AET@HOST:PORT, such as ARCHIVE@10.0.4.30:104 or ARCHIVE@[2001:db8::1]:104',
  });
}

function addressProblem(aeTitle: string, host: string, port: number, bracketed: boolean): string | undefined {
  const title = titleProblem(aeTitle);
  if (title !== undefined) return title;
  if (isPattern(aeTitle)) return 'a title with * or ? can not be called';
  if (Number.isNaN(port)) return 'host and port are missing after the @, or an IPv6 address has no brackets';
  if (port < 1 || port > 65_535) return 'a port is a number from 1 to 65535';
  if (bracketed && isIP(host) !== 6) return 'only an IPv6 address stands in brackets';
  const parsed = parseHost(host);
  if (parsed.kind === 'problem') return parsed.problem;
  return host.includes('/') ? 'a range can not be called' : undefined;
}
