import { attributeOf, type AttributeLevel } from '../dicom/attributes';
import { parseCharacterSet, type CharacterSet } from '../dicom/charset';
import {
  decodeDataSet,
  encodeDataSet,
  isSequence,
  type DataElement,
  type DataSet,
  type ValueElement,
} from '../dicom/data-set';
import { formatTag, isGroupLength, keywordOf, vrOf } from '../dicom/dictionary';
import { characterSetOf } from '../dicom/json-model';
import type { Tag } from '../dicom/types';
import { UID } from '../dicom/uids';
import { isNumeric, numberOf, numericValues, textValues } from '../dicom/values';
import { COMMAND } from '../dimse/operations';
import type { ScuResponse } from '../dimse/scu';
import type { Session } from '../dimse/session';
import { STATUS } from '../dimse/status';
import { EXIT, errorMessage, IsocenterError } from '../errors';
import type { Association, ExtendedNegotiation, ProposedContext } from '../net/types';

/** PS3.7 9.3.2.1: MEDIUM. */
const MEDIUM = 0x0000;
/** A peer that was sent C-CANCEL on the user's word and says nothing is not waited for any longer. */
const CANCEL_PATIENCE = 5000;
const CONTEXT_ID = 1;
/** Specific Character Set, Query/Retrieve Level and View, Timezone Offset: about the query, no keys of it. */
const NO_KEYS: ReadonlySet<Tag> = new Set([0x00080005, 0x00080052, 0x00080053, 0x00080201]);

/** What the matching of a query may do beyond the baseline, where the peer agrees (PS3.4 C.5.1.1). */
export type FindFeature = 'relational' | 'dateTime' | 'fuzzy' | 'timezone' | 'emptyValue' | 'multipleValue';

/** Index of a feature's byte in the service class application information (PS3.4 table C.5-1; K.5.1 for worklists). */
const FEATURE_BYTES: Readonly<Record<FindFeature, number>> = {
  relational: 0,
  dateTime: 1,
  fuzzy: 2,
  timezone: 3,
  emptyValue: 5,
  multipleValue: 6,
};

const QUERY_FEATURES = Object.keys(FEATURE_BYTES) as FindFeature[];

/** An information model that can be asked with C-FIND. */
export interface FindModel {
  readonly sopClass: string;
  /** None: the model has no (0008,0052). */
  readonly levels: readonly AttributeLevel[];
  readonly features: readonly FindFeature[];
  /** What the information begins with, whatever is asked: worklists always match date and time together. */
  readonly fixed: readonly number[];
}

export const FIND_MODELS = {
  study: {
    sopClass: UID.StudyRootQueryRetrieveInformationModelFind,
    levels: ['STUDY', 'SERIES', 'IMAGE'],
    features: QUERY_FEATURES,
    fixed: [],
  },
  patient: {
    sopClass: UID.PatientRootQueryRetrieveInformationModelFind,
    levels: ['PATIENT', 'STUDY', 'SERIES', 'IMAGE'],
    features: QUERY_FEATURES,
    fixed: [],
  },
  'patient-study': {
    sopClass: UID.PatientStudyOnlyQueryRetrieveInformationModelFind,
    levels: ['PATIENT', 'STUDY'],
    features: QUERY_FEATURES,
    fixed: [],
  },
  worklist: {
    sopClass: UID.ModalityWorklistInformationModelFind,
    levels: [],
    features: ['fuzzy', 'timezone'],
    fixed: [1, 1],
  },
} as const satisfies Readonly<Record<string, FindModel>>;

export type FindModelName = keyof typeof FIND_MODELS;

/** What an association for queries proposes; an extended negotiation item only where something is asked for. */
export function proposeFind(
  model: FindModel,
  features: readonly FindFeature[],
): { readonly contexts: ProposedContext[]; readonly extendedNegotiation: ExtendedNegotiation[] } {
  const bytes = features.map((feature) => FEATURE_BYTES[feature]);
  // No longer than needed: peers of older editions know of one byte, of three or of five.
  const information = Buffer.alloc(Math.max(model.fixed.length, ...bytes.map((byte) => byte + 1)));
  Buffer.from(model.fixed).copy(information);
  for (const byte of bytes) information[byte] = 1;
  return {
    contexts: [
      {
        id: CONTEXT_ID,
        abstractSyntax: model.sopClass,
        transferSyntaxes: [UID.ExplicitVRLittleEndian, UID.ImplicitVRLittleEndian],
      },
    ],
    extendedNegotiation: features.length === 0 ? [] : [{ sopClass: model.sopClass, information }],
  };
}

