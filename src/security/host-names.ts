import { lookup as systemLookup } from 'node:dns/promises';
import { parseHost, plainAddress } from './hosts';

/** Finds the addresses of a name; rejects where it can't. */
export type Lookup = (name: string) => Promise<readonly string[]>;

/** Names are looked up again after so long. */
const REFRESH_MS = 60_000;

export interface HostNamesOptions {
  readonly lookup?: Lookup;
  /** Called when a name starts to fail, and when it is found again. */
  readonly onChange?: (name: string, state: 'found' | 'failed', detail: string) => void;
  /** Starts a repetition and returns what ends it; injected by tests. */
  readonly every?: (milliseconds: number, task: () => void) => () => void;
}

/**
 * Addresses of the host names in the configuration: resolved forward, each 60 s, keeping the last good answer while a name server is away. There
 * is no reverse look-up: a caller can't name itself.
 */
export class HostNames {
  private readonly names: readonly string[];
  private readonly lookup: Lookup;
  private readonly onChange: NonNullable<HostNamesOptions['onChange']>;
  private readonly every: NonNullable<HostNamesOptions['every']>;
  private readonly known = new Map<string, readonly string[]>();
  private readonly failing = new Set<string>();
  private running: Promise<void> | undefined;
  private stopTimer: (() => void) | undefined;
  private stopped = false;

  /** `hosts` as in the configuration: addresses and ranges among them need no look-up. */
  constructor(hosts: Iterable<string>, options: HostNamesOptions = {}) {
    this.names = [...new Set(hosts)].filter((host) => parseHost(host).kind === 'name');
    this.lookup = options.lookup ?? lookupAll;
    this.onChange = options.onChange ?? (() => undefined);
    this.every = options.every ?? everyUnreferenced;
  }

  /** Looks every name up and goes on doing so. Resolves after the first round; a hanging name server makes that long. */
  async start(): Promise<void> {
    if (this.names.length === 0) return;
    this.stopTimer = this.every(REFRESH_MS, () => void this.refresh());
    await this.refresh();
  }

  stop(): void {
    this.stopped = true;
    this.stopTimer?.();
  }

  /** The addresses last found; empty where none ever was. */
  readonly addressesOf = (name: string): readonly string[] => this.known.get(name) ?? [];

  private refresh(): Promise<void> {
    this.running ??= this.round().finally(() => {
      this.running = undefined;
    });
    return this.running;
  }

  /** One name after the other: getaddrinfo takes a thread of the pool that file writes need too. */
  private async round(): Promise<void> {
    for (const name of this.names) {
      if (this.stopped) return;
      try {
        const addresses = (await this.lookup(name)).map(plainAddress);
        if (addresses.length === 0) throw new Error('no address');
        const first = !this.known.has(name);
        this.known.set(name, addresses);
        if (this.failing.delete(name) || first) this.onChange(name, 'found', addresses.join(', '));
      } catch (error) {
        if (!this.failing.has(name)) {
          this.failing.add(name);
          this.onChange(name, 'failed', error instanceof Error ? error.message : String(error));
        }
      }
    }
  }
}

async function lookupAll(name: string): Promise<string[]> {
  return (await systemLookup(name, { all: true })).map((found) => found.address);
}

function everyUnreferenced(milliseconds: number, task: () => void): () => void {
  const timer = setInterval(task, milliseconds).unref();
  return () => clearInterval(timer);
}
