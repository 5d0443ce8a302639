import { COMMAND } from '../../src/dimse/operations';
import { Session } from '../../src/dimse/session';
import { Listener } from '../../src/net/listener';
import type { AssociateRequest, Association } from '../../src/net/types';
import { storing, type Incoming } from './retrieve-scu';
import { OPEN_POLICY } from './upper-layer';

/** How a destination behaves; the defaults are those of a good one. */
export interface Behaviour {
  /** Rejects associations. */
  refuses?: boolean;
  /** Transfer syntaxes that it takes; default all. */
  takes?: readonly string[];
  /** Status of an object, the `count`th since `reset`. May first do something to the association. */
  answer?: (object: Incoming, count: number, association: Association) => number | Promise<number>;
  /** Before the answer to the A-ASSOCIATE-RQ. */
  delay?: () => Promise<void>;
}

/** A storage SCP in this process that does as it is told, as a destination of C-MOVE. */
export class StorePeer {
  behaviour: Behaviour = {};
  readonly requests: AssociateRequest[] = [];
  received: Incoming[] = [];
  /** Associations that stand now, and at most at the same time. */
  open = 0;
  mostOpen = 0;
  port = 0;
  private readonly associations = new Set<Association>();
  private listener!: Listener;

  static async start(): Promise<StorePeer> {
    const peer = new StorePeer();
    peer.listener = new Listener({
      host: '127.0.0.1',
      port: 0,
      limits: () => ({ associations: 100, associationsPerRemote: 100 }),
      timeouts: () => ({
        association: 5000,
        idle: 60_000,
        writeStall: 60_000,
        release: 2000,
        abortGrace: 100,
      }),
      implementation: { classUID: '2.25.43', versionName: 'STORE_PEER' },
      maximumLength: 131072,
      unavailable: () => undefined,
      policy: () => ({
        ...OPEN_POLICY,
        decideAccess: async (request) => {
          await peer.behaviour.delay?.();
          peer.requests.push(request);
          return peer.behaviour.refuses === true
            ? { accepted: false, rejection: { result: 1, source: 1, reason: 3 }, why: 'told to' }
            : { accepted: true, peer: { name: 'node', allow: new Set(['store']), unknownSyntaxes: true } };
        },
        negotiateContexts: ({ contexts }) =>
          contexts.map(({ id, transferSyntaxes }) => {
            const { takes } = peer.behaviour;
            const chosen = transferSyntaxes.find((syntax) => takes?.includes(syntax) ?? true);
            return chosen === undefined
              ? { id, result: 4, transferSyntax: '' }
              : { id, result: 0, transferSyntax: chosen };
          }),
      }),
      onAssociation: (association) => peer.serve(association),
      onRejected: () => undefined,
      onProtocolError: () => undefined,
      onFault: () => undefined,
    });
    peer.port = (await peer.listener.listen()).port;
    return peer;
  }

  /** A good one again, with nothing received. */
  reset(behaviour: Behaviour = {}): void {
    this.behaviour = behaviour;
    this.requests.length = 0;
    this.received = [];
    this.mostOpen = this.open;
  }

  async close(): Promise<void> {
    for (const association of this.associations) association.abort(0, 0, 'the test is over');
    await this.listener.close();
  }

  private serve(association: Association): void {
    this.associations.add(association);
    this.open++;
    this.mostOpen = Math.max(this.mostOpen, this.open);
    void association.closed.then(() => {
      this.open--;
      this.associations.delete(association);
    });
    new Session(association, {
      services: [
        {
          commandField: COMMAND['C-STORE'],
          handles: () => true,
          right: 'store',
          service: (request, context) =>
            storing(
              this.received,
              (object, count) => this.behaviour.answer?.(object, count, association) ?? 0,
            )(request, context),
        },
      ],
    });
  }
}
