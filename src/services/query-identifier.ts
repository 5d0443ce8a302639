import type { Condition, EntityQuery, Match } from '../catalog/query-types';
import type { Level } from '../catalog/types';
import type { Attribute } from '../dicom/attributes';
import { parseCharacterSet, type CharacterSet } from '../dicom/charset';
import { decodeDataSet, type DataElement, type DataSet } from '../dicom/data-set';
import { isGroupLength } from '../dicom/dictionary';
import { characterSetOf } from '../dicom/json-model';
import { isEmptyInterval, offsetMinutes } from '../dicom/match-keys';
import type { DicomParseError } from '../dicom/parse-error';
import type { Tag } from '../dicom/types';
import type { IncomingDataSet } from '../dimse/types';
import { STATUS } from '../dimse/status';
import { DimseError, errorCode } from '../errors';
import type { Peer } from '../peer';
import type { FindAgreement, QueryClass } from './query-classes';
import { combineDateTimes, TimezoneAdjustment } from './query-dates';
import { firstOfEach, matchOfSequence, readSequenceKey, valuesOf, type SequenceKey } from './query-items';
import { hasWildcard, matchOf, misfit, nameOf } from './query-keys';

/** Real identifiers have some hundred bytes, one with thousands of UIDs in a list some hundred kilobytes. */
const MAX_IDENTIFIER = 256 * 1024;

const SPECIFIC_CHARACTER_SET = 0x00080005;
const QUERY_RETRIEVE_LEVEL = 0x00080052;
const TIMEZONE_OFFSET = 0x00080201;

/** What stands in every answer, or says how to answer: no keys, whatever their values. */
const NO_KEYS: ReadonlySet<Tag> = new Set([
  SPECIFIC_CHARACTER_SET,
  QUERY_RETRIEVE_LEVEL,
  // RetrieveAETitle, InstanceAvailability; QueryRetrieveView counts where enhanced conversion was agreed on, which it never is.
  0x00080054,
  0x00080056,
  0x00080053,
  TIMEZONE_OFFSET,
]);

/** Elements below are of commands and files (PS3.5 7.1): no part of a data set. */
const FIRST_DATA_SET_TAG = 0x00080000;

const LEVELS: readonly Level[] = ['PATIENT', 'STUDY', 'SERIES', 'IMAGE'];

/** PatientID, StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID (PS3.4 C.2.2.1.1). */
const UNIQUE_KEYS: Readonly<Record<Level, Tag>> = {
  PATIENT: 0x00100020,
  STUDY: 0x0020000d,
  SERIES: 0x0020000e,
  IMAGE: 0x00080018,
};

/** Computed attributes that can be asked for: all others are counted or constant, and returned only. */
const MATCHED_COMPUTED: ReadonlySet<string> = new Set(['ModalitiesInStudy', 'SOPClassesInStudy']);

/** For an attribute of a lower level the one that answers the same of an upper one. */
const INSTEAD: Readonly<Record<string, string>> = {
  Modality: 'ModalitiesInStudy',
  SOPClassUID: 'SOPClassesInStudy',
};

/** The attributes that can be asked for. */
export interface Attributes {
  ofTag(tag: Tag): Attribute | undefined;
}

/** An attribute of the answer. */
export interface ReturnedKey {
  readonly tag: Tag;
  readonly vr: string;
  readonly keyword: string;
  /** Of a sequence. */
  readonly sequence?: SequenceKey;
}

/** What an identifier asks for, ready for the catalog and for the answer. */
export interface QueryPlan {
  readonly level: Level;
  readonly query: EntityQuery;
  /** Without the constant ones, each once. */
  readonly returned: readonly ReturnedKey[];
  /** An optional key is not supported: every pending response is FF01 (PS3.4 C.4.1.1.4). */
  readonly incomplete: boolean;
  /** No entity can match. */
  readonly empty: boolean;
  /** In which the caller asks; undefined where it is none that is known. */
  readonly characterSet: CharacterSet | undefined;
  readonly adjustment: TimezoneAdjustment | undefined;
  /** (0008,0201) of the answers, where it was agreed on. */
  readonly timezoneOffset: string | undefined;
}

/** Under which rules an identifier is read. */
export interface QueryTerms {
  readonly queryClass: Pick<QueryClass, 'levels'>;
  readonly agreement: FindAgreement;
  readonly peer: Pick<Peer, 'lenient' | 'defaultCharset'>;
  readonly attributes: Attributes;
  readonly localOffset?: (instant: number) => number;
}

