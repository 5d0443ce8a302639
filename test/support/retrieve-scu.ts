import { COMMAND } from '../../src/dimse/operations';
import { Session } from '../../src/dimse/session';
import type { CommandSet, Service } from '../../src/dimse/types';
import { connect } from '../../src/net/requestor';
import type { Association, ProposedContext } from '../../src/net/types';
import { identifier, read, type Keys } from '../services/query-kit';
import { SOP, TS } from './data-sets';
import { TIMEOUTS } from './upper-layer';

const MODELS = { patient: 1, study: 2, patientStudy: 3 } as const;
export type Model = keyof typeof MODELS;

export function retrieveClass(command: 'C-MOVE' | 'C-GET', model: Model = 'study'): string {
  return `1.2.840.10008.5.1.4.1.2.${MODELS[model]}.${command === 'C-MOVE' ? 2 : 3}`;
}

export interface Counters {
  readonly status: number;
  readonly remaining: number | undefined;
  readonly completed: number | undefined;
  readonly failed: number | undefined;
  readonly warning: number | undefined;
}

export interface Retrieved {
  readonly pending: readonly Counters[];
  readonly final: Counters;
  readonly comment: string | undefined;
  readonly offending: readonly number[];
  /** FailedSOPInstanceUIDList; undefined where the response had no data set. */
  readonly failedUids: readonly string[] | undefined;
}

/** An object as it came in. */
export interface Incoming {
  readonly SOPInstanceUID: string;
  readonly transferSyntax: string;
  readonly dataSet: Buffer;
  readonly command: CommandSet;
}

export interface CallerOptions {
  readonly port: number;
  readonly calling?: string;
  readonly called?: string;
  readonly model?: Model;
  /** Classes and syntaxes of storage that are proposed, each a context of its own. */
  readonly storage?: readonly (readonly [string, string])[];
  /** SCU and SCP role that is proposed for each class of them; default 0/1. */
  readonly roles?: readonly [number, number] | 'none';
  /** Answers C-STORE requests; default Success. */
  readonly answer?: (object: Incoming, count: number) => number | Promise<number>;
  readonly syntax?: string;
}

/** A workstation: asks for C-MOVE and C-GET, and takes what C-GET sends. */
export class RetrieveCaller {
  readonly association: Association;
  readonly session: Session;
  readonly received: Incoming[];
  private readonly model: Model;

  static async open(options: CallerOptions): Promise<RetrieveCaller> {
    const { model = 'study', syntax = TS.explicit, storage = [], roles = [0, 1] } = options;
    const contexts: ProposedContext[] = [
      { id: 1, abstractSyntax: retrieveClass('C-MOVE', model), transferSyntaxes: [syntax] },
      { id: 3, abstractSyntax: retrieveClass('C-GET', model), transferSyntaxes: [syntax] },
      { id: 5, abstractSyntax: SOP.verification, transferSyntaxes: [TS.implicit] },
      ...storage.map(([abstractSyntax, transferSyntax], index) => ({
        id: 7 + 2 * index,
        abstractSyntax,
        transferSyntaxes: [transferSyntax],
      })),
    ];
    const association = await connect({
      host: '127.0.0.1',
      port: options.port,
      callingAETitle: options.calling ?? 'TESTER',
      calledAETitle: options.called ?? 'NODE',
      implementation: { classUID: '2.25.42', versionName: 'TEST_1' },
      maximumLength: 131072,
      timeouts: TIMEOUTS,
      contexts,
      ...(roles === 'none'
        ? {}
        : {
            roles: [...new Set(storage.map(([sopClass]) => sopClass))].map((sopClass) => ({
              sopClass,
              scu: roles[0] === 1,
              scp: roles[1] === 1,
            })),
          }),
    });
    return new RetrieveCaller(association, model, options.answer);
  }

  private constructor(association: Association, model: Model, answer: CallerOptions['answer']) {
    this.association = association;
    this.model = model;
    const received: Incoming[] = [];
    this.received = received;
    this.session = new Session(association, {
      peer: { name: 'node', allow: new Set(['store']), unknownSyntaxes: true },
      services: [
        {
          commandField: COMMAND['C-STORE'],
          handles: () => true,
          right: 'store',
          service: storing(received, answer),
        },
      ],
    });
  }

  async retrieve(
    command: 'C-MOVE' | 'C-GET',
    keys: Keys | Buffer,
    options: {
      readonly destination?: string;
      readonly priority?: number;
      readonly signal?: AbortSignal;
      readonly onPending?: (counters: Counters) => void | Promise<void>;
    } = {},
  ): Promise<Retrieved> {
    const pending: Counters[] = [];
    const {
      status,
      command: response,
      dataSet,
      context,
    } = await this.session.scu.request(
      {
        CommandField: COMMAND[command],
        AffectedSOPClassUID: retrieveClass(command, this.model),
        Priority: options.priority ?? 0,
        ...(command === 'C-MOVE' ? { MoveDestination: options.destination ?? 'DEST' } : {}),
      },
      command === 'C-MOVE' ? 1 : 3,
      Buffer.isBuffer(keys) ? keys : identifier(keys),
      {
        onPending: async (one) => {
          expect(one.dataSet).toBeUndefined();
          const counters = countersOf(one.status, one.command);
          pending.push(counters);
          await options.onPending?.(counters);
        },
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      },
    );
    const list = dataSet === undefined ? undefined : read(dataSet, context.transferSyntax);
    if (list !== undefined) expect(Object.keys(list)).toEqual(['FailedSOPInstanceUIDList']);
    return {
      pending,
      final: countersOf(status, response),
      comment: response.ErrorComment,
      offending: response.OffendingElement ?? [],
      failedUids: list === undefined ? undefined : String(list['FailedSOPInstanceUIDList']).split('\\'),
    };
  }

  release(): Promise<void> {
    return this.association.release();
  }
}

function countersOf(status: number, command: CommandSet): Counters {
  return {
    status,
    remaining: command.NumberOfRemainingSuboperations,
    completed: command.NumberOfCompletedSuboperations,
    failed: command.NumberOfFailedSuboperations,
    warning: command.NumberOfWarningSuboperations,
  };
}

/** A C-STORE SCP that keeps what it gets. */
export function storing(received: Incoming[], answer: CallerOptions['answer'] = () => 0): Service {
  return async function* store({ command, context, dataSet }) {
    const chunks: Buffer[] = [];
    for await (const chunk of dataSet ?? []) chunks.push(chunk);
    const object = {
      SOPInstanceUID: command.AffectedSOPInstanceUID ?? '',
      transferSyntax: context.transferSyntax,
      dataSet: Buffer.concat(chunks),
      command,
    };
    received.push(object);
    yield { status: await answer(object, received.length) };
  };
}
