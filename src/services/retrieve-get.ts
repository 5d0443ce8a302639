import type { DimseRequest, DimseResponse, Service, ServiceContext } from '../dimse/types';
import { receivingContexts } from './negotiation';
import { readRetrieve, retrieve, type Operation, type RetrieveParts } from './retrieve';
import { sendOver } from './send';

/**
 * C-GET SCP of Query/Retrieve (PS3.4 C.4.3): sub-operations on the caller's own association, on contexts for which it is SCP. What it offers no
 * context for has failed (C.4.3.3). Throws `DimseError` A900 and C000 for identifiers, A701.
 */
export function cGet(parts: RetrieveParts): Service {
  return async function* get(request: DimseRequest, context: ServiceContext): AsyncGenerator<DimseResponse> {
    const { association, peer, scu } = context;
    const { transcoder, kill, onDamaged } = parts;
    const plan = await readRetrieve(request, context);
    const { Priority } = request.command;
    const operation: Operation = {
      command: 'C-GET',
      destination: peer.name,
      deliver: ({ instances, signal }) =>
        sendOver(
          { association, scu },
          { [Symbol.asyncIterator]: () => instances },
          {
            contexts: receivingContexts(association),
            ...(peer.transcode === undefined ? {} : { transcode: peer.transcode }),
            ...(transcoder === undefined ? {} : { transcoder }),
            ...(Priority === undefined ? {} : { priority: Priority }),
            signal,
            kill,
            onDamaged,
          },
        ),
    };
    yield* retrieve(parts, operation, plan, request, context);
  };
}
