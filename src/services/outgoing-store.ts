import { createHash, hash } from 'node:crypto';
import type { InstanceLocation } from '../catalog/types';
import { errorCode, IsocenterError } from '../errors';
import type { Store } from '../store/types';
import type { OutgoingInstance } from './outgoing';

/** Checked before its first byte is handed out. */
const WHOLE = 4 * 1024 * 1024;
const HINT = 'isocenter verify --all finds what else is damaged; restore the file from a backup';

/**
 * A stored instance on its way out, checked against the digest of its seal. `damaged` of its row doesn't count: the bytes are asked again.
 * Reading throws `FILE_DAMAGED` where the bytes are not what they were, the device can't give them, or the file is gone.
 */
export function storedInstance(
  store: Pick<Store, 'readDataSet'>,
  location: InstanceLocation,
): OutgoingInstance {
  const { arrivalId, SOPClassUID, SOPInstanceUID, TransferSyntaxUID, dataSetLength } = location;
  return {
    name: arrivalId,
    SOPClassUID,
    SOPInstanceUID,
    TransferSyntaxUID,
    dataSetLength,
    read: (allocate) => read(store, location, allocate),
  };
}

async function* read(
  store: Pick<Store, 'readDataSet'>,
  location: InstanceLocation,
  allocate?: (length: number) => Buffer,
): AsyncGenerator<Buffer> {
  try {
    yield* location.dataSetLength <= WHOLE
      ? readWhole(store, location, allocate)
      : readThrough(store, location, allocate);
  } catch (error) {
    throw isDamage(error) ? damaged(location, error) : error;
  }
}

async function* readWhole(
  store: Pick<Store, 'readDataSet'>,
  location: InstanceLocation,
  allocate?: (length: number) => Buffer,
): AsyncGenerator<Buffer> {
  // In one piece: nothing has to be joined or cut again on its way to the wire.
  let whole: Buffer = Buffer.alloc(0);
  for await (const chunk of store.readDataSet(location, 'instances', WHOLE, allocate)) whole = chunk;
  if (hash('sha256', whole, 'hex') !== location.sha256) throw damaged(location);
  yield whole;
}

async function* readThrough(
  store: Pick<Store, 'readDataSet'>,
  location: InstanceLocation,
  allocate?: (length: number) => Buffer,
): AsyncGenerator<Buffer> {
  const digest = createHash('sha256');
  // The last piece waits for the digest: until then no receiver can take the object for whole.
  let held: Buffer | undefined;
  for await (const chunk of store.readDataSet(location, 'instances', undefined, allocate)) {
    digest.update(chunk);
    if (held !== undefined) yield held;
    held = chunk;
  }
  if (digest.digest('hex') !== location.sha256) throw damaged(location);
  if (held !== undefined) yield held;
}

/** Truncated, gone, or unreadable on the device: what other failures say (too many open files, no permission) passes by. */
function isDamage(error: unknown): boolean {
  const code = errorCode(error);
  if (code === 'STORE_DAMAGED' || code === 'STORE_NO_FILE') return true;
  return code === 'STORE_FAILED' && error instanceof Error && errorCode(error.cause) === 'EIO';
}

function damaged({ arrivalId }: InstanceLocation, cause?: unknown): IsocenterError {
  const what =
    errorCode(cause) === 'STORE_NO_FILE'
      ? 'is not there'
      : errorCode(cause) === 'STORE_DAMAGED'
        ? 'ends before its data set does'
        : cause === undefined
          ? 'has other bytes than sealed'
          : 'can not be read from its device';
  return new IsocenterError('FILE_DAMAGED', `the file of ${arrivalId} ${what}`, { hint: HINT, cause });
}