/**
 * Reads an identifier off the wire, up to a bound.
 * @throws DimseError C000 where it is too large or can't be read.
 */
export async function readIdentifier(
  incoming: IncomingDataSet | undefined,
  transferSyntax: string,
): Promise<DataSet> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of incoming ?? []) {
    length += chunk.length;
    if (length > MAX_IDENTIFIER) throw unreadable('Identifier is larger than 256 KiB');
    chunks.push(chunk);
  }
  try {
    return decodeDataSet(Buffer.concat(chunks, length), transferSyntax, { bytes: MAX_IDENTIFIER });
  } catch (error) {
    if (errorCode(error) !== 'DICOM_PARSE') throw error;
    const { reason, tag } = error as DicomParseError;
    throw unreadable(`Identifier can not be read: ${reason}`, tag);
  }
}

function unreadable(comment: string, tag?: Tag): DimseError {
  return new DimseError(STATUS.UnableToProcess, comment, {
    offendingElements: tag === undefined ? [] : [tag],
  });
}

/**
 * Understands an identifier of C-FIND (PS3.4 C.4.1.1.3.1).
 * @throws DimseError A900 with the element at fault. No comment holds a value: it may be a patient's.
 */
export function planQuery(identifier: DataSet, terms: QueryTerms): QueryPlan {
  return new Planner(identifier, terms).plan();
}

class Planner {
  private readonly terms: QueryTerms;
  private readonly elements: readonly DataElement[];
  private readonly set: CharacterSet;
  private readonly level: Level;
  private readonly conditions: Condition[] = [];
  private readonly returned: ReturnedKey[] = [];
  private incomplete = false;

  constructor(identifier: DataSet, terms: QueryTerms) {
    this.terms = terms;
    this.elements = firstOfEach(identifier);
    const assumed = terms.peer.defaultCharset;
    this.set =
      characterSetOf(identifier) ?? parseCharacterSet(assumed === undefined ? [] : assumed.split('\\'));
    this.level = this.readLevel();
  }

  plan(): QueryPlan {
    for (const element of this.elements) {
      const { tag } = element;
      if (tag < FIRST_DATA_SET_TAG || isGroupLength(tag) || NO_KEYS.has(tag)) continue;
      this.readKey(element, this.terms.attributes.ofTag(tag));
    }
    this.requireUpperKeys();
    const offset = this.timezoneOffset();
    this.returnOffset(offset);
    return this.finished(offset);
  }

  /** QR-02: one value, and a level of the model. */
  private readLevel(): Level {
    const values = this.valuesOf(QUERY_RETRIEVE_LEVEL, 'CS');
    const { levels } = this.terms.queryClass;
    const level = levels.find((one) => one === values[0]);
    if (level !== undefined && values.length === 1) return level;
    const comment =
      values.length === 0 || values[0] === ''
        ? 'QueryRetrieveLevel is missing'
        : `QueryRetrieveLevel is none of ${levels.join(', ')}`;
    throw misfit(QUERY_RETRIEVE_LEVEL, comment);
  }

  private valuesOf(tag: Tag, vr: string): string[] {
    const element = this.elements.find((one) => one.tag === tag);
    return element === undefined ? [] : valuesOf(element, vr, this.set);
  }

  private readKey(element: DataElement, attribute: Attribute | undefined): void {
    if (attribute === undefined) {
      // QR-06: nothing is known of it, so it is left out.
      this.incomplete = true;
      return;
    }
    const { keyword, tag, vr, level } = attribute;
    const below = LEVELS.indexOf(level) > LEVELS.indexOf(this.level);
    if (below && this.terms.peer.lenient === true) {
      this.incomplete = true;
      return;
    }
    const sequence = vr === 'SQ' ? readSequenceKey(element, this.set, this.terms.agreement) : undefined;
    const match = this.matchOf(element, attribute, sequence);
    if (below) {
      if (match !== undefined) throw misfit(tag, this.adviceFor(attribute));
      this.incomplete = true;
      return;
    }
    this.returned.push({ tag, vr, keyword, ...(sequence === undefined ? {} : { sequence }) });
    if (match !== undefined) this.conditions.push({ keyword, match });
  }

