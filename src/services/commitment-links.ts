import type { Scu } from '../dimse/scu';
import type { Association } from '../net/types';
import { COMMITMENT_CLASS } from './commitment-data';

/** An association on which a report can be made. */
export interface CommitmentLink {
  readonly association: Association;
  readonly scu: Pick<Scu, 'request'>;
  /** Of the accepted context. */
  readonly contextId: number;
  readonly transferSyntax: string;
}

interface Known extends CommitmentLink {
  /** When the peer last asked for something, in milliseconds of `performance.now()`. */
  askedAt: number;
}

/** The associations on which peers are SCU of storage commitment: where reports go that can't, or shall not, be made on a new one. */
export class CommitmentLinks {
  private readonly known = new Set<Known>();
  private readonly onLink: (remote: string, callingAETitle: string) => void;

  /** @param onLink Told of each one as it begins. Must not throw. */
  constructor(onLink: (remote: string, callingAETitle: string) => void) {
    this.onLink = onLink;
  }

  /** Looks at an association that a peer has opened. */
  attach(association: Association, scu: Pick<Scu, 'request'>): void {
    const { peer, contexts, roles } = association;
    const context = [...contexts.values()].find((row) => row.abstractSyntax === COMMITMENT_CLASS);
    if (peer === undefined || context === undefined) return;
    // A peer that is SCP alone reports to us.
    if (roles.find(({ sopClass }) => sopClass === COMMITMENT_CLASS)?.scu === false) return;
    const link: Known = {
      association,
      scu,
      contextId: context.id,
      transferSyntax: context.transferSyntax,
      askedAt: performance.now(),
    };
    this.known.add(link);
    void association.closed.then(() => this.known.delete(link));
    this.onLink(peer.name, association.callingAETitle);
  }

  /** A request came on it. */
  asked(association: Association): void {
    for (const link of this.known) if (link.association === association) link.askedAt = performance.now();
  }

  /**
   * An association of that remote and title that has been quiet for so many milliseconds: a peer that only asks has released it by then. The one
   * that asked last is waited for.
   * @returns undefined where there is none, or none any more.
   */
  async quiet(
    remote: string,
    callingAETitle: string,
    milliseconds: number,
    signal: AbortSignal,
  ): Promise<CommitmentLink | undefined> {
    for (;;) {
      const link = this.find(remote, callingAETitle);
      if (link === undefined || signal.aborted) return undefined;
      const left = link.askedAt + milliseconds - performance.now();
      if (left <= 0) return link;
      await pause(left, link.association, signal);
    }
  }

  private find(remote: string, callingAETitle: string): Known | undefined {
    return [...this.known]
      .filter(
        ({ association }) =>
          association.peer?.name === remote && association.callingAETitle === callingAETitle,
      )
      .sort((a, b) => b.askedAt - a.askedAt)[0];
  }
}

/** Until the time is over, the association ends or the signal comes. */
async function pause(milliseconds: number, association: Association, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const done = (): void => resolve(undefined);
  const timer = setTimeout(done, milliseconds);
  signal.addEventListener('abort', done, { once: true });
  void association.closed.then(done);
  await promise;
  clearTimeout(timer);
  signal.removeEventListener('abort', done);
}
