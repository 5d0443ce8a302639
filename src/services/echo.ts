import { COMMAND } from '../dimse/operations';
import { STATUS } from '../dimse/status';
import type { DimseResponse, ServiceEntry } from '../dimse/types';

const VERIFICATION = '1.2.840.10008.1.1';

/** C-ECHO SCP (PS3.7 9.1.5, PS3.4 A). */
export const echo: ServiceEntry = {
  commandField: COMMAND['C-ECHO'],
  handles: (abstractSyntax) => abstractSyntax === VERIFICATION,
  right: 'echo',
  // eslint-disable-next-line @typescript-eslint/require-await -- every service is a stream, this one has nothing to wait for
  service: async function* (): AsyncGenerator<DimseResponse> {
    yield { status: STATUS.Success };
  },
};
