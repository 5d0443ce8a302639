import type { AttributeLevel } from '../dicom/attributes';
import { decodeDataSet, encodeDataSet, isSequence, type DataSet } from '../dicom/data-set';
import { UID } from '../dicom/uids';
import { parseCharacterSet } from '../dicom/charset';
import { textValues } from '../dicom/values';
import { COMMAND } from '../dimse/operations';
import type { ScuResponse } from '../dimse/scu';
import type { Session } from '../dimse/session';
import { EXIT, IsocenterError } from '../errors';

/** PS3.7 9.3.3.1: MEDIUM. */
const MEDIUM = 0x0000;
/** A peer that was sent C-CANCEL and neither ends nor reports anything is not waited for any longer. */
const CANCEL_PATIENCE = 10_000;
const FAILED_SOP_INSTANCE_UID_LIST = 0x00080058;
const ASCII = parseCharacterSet([]);

/** An information model for retrieval (PS3.4 C.6). */
export interface RetrieveModel {
  readonly move: string;
  readonly get: string;
  readonly levels: readonly AttributeLevel[];
}

export const RETRIEVE_MODELS = {
  study: {
    move: UID.StudyRootQueryRetrieveInformationModelMove,
    get: UID.StudyRootQueryRetrieveInformationModelGet,
    levels: ['STUDY', 'SERIES', 'IMAGE'],
  },
  patient: {
    move: UID.PatientRootQueryRetrieveInformationModelMove,
    get: UID.PatientRootQueryRetrieveInformationModelGet,
    levels: ['PATIENT', 'STUDY', 'SERIES', 'IMAGE'],
  },
  'patient-study': {
    move: UID.PatientStudyOnlyQueryRetrieveInformationModelMove,
    get: UID.PatientStudyOnlyQueryRetrieveInformationModelGet,
    levels: ['PATIENT', 'STUDY'],
  },
} as const satisfies Readonly<Record<string, RetrieveModel>>;

export type RetrieveModelName = keyof typeof RETRIEVE_MODELS;

/** Counters of sub-operations as a response gives them (PS3.4 C.4.2.1.6 to 9); undefined where it leaves one out. */
export interface SubOperations {
  readonly remaining: number | undefined;
  readonly completed: number | undefined;
  readonly failed: number | undefined;
  readonly warning: number | undefined;
}

export interface RetrieveRequest {
  readonly operation: 'C-MOVE' | 'C-GET';
  readonly sopClass: string;
  /** As it goes out, (0008,0052) included. */
  readonly identifier: DataSet;
  /** Of C-MOVE: an AE title that the peer knows. */
  readonly destination?: string;
  /** C-CANCEL. A peer that neither ends the operation nor reports anything within `cancelPatience` is sent A-ABORT. */
  readonly signal: AbortSignal;
  /** Milliseconds; default 10000. */
  readonly cancelPatience?: number;
  readonly onProgress?: (counts: SubOperations) => void;
}

/** How a retrieval ended: what the final response said. */
export interface RetrieveOutcome {
  readonly status: number;
  readonly comment: string | undefined;
  readonly offendingElements: readonly number[];
  /** The last that were said, also where only a pending response said it. */
  readonly counts: SubOperations;
  /** (0008,0058): what didn't get through, as far as the peer says. */
  readonly failedUids: readonly string[];
}

/**
 * Asks with C-MOVE or C-GET (PS3.4 C.4.2, C.4.3) and waits for the final response, whatever it says. For C-GET the session must serve C-STORE.
 * @throws IsocenterError `NO_CONTEXT` where the peer doesn't take the model; those of `Scu`
 */
export async function retrieve(session: Session, request: RetrieveRequest): Promise<RetrieveOutcome> {
  const { association, scu } = session;
  const { sopClass, operation, destination, signal, identifier } = request;
  const context = [...association.contexts.values()].find((row) => row.abstractSyntax === sopClass);
  if (context === undefined) {
    throw new IsocenterError('NO_CONTEXT', `the peer accepted no presentation context for ${sopClass}`, {
      exitCode: EXIT.refused,
    });
  }
  let counts: SubOperations = countersOf(undefined);
  const patience = new Patience(request.cancelPatience ?? CANCEL_PATIENCE, () =>
    association.abort(0, 0, `${operation} was cancelled and the peer did not end it`),
  );
  const cancelled = (): void => patience.start();
  signal.addEventListener('abort', cancelled, { once: true });
  try {
    const response = await scu.request(
      {
        CommandField: COMMAND[operation],
        AffectedSOPClassUID: sopClass,
        Priority: MEDIUM,
        ...(destination === undefined ? {} : { MoveDestination: destination }),
      },
      context.id,
      encodeDataSet(identifier, context.transferSyntax),
      {
        signal,
        onPending: (pending) => {
          patience.restart();
          counts = countersOf(pending, counts);
          request.onProgress?.(counts);
        },
      },
    );
    return {
      status: response.status,
      comment: response.command.ErrorComment,
      offendingElements: response.command.OffendingElement ?? [],
      // Remaining is absent from most final responses: nothing is then (DM-14).
      counts: countersOf(response, { ...counts, remaining: undefined }),
      failedUids: failedList(response),
    };
  } finally {
    signal.removeEventListener('abort', cancelled);
    patience.end();
  }
}

/** A time that begins with the cancel, and anew with each sign of life. */
class Patience {
  private readonly milliseconds: number;
  private readonly atEnd: () => void;
  private timer: NodeJS.Timeout | undefined;

  constructor(milliseconds: number, atEnd: () => void) {
    this.milliseconds = milliseconds;
    this.atEnd = atEnd;
  }

  start(): void {
    this.timer = setTimeout(this.atEnd, this.milliseconds);
  }

  restart(): void {
    this.timer?.refresh();
  }

  end(): void {
    clearTimeout(this.timer);
  }
}

function countersOf(response: ScuResponse | undefined, before?: SubOperations): SubOperations {
  const command = response?.command;
  return {
    remaining: command?.NumberOfRemainingSuboperations ?? before?.remaining,
    completed: command?.NumberOfCompletedSuboperations ?? before?.completed,
    failed: command?.NumberOfFailedSuboperations ?? before?.failed,
    warning: command?.NumberOfWarningSuboperations ?? before?.warning,
  };
}

/** Unreadable ones say nothing: the counters count. */
function failedList({ dataSet, context }: ScuResponse): string[] {
  if (dataSet === undefined) return [];
  try {
    const element = decodeDataSet(dataSet, context.transferSyntax).find(
      ({ tag }) => tag === FAILED_SOP_INSTANCE_UID_LIST,
    );
    if (element === undefined || isSequence(element)) return [];
    return textValues(element.value, 'UI', ASCII).filter((uid) => uid !== '');
  } catch {
    return [];
  }
}

/** Sub-operations in all, as far as the peer counts them. */
export function totalOf(counts: SubOperations): number | undefined {
  const { remaining, completed } = counts;
  return remaining === undefined && completed === undefined ? undefined : (remaining ?? 0) + doneOf(counts);
}

/** Sub-operations that are over, however they ended. */
export function doneOf({ completed, failed, warning }: SubOperations): number {
  return (completed ?? 0) + (failed ?? 0) + (warning ?? 0);
}
