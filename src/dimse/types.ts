import type { AcceptedContext, Association } from '../net/types';
import type { Peer, Right } from '../peer';
import type { Scu } from './scu';

/** A decoded command set (PS3.7 Annex E); keywords verbatim, only the elements that were there. */
export interface CommandSet {
  readonly AffectedSOPClassUID?: string;
  readonly RequestedSOPClassUID?: string;
  readonly CommandField: number;
  readonly MessageID?: number;
  readonly MessageIDBeingRespondedTo?: number;
  readonly MoveDestination?: string;
  readonly Priority?: number;
  /** 0101H = no data set, anything else = present. */
  readonly CommandDataSetType: number;
  readonly Status?: number;
  readonly OffendingElement?: readonly number[];
  readonly ErrorComment?: string;
  readonly ErrorID?: number;
  readonly AffectedSOPInstanceUID?: string;
  readonly RequestedSOPInstanceUID?: string;
  readonly EventTypeID?: number;
  readonly AttributeIdentifierList?: readonly number[];
  readonly ActionTypeID?: number;
  readonly NumberOfRemainingSuboperations?: number;
  readonly NumberOfCompletedSuboperations?: number;
  readonly NumberOfFailedSuboperations?: number;
  readonly NumberOfWarningSuboperations?: number;
  readonly MoveOriginatorApplicationEntityTitle?: string;
  readonly MoveOriginatorMessageID?: number;
}

/** A data set as it comes off the wire. Reading pulls; not reading holds the sender back. */
export interface IncomingDataSet extends AsyncIterable<Buffer> {
  /** The next bytes, or undefined at the end. Rejects when the association ends first. */
  read(): Promise<Buffer | undefined>;
  /** Reads to the end and forgets it: what is left must go by before the next message. */
  discard(): Promise<void>;
}

/** One request on its way through a service. */
export interface DimseRequest {
  readonly command: CommandSet;
  readonly messageId: number;
  readonly context: AcceptedContext;
  /** Undefined where the command announced none. */
  readonly dataSet: IncomingDataSet | undefined;
}

/** What a service knows beside the request. */
export interface ServiceContext {
  readonly association: Association;
  readonly peer: Peer;
  /** Our own requests to the caller on the same association: sub-operations of C-GET, N-EVENT-REPORT. */
  readonly scu: Pick<Scu, 'request' | 'store' | 'window'>;
  /** Aborted when the association has ended: stop the work. */
  readonly lost: AbortSignal;
  /** Aborted by C-CANCEL, or by a release while the operation runs. */
  readonly cancelled: AbortSignal;
}

/** A response; the dispatcher adds the elements that follow from the request (PS3.7 9.3, 10.3). */
export interface DimseResponse {
  readonly status: number;
  /** At most 64 characters, no patient data; cut by the dispatcher. */
  readonly comment?: string;
  readonly offendingElements?: readonly number[];
  /** Further command elements: sub-operation counters, event or action type, error id. */
  readonly fields?: Partial<CommandSet>;
  /** Encoded in the context's transfer syntax. */
  readonly dataSet?: Buffer;
}

/**
 * One service, one shape: a request in, a stream of responses out, the last one final. It throws `DimseError`;
 * anything else becomes 0110 and an error log. A service reads its data set to the end or leaves the rest to the
 * dispatcher, which discards it before it answers.
 */
export type Service = (request: DimseRequest, context: ServiceContext) => AsyncIterable<DimseResponse>;

/** A row of the dispatcher's table. */
export interface ServiceEntry {
  /** Command field of the request, such as 0001H for C-STORE. */
  readonly commandField: number;
  /** SOP classes on whose contexts the command is legal. */
  readonly handles: (abstractSyntax: string) => boolean;
  /** Right that the caller needs, else 0124. */
  readonly right: Right;
  readonly service: Service;
}
