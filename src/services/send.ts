import { EXIT, errorCode, errorMessage, IsocenterError } from '../errors';
import { Session } from '../dimse/session';
import { statusCategory, statusText } from '../dimse/status';
import type { Association, ProposedContext } from '../net/types';
import { identify, NOT_DICOM, openFile, reasonOf, walk, type IdentifiedFile } from './dicom-files';

/** Presentation context ids are the odd numbers up to 255 (PS3.8 9.3.2.2). */
const CONTEXTS_PER_ASSOCIATION = 128;

/** Associations that may fail one after the other, without an instance sent, before the rest is given up. */
const FAILURES_IN_A_ROW = 2;

/** What became of one file. */
export interface SendEvent {
  readonly path: string;
  readonly outcome: 'sent' | 'warning' | 'failed' | 'skipped';
  readonly bytes: number;
  readonly status?: number;
  readonly reason?: string;
}

export interface SendOptions {
  /** Opens an association that proposes these contexts. @throws IsocenterError with the peer's or the network's reason. */
  readonly connect: (contexts: readonly ProposedContext[]) => Promise<Association>;
  /** Milliseconds that the peer may take for a response. */
  readonly responseTimeout: number;
  readonly signal: AbortSignal;
}

interface Planned {
  readonly path: string;
  readonly file: IdentifiedFile;
  /** SOP class and transfer syntax: one presentation context. */
  readonly kind: string;
}

/**
 * Sends files as they are, each in the transfer syntax it is stored in, unparsed from its data set on. One presentation context for each SOP
 * class and syntax; more than 128 go over several associations. A file that fails doesn't end the others.
 */
export async function* sendFiles(paths: readonly string[], options: SendOptions): AsyncIterable<SendEvent> {
  const planned: Planned[] = [];
  for (const path of paths) {
    for await (const found of walk(path)) {
      if (options.signal.aborted) return;
      const event =
        found.problem === undefined
          ? await plan(found.path, planned)
          : { path: found.path, bytes: 0, ...found.problem };
      if (event !== undefined) yield event;
    }
  }
  for (const batch of batches(planned)) yield* sendBatch(batch, options);
}

async function plan(path: string, planned: Planned[]): Promise<SendEvent | undefined> {
  try {
    const handle = await openFile(path);
    try {
      const file = await identify(handle);
      planned.push({ path, file, kind: `${file.SOPClassUID} ${file.TransferSyntaxUID}` });
      return undefined;
    } finally {
      await handle.close();
    }
  } catch (error) {
    return {
      path,
      outcome: errorCode(error) === NOT_DICOM ? 'skipped' : 'failed',
      bytes: 0,
      reason: reasonOf(error),
    };
  }
}

/** Files in groups whose kinds fit one association, in the order in which the kinds first came. */
function batches(planned: readonly Planned[]): Planned[][] {
  const kinds = [...new Set(planned.map(({ kind }) => kind))];
  const result: Planned[][] = [];
  for (let first = 0; first < kinds.length; first += CONTEXTS_PER_ASSOCIATION) {
    const group = new Set(kinds.slice(first, first + CONTEXTS_PER_ASSOCIATION));
    result.push(planned.filter(({ kind }) => group.has(kind)));
  }
  return result;
}

async function* sendBatch(batch: readonly Planned[], options: SendOptions): AsyncIterable<SendEvent> {
  const contexts = proposeFor(batch);
  let next = 0;
  let failures = 0;
  while (next < batch.length && !options.signal.aborted) {
    let association: Association;
    try {
      association = await options.connect(contexts);
    } catch (error) {
      // Nobody there, or not for us: the same answer awaits the rest.
      for (const { path } of batch.slice(next))
        yield { path, outcome: 'failed', bytes: 0, reason: errorMessage(error) };
      throw error;
    }
    const before = next;
    for await (const event of sendOver(association, batch.slice(next), options)) {
      next++;
      yield event;
    }
    await association.release();
    failures = next === before ? failures + 1 : 0;
    if (failures === FAILURES_IN_A_ROW) {
      const lost = new IsocenterError('ASSOCIATION_ENDED', 'the peer ended the association again and again', {
        exitCode: EXIT.refused,
      });
      for (const { path } of batch.slice(next))
        yield { path, outcome: 'failed', bytes: 0, reason: lost.message };
      throw lost;
    }
  }
}

/** Sends until the end or until the association is lost; as many at once as the peer allows, events in order. */
async function* sendOver(
  association: Association,
  files: readonly Planned[],
  options: SendOptions,
): AsyncIterable<SendEvent> {
  const session = new Session(association, { responseTimeout: options.responseTimeout });
  const window = association.asyncWindow.invoked === 0 ? 16 : association.asyncWindow.invoked;
  const running: Promise<SendEvent>[] = [];
  const lost = new AbortController();
  void association.closed.then(() => lost.abort());
  let next = 0;
  for (;;) {
    while (
      !lost.signal.aborted &&
      !options.signal.aborted &&
      running.length < window &&
      next < files.length
    ) {
      const file = files[next++];
      if (file !== undefined) running.push(sendFile(session, file, options));
    }
    const first = running.shift();
    if (first === undefined) return;
    yield await first;
  }
}

async function sendFile(session: Session, { path, file }: Planned, options: SendOptions): Promise<SendEvent> {
  const context = [...session.association.contexts.values()].find(
    (accepted) =>
      accepted.abstractSyntax === file.SOPClassUID && accepted.transferSyntax === file.TransferSyntaxUID,
  );
  const bytes = file.size - file.dataSetOffset;
  if (context === undefined) {
    return {
      path,
      outcome: 'failed',
      bytes: 0,
      reason: `the peer does not take SOP class ${file.SOPClassUID} in transfer syntax ${file.TransferSyntaxUID}`,
    };
  }
  try {
    const handle = await openFile(path);
    try {
      const source = file.read(handle);
      const response = await session.scu.store(
        { contextId: context.id, SOPClassUID: file.SOPClassUID, SOPInstanceUID: file.SOPInstanceUID },
        {
          async *[Symbol.asyncIterator]() {
            for (let chunk = await source.read(); chunk !== undefined; chunk = await source.read())
              yield chunk;
          },
        },
        { signal: options.signal },
      );
      return describe(path, bytes, response.status, response.command.ErrorComment);
    } finally {
      await handle.close();
    }
  } catch (error) {
    return { path, outcome: 'failed', bytes: 0, reason: errorMessage(error) };
  }
}

function describe(path: string, bytes: number, status: number, comment: string | undefined): SendEvent {
  const category = statusCategory(status);
  if (category === 'success') return { path, outcome: 'sent', bytes, status };
  const reason = comment === undefined ? statusText(status) : `${statusText(status)}: ${comment}`;
  return category === 'warning'
    ? { path, outcome: 'warning', bytes, status, reason }
    : { path, outcome: 'failed', bytes: 0, status, reason };
}

function proposeFor(batch: readonly Planned[]): ProposedContext[] {
  const kinds = new Map(batch.map(({ kind, file }) => [kind, file]));
  return [...kinds.values()].map((file, index) => ({
    id: 2 * index + 1,
    abstractSyntax: file.SOPClassUID,
    transferSyntaxes: [file.TransferSyntaxUID],
  }));
}
