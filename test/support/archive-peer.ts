import { decodeDataSet, encodeDataSet, isSequence, type DataSet } from '../../src/dicom/data-set';
import { keywordOf } from '../../src/dicom/dictionary';
import { Session } from '../../src/dimse/session';
import type { DimseRequest, DimseResponse, ServiceContext, ServiceEntry } from '../../src/dimse/types';
import { Listener } from '../../src/net/listener';
import type { Association, AssociateRequest } from '../../src/net/types';
import { dataSet, type Given } from './find-peer';
import type { SentObject } from './data-sets';
import { OPEN_POLICY, TIMEOUTS } from './upper-layer';

/** What came with a request, by keyword. */
export type Identifier = Readonly<Record<string, string>>;

export interface Asked {
  readonly identifier: Identifier;
  readonly request: DimseRequest;
  readonly context: ServiceContext;
}

type Answer = (asked: Asked) => AsyncIterable<DimseResponse> | Iterable<DimseResponse>;

/** An archive on a real socket whose C-FIND knows its objects, and whose C-MOVE and C-GET do what a test says. */
export class ArchivePeer {
  objects: readonly SentObject[] = [];
  /** Classes and models that are not taken. */
  refuses: (abstractSyntax: string) => boolean = () => false;
  /** Of a storage context; undefined: not taken. */
  syntax: (offered: readonly string[]) => string | undefined = ([first]) => first;
  move: Answer = () => [{ status: 0 }];
  get: Answer = (asked) => this.sendAll(asked);
  find: Answer | undefined;
  readonly moves: Asked[] = [];
  readonly gets: Identifier[] = [];
  readonly requests: AssociateRequest[] = [];
  readonly associations: Association[] = [];
  /** Statuses that our C-STOREs were answered with. */
  readonly statuses: number[] = [];
  cancels = 0;
  port = 0;
  private listener: Listener | undefined;

  async start(): Promise<void> {
    this.listener = new Listener({
      host: '127.0.0.1',
      port: 0,
      limits: () => ({ associations: 20, associationsPerRemote: 20 }),
      timeouts: () => ({ ...TIMEOUTS, abortGrace: 100 }),
      policy: () => ({
        ...OPEN_POLICY,
        decideAccess: (request) => {
          this.requests.push(request);
          return {
            accepted: true,
            peer: { name: 'x', allow: new Set(['find', 'get', 'move'] as const), unknownSyntaxes: true },
          };
        },
        negotiateContexts: ({ contexts }) =>
          contexts.map(({ id, abstractSyntax, transferSyntaxes }) => {
            const chosen = this.syntax(transferSyntaxes);
            return this.refuses(abstractSyntax)
              ? { id, result: 3, transferSyntax: '' }
              : { id, result: chosen === undefined ? 4 : 0, transferSyntax: chosen ?? '' };
          }),
        negotiateRoles: ({ roles }) => roles.map((role) => ({ ...role })),
      }),
      implementation: { classUID: '2.25.1', versionName: 'ARCHIVE_PEER' },
      maximumLength: 16384,
      unavailable: () => undefined,
      onRejected: () => undefined,
      onProtocolError: () => undefined,
      onFault: (error) => {
        throw error;
      },
      onAssociation: (association) => this.serve(association),
    });
    this.port = (await this.listener.listen()).port;
  }

  async stop(): Promise<void> {
    for (const association of this.associations) association.abort(0, 0, 'the test ends');
    await this.listener?.close();
  }

  /** Forgets what a test has set and what came. */
  reset(): void {
    this.objects = [];
    this.refuses = () => false;
    this.syntax = ([first]) => first;
    this.move = () => [{ status: 0 }];
    this.get = (asked) => this.sendAll(asked);
    this.find = undefined;
    this.cancels = 0;
    for (const list of [this.moves, this.gets, this.requests, this.associations, this.statuses])
      list.length = 0;
  }

  /** Objects that an identifier names. */
  matching(identifier: Identifier): SentObject[] {
    return this.objects.filter((object) =>
      (['StudyInstanceUID', 'SeriesInstanceUID', 'SOPInstanceUID'] as const).every((keyword) => {
        const value = identifier[keyword];
        return value === undefined || value === '' || value.split('\\').includes(object[keyword]);
      }),
    );
  }

