import { FORWARD, type Job } from '../catalog/jobs';
import type { Catalog, InstanceLocation } from '../catalog/types';
import type { LogFn } from '../log';
import { unreached, type JobContext, type JobHandler, type JobOutcome } from './jobs';
import type { OutgoingInstance } from './outgoing';
import type { DestinationTurns, Turn } from './retrieve-turns';
import { kindsOf, sendAll, type SendOptions, type SendResult } from './send';

/** Instances of one association: what a crash may send twice, and what another job waits for at most. */
const BATCH = 100;

/** Instances that are sent in a turn in any case: opening an association has its price. */
const LEAST_TURN = 10;

const GONE = 'the instance is not held any more';

/** `A7xx`, out of resources (PS3.4 B.2.3): of the destination, not of the instance. */
const OUT_OF_RESOURCES = 0xa700;
const STATUS_CLASS = 0xff00;

export interface ForwardParts {
  readonly catalog: Pick<Catalog, 'locate'>;
  readonly instanceOf: (location: InstanceLocation) => OutgoingInstance;
  /** Sends to a remote; undefined where there is no such remote, or it can't be called. */
  readonly send: (
    destination: string,
    instances: readonly OutgoingInstance[],
    how: { readonly signal: AbortSignal; readonly kill: AbortSignal },
  ) => AsyncIterable<SendResult> | undefined;
  /** Batches of a destination at a time. */
  readonly parallel?: (destination: string) => number;
  readonly log: LogFn;
}

/**
 * Sends instances of the store to other nodes: what a remote with `forwardTo` stores, and what a C-MOVE could not deliver. It is the current
 * instance of the UID at the time of sending; one that is not held any more needs nothing.
 */
export function forwardHandler(parts: ForwardParts): JobHandler {
  return {
    kind: FORWARD,
    batch: BATCH,
    ...(parts.parallel === undefined ? {} : { parallel: parts.parallel }),
    run: (jobs, context) => forward(parts, jobs, context),
  };
}

async function* forward(
  parts: ForwardParts,
  jobs: readonly Job[],
  context: JobContext,
): AsyncGenerator<JobOutcome> {
  const { catalog, instanceOf, send, log } = parts;
  const jobsOf = new Map<string, Job[]>();
  for (const job of jobs) {
    const uid = job.payload['SOPInstanceUID'];
    if (typeof uid !== 'string') {
      yield { id: job.id, outcome: 'hopeless', reason: 'this version does not understand the job' };
      continue;
    }
    const same = jobsOf.get(uid);
    if (same === undefined) jobsOf.set(uid, [job]);
    else same.push(job);
  }
  const found = await Promise.all(
    [...jobsOf].map(async ([uid, of]) => ({ of, held: await catalog.locate(uid) })),
  );
  const instances: OutgoingInstance[] = [];
  for (const { of, held } of found) {
    const current = held.find(({ state }) => state === 'current');
    if (current !== undefined) instances.push(instanceOf(current));
    else for (const { id } of of) yield { id, outcome: 'done', note: GONE };
  }
  if (instances.length === 0) return;

  const { destination, stopping, signal } = context;
  const results = send(destination, instances, { signal: stopping, kill: signal });
  if (results === undefined) {
    const reason = 'no remote of that name is configured with one host and a port';
    for (const { id } of [...jobsOf.values()].flat()) yield { id, outcome: 'hopeless', reason };
    return;
  }
  const began = performance.now();
  let completed = 0;
  let failed = 0;
  let bytes = 0;
  try {
    for await (const result of results) {
      if (result.unreachable !== undefined) throw unreached(result.unreachable);
      if (result.outcome === 'failed') failed++;
      else {
        completed++;
        bytes += result.instance.dataSetLength;
      }
      for (const { id } of jobsOf.get(result.instance.SOPInstanceUID) ?? []) yield outcomeOf(id, result);
    }
  } finally {
    if (completed + failed > 0) {
      log(failed > 0 ? 'warn' : 'info', 'forwarded', {
        remote: destination,
        completed,
        failed,
        bytes,
        milliseconds: Math.round(performance.now() - began),
      });
    }
  }
}

export interface Delivery extends Omit<SendOptions, 'kinds' | 'parallel' | 'signal'> {
  readonly destination: string;
  /** Associations with the destination at a time, moves included. */
  readonly associations: number;
  readonly turns: DestinationTurns;
  readonly signal: AbortSignal;
}

/** Sends instances in turns with the moves to the same destination: a move that waits gets the association soon. */
export async function* deliver(
  instances: readonly OutgoingInstance[],
  { destination, associations, turns, ...options }: Delivery,
): AsyncGenerator<SendResult> {
  const left = [...instances];
  while (left.length > 0) {
    const turn = await turns.take(destination, associations, options.signal);
    if (turn === undefined) return;
    try {
      yield* sendAll(share(left, turn), { ...options, kinds: kindsOf(left), parallel: turn.associations });
    } finally {
      turn.end();
    }
    if (options.signal.aborted) return;
  }
}

function* share(left: OutgoingInstance[], turn: Turn): Generator<OutgoingInstance> {
  for (let sent = 0; sent < LEAST_TURN || !turn.contested; sent++) {
    const next = left.shift();
    if (next === undefined) return;
    yield next;
  }
}

function outcomeOf(id: number, { outcome, status, reason, lost }: SendResult): JobOutcome {
  if (outcome !== 'failed') return { id, outcome: 'done' };
  const destination =
    lost === 'ended' || lost === 'silent' || ((status ?? 0) & STATUS_CLASS) === OUT_OF_RESOURCES;
  return { id, outcome: 'failed', reason: reason ?? 'it failed', destination };
}
