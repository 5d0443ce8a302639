import { BlockList, SocketAddress, isIP, isIPv4 } from 'node:net';

/** `host` of a remote, one entry: an address or a CIDR range is a network, anything else a name. */
export type Host =
  | {
      readonly kind: 'network';
      readonly family: 'ipv4' | 'ipv6';
      readonly address: string;
      readonly prefix: number;
    }
  | { readonly kind: 'name'; readonly name: string };

/** Most characters of a host name (RFC 1035 2.3.4). */
const MAX_NAME = 253;
const LABEL = /^(?!-)[a-z0-9_-]{1,63}(?<!-)$/i;

/**
 * An address as rules are written: without a zone, and an IPv4-mapped IPv6 address (RFC 4291 2.5.5.2) as IPv4, which is how a listener on `::`
 * sees an IPv4 caller.
 */
export function plainAddress(address: string): string {
  const unzoned = address.replace(/%.*$/, '');
  if (isIP(unzoned) !== 6) return unzoned;
  const canonical = new SocketAddress({ address: unzoned, family: 'ipv6' }).address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(canonical);
  return mapped?.[1] ?? canonical;
}

/** Reads one host, or says what is wrong with it. */
export function parseHost(text: string): Host | { readonly kind: 'problem'; readonly problem: string } {
  const problem = (sentence: string) => ({ kind: 'problem', problem: sentence }) as const;
  if (text === '*') return problem('for any address write 0.0.0.0/0, and "::/0" for IPv6');
  if (text.includes('%')) return problem('write an address without its zone (the part after %)');
  const slash = text.indexOf('/');
  const base = slash < 0 ? text : text.slice(0, slash);
  const family = isIP(base);
  if (family === 0) {
    if (slash >= 0) return problem('a range is an address and a prefix length, as in 10.0.5.0/24');
    return parseName(text) ?? problem(nameProblem(text));
  }
  const bits = family === 4 ? 32 : 128;
  const suffix = slash < 0 ? String(bits) : text.slice(slash + 1);
  if (!/^\d{1,3}$/.test(suffix) || Number(suffix) > bits)
    return problem(`the prefix length after / is a number from 0 to ${String(bits)}`);
  const address = plainAddress(base);
  if (family === 6 && isIPv4(address)) {
    const prefix = Number(suffix) - 96;
    if (prefix < 0) return problem('write this IPv4-mapped range as IPv4');
    return { kind: 'network', family: 'ipv4', address, prefix };
  }
  return { kind: 'network', family: family === 4 ? 'ipv4' : 'ipv6', address, prefix: Number(suffix) };
}

function parseName(text: string): Host | undefined {
  const labels = text.replace(/\.$/, '').split('.');
  // All digits at the end is an address with a mistake in it (RFC 1123 2.1).
  if (
    text.length > MAX_NAME ||
    !labels.every((label) => LABEL.test(label)) ||
    /^\d+$/.test(labels.at(-1) ?? '')
  )
    return undefined;
  return { kind: 'name', name: text };
}

function nameProblem(text: string): string {
  if (/:\d+$/.test(text) && !text.includes('::')) return 'the port has a key of its own: port';
  if (/^[\d.]+$/.test(text)) return 'this is not an IPv4 address';
  return 'this is neither an address, a range such as 10.0.5.0/24, nor a host name';
}

/** Whether a host stands for one machine. */
export function isSingleHost(text: string): boolean {
  const host = parseHost(text);
  if (host.kind === 'problem') return false;
  return host.kind === 'name' || host.prefix === (host.family === 'ipv4' ? 32 : 128);
}

/** The hosts of one remote. IPv4 rules never match IPv6 callers and the reverse: `::/0` alone doesn't open the node to IPv4. */
export class HostMatcher {
  private readonly ipv4 = new BlockList();
  private readonly ipv6 = new BlockList();
  private readonly names: string[] = [];
  private readonly addressesOf: (name: string) => readonly string[];

  /** `addressesOf` gives the addresses last found for a name. Hosts that can't be read match nothing. */
  constructor(hosts: readonly string[], addressesOf: (name: string) => readonly string[]) {
    this.addressesOf = addressesOf;
    for (const text of hosts) {
      const host = parseHost(text);
      if (host.kind === 'name') this.names.push(host.name);
      else if (host.kind === 'network') this[host.family].addSubnet(host.address, host.prefix, host.family);
    }
  }

  /** `address` as `plainAddress` gives it. */
  matches(address: string): boolean {
    const version = isIP(address);
    if (version === 4 && this.ipv4.check(address, 'ipv4')) return true;
    if (version === 6 && this.ipv6.check(address, 'ipv6')) return true;
    return this.names.some((name) => this.addressesOf(name).includes(address));
  }
}