/** Those of the features that the peer did not agree to. */
export function refusedFeatures(
  association: Pick<Association, 'extendedNegotiation'>,
  model: FindModel,
  features: readonly FindFeature[],
): FindFeature[] {
  const answer = association.extendedNegotiation.find(({ sopClass }) => sopClass === model.sopClass);
  return features.filter((feature) => answer?.information[FEATURE_BYTES[feature]] !== 1);
}

/**
 * A value of a response: text decoded to Unicode, several values joined by `\`, numbers of binary VRs and counts of related entities as
 * numbers, null where it is empty; the items of a sequence.
 */
export type FindValue = string | number | null | readonly FindRow[];

/** A response, or an item, by keyword; `(gggg,eeee)` where the dictionary has none. */
export interface FindRow {
  readonly [keyword: string]: FindValue;
}

export interface FindRequest {
  readonly model: FindModel;
  /** As it goes out, (0008,0005) and (0008,0052) included. */
  readonly identifier: DataSet;
  /** C-CANCEL goes out with so many matches; further ones aren't handed on. Undefined: all. */
  readonly limit?: number;
  /** C-CANCEL. A peer that doesn't end the operation within `cancelPatience` is sent A-ABORT. */
  readonly signal: AbortSignal;
  /** Milliseconds; default 5000. */
  readonly cancelPatience?: number;
  /** (0008,0005) to read answers by that have none. */
  readonly defaultCharset?: string;
  /** Each match in order; the next one waits for its promise. */
  readonly onMatch: (row: FindRow) => void | Promise<void>;
}

/** How a query ended. */
export interface FindOutcome {
  /** Of the final response. */
  readonly status: number;
  readonly comment: string | undefined;
  readonly offendingElements: readonly Tag[];
  /** Handed on. */
  readonly matches: number;
  /** Came in spite of C-CANCEL. */
  readonly further: number;
  /** A response said that optional keys aren't supported (FF01). */
  readonly partial: boolean;
  /** Paths of keys that no response had; empty where there was no response. */
  readonly missing: readonly string[];
  /** Responses whose identifier isn't readable, and what was wrong with the first of them. */
  readonly unreadable: number;
  readonly problem: string | undefined;
}

/**
 * Asks with C-FIND (PS3.4 C.4.1) and waits for the final response, whatever it says.
 * @throws IsocenterError `NO_CONTEXT` where the peer doesn't take the model; those of `Scu`
 */
export async function find(session: Session, request: FindRequest): Promise<FindOutcome> {
  const { association } = session;
  const { sopClass } = request.model;
  const context = [...association.contexts.values()].find((row) => row.abstractSyntax === sopClass);
  if (context === undefined) {
    throw new IsocenterError('NO_CONTEXT', `the peer accepted no presentation context for ${sopClass}`, {
      exitCode: EXIT.refused,
    });
  }
  const answers = new Answers(request);
  let patience: NodeJS.Timeout | undefined;
  const loseItSoon = (): void => {
    patience = setTimeout(
      () => association.abort(0, 0, 'C-FIND was cancelled and the peer did not end it'),
      request.cancelPatience ?? CANCEL_PATIENCE,
    );
  };
  request.signal.addEventListener('abort', loseItSoon, { once: true });
  try {
    const { status, command } = await session.scu.request(
      { CommandField: COMMAND['C-FIND'], AffectedSOPClassUID: sopClass, Priority: MEDIUM },
      context.id,
      encodeDataSet(request.identifier, context.transferSyntax),
      {
        signal: AbortSignal.any([request.signal, answers.enough]),
        onPending: (response) => answers.take(response),
      },
    );
    return {
      status,
      comment: command.ErrorComment,
      offendingElements: command.OffendingElement ?? [],
      ...answers.summary(),
    };
  } finally {
    request.signal.removeEventListener('abort', loseItSoon);
    clearTimeout(patience);
  }
}

/** What came so far. */
class Answers {
  private readonly request: FindRequest;
  private readonly wanted: readonly WantedKey[];
  private readonly around: CharacterSet;
  private readonly stop = new AbortController();
  private matches = 0;
  private further = 0;
  private partial = false;
  private unreadable = 0;
  private problem: string | undefined;

  constructor(request: FindRequest) {
    this.request = request;
    this.wanted = wantedKeys(request.identifier.filter(({ tag }) => !NO_KEYS.has(tag)));
    this.around = parseCharacterSet((request.defaultCharset ?? '').split('\\'));
  }

