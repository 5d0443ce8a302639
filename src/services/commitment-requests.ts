import type { CommitmentAdded, CommitmentStore } from '../catalog/commitments';
import type { JobQueue } from '../catalog/jobs';
import { COMMAND } from '../dimse/operations';
import { STATUS } from '../dimse/status';
import type { DimseRequest, DimseResponse, ServiceContext, ServiceEntry } from '../dimse/types';
import { DimseError, errorCode, errorMessage } from '../errors';
import type { LogFn } from '../log';
import type { CommitmentLinks } from './commitment-links';
import {
  COMMITMENT_CLASS,
  COMMITMENT_INSTANCE,
  parseRequest,
  readDataSet,
  REQUEST_COMMITMENT,
} from './commitment-data';

/** Requests of one remote that may be under way: each waits for `timeouts.commit` at most, or for its remote to take the report. */
const MOST_UNDER_WAY = 500;

export interface CommitmentOptions {
  readonly commitments: CommitmentStore;
  readonly jobs: Pick<JobQueue, 'retry'>;
  readonly links: CommitmentLinks;
  readonly log: LogFn;
  /** Requests of one remote that may be under way; default 500. */
  readonly mostUnderWay?: number;
}

/**
 * N-ACTION of Storage Commitment Push Model (PS3.4 J.3.2). Success says that the request is kept, and survives a power cut; what comes of it is
 * said by an N-EVENT-REPORT later. The same request again, while the first is under way, is answered alike and not doubled; its report is due at once.
 */
export function commitmentRequests(options: CommitmentOptions): ServiceEntry {
  return {
    commandField: COMMAND['N-ACTION'],
    handles: (abstractSyntax) => abstractSyntax === COMMITMENT_CLASS,
    right: 'commit',
    service: async function* (request, context): AsyncGenerator<DimseResponse> {
      await take(options, request, context);
      yield { status: STATUS.Success };
    },
  };
}

async function take(
  options: CommitmentOptions,
  { command, context, dataSet }: DimseRequest,
  { association, peer }: ServiceContext,
): Promise<void> {
  if (command.RequestedSOPInstanceUID !== COMMITMENT_INSTANCE)
    throw new DimseError(STATUS.NoSuchSOPInstance, 'Not the instance of Storage Commitment Push Model');
  if (command.ActionTypeID !== REQUEST_COMMITMENT)
    throw new DimseError(STATUS.NoSuchActionType, 'Action type 1 asks for storage commitment');
  const request = await parseRequest(await readDataSet(dataSet, context.transferSyntax));
  const { callingAETitle, calledAETitle } = association;
  options.links.asked(association);
  const added = await keep(options, { remote: peer.name, callingAETitle, calledAETitle, ...request });
  switch (added.kind) {
    case 'differs':
      throw new DimseError(
        STATUS.DuplicateTransactionUID,
        'Transaction UID is in use by a request for other instances',
      );
    case 'full':
      throw new DimseError(
        STATUS.ResourceLimitation,
        'Too many requests under way: see "isocenter jobs list"',
      );
    case 'known':
      await options.jobs.retry({ ids: [added.id] }, Date.now());
      break;
    case 'added':
      options.log('info', 'storage commitment asked for', {
        association: association.id,
        remote: peer.name,
        count: request.references.length,
        TransactionUID: request.TransactionUID,
      });
  }
}

async function keep(
  { commitments, mostUnderWay, log }: CommitmentOptions,
  request: Parameters<CommitmentStore['add']>[0],
): Promise<CommitmentAdded> {
  try {
    return await commitments.add(request, mostUnderWay ?? MOST_UNDER_WAY);
  } catch (error) {
    if (errorCode(error)?.startsWith('CATALOG_') !== true) throw error;
    log('error', 'a request for storage commitment could not be kept', {
      remote: request.remote,
      error: errorMessage(error),
    });
    throw new DimseError(STATUS.ResourceLimitation, 'The request could not be kept: try again later', {
      cause: error,
    });
  }
}
