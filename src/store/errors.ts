import { errorCode, errorMessage, IsocenterError } from '../errors';

/** Codes of everything that the store throws. */
export type StoreErrorCode =
  /** The volume, a quota or the inodes are exhausted. */
  | 'STORE_FULL'
  /** Free space has fallen to `storage.reserve`. */
  | 'STORE_RESERVE'
  /** Any other call to the file system failed. */
  | 'STORE_FAILED'
  /** A sync failed: nothing is known of what reached the disk. The store takes nothing more until a restart. */
  | 'STORE_SYNC_FAILED'
  /** Refused because of an earlier failure of that kind. */
  | 'STORE_STOPPED'
  /** The directory isn't the one that the catalog knows: an unmounted volume, most often. */
  | 'STORE_MISSING'
  /** The directory holds a link, or is writable by others, where that would let them redirect writes. */
  | 'STORE_UNSAFE'
  /** Bytes that were written are not there any more. */
  | 'STORE_DAMAGED'
  | 'STORE_NO_FILE'
  | 'STORE_BAD_ID'
  | 'STORE_CLOSED';

export class StoreError extends IsocenterError {
  declare readonly code: StoreErrorCode;
  /** The arrival that it happened to, if it happened to one. */
  readonly arrivalId: string | undefined;
  /** `false`: the file of the refused arrival could not be unlinked either, and a later start may find it. */
  readonly unlinked: boolean | undefined;

  constructor(
    code: StoreErrorCode,
    message: string,
    options: { hint?: string; cause?: unknown; arrivalId?: string | undefined; unlinked?: boolean } = {},
  ) {
    super(code, message, options);
    this.name = 'StoreError';
    this.arrivalId = options.arrivalId;
    this.unlinked = options.unlinked;
  }
}

const FULL: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT']);

/** Codes after which the volume can't be trusted to be there, or to be whole. */
const GONE: ReadonlySet<string> = new Set(['EIO', 'ENOENT', 'ENOTDIR', 'ESTALE', 'ENODEV', 'ENXIO']);

/** Whether a failure while creating or writing a file says that the volume is gone or broken: ingest must stop. */
export function volumeIsGone(error: unknown): boolean {
  return GONE.has(errorCode(error) ?? '');
}

/** Wraps a failed call: `STORE_FULL` or `STORE_FAILED`; what is wrapped already passes unchanged. */
export function storeFailure(doing: string, cause: unknown, arrivalId?: string): StoreError {
  if (cause instanceof StoreError) return cause;
  const code = errorCode(cause) ?? '';
  if (FULL.has(code)) {
    return new StoreError('STORE_FULL', `${doing}: the volume is full (${code})`, {
      hint: 'free or add space on the volume of storage.directory; nothing is deleted to make room',
      cause,
      arrivalId,
    });
  }
  const hint =
    code === 'EMFILE' || code === 'ENFILE'
      ? 'raise the limit of open files (ulimit -n, LimitNOFILE=) or lower limits.associations'
      : code === 'EROFS'
        ? 'the volume of storage.directory is mounted read-only: look at the kernel log, then remount it'
        : code === 'EACCES' || code === 'EPERM'
          ? 'storage.directory must belong to the user that runs the node'
          : 'look at the kernel log and at the volume of storage.directory';
  // Not the system's own message: it repeats the whole path.
  return new StoreError('STORE_FAILED', `${doing}: ${code === '' ? errorMessage(cause) : code}`, {
    hint,
    cause,
    arrivalId,
  });
}
