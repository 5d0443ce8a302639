import type { DimseRequest, DimseResponse, IncomingDataSet, Service, ServiceContext } from '../dimse/types';
import { DimseError } from '../errors';
import type { Ingest } from './ingest';

/** Offending Element where a group 0002 was left out of the data set (ST-05). */
const FILE_META_GROUP_LENGTH = 0x00020000;

/** C-STORE SCP (PS3.4 Annex B, PS3.7 9.1.1): the DIMSE side of `Ingest`. */
export function cStore(ingest: Ingest, nodeDuplicates: () => 'refuse' | 'replace'): Service {
  return async function* store(request: DimseRequest, context: ServiceContext): AsyncIterable<DimseResponse> {
    const { command } = request;
    const dataSet = presentDataSet(request);
    const { association, peer } = context;
    const taken = await ingest.take({
      meta: {
        MediaStorageSOPClassUID: command.AffectedSOPClassUID ?? '',
        MediaStorageSOPInstanceUID: command.AffectedSOPInstanceUID ?? '',
        TransferSyntaxUID: request.context.transferSyntax,
        SourceApplicationEntityTitle: association.callingAETitle,
        ReceivingApplicationEntityTitle: association.calledAETitle,
      },
      dataSet,
      ...(peer.defaultCharset === undefined ? {} : { defaultCharset: peer.defaultCharset }),
      duplicates: peer.duplicates ?? nodeDuplicates(),
      ...(peer.forwardTo === undefined ? {} : { forwardTo: peer.forwardTo }),
      associationId: association.id,
      remoteName: peer.name,
    });
    yield taken.strippedGroupTwo
      ? {
          status: 0xb006,
          comment: 'File meta elements in the data set were left out',
          offendingElements: [FILE_META_GROUP_LENGTH],
        }
      : { status: 0x0000 };
  };
}

function presentDataSet(request: DimseRequest): IncomingDataSet {
  if (request.dataSet === undefined) throw new DimseError(0xc000, 'C-STORE-RQ came without a data set');
  return request.dataSet;
}
