import type { DataSet } from '../dicom/data-set';
import { Session } from '../dimse/session';
import { errorCode, errorMessage } from '../errors';
import type { Proposal } from '../net/negotiation';
import type { Association } from '../net/types';
import { FIND_MODELS, proposeFind } from '../services/find-scu';
import { doneOf, retrieve, type RetrieveOutcome, totalOf } from '../services/retrieve-scu';
import { COMMON_STORAGE_CLASSES, proposeGet, ROOMY } from '../services/retrieve-scu-contexts';
import { takeInventory, type ListedInstance } from '../services/retrieve-scu-inventory';
import { getSession, type GetEvent, type GetSink } from '../services/retrieve-scu-receive';
import { type Asked, modelRefused } from './retrieve-words';

/** UIDs in one identifier: some peers take no long lists, and a UI value ends at 64 KiB (PS3.5 7.1.2). */
const UIDS_AT_ONCE = 200;

export interface FetchParts {
  readonly asked: Asked;
  readonly connect: (proposal: Proposal) => Promise<Association>;
  readonly responseTimeout: number;
  readonly sink: GetSink;
  readonly signal: AbortSignal;
  /** A sentence for the user. */
  readonly note: (text: string) => void;
  /** While the peer lists what it has. */
  readonly onListed: (count: number) => void;
  /** What comes now is the fetching, of so many. */
  readonly onTotal: (total: number | undefined) => void;
  readonly onInstance: (event: GetEvent) => void;
}

export interface Fetched {
  /** One a C-GET; none where nothing had to be fetched. */
  readonly outcomes: readonly RetrieveOutcome[];
  /** Failed sub-operations that never came here. */
  readonly failedThere: number;
  /** Instances that the peer listed, and that are not here. */
  readonly missing: number;
}

/** Asks what there is, leaves out what is here, and fetches the rest. */
export async function fetchAll(parts: FetchParts): Promise<Fetched> {
  const listed = await list(parts);
  const { asked, sink, signal, onInstance } = parts;
  const { question } = asked;
  if (listed === undefined) {
    parts.onTotal(undefined);
    return fetch(parts, [question.identifier], COMMON_STORAGE_CLASSES, undefined);
  }
  parts.onTotal(listed.length);
  const wanted: ListedInstance[] = [];
  for (const instance of listed) {
    if (signal.aborted) break;
    const { SOPInstanceUID } = instance;
    if (await sink.has(SOPInstanceUID)) onInstance({ SOPInstanceUID, outcome: 'present', bytes: 0 });
    else wanted.push(instance);
  }
  if (wanted.length === 0 || signal.aborted) return { outcomes: [], failedThere: 0, missing: 0 };
  return fetchByClass(parts, listed, wanted);
}

/**
 * Group by group of few classes: then each transfer syntax has a context of its own, and the peer need not bring anything into another
 * one.
 */
async function fetchByClass(
  parts: FetchParts,
  listed: readonly ListedInstance[],
  wanted: readonly ListedInstance[],
): Promise<Fetched> {
  const groups = groupsOf(wanted);
  const all: Fetched[] = [];
  for (const { classes, instances } of groups) {
    if (parts.signal.aborted) break;
    const whole = instances.length === listed.length;
    const identifiers = whole ? [parts.asked.question.identifier] : identifiersFor(parts, listed, instances);
    all.push(await fetch(parts, identifiers, classes, instances));
  }
  return {
    outcomes: all.flatMap(({ outcomes }) => outcomes),
    failedThere: all.reduce((sum, { failedThere }) => sum + failedThere, 0),
    missing: all.reduce((sum, { missing }) => sum + missing, 0),
  };
}

interface Group {
  readonly classes: readonly string[];
  readonly instances: readonly ListedInstance[];
}

/** Instances whose class the peer doesn't name are hoped to be of a common one. */
function groupsOf(instances: readonly ListedInstance[]): Group[] {
  const named = [...new Set(instances.map(({ SOPClassUID }) => SOPClassUID))];
  const classes = named.filter((uid) => uid !== '');
  const groups: Group[] = [];
  for (let at = 0; at < classes.length; at += ROOMY) {
    const some = classes.slice(at, at + ROOMY);
    groups.push({
      classes: some,
      instances: instances.filter(({ SOPClassUID }) => some.includes(SOPClassUID)),
    });
  }
  const unnamed = instances.filter(({ SOPClassUID }) => SOPClassUID === '');
  if (unnamed.length > 0) groups.push({ classes: COMMON_STORAGE_CLASSES, instances: unnamed });
  return groups;
}