  /** Aborted with the last match that is wanted. */
  get enough(): AbortSignal {
    return this.stop.signal;
  }

  take({ status, dataSet, context }: ScuResponse): void | Promise<void> {
    if (this.stop.signal.aborted) {
      this.further++;
      return undefined;
    }
    if (status === STATUS.PendingWithWarning) this.partial = true;
    let elements: DataSet;
    try {
      // PS3.7 9.3.2.2: a pending response has an identifier.
      if (dataSet === undefined) throw new Error('there is no identifier');
      elements = decodeDataSet(dataSet, context.transferSyntax);
    } catch (error) {
      this.unreadable++;
      this.problem ??= errorMessage(error);
      return undefined;
    }
    this.matches++;
    markSeen(this.wanted, elements);
    const handed = this.request.onMatch(rowOf(elements, this.around));
    if (this.matches === this.request.limit) this.stop.abort();
    return handed;
  }

  summary(): Omit<FindOutcome, 'status' | 'comment' | 'offendingElements'> {
    const { matches, further, partial, unreadable, problem } = this;
    const missing = matches === 0 ? [] : unseen(this.wanted);
    return { matches, further, partial, missing, unreadable, problem };
  }
}

/** A key of the request, and whether any response had it. */
interface WantedKey {
  readonly tag: Tag;
  readonly within: readonly WantedKey[];
  seen: boolean;
}

function wantedKeys(keys: DataSet): WantedKey[] {
  return keys.map((key) => ({
    tag: key.tag,
    within: isSequence(key) ? key.items.flatMap(wantedKeys) : [],
    seen: false,
  }));
}

function markSeen(wanted: readonly WantedKey[], answer: DataSet): void {
  for (const key of wanted) {
    const element = answer.find(({ tag }) => tag === key.tag);
    if (element === undefined) continue;
    key.seen = true;
    // A sequence without items tells nothing of what they would hold.
    const items = isSequence(element) ? element.items : [];
    if (items.length === 0) for (const inner of key.within) inner.seen = true;
    for (const item of items) markSeen(key.within, item);
  }
}

/** Paths of the keys that weren't seen; of a sequence that wasn't, nothing within. */
function unseen(wanted: readonly WantedKey[], prefix = ''): string[] {
  return wanted.flatMap((key) => {
    const path = `${prefix}${attributeName(key.tag)}`;
    return key.seen ? unseen(key.within, `${path}.`) : [path];
  });
}

/** Keyword of an attribute, or its tag as people write it. */
export function attributeName(tag: Tag): string {
  return keywordOf(tag) ?? formatTag(tag);
}

/** The elements by name, text decoded by their own character set or the one around them (PS3.5 7.5.3). */
export function rowOf(elements: DataSet, around: CharacterSet): FindRow {
  const set = characterSetOf(elements) ?? around;
  const row: Record<string, FindValue> = {};
  for (const element of elements) {
    if (!isGroupLength(element.tag)) row[attributeName(element.tag)] ??= valueOf(element, set);
  }
  return row;
}

function valueOf(element: DataElement, set: CharacterSet): FindValue {
  if (isSequence(element)) return element.items.map((item) => rowOf(item, set));
  const { tag, value } = element;
  const vr = element.vr === 'UN' ? vrOf(tag) : element.vr;
  if (value.length === 0) return null;
  if (isNumeric(vr)) return numbersOf(element, vr);
  if (vr === 'UN' || vr === 'SQ' || vr.startsWith('O')) return opaque(value);
  const values = textValues(value, vr, set);
  if (values.every((text) => text === '')) return null;
  const text = values.join('\\');
  return vr === 'IS' && isCount(tag) ? (numberOf(text) ?? text) : text;
}

function numbersOf({ value }: ValueElement, vr: string): FindValue {
  const numbers = numericValues(value, vr);
  if (vr === 'AT') return numbers.map(formatTag).join('\\');
  const [only] = numbers;
  if (only === undefined) return null;
  return numbers.length === 1 && Number.isFinite(only) ? only : numbers.join('\\');
}

/** Text where it looks like text, else Base64. */
function opaque(value: Buffer): string {
  const text = value.toString('latin1').replace(/[ \0]+$/, '');
  return /^[\x20-\x7e]*$/.test(text) ? text : value.toString('base64');
}

/** Number of Study Related Instances and its like. */
function isCount(tag: Tag): boolean {
  return attributeOf(keywordOf(tag) ?? '')?.kind === 'computed';
}
