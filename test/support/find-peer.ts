import { decodeDataSet, encodeDataSet, type DataElement, type DataSet } from '../../src/dicom/data-set';
import { tagOf, vrOf } from '../../src/dicom/dictionary';
import { Session } from '../../src/dimse/session';
import type { DimseRequest, DimseResponse, ServiceContext } from '../../src/dimse/types';
import { Listener } from '../../src/net/listener';
import type { Association, ExtendedNegotiation } from '../../src/net/types';
import { OPEN_POLICY, TIMEOUTS } from './upper-layer';

/** An element by keyword or tag; text is written as Latin-1, so that a test can give bytes of any character set. */
export type Given = Readonly<Record<string, string | Buffer | readonly DataSet[]>>;

/** A data set from keywords, or tags of eight digits. */
export function dataSet(given: Given): DataSet {
  return Object.entries(given).map(([name, value]): DataElement => {
    const tag = tagOf(name) ?? Number.parseInt(name, 16);
    if (typeof value === 'string') return { tag, vr: vrOf(tag), value: Buffer.from(value, 'latin1') };
    return Buffer.isBuffer(value) ? { tag, vr: vrOf(tag), value } : { tag, vr: 'SQ', items: value };
  });
}

/** A response with an identifier. */
export interface Row {
  readonly status: number;
  readonly row: Given | Buffer;
}

/** What a peer answers to C-FIND, in order; the last one is final. */
export type Answer = (
  identifier: DataSet,
  context: ServiceContext,
) => AsyncIterable<Row | DimseResponse> | Iterable<Row | DimseResponse>;

/** An archive on a real socket that answers what a test says. */
export class FindPeer {
  answer: Answer = () => [{ status: 0 }];
  /** Chosen where it is proposed. */
  syntax = '1.2.840.10008.1.2.1';
  accepts: (sopClass: string) => boolean = () => true;
  extended: (offered: readonly ExtendedNegotiation[]) => ExtendedNegotiation[] = () => [];
  /** Identifiers that came, and extended negotiation that was offered. */
  readonly asked: DataSet[] = [];
  readonly offered: ExtendedNegotiation[] = [];
  readonly associations: Association[] = [];
  /** Operations that were cancelled. */
  cancels = 0;
  private listener: Listener | undefined;

  async start(): Promise<number> {
    this.listener = new Listener({
      host: '127.0.0.1',
      port: 0,
      limits: () => ({ associations: 20, associationsPerRemote: 20 }),
      timeouts: () => ({ ...TIMEOUTS, abortGrace: 100 }),
      policy: () => ({
        ...OPEN_POLICY,
        decideAccess: () => ({
          accepted: true,
          peer: { name: 'x', allow: new Set(['find'] as const), unknownSyntaxes: true },
        }),
        negotiateContexts: ({ contexts }) =>
          contexts.map(({ id, abstractSyntax, transferSyntaxes }) => ({
            id,
            result: !this.accepts(abstractSyntax) ? 3 : transferSyntaxes.includes(this.syntax) ? 0 : 4,
            transferSyntax: this.syntax,
          })),
        negotiateExtended: ({ extendedNegotiation }) => {
          this.offered.push(...extendedNegotiation);
          return this.extended(extendedNegotiation);
        },
      }),
      implementation: { classUID: '2.25.1', versionName: 'FIND_PEER' },
      maximumLength: 16384,
      unavailable: () => undefined,
      onRejected: () => undefined,
      onProtocolError: () => undefined,
      onFault: (error) => {
        throw error;
      },
      onAssociation: (association) => this.serve(association),
    });
    return (await this.listener.listen()).port;
  }

  /** Forgets what a test has set and what came. */
  reset(): void {
    this.answer = () => [{ status: 0 }];
    this.syntax = '1.2.840.10008.1.2.1';
    this.accepts = () => true;
    this.extended = () => [];
    this.cancels = 0;
    for (const list of [this.asked, this.offered, this.associations]) list.length = 0;
  }

  async stop(): Promise<void> {
    for (const association of this.associations) association.abort(0, 0, 'the test ends');
    await this.listener?.close();
  }

  private serve(association: Association): void {
    this.associations.push(association);
    new Session(association, {
      services: [
        {
          commandField: 0x0020,
          handles: () => true,
          right: 'find',
          service: (request, context) => this.respond(request, context),
        },
      ],
    });
  }

  private async *respond(request: DimseRequest, context: ServiceContext): AsyncIterable<DimseResponse> {
    const parts: Buffer[] = [];
    for await (const part of request.dataSet!) parts.push(part);
    const { transferSyntax } = request.context;
    const identifier = decodeDataSet(Buffer.concat(parts), transferSyntax);
    this.asked.push(identifier);
    context.cancelled.addEventListener('abort', () => this.cancels++);
    for await (const one of this.answer(identifier, context)) {
      if (!('row' in one)) yield one;
      else {
        const { status, row } = one;
        const encoded = Buffer.isBuffer(row) ? row : encodeDataSet(dataSet(row), transferSyntax);
        yield { status, dataSet: encoded };
      }
    }
  }
}
