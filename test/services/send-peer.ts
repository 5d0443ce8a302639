import { Session } from '../../src/dimse/session';
import type { CommandSet, DimseRequest, DimseResponse, ServiceEntry } from '../../src/dimse/types';
import { Listener } from '../../src/net/listener';
import type { Proposal } from '../../src/net/negotiation';
import { connect } from '../../src/net/requestor';
import type { Association } from '../../src/net/types';
import { sha256 } from '../support/ledger-scu';
import { OPEN_POLICY, TIMEOUTS } from '../support/upper-layer';

/** One instance that came in whole. */
export interface Received {
  /** Counted from 1. */
  readonly association: number;
  readonly uid: string;
  readonly sha256: string;
  readonly transferSyntax: string;
  /** Requests that were under way when this one came. */
  readonly besides: number;
  readonly command: CommandSet;
}

export type Answer = DimseResponse | 'abort' | 'silence' | 'release';

/** A storage peer on a real socket that does with each instance what the test says. */
export class SendPeer {
  port = 0;
  received: Received[] = [];
  readonly associations: Association[] = [];
  readonly asked: { contexts: number; window: number | undefined }[] = [];
  answer: (uid: string, nth: number) => Answer | Promise<Answer> = () => ({ status: 0 });
  accepts: (sopClass: string, syntax: string) => boolean = () => true;
  /** False refuses a caller, counted from 1. */
  admits: (nth: number) => boolean = () => true;
  private calls = 0;
  private running = 0;
  private readonly listener: Listener;

  constructor() {
    this.listener = new Listener({
      host: '127.0.0.1',
      port: 0,
      limits: () => ({ associations: 50, associationsPerRemote: 50 }),
      timeouts: () => ({ ...TIMEOUTS, abortGrace: 100 }),
      policy: () => ({
        ...OPEN_POLICY,
        decideAccess: () =>
          this.admits(++this.calls)
            ? {
                accepted: true,
                peer: { name: 'x', allow: new Set(['store'] as const), unknownSyntaxes: true },
              }
            : { accepted: false, rejection: { result: 2, source: 3, reason: 2 }, why: 'the test says so' },
        negotiateContexts: (request) => {
          this.asked.push({ contexts: request.contexts.length, window: request.asyncWindow?.invoked });
          return request.contexts.map(({ id, abstractSyntax, transferSyntaxes }) => {
            const taken = transferSyntaxes.find((syntax) => this.accepts(abstractSyntax, syntax));
            return { id, result: taken === undefined ? 3 : 0, transferSyntax: taken ?? transferSyntaxes[0]! };
          });
        },
      }),
      implementation: { classUID: '2.25.1', versionName: 'TEST_PEER' },
      maximumLength: 16384,
      unavailable: () => undefined,
      onRejected: () => undefined,
      onProtocolError: () => undefined,
      onFault: (error) => {
        throw error;
      },
      onAssociation: (association) => this.serve(association),
    });
  }

  async listen(): Promise<void> {
    ({ port: this.port } = await this.listener.listen());
  }

  /** Takes no calls any more; what stands goes on. */
  close(): Promise<void> {
    return this.listener.close();
  }

  async end(): Promise<void> {
    for (const association of this.associations) association.abort(0, 0, 'the test ends');
    await this.listener.close();
  }

  readonly connect = (proposal: Proposal): Promise<Association> =>
    connect({
      ...proposal,
      host: '127.0.0.1',
      port: this.port,
      callingAETitle: 'SENDER',
      calledAETitle: 'PEER',
      implementation: { classUID: '2.25.1', versionName: 'X' },
      maximumLength: 16384,
      timeouts: { ...TIMEOUTS, abortGrace: 100 },
    });

  private serve(association: Association): void {
    this.associations.push(association);
    const number = this.associations.length;
    const take = (request: DimseRequest): Promise<Answer> => this.take(association, number, request);
    const store: ServiceEntry = {
      commandField: 1,
      handles: () => true,
      right: 'store',
      service: async function* (request) {
        const verdict = await take(request);
        if (typeof verdict !== 'string') yield verdict;
      },
    };
    new Session(association, { services: [store] });
  }

  private async take(
    association: Association,
    number: number,
    { command, context, dataSet }: DimseRequest,
  ): Promise<Answer> {
    const besides = this.running++;
    try {
      const parts: Buffer[] = [];
      for await (const part of dataSet!) parts.push(part);
      const uid = command.AffectedSOPInstanceUID!;
      const { transferSyntax } = context;
      const digest = sha256(Buffer.concat(parts));
      this.received.push({ association: number, uid, sha256: digest, transferSyntax, besides, command });
      const verdict = await this.answer(uid, this.received.length);
      if (verdict === 'abort') association.abort(0, 0, 'the test says so');
      else if (verdict === 'release') void association.release();
      if (typeof verdict === 'string') await association.closed;
      return verdict;
    } finally {
      this.running--;
    }
  }
}