  private matchOf(
    element: DataElement,
    { kind, keyword, tag, vr }: Attribute,
    sequence: SequenceKey | undefined,
  ): Match | undefined {
    // QR-20: numbers of related entities, and what else is made up for the answer, are universal whatever the key says.
    if (kind !== 'stored' && !MATCHED_COMPUTED.has(keyword)) return undefined;
    if (sequence !== undefined) return matchOfSequence(sequence);
    return matchOf(tag, vr, valuesOf(element, vr, this.set), this.terms.agreement);
  }

  private adviceFor({ keyword, level }: Attribute): string {
    const instead = INSTEAD[keyword];
    return instead !== undefined && this.level === 'STUDY'
      ? `${keyword} is no key of STUDY level: ask for ${instead}`
      : `${keyword} is a key of ${level} level`;
  }

  /** QR-04: one value for each level above, unless keys may be left out; QR-05: they are returned in any case. */
  private requireUpperKeys(): void {
    const { queryClass, agreement, peer, attributes } = this.terms;
    const relaxed = agreement.relational || peer.lenient === true;
    for (const level of queryClass.levels.slice(0, queryClass.levels.indexOf(this.level))) {
      const { tag, vr, keyword } = uniqueAttribute(attributes, level);
      const [value, another] = this.valuesOf(tag, vr).filter((one) => one !== '');
      if (!relaxed && (value === undefined || another !== undefined || hasWildcard(value)))
        throw misfit(tag, `${keyword} needs one value at ${this.level} level`);
      if (!this.returned.some((key) => key.tag === tag)) this.returned.push({ tag, vr, keyword });
    }
  }

  /** Without adjustment (0008,0201) says what is known of an entity, where it was agreed on or asked for. */
  private returnOffset(offset: string | undefined): void {
    const { timezone } = this.terms.agreement;
    const asked = timezone || this.elements.some(({ tag }) => tag === TIMEZONE_OFFSET);
    const known = this.level !== 'PATIENT' && (timezone || this.level !== 'STUDY');
    if (offset === undefined && asked && known)
      this.returned.push({ tag: TIMEZONE_OFFSET, vr: 'SH', keyword: 'TimezoneOffsetFromUTC' });
  }

  private finished(timezoneOffset: string | undefined): QueryPlan {
    const { agreement, localOffset } = this.terms;
    const conditions = agreement.combinedDateTime ? combineDateTimes(this.conditions) : this.conditions;
    const keywords = this.returned.map(({ keyword }) => keyword);
    const offset = timezoneOffset === undefined ? undefined : offsetMinutes(timezoneOffset);
    const adjustment =
      offset === undefined
        ? undefined
        : new TimezoneAdjustment({
            offset,
            conditions,
            returned: keywords,
            zoned: this.level !== 'PATIENT',
            ...(localOffset === undefined ? {} : { localOffset }),
          });
    return {
      level: this.level,
      query: {
        level: this.level,
        conditions: adjustment?.widened ?? conditions,
        columns: [...new Set([...keywords, ...(adjustment?.columns ?? [])])],
      },
      returned: this.returned,
      incomplete: this.incomplete,
      empty: conditions.some(({ match }) => isEmptyRange(match)),
      characterSet: this.set.known ? this.set : undefined,
      adjustment,
      timezoneOffset,
    };
  }

  /** QR-18: the caller's zone, where adjustment was agreed on and it names one. */
  private timezoneOffset(): string | undefined {
    const element = this.elements.find(({ tag }) => tag === TIMEZONE_OFFSET);
    if (!this.terms.agreement.timezone || element === undefined) return undefined;
    const values = valuesOf(element, 'SH', this.set);
    if (values.every((value) => value === '')) return undefined;
    const [text = ''] = values;
    if (values.length > 1 || offsetMinutes(text) === undefined)
      throw misfit(TIMEZONE_OFFSET, `${nameOf(TIMEZONE_OFFSET)} is no offset`);
    return text;
  }
}

function uniqueAttribute(attributes: Attributes, level: Level): Attribute {
  const attribute = attributes.ofTag(UNIQUE_KEYS[level]);
  if (attribute === undefined) throw new Error(`the attribute table has no unique key of ${level}`);
  return attribute;
}

function isEmptyRange(match: Match): boolean {
  return (match.kind === 'range' || match.kind === 'dateTime') && isEmptyInterval(match);
}
