import { join } from 'node:path';
import { ControlServer } from './admin/server';
import { Archive } from './archive';
import type { Config } from './config/config';
import { attributesOf } from './dicom/attributes';
import { IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME } from './dicom/uids';
import { COMMAND } from './dimse/operations';
import { Session } from './dimse/session';
import { statusText } from './dimse/status';
import type { ServiceEntry } from './dimse/types';
import { errorMessage, IsocenterError } from './errors';
import { NodeEventBus } from './events';
import type { Logger } from './log';
import { Listener } from './net/listener';
import type { AcceptorPolicy, Association } from './net/types';
import { commitmentReach, moveDestinations, outbound } from './outbound';
import { printable } from './printable';
import { createAccess } from './security/access';
import { HostNames } from './security/host-names';
import { RefusedCallers } from './security/refused-callers';
import { cStore } from './services/c-store';
import type { StorageCommitment } from './services/commitment';
import { echo } from './services/echo';
import { JobRunner } from './services/jobs-runner';
import { deliver } from './services/forward';
import { isStored, negotiateContexts, negotiateExtended, negotiateRoles } from './services/negotiation';
import { cFind } from './services/query';
import { carries } from './services/query-classes';
import type { RetrieveParts } from './services/retrieve';
import { cGet } from './services/retrieve-get';
import { cMove } from './services/retrieve-move';
import { DestinationTurns } from './services/retrieve-turns';
import { createTranscoder } from './transcode/transcoder';

/** Milliseconds that running operations have to end after SIGTERM. */
const DRAIN_TIME = 30_000;
/** Of that, what retrieves have to send what they have begun and to tell their callers what failed. */
const WIND_UP_TIME = 5_000;
/** How long a released peer may take, and an abort to reach it (PS3.8 leaves both to us). */
const RELEASE_TIME = 10_000;
const ABORT_GRACE = 1_000;
/** Requests under way at once that are offered to a destination. */
const ASYNC_WINDOW = 16;
/** How often a long recovery says where it is. */
const PROGRESS_TIME = 10_000;

export interface IsocenterNode {
  /**
   * Listens, then looks through the store; resolves when the node is ready.
   * @throws IsocenterError `NODE_STOPPED` where `stop` was called meanwhile, and has ended.
   */
  start(): Promise<{ readonly port: number }>;
  /** Graceful: running operations end within 30 s, new callers get 2/3/1. Idempotent. */
  stop(): Promise<void>;
  /** Rejects when the node can't go on; the process should end. */
  readonly failed: Promise<never>;
}

