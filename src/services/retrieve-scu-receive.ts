import { isStorableUid } from '../dicom/uids';
import { COMMAND } from '../dimse/operations';
import { Session } from '../dimse/session';
import { STATUS } from '../dimse/status';
import type { DimseRequest, DimseResponse, ServiceEntry } from '../dimse/types';
import { DimseError, errorCode, errorMessage } from '../errors';
import type { Association } from '../net/types';
import type { Peer } from '../peer';

/** An instance that a peer sends in a sub-operation of our C-GET. */
export interface ReceivedInstance {
  readonly SOPClassUID: string;
  readonly SOPInstanceUID: string;
  readonly TransferSyntaxUID: string;
  /** Who sends it. */
  readonly sourceAETitle: string;
  /** The bytes as they come off the wire. */
  readonly dataSet: AsyncIterable<Buffer>;
}

/** What became of an instance that was asked for. */
export interface GetEvent {
  readonly SOPInstanceUID: string;
  /** `present`: it was here before, and is whole. */
  readonly outcome: 'fetched' | 'present' | 'failed';
  readonly bytes: number;
  readonly path?: string;
  /** Of a failure; no patient data. */
  readonly reason?: string;
}

/** Where instances go. */
export interface GetSink {
  /**
   * Takes one; returns when it is safe.
   * @throws DimseError what the peer is to be answered; anything else is answered A700
   */
  take(instance: ReceivedInstance): Promise<GetEvent>;
  /** Whether it is here, whole. */
  has(SOPInstanceUID: string): Promise<boolean>;
}

export interface ReceiverOptions {
  readonly sink: GetSink;
  /** Milliseconds that the peer may stay silent. */
  readonly responseTimeout: number;
  readonly onInstance: (event: GetEvent) => void;
}

/** Of the association on which we asked: whoever was asked may send. */
const PEER: Peer = { name: 'peer', allow: new Set(['store']), unknownSyntaxes: true };

/** A session for C-GET (PS3.4 C.4.3): it takes the instances that the peer sends on the association. */
export function getSession(association: Association, options: ReceiverOptions): Session {
  const service: ServiceEntry = {
    commandField: COMMAND['C-STORE'],
    // Only storage classes were proposed beside the model.
    handles: () => true,
    right: 'store',
    service: (request) => receive(request, association, options, () => session.scu.stillAtWork()),
  };
  const { responseTimeout } = options;
  const session: Session = new Session(association, { services: [service], peer: PEER, responseTimeout });
  return session;
}

async function* receive(
  { command, context, dataSet }: DimseRequest,
  association: Association,
  { sink, onInstance }: ReceiverOptions,
  alive: () => void,
): AsyncIterable<DimseResponse> {
  const { AffectedSOPClassUID: SOPClassUID = '', AffectedSOPInstanceUID: SOPInstanceUID = '' } = command;
  const failed = (error: DimseError, reason = error.comment): DimseError => {
    onInstance({ SOPInstanceUID, outcome: 'failed', bytes: 0, reason });
    return error;
  };
  if (!isStorableUid(SOPInstanceUID) || !isStorableUid(SOPClassUID) || dataSet === undefined)
    throw failed(new DimseError(0xc000, 'SOP Class or Instance UID unusable, or no data set'));
  try {
    const event = await sink.take({
      SOPClassUID,
      SOPInstanceUID,
      TransferSyntaxUID: context.transferSyntax,
      sourceAETitle: association.calledAETitle,
      dataSet: watched(dataSet, alive),
    });
    onInstance(event);
  } catch (error) {
    if (errorCode(error) === 'DIMSE') throw failed(error as DimseError);
    // The peer is told less than our user: the reason may name our folders.
    const refusal = new DimseError(STATUS.OutOfResources, 'It could not be kept here', { cause: error });
    throw failed(refusal, errorMessage(error));
  }
  yield { status: STATUS.Success };
}

/** Each piece shows that the peer is at work, however long the whole takes. */
async function* watched(dataSet: AsyncIterable<Buffer>, alive: () => void): AsyncGenerator<Buffer> {
  for await (const chunk of dataSet) {
    alive();
    yield chunk;
  }
}
