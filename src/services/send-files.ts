import { errorCode } from '../errors';
import { identify, NOT_DICOM, openFile, reasonOf, walk } from './dicom-files';
import type { OutgoingInstance } from './outgoing';
import { fileInstance } from './outgoing-files';
import { kindsOf, sendAll, type SendOptions, type SendResult } from './send';

/** What became of one file. */
export interface SendEvent {
  readonly path: string;
  readonly outcome: 'sent' | 'warning' | 'failed' | 'skipped';
  /** Of what was sent, or should have been. */
  readonly SOPClassUID?: string;
  readonly SOPInstanceUID?: string;
  readonly bytes: number;
  readonly status?: number;
  readonly reason?: string;
}

/**
 * Sends files as they are, each in the transfer syntax it is stored in, unparsed from its data set on. A file that fails doesn't end the
 * others.
 * @throws why no association could be had, after each file was told of.
 */
export async function* sendFiles(
  paths: readonly string[],
  options: Omit<SendOptions, 'kinds'>,
): AsyncGenerator<SendEvent, void, undefined> {
  const instances: OutgoingInstance[] = [];
  for (const path of paths) {
    for await (const found of walk(path)) {
      if (options.signal?.aborted === true) return;
      const looked = found.problem ?? (await look(found.path));
      if ('read' in looked) instances.push(looked);
      else yield { path: found.path, bytes: 0, ...looked };
    }
  }
  yield* sendInstances(instances, options);
}

/**
 * Sends instances that are at hand, named by their `name`.
 * @throws why no association could be had, after each instance was told of.
 */
export async function* sendInstances(
  instances: readonly OutgoingInstance[],
  options: Omit<SendOptions, 'kinds'>,
): AsyncGenerator<SendEvent, void, undefined> {
  let unreachable: { readonly error: unknown } | undefined;
  for await (const result of sendAll(instances, { ...options, kinds: kindsOf(instances) })) {
    if (result.unreachable !== undefined) unreachable = { error: result.unreachable };
    yield describe(result);
  }
  if (unreachable !== undefined) throw unreachable.error;
}

async function look(path: string): Promise<OutgoingInstance | Pick<SendEvent, 'outcome' | 'reason'>> {
  try {
    const handle = await openFile(path);
    try {
      return fileInstance(path, await identify(handle));
    } finally {
      await handle.close();
    }
  } catch (error) {
    return { outcome: errorCode(error) === NOT_DICOM ? 'skipped' : 'failed', reason: reasonOf(error) };
  }
}

function describe({ instance, outcome, status, reason }: SendResult): SendEvent {
  return {
    path: instance.name,
    outcome: outcome === 'completed' ? 'sent' : outcome,
    SOPClassUID: instance.SOPClassUID,
    SOPInstanceUID: instance.SOPInstanceUID,
    bytes: outcome === 'failed' ? 0 : instance.dataSetLength,
    ...(status === undefined ? {} : { status }),
    ...(reason === undefined ? {} : { reason }),
  };
}
