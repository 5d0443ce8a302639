import type { AttributeValue, Tag } from '../dicom/types';
import type { InstanceLocation, Level } from './types';

/**
 * What a value must be, read from a key by the rules of PS3.4 C.2.2.2. Universal matching is no condition at all. An attribute with
 * several values matches where any of them does (C.2.2.3); only `empty` matches an absent or zero-length value.
 */
export type Match =
  /**
   * Single value, and lists (C.2.2.2.1, C.2.2.2.2): one of these, exactly. Numbers where the attribute's VR is one of numbers, IS and DS
   * included; person names folded, group by group where the key has `=` (CS-07).
   */
  | { readonly kind: 'values'; readonly values: readonly string[] }
  /** C.2.2.2.4: one of these patterns; `*` any run of characters, `?` one. Person names folded. */
  | { readonly kind: 'wildcard'; readonly patterns: readonly string[] }
  /**
   * C.2.2.2.5, inclusive, at least one bound: DA as `YYYYMMDD`; TM as `HHMMSS.FFFFFF`; DT as `YYYYMMDDHHMMSS.FFFFFF`. Bounds are
   * complete: a key of less precision has become the range that it covers. Values of less precision count from their beginning.
   */
  | { readonly kind: 'range'; readonly from?: string; readonly to?: string }
  /**
   * Combined date-time (C.2.2.2.5.4): this DA attribute and the TM attribute `time` make one point in time, between
   * bounds of the form `YYYYMMDDHHMMSS.FFFFFF`. An absent time counts as the beginning of the day; an absent date never matches. In an
   * item of a sequence `time` is a tag, in eight hexadecimal digits of upper case.
   */
  | { readonly kind: 'dateTime'; readonly time: string; readonly from?: string; readonly to?: string }
  /** Empty value matching (C.2.2.2.7): absent or zero-length. */
  | { readonly kind: 'empty' }
  /** Multiple value matching (C.2.2.2.8): every one of these is among the values, in any order. */
  | { readonly kind: 'every'; readonly values: readonly string[] }
  /**
   * Fuzzy semantic matching of person names: whatever the key matches without it, and every name that has each of its words, in any
   * order and group: one that equals it, begins with it, or, in Latin letters, sounds like it.
   */
  | { readonly kind: 'fuzzy'; readonly name: string }
  /** Sequence matching (C.2.2.2.6): one item meets all of these. */
  | { readonly kind: 'item'; readonly conditions: readonly ItemCondition[] };

/** A condition on an attribute of a sequence's item, by tag: items may hold anything. Vr is the one of the dictionary. */
export interface ItemCondition {
  readonly tag: Tag;
  readonly vr: string;
  readonly match: Match;
}

export interface Condition {
  /** Of the attribute table, at the level of the query or above; also `ModalitiesInStudy` and `SOPClassesInStudy`. */
  readonly keyword: string;
  readonly match: Match;
}

export interface EntityQuery {
  readonly level: Level;
  /** All of them must hold. */
  readonly conditions: readonly Condition[];
  /**
   * Keywords to return, of the attribute table at the level or above, computed ones included; `TimezoneOffsetFromUTC` at STUDY level as well: that of
   * the study's first series that has one.
   */
  readonly columns: readonly string[];
}

/** One entity: exactly the columns that were asked for, null where there is no value. */
export type QueryRow = Readonly<Record<string, AttributeValue | null>>;

export interface QueryPage {
  readonly rows: readonly QueryRow[];
  /** Hand it back for the next page; undefined at the end. A page may be empty and yet not the last: a scan is cut into slices. */
  readonly next: string | undefined;
}

/**
 * Which instances an identifier of C-MOVE or C-GET names (PS3.4 C.4.2.2.1): current ones for which every key that is given holds. One
 * besides the issuer is given.
 */
export interface Selection {
  readonly PatientID?: string;
  readonly IssuerOfPatientID?: string;
  /** One of these. */
  readonly StudyInstanceUID?: readonly string[];
  readonly SeriesInstanceUID?: readonly string[];
  readonly SOPInstanceUID?: readonly string[];
}

/** Instances of one SOP class in one transfer syntax. */
export interface KindCount {
  readonly SOPClassUID: string;
  readonly TransferSyntaxUID: string;
  readonly count: number;
}

/** A slice of a survey: what it found is to be added to the slices before. */
export interface SurveyPage {
  readonly kinds: readonly KindCount[];
  /** Handed on to the next slices and to `retrieve`: what arrives later than the survey's beginning isn't in them. */
  readonly until: string;
  readonly next: string | undefined;
}

export interface LocationPage {
  readonly rows: readonly InstanceLocation[];
  /** Hand it back for the next page; undefined at the end. A page may be empty and yet not the last. */
  readonly next: string | undefined;
}