/** Undefined where the peer doesn't tell. */
async function list(parts: FetchParts): Promise<ListedInstance[] | undefined> {
  const { asked, connect, responseTimeout, signal, note, onListed } = parts;
  const { keys, modelName } = asked.question;
  const root = modelName === 'study' ? 'study' : 'patient';
  const association = await connect(proposeFind(FIND_MODELS[root], []));
  try {
    const session = new Session(association, { responseTimeout });
    return await takeInventory(session, { root, keys, signal, onInstance: onListed });
  } catch (error) {
    if (signal.aborted) throw error;
    const why = errorCode(error) === 'NO_CONTEXT' ? 'it takes no queries' : errorMessage(error);
    note(
      `${asked.peer.aeTitle} does not list what it has (${why}): all of it is fetched, if it is of a common class`,
    );
    return undefined;
  } finally {
    await association.release();
  }
}

/** Whole series where nothing of them is here, else the instances that aren't. */
function identifiersFor(
  { asked }: FetchParts,
  listed: readonly ListedInstance[],
  wanted: readonly ListedInstance[],
): DataSet[] {
  const all = bySeries(listed);
  return [...bySeries(wanted).values()].flatMap((instances) => {
    const [first] = instances;
    if (first === undefined) return [];
    const { StudyInstanceUID, SeriesInstanceUID } = first;
    const upper = { StudyInstanceUID: [StudyInstanceUID], SeriesInstanceUID: [SeriesInstanceUID] };
    if (
      all.get(SeriesInstanceUID)?.length === instances.length &&
      asked.question.keys.SOPInstanceUID === undefined
    )
      return [asked.question.narrowed(upper, 'SERIES')];
    const identifiers: DataSet[] = [];
    for (let at = 0; at < instances.length; at += UIDS_AT_ONCE) {
      const SOPInstanceUID = instances.slice(at, at + UIDS_AT_ONCE).map((one) => one.SOPInstanceUID);
      identifiers.push(asked.question.narrowed({ ...upper, SOPInstanceUID }, 'IMAGE'));
    }
    return identifiers;
  });
}

function bySeries(instances: readonly ListedInstance[]): Map<string, ListedInstance[]> {
  const series = new Map<string, ListedInstance[]>();
  for (const instance of instances) {
    const known = series.get(instance.SeriesInstanceUID);
    if (known === undefined) series.set(instance.SeriesInstanceUID, [instance]);
    else known.push(instance);
  }
  return series;
}

async function fetch(
  parts: FetchParts,
  identifiers: readonly DataSet[],
  classes: readonly string[],
  wanted: readonly ListedInstance[] | undefined,
): Promise<Fetched> {
  const { asked, connect, responseTimeout, sink, signal } = parts;
  const sopClass = asked.question.model.get;
  const proposal = proposeGet(sopClass, classes);
  const association = await connect(proposal);
  const arrived = new Set<string>();
  const failedHere = new Set<string>();
  const session = getSession(association, {
    sink,
    responseTimeout,
    onInstance: (event) => {
      if (event.outcome !== 'failed') arrived.add(event.SOPInstanceUID);
      else failedHere.add(event.SOPInstanceUID);
      parts.onInstance(event);
    },
  });
  const outcomes: RetrieveOutcome[] = [];
  let total = wanted === undefined ? undefined : 0;
  try {
    for (const identifier of identifiers) {
      if (signal.aborted) break;
      outcomes.push(
        await retrieve(session, {
          operation: 'C-GET',
          sopClass,
          identifier,
          signal,
          onProgress: (counts) => {
            if (wanted !== undefined || total !== undefined || doneOf(counts) > 1) return;
            total = totalOf(counts);
            parts.onTotal(total);
          },
        }),
      );
    }
  } catch (error) {
    throw modelRefused(error, asked);
  } finally {
    await association.release();
  }
  const failures = outcomes.reduce((sum, { counts }) => sum + (counts.failed ?? 0), 0);
  const absent = wanted?.filter(({ SOPInstanceUID }) => !arrived.has(SOPInstanceUID)).length ?? 0;
  return {
    outcomes,
    failedThere: Math.max(0, failures - failedHere.size),
    missing: signal.aborted ? 0 : Math.max(0, absent - failures),
  };
}
