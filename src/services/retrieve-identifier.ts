import type { Selection } from '../catalog/query-types';
import type { Level } from '../catalog/types';
import { parseCharacterSet, type CharacterSet } from '../dicom/charset';
import { isSequence, type DataElement, type DataSet } from '../dicom/data-set';
import { characterSetOf } from '../dicom/json-model';
import type { Tag } from '../dicom/types';
import type { Peer } from '../peer';
import type { QueryClass } from './query-classes';
import { firstOfEach, valuesOf } from './query-items';
import { hasWildcard, misfit } from './query-keys';

const QUERY_RETRIEVE_LEVEL = 0x00080052;
const ISSUER_OF_PATIENT_ID = 0x00100021;

const LEVELS: readonly Level[] = ['PATIENT', 'STUDY', 'SERIES', 'IMAGE'];

/** PS3.4 C.2.2.1.1. */
const UNIQUE_KEYS = {
  PATIENT: { tag: 0x00100020, vr: 'LO', keyword: 'PatientID' },
  STUDY: { tag: 0x0020000d, vr: 'UI', keyword: 'StudyInstanceUID' },
  SERIES: { tag: 0x0020000e, vr: 'UI', keyword: 'SeriesInstanceUID' },
  IMAGE: { tag: 0x00080018, vr: 'UI', keyword: 'SOPInstanceUID' },
} as const satisfies Record<Level, unknown>;

/** What an identifier of C-MOVE or C-GET asks for. */
export interface RetrievePlan {
  readonly level: Level;
  readonly selection: Selection;
}

/** Under which rules an identifier is read. */
export interface RetrieveTerms {
  readonly queryClass: Pick<QueryClass, 'levels'>;
  readonly peer: Pick<Peer, 'defaultCharset' | 'lenient'>;
}

/**
 * Reads the identifier of a retrieve (PS3.4 C.4.2.2.1): the unique key of the level, for UIDs also a list of them, and single values of those
 * above. These may be left out by anybody, whether or not relational retrieval was agreed on: many callers do, and a UID needs no
 * help to be found. PatientID is one for every model, and counts with its issuer (QR-23). Other attributes say nothing about what is named,
 * and are passed over; what would be a key of a lower level is refused, unless the remote is lenient: more would go out than was meant.
 * @throws DimseError A900 with the element at fault. No comment holds a value: it may be a patient's.
 */
export function planRetrieve(identifier: DataSet, { queryClass, peer }: RetrieveTerms): RetrievePlan {
  const keys = new Keys(identifier, peer.defaultCharset);
  const level = keys.level(queryClass.levels);
  const depth = LEVELS.indexOf(level);
  for (const lower of LEVELS.slice(depth + 1)) {
    const { tag, vr, keyword } = UNIQUE_KEYS[lower];
    if (peer.lenient !== true && keys.given(tag, vr).length > 0)
      throw misfit(tag, `${keyword} is a key of ${lower} level`);
  }
  const single = ({ tag, vr, keyword }: { tag: Tag; vr: string; keyword: string }): string | undefined => {
    const [value, another] = keys.plain(tag, vr, keyword);
    if (another !== undefined) throw misfit(tag, `${keyword} takes one value at ${level} level`);
    return value;
  };
  const unique = UNIQUE_KEYS[level];
  const wanted = keys.plain(unique.tag, unique.vr, unique.keyword);
  if (wanted.length === 0)
    throw misfit(unique.tag, `${unique.keyword} is missing: it says what to retrieve at ${level}`);
  const upper = Object.fromEntries(
    LEVELS.slice(1, depth).flatMap((one) => {
      const value = single(UNIQUE_KEYS[one]);
      return value === undefined ? [] : [[UNIQUE_KEYS[one].keyword, [value]]];
    }),
  );
  const patient = single(UNIQUE_KEYS.PATIENT);
  const issuer = single({ tag: ISSUER_OF_PATIENT_ID, vr: 'LO', keyword: 'IssuerOfPatientID' });
  return {
    level,
    selection: {
      ...upper,
      ...(level === 'PATIENT' ? {} : { [unique.keyword]: wanted }),
      ...(patient === undefined ? {} : { PatientID: patient }),
      ...(issuer === undefined ? {} : { IssuerOfPatientID: issuer }),
    },
  };
}

class Keys {
  private readonly elements: readonly DataElement[];
  private readonly set: CharacterSet;

  constructor(identifier: DataSet, assumed: string | undefined) {
    this.elements = firstOfEach(identifier);
    this.set =
      characterSetOf(identifier) ?? parseCharacterSet(assumed === undefined ? [] : assumed.split('\\'));
  }

  /** QR-02: one value, and a level of the model. */
  level(levels: readonly Level[]): Level {
    const [value, another] = this.given(QUERY_RETRIEVE_LEVEL, 'CS');
    const level = levels.find((one) => one === value);
    if (level !== undefined && another === undefined) return level;
    throw misfit(
      QUERY_RETRIEVE_LEVEL,
      value === undefined
        ? 'QueryRetrieveLevel is missing'
        : `QueryRetrieveLevel is none of ${levels.join(', ')}`,
    );
  }

  /** Values that aren't empty. */
  given(tag: Tag, vr: string): string[] {
    const element = this.elements.find((one) => one.tag === tag);
    if (element === undefined || (isSequence(element) && element.items.length === 0)) return [];
    return valuesOf(element, vr, this.set).filter((value) => value !== '');
  }

  /** The same, each once, without wildcards. */
  plain(tag: Tag, vr: string, keyword: string): string[] {
    const values = this.given(tag, vr);
    if (values.some(hasWildcard)) throw misfit(tag, `${keyword} takes no wildcards in a retrieve`);
    return [...new Set(values)];
  }
}