/** The composition root: the only place that knows every adapter. */
export function createNode(config: Config, logger: Logger): IsocenterNode {
  const { log } = logger;
  const events = new NodeEventBus((error) =>
    log('error', 'an observer failed', { error: errorMessage(error) }),
  );
  const refused = new RefusedCallers();
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => undefined);
  const sessions = new Set<Session>();
  /** Retrieves begin nothing more, and end; later: what they are sending is cut off. */
  const windUp = new AbortController();
  const cutOff = new AbortController();
  let archive: Archive | undefined;
  let listener: Listener | undefined;
  let control: ControlServer | undefined;
  let runner: JobRunner | undefined;
  const turns = new DestinationTurns();
  const transcoder = createTranscoder();
  let commitment: StorageCommitment | undefined;
  let stopping: Promise<void> | undefined;

  const names = new HostNames(
    config.remotes.flatMap((remote) => remote.hosts),
    {
      onChange: (name, state, detail) =>
        state === 'failed'
          ? log('warn', 'a host name of remotes could not be resolved', { host: name, reason: detail })
          : log('info', 'a host name of remotes was resolved', { host: name, reason: detail }),
    },
  );
  const unavailable = (): string | undefined =>
    archive?.unavailable ?? (archive === undefined ? 'the node is starting' : undefined);

  function policy(): AcceptorPolicy {
    const access = createAccess({
      aeTitles: config.aeTitles,
      unknownCallers: config.access.unknownCallers,
      calledAeTitle: config.access.calledAeTitle,
      remotes: config.remotes,
      file: config.file,
      addressesOf: names.addressesOf,
    });
    return {
      decideAccess: (request) => {
        const decision = access.decide(request);
        if (!decision.accepted && decision.rejection.reason === 3) refused.record(request, Date.now());
        return decision;
      },
      negotiateContexts,
      negotiateRoles,
      negotiateExtended,
    };
  }

  function open(opened: Archive, committing: StorageCommitment): Listener {
    const retrieval: RetrieveParts = {
      ...opened.retrieval,
      transcoder,
      pendingInterval: () => config.timeouts.pending,
      stopping: windUp.signal,
      kill: cutOff.signal,
      events,
      log,
    };
    const services: ServiceEntry[] = [
      echo,
      {
        commandField: COMMAND['C-STORE'],
        // A context for a class of its own was only accepted where the caller may bring one.
        handles: (abstractSyntax) => isStored(abstractSyntax, { unknownSyntaxes: true }),
        right: 'store',
        service: cStore(opened.ingest, () => config.storage.duplicates),
      },
      {
        commandField: COMMAND['C-FIND'],
        handles: (abstractSyntax) => carries(abstractSyntax, COMMAND['C-FIND']),
        right: 'find',
        service: cFind({
          catalog: opened.queries,
          attributes: attributesOf(config.catalog.attributes),
          aeTitle: config.aeTitles[0],
          findMatches: () => config.limits.findMatches,
          log,
        }),
      },
      committing.requests,
      opened.expected.service,
      {
        commandField: COMMAND['C-MOVE'],
        handles: (abstractSyntax) => carries(abstractSyntax, COMMAND['C-MOVE']),
        right: 'move',
        service: cMove({
          ...retrieval,
          remotes: () => moveDestinations(config),
          connect: async ({ name }, callingAETitle, proposal, signal) => {
            const remote = outbound(config, name);
            if (remote === undefined) throw new Error(`${name} can not be called`);
            return remote.connect(proposal, signal, callingAETitle);
          },
          jobs: opened.jobs,
          responseTimeout: () => config.timeouts.response,
          asyncWindow: ASYNC_WINDOW,
          turns,
        }),
      },
      {
        commandField: COMMAND['C-GET'],
        handles: (abstractSyntax) => carries(abstractSyntax, COMMAND['C-GET']),
        right: 'get',
        service: cGet(retrieval),
      },
    ];
    const accepted = policy();
    return new Listener({
      host: config.listen.host,
      port: config.listen.port,
      limits: () => config.limits,
      timeouts: () => ({ ...config.timeouts, release: RELEASE_TIME, abortGrace: ABORT_GRACE }),
      policy: () => accepted,
      implementation: { classUID: IMPLEMENTATION_CLASS_UID, versionName: IMPLEMENTATION_VERSION_NAME },
      maximumLength: config.limits.pduLength,
      unavailable,
      onAssociation: (association) => serve(association, services),
      onRejected: (info) =>
        log('warn', `association refused: ${info.why}`, {
          association: info.id,
          callingAETitle: info.callingAETitle,
          calledAETitle: info.calledAETitle,
          address: info.remoteAddress,
          code: `${info.rejection.result}/${info.rejection.source}/${info.rejection.reason}`,
        }),
      onProtocolError: (info) =>
        log(
          'warn',
          `protocol error: ${info.what}${info.looksLike === undefined ? '' : ` (looks like ${info.looksLike})`}`,
          {
            association: info.id,
            callingAETitle: info.callingAETitle,
            address: info.remoteAddress,
          },
        ),
      onFault: (error, association) =>
        log('error', 'fault in an association', { association, error: errorMessage(error) }),
      onServerError: (error) => log('error', 'the listener reports an error', { error: error.message }),
    });
  }

  function serve(association: Association, services: readonly ServiceEntry[]): void {
    const started = performance.now();
    const remoteName = association.peer?.name ?? '';
    const line = logger.child({ association: association.id, remote: remoteName });
    line.log('debug', 'association accepted', {
      callingAETitle: association.callingAETitle,
      calledAETitle: association.calledAETitle,
      address: association.remoteAddress,
      implementation: association.implementationVersionName,
      contexts: association.contexts.size,
    });
    const session = new Session(association, {
      services,
      log: line.log,
      responseTimeout: config.timeouts.response,
    });
    sessions.add(session);
    commitment?.attach(association, session.scu);
    void session.finished.then((end) => {
      sessions.delete(session);
      events.emit('associationEnded', {
        id: association.id,
        role: association.role,
        remoteName,
        callingAETitle: association.callingAETitle,
        calledAETitle: association.calledAETitle,
        remoteAddress: association.remoteAddress,
        contexts: association.contexts.size,
        instances: session.counters.instances,
        bytes: session.counters.bytes,
        milliseconds: Math.round(performance.now() - started),
        outcome: end.kind === 'released' ? 'released' : end.reason,
      });
    });
  }

  async function start(): Promise<{ port: number }> {
    observe(events, logger);
    archive = await Archive.open({
      config,
      log,
      events,
      onFatal: (error) => failure.reject(error),
    });
    try {
      const opened = archive;
      requireGoingOn();
      // A name server that hangs must not hold up the callers that are known by address.
      void names.start();
      commitment = opened.commitment((remote) => commitmentReach(config, remote));
      listener = open(opened, commitment);
      const { port } = await listener.listen();
      requireGoingOn();
      control = new ControlServer(
        join(config.storage.directory, 'control.sock'),
        opened.api({ unavailable, associations: () => listener?.associations().length ?? 0 }),
        {
          ready: () =>
            unavailable() ??
            opened.ingest.stopped ??
            (stopping === undefined ? undefined : 'the node is shutting down'),
        },
        log,
      );
      await control.listen();
      requireGoingOn();
      log('info', 'listening', {
        host: config.listen.host,
        port,
        callingAETitle: config.aeTitles[0],
        version: IMPLEMENTATION_VERSION_NAME,
      });
      await recover(opened);
      return { port };
    } catch (error) {
      await stop();
      // Whoever stopped it before it had begun didn't find the archive.
      await archive.close();
      throw error;
    }
  }

  function requireGoingOn(): void {
    if (stopping !== undefined)
      throw new IsocenterError('NODE_STOPPED', 'The node was stopped while it started');
  }

  async function recover(opened: Archive): Promise<void> {
    let said = performance.now();
    const report = await opened.recover((sofar, left) => {
      if (performance.now() - said < PROGRESS_TIME) return;
      said = performance.now();
      log('info', 'looking through the store', {
        segment: sofar.segments,
        remaining: left,
        count: sofar.adopted,
      });
    });
    requireGoingOn();
    const { adopted, removed, quarantined, missing } = report;
    if (adopted + removed + quarantined + missing > 0) {
      log(
        quarantined + missing > 0 ? 'warn' : 'info',
        `recovered after an unclean stop: ${adopted} files adopted, ${removed} unfinished ones removed, ${quarantined} set aside, ${missing} missing`,
      );
    }
    runner = work(opened);
    await runner.start();
    log('info', 'ready');
    void opened.fillIn();
  }

  function work(opened: Archive): JobRunner {
    const forwards = opened.forwards({
      send: (name, instances, { signal, kill }) => {
        const remote = outbound(config, name);
        const destination = moveDestinations(config).find((one) => one.name === name);
        if (remote === undefined || destination === undefined || 'missing' in destination) return undefined;
        return deliver(instances, {
          destination: name,
          associations: destination.associations,
          turns,
          connect: (proposal) => remote.connect(proposal, signal),
          transcode: destination.transcode,
          transcoder,
          asyncWindow: ASYNC_WINDOW,
          responseTimeout: config.timeouts.response,
          signal,
          kill,
          onDamaged: opened.onDamaged,
        });
      },
    });
    const handlers = commitment === undefined ? [forwards] : [forwards, commitment.reports];
    return new JobRunner({ queue: opened.jobs, handlers, events, log });
  }

  function stop(): Promise<void> {
    stopping ??= stopAll();
    return stopping;
  }

  async function stopAll(): Promise<void> {
    listener?.drain();
    const worked = runner?.stop(DRAIN_TIME);
    const windingUp = setTimeout(() => windUp.abort(), DRAIN_TIME - WIND_UP_TIME);
    if (!(await drain(sessions, DRAIN_TIME))) {
      log('warn', 'operations were cut off after 30 s', { count: sessions.size });
    }
    clearTimeout(windingUp);
    windUp.abort();
    cutOff.abort();
    await listener?.close();
    await Promise.all([worked, ...[...sessions].map((session) => session.finished)]);
    await transcoder.close();
    await control?.close();
    names.stop();
    await archive?.close();
    log('info', 'stopped');
  }

  return { start, stop, failed: failure.promise };
}

