import type { Rejection } from './types';

/** Refusals that the node itself gives (interface: "What peers see"). */
export const REJECTION = {
  noReason: { result: 1, source: 2, reason: 1 },
  internalError: { result: 2, source: 2, reason: 1 },
  protocolVersion: { result: 1, source: 2, reason: 2 },
  applicationContext: { result: 1, source: 1, reason: 2 },
  callingAETitle: { result: 1, source: 1, reason: 3 },
  calledAETitle: { result: 1, source: 1, reason: 7 },
  temporaryCongestion: { result: 2, source: 3, reason: 1 },
  localLimit: { result: 2, source: 3, reason: 2 },
} as const satisfies Readonly<Record<string, Rejection>>;

/** A triple as it came off the wire: peers send values that the standard doesn't know. */
export interface RejectionTriple {
  readonly result: number;
  readonly source: number;
  readonly reason: number;
}

interface Words {
  /** What it means. */
  readonly meaning: string;
  /** What the user of this side does about it. */
  readonly advice: string;
}

/** PS3.8 table 9-21, by source and reason. */
const WORDS: Readonly<Record<string, Words>> = {
  '1/1': {
    meaning: 'no reason given',
    advice: 'look into the log of the other side',
  },
  '1/2': {
    meaning: 'application context not supported',
    advice: 'the other side does not speak DICOM on this port; check host and port',
  },
  '1/3': {
    meaning: 'calling AE title not recognized',
    advice: 'enter our AE title, and our address, in the list of known callers on the other side',
  },
  '1/7': {
    meaning: 'called AE title not recognized',
    advice:
      'the other side goes by another AE title; check aeTitle of this remote, upper and lower case included',
  },
  '2/1': {
    meaning: 'no reason given by its association layer',
    advice: 'look into the log of the other side; user identity or a negotiation item may be what it refuses',
  },
  '2/2': {
    meaning: 'protocol version not supported',
    advice: 'the other side does not speak DICOM on this port; check host and port',
  },
  '3/1': {
    meaning: 'temporary congestion',
    advice: 'the other side is starting, stopping or overloaded; try again later',
  },
  '3/2': {
    meaning: 'local limit of associations exceeded',
    advice: 'the other side has all its associations in use; try again later or raise its limit',
  },
};

const SOURCES: Readonly<Record<number, string>> = {
  1: 'service user',
  2: 'service provider (association)',
  3: 'service provider (presentation)',
};

/** A refusal in words: `rejected 1/1/7 (permanent, service user): called AE title not recognized`. */
export function describeRejection(triple: RejectionTriple): { text: string; advice: string } {
  const { result, source, reason } = triple;
  const words = WORDS[`${source}/${reason}`] ?? {
    meaning: 'a reason that the standard does not know',
    advice: 'look into the log of the other side',
  };
  const kind = result === 1 ? 'permanent' : result === 2 ? 'transient' : 'of unknown result';
  const by = SOURCES[source] ?? 'unknown source';
  return {
    text: `rejected ${result}/${source}/${reason} (${kind}, ${by}): ${words.meaning}`,
    advice: words.advice,
  };
}

/** PS3.8 table 9-26: reasons of an abort whose source is the provider. */
const ABORT_WORDS: Readonly<Record<number, string>> = {
  0: 'reason not specified',
  1: 'unrecognized PDU',
  2: 'unexpected PDU',
  4: 'unrecognized PDU parameter',
  5: 'unexpected PDU parameter',
  6: 'invalid PDU parameter value',
};

/** An A-ABORT in words. The reason is not significant where the user aborted (PS3.8 9.3.8). */
export function describeAbort(source: number, reason: number): string {
  if (source === 0) return 'abort by its application';
  return `abort by its upper layer: ${ABORT_WORDS[reason] ?? `unknown reason ${reason}`}`;
}