  /** Sends what is asked for over the same association, and counts truthfully. */
  async *sendAll({ identifier, context, request }: Asked): AsyncIterable<DimseResponse> {
    let completed = 0;
    const failed: string[] = [];
    const objects = this.matching(identifier);
    for (const object of objects) {
      if (context.cancelled.aborted) break;
      const accepted = [...context.association.contexts.values()].find(
        (one) => one.abstractSyntax === object.SOPClassUID && one.transferSyntax === object.transferSyntax,
      );
      if (accepted === undefined) failed.push(object.SOPInstanceUID);
      else {
        const { SOPClassUID, SOPInstanceUID } = object;
        const response = await context.scu.store(
          { contextId: accepted.id, SOPClassUID, SOPInstanceUID },
          object.dataSet,
        );
        this.statuses.push(response.status);
        if (response.status === 0) completed++;
        else failed.push(SOPInstanceUID);
      }
      yield {
        status: 0xff00,
        fields: counters(objects.length - completed - failed.length, completed, failed.length),
      };
    }
    const left = objects.length - completed - failed.length;
    const status = left > 0 ? 0xfe00 : failed.length === 0 ? 0 : completed === 0 ? 0xa702 : 0xb000;
    yield {
      status,
      fields: counters(left > 0 ? left : undefined, completed, failed.length),
      ...(failed.length === 0
        ? {}
        : {
            dataSet: encodeDataSet(
              dataSet({ '00080058': failed.join('\\') }),
              request.context.transferSyntax,
            ),
          }),
    };
  }

  private serve(association: Association): void {
    this.associations.push(association);
    const entry = (
      commandField: number,
      right: 'find' | 'get' | 'move',
      answer: () => Answer,
    ): ServiceEntry => ({
      commandField,
      handles: () => true,
      right,
      service: (request, context) => this.respond(request, context, answer()),
    });
    new Session(association, {
      services: [
        entry(0x0020, 'find', () => this.find ?? ((asked) => this.list(asked))),
        entry(0x0010, 'get', () => (asked) => {
          this.gets.push(asked.identifier);
          return this.get(asked);
        }),
        entry(0x0021, 'move', () => (asked) => {
          this.moves.push(asked);
          return this.move(asked);
        }),
      ],
    });
  }

  private async *respond(
    request: DimseRequest,
    context: ServiceContext,
    answer: Answer,
  ): AsyncIterable<DimseResponse> {
    const parts: Buffer[] = [];
    for await (const part of request.dataSet!) parts.push(part);
    const identifier = textOf(decodeDataSet(Buffer.concat(parts), request.context.transferSyntax));
    context.cancelled.addEventListener('abort', () => this.cancels++);
    yield* answer({ identifier, request, context });
  }

  /** Each entity of the level once. */
  private *list({ identifier, request }: Asked): Iterable<DimseResponse> {
    const level = identifier['QueryRetrieveLevel'] ?? '';
    const keyword =
      level === 'STUDY' ? 'StudyInstanceUID' : level === 'SERIES' ? 'SeriesInstanceUID' : undefined;
    const seen = new Set<string>();
    for (const object of this.matching(identifier)) {
      const uid = object[keyword ?? 'SOPInstanceUID'];
      if (seen.has(uid)) continue;
      seen.add(uid);
      const row: Given =
        keyword === undefined ? { SOPInstanceUID: uid, SOPClassUID: object.SOPClassUID } : { [keyword]: uid };
      yield { status: 0xff00, dataSet: encodeDataSet(dataSet(row), request.context.transferSyntax) };
    }
    yield { status: 0 };
  }
}

export function counters(
  remaining: number | undefined,
  completed: number,
  failed = 0,
  warning = 0,
): NonNullable<DimseResponse['fields']> {
  return {
    ...(remaining === undefined ? {} : { NumberOfRemainingSuboperations: remaining }),
    NumberOfCompletedSuboperations: completed,
    NumberOfFailedSuboperations: failed,
    NumberOfWarningSuboperations: warning,
  };
}

function textOf(elements: DataSet): Identifier {
  return Object.fromEntries(
    elements.flatMap((element) =>
      isSequence(element)
        ? []
        : [
            [
              keywordOf(element.tag) ?? String(element.tag),
              element.value.toString('latin1').replace(/[ \0]+$/, ''),
            ],
          ],
    ),
  );
}