/** Ends each association once nothing runs on it; false where some still run after the time. */
async function drain(sessions: ReadonlySet<Session>, milliseconds: number): Promise<boolean> {
  const ended = Promise.all(
    [...sessions].map(async (session) => {
      await session.idle();
      session.association.abort(2, 0, 'the node stops');
    }),
  );
  let timer: NodeJS.Timeout | undefined;
  const expired = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), milliseconds);
  });
  const drained = await Promise.race([ended.then(() => true), expired]);
  clearTimeout(timer);
  return drained;
}

/** Log lines of the observers: one an association, one an alert. */
function observe(events: NodeEventBus, { log }: Logger): void {
  events.on('associationEnded', (summary) =>
    log('info', `association ended: ${printable(summary.outcome)}`, {
      association: summary.id,
      remote: summary.remoteName,
      callingAETitle: summary.callingAETitle,
      calledAETitle: summary.calledAETitle,
      address: summary.remoteAddress,
      contexts: summary.contexts,
      instances: summary.instances,
      bytes: summary.bytes,
      milliseconds: summary.milliseconds,
      rate: `${(summary.bytes / 1000 / Math.max(1, summary.milliseconds)).toFixed(1)} MB/s`,
    }),
  );
  events.on('retrieved', ({ level, status, associationId, remoteName, warning, ...summary }) =>
    log(
      summary.failed + summary.remaining + warning > 0 ? 'warn' : 'info',
      `retrieve of ${level.toLowerCase()} ended${status === undefined ? ': nobody was there to be answered' : ''}`,
      {
        association: associationId,
        remote: remoteName,
        ...(status === undefined ? {} : { status: statusText(status) }),
        warnings: warning,
        ...summary,
      },
    ),
  );
  events.on('alert', ({ code, message, details }) => log('warn', message, { code, ...details }));
  events.on('quarantine', ({ action, arrivalId }) =>
    log('info', action === 'release' ? 'released from quarantine' : 'discarded from quarantine', {
      arrivalId,
    }),
  );
}
