import type { EntityQuery, QueryPage, QueryRow } from '../../src/catalog/query-types';
import { BUILT_IN } from '../../src/dicom/attributes';
import { decodeDataSet, isSequence, type DataElement } from '../../src/dicom/data-set';
import { formatTag, keywordOf, tagOf, vrOf } from '../../src/dicom/dictionary';
import { findAgreement, queryClass, type FindAgreement } from '../../src/services/query-classes';
import { planQuery, type QueryPlan, type QueryTerms } from '../../src/services/query-identifier';
import { encode, TS, type Element, type Value } from '../support/data-sets';

export const CLASSES = {
  patient: '1.2.840.10008.5.1.4.1.2.1.1',
  study: '1.2.840.10008.5.1.4.1.2.2.1',
  patientStudy: '1.2.840.10008.5.1.4.1.2.3.1',
} as const;

/** Keys by keyword, or by tag in eight hexadecimal digits; items of a sequence in a list. */
export type Keys = Readonly<Record<string, string | Buffer | readonly number[] | readonly Keys[]>>;

export function elementsOf(keys: Keys): Element[] {
  return Object.entries(keys)
    .map(([name, value]): Element => {
      const tag = tagOf(name) ?? Number.parseInt(name, 16);
      const vr = vrOf(tag);
      const written = (
        vr === 'SQ' && Array.isArray(value) ? { items: (value as Keys[]).map(elementsOf) } : value
      ) as Value;
      return { tag, vr, value: written };
    })
    .sort((a, b) => a.tag - b.tag);
}

/** An identifier as a peer writes it, in Explicit VR Little Endian. */
export function identifier(keys: Keys): Buffer {
  return encode(elementsOf(keys));
}

export interface Terms {
  readonly model?: keyof typeof CLASSES;
  readonly agreed?: Partial<FindAgreement>;
  readonly lenient?: boolean;
  readonly defaultCharset?: string;
  readonly localOffset?: (instant: number) => number;
}

export function termsOf({
  model = 'study',
  agreed,
  lenient,
  defaultCharset,
  localOffset,
}: Terms): QueryTerms {
  return {
    queryClass: queryClass(CLASSES[model])!,
    agreement: { ...findAgreement(undefined), ...agreed },
    peer: {
      ...(lenient === undefined ? {} : { lenient }),
      ...(defaultCharset === undefined ? {} : { defaultCharset }),
    },
    attributes: BUILT_IN,
    ...(localOffset === undefined ? {} : { localOffset }),
  };
}

export function plan(keys: Keys, terms: Terms = {}): QueryPlan {
  return planBytes(identifier(keys), terms);
}

export function planBytes(bytes: Buffer, terms: Terms = {}, transferSyntax: string = TS.explicit): QueryPlan {
  return planQuery(decodeDataSet(bytes, transferSyntax), termsOf(terms));
}

/** Status, keywords at fault and comment of what is thrown. */
export function refusal(work: () => unknown): { status: number; at: string[]; comment: string } {
  try {
    work();
  } catch (error) {
    const { status, offendingElements, comment } = error as {
      status: number;
      offendingElements: number[];
      comment: string;
    };
    if (typeof status !== 'number') throw error;
    return { status, at: offendingElements.map((tag) => keywordOf(tag) ?? formatTag(tag)), comment };
  }
  throw new Error('nothing was refused');
}

/** An answer by keyword: text as Latin-1 without padding, binary values as buffers, items as lists. */
export function read(bytes: Buffer, transferSyntax: string = TS.explicit): Record<string, unknown> {
  return readElements(decodeDataSet(bytes, transferSyntax));
}

function readElements(elements: readonly DataElement[]): Record<string, unknown> {
  return Object.fromEntries(
    elements.map((element) => {
      const name = keywordOf(element.tag) ?? formatTag(element.tag);
      if (isSequence(element)) return [name, element.items.map(readElements)];
      if (['US', 'UL', 'FL', 'FD', 'SS', 'SL', 'OB', 'UN'].includes(element.vr)) return [name, element.value];
      return [name, element.value.toString('latin1').replace(/[ \0]$/, '')];
    }),
  );
}

/** Hands out rows in pages, and writes down what it was asked. */
export class ScriptedCatalog {
  readonly asked: { query: EntityQuery; limit: number; after: string | undefined }[] = [];
  /** Waits before a page is handed out; its number counts from 0. */
  before: (page: number) => Promise<void> | void = () => undefined;
  private readonly rows: readonly QueryRow[];
  private readonly emptyPages: number;

  /** @param emptyPages Pages without rows that come before the others. */
  constructor(rows: readonly QueryRow[], emptyPages = 0) {
    this.rows = rows;
    this.emptyPages = emptyPages;
  }

  async query(
    query: EntityQuery,
    page: { readonly limit: number; readonly after?: string },
  ): Promise<QueryPage> {
    const number = this.asked.length;
    this.asked.push({ query, limit: page.limit, after: page.after });
    await this.before(number);
    await new Promise((resolve) => setImmediate(resolve));
    const start = page.after === undefined ? -this.emptyPages : Number(page.after);
    if (start < 0) return { rows: [], next: String(start + 1) };
    const end = start + page.limit;
    return {
      rows: this.rows.slice(start, end),
      next: end < this.rows.length ? String(end) : undefined,
    };
  }
}
