import { EXIT, errorCode, errorMessage, IsocenterError } from '../errors';
import { Session } from '../dimse/session';
import { statusCategory, statusText } from '../dimse/status';
import type { Association, ProposedContext } from '../net/types';
import { identify, NOT_DICOM, openFile, reasonOf, walk, type IdentifiedFile } from './dicom-files';

/** Presentation context ids are the odd numbers up to 255 (PS3.8 9.3.2.2). */
const CONTEXTS_PER_ASSOCIATION = 128;

/** Associations that may end one after the other, without a single answer, before the rest is given up. */
const FAILURES_IN_A_ROW = 2;

/** Files under way at once where the peer sets no bound: enough to hide a round trip. */
const UNLIMITED_WINDOW = 16;

/** Of a request that got no answer, by the code of its error. */
const FATES: Readonly<Record<string, Sent['fate']>> = {
  ASSOCIATION_ENDED: 'lost',
  ASSOCIATION_RELEASED: 'lost',
  RESPONSE_TIMEOUT: 'silent',
};

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
  const all = batches(planned);
  for (const [index, batch] of all.entries()) {
    try {
      yield* sendBatch(batch, options);
    } catch (error) {
      yield* failed(all.slice(index + 1).flat(), error);
      throw error;
    }
  }
}

function* failed(files: readonly Planned[], error: unknown): Iterable<SendEvent> {
  for (const { path } of files) yield { path, outcome: 'failed', bytes: 0, reason: errorMessage(error) };
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

/** Files of kinds that fit one association; what was under way when an association was lost gets a second try. */
async function* sendBatch(batch: readonly Planned[], options: SendOptions): AsyncIterable<SendEvent> {
  const lost: Planned[] = [];
  try {
    for await (const { file, event, fate } of sendAll(batch, batch, options)) {
      if (fate === 'lost' && !options.signal.aborted) lost.push(file);
      else yield event;
    }
  } catch (error) {
    yield* failed(lost, error);
    throw error;
  }
  // One at a time: a file that the peer can't bear takes no others with it.
  for await (const { event } of sendAll(lost, batch, options, 1)) yield event;
}

interface Sent {
  readonly file: Planned;
  readonly event: SendEvent;
  /** `answered` by the peer or settled without it; `silent`: it didn't answer in time; `lost`: the association ended first. */
  readonly fate: 'answered' | 'silent' | 'lost';
}

/** Sends over as many associations as it takes. */
async function* sendAll(
  files: readonly Planned[],
  batch: readonly Planned[],
  options: SendOptions,
  window?: number,
): AsyncIterable<Sent> {
  const contexts = proposeFor(batch);
  let next = 0;
  let failures = 0;
  while (next < files.length && !options.signal.aborted) {
    let association: Association;
    try {
      association = await options.connect(contexts);
    } catch (error) {
      // Nobody there, or not for us: the same answer awaits the rest.
      yield* unanswered(files.slice(next), error);
      throw error;
    }
    let answers = 0;
    for await (const sent of sendOver(association, files.slice(next), options, window)) {
      next++;
      if (sent.fate === 'answered') answers++;
      yield sent;
    }
    await association.release();
    failures = answers === 0 ? failures + 1 : 0;
    if (failures === FAILURES_IN_A_ROW && next < files.length) {
      const lost = new IsocenterError('ASSOCIATION_ENDED', 'the peer ended the association again and again', {
        exitCode: EXIT.refused,
        hint: 'look into the log of the other side',
      });
      yield* unanswered(files.slice(next), lost);
      throw lost;
    }
  }
}

function* unanswered(files: readonly Planned[], error: unknown): Iterable<Sent> {
  for (const file of files) {
    // Said already, as far as anybody can: no second try.
    for (const event of failed([file], error)) yield { file, event, fate: 'silent' };
  }
}

/** Sends until the end or until the association is lost; as many at once as the peer allows, events in order. */
async function* sendOver(
  association: Association,
  files: readonly Planned[],
  options: SendOptions,
  atOnce = UNLIMITED_WINDOW,
): AsyncIterable<Sent> {
  const session = new Session(association, { responseTimeout: options.responseTimeout });
  const { invoked } = association.asyncWindow;
  const window = Math.min(atOnce, invoked === 0 ? UNLIMITED_WINDOW : invoked);
  const running: Promise<Sent>[] = [];
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

async function sendFile(session: Session, file: Planned, options: SendOptions): Promise<Sent> {
  try {
    return { file, event: await store(session, file, options), fate: 'answered' };
  } catch (error) {
    const event: SendEvent = { path: file.path, outcome: 'failed', bytes: 0, reason: errorMessage(error) };
    return { file, event, fate: FATES[errorCode(error) ?? ''] ?? 'answered' };
  }
}

async function store(session: Session, { path, file }: Planned, options: SendOptions): Promise<SendEvent> {
  const context = [...session.association.contexts.values()].find(
    (accepted) =>
      accepted.abstractSyntax === file.SOPClassUID && accepted.transferSyntax === file.TransferSyntaxUID,
  );
  if (context === undefined) {
    return {
      path,
      outcome: 'failed',
      bytes: 0,
      reason: `the peer does not take SOP class ${file.SOPClassUID} in transfer syntax ${file.TransferSyntaxUID}`,
    };
  }
  const handle = await openFile(path);
  try {
    const source = file.read(handle);
    const response = await session.scu.store(
      { contextId: context.id, SOPClassUID: file.SOPClassUID, SOPInstanceUID: file.SOPInstanceUID },
      {
        async *[Symbol.asyncIterator]() {
          for (let chunk = await source.read(); chunk !== undefined; chunk = await source.read()) yield chunk;
        },
      },
      { signal: options.signal },
    );
    return describe(path, file.size - file.dataSetOffset, response.status, response.command.ErrorComment);
  } finally {
    await handle.close();
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
