import { itemTester } from '../catalog/match';
import type { ItemCondition, Match } from '../catalog/query-types';
import type { CharacterSet } from '../dicom/charset';
import { decodeDataSet, isSequence, type DataElement, type DataSet } from '../dicom/data-set';
import { isGroupLength, vrOf } from '../dicom/dictionary';
import { characterSetOf, type JsonAttribute, type JsonDataSet } from '../dicom/json-model';
import type { Tag } from '../dicom/types';
import { UID } from '../dicom/uids';
import { keyValues, matchOf, misfit, nameOf, type KeyRules } from './query-keys';

const SPECIFIC_CHARACTER_SET = 0x00080005;

/** A sequence in an identifier: what an item must be, and what is returned of those that are. */
export interface SequenceKey {
  readonly conditions: readonly ItemCondition[];
  /** Whether an item meets all of them. */
  readonly matches: (item: JsonDataSet) => boolean;
  /** Undefined: the sequence as it is (PS3.4 C.2.2.2.3). */
  readonly returned: readonly ReturnedItemKey[] | undefined;
}

interface ReturnedItemKey {
  readonly tag: Tag;
  readonly vr: string;
  /** Of a sequence. */
  readonly sequence?: SequenceKey;
}

/**
 * Reads the key of a sequence (PS3.4 C.2.2.2.6): no item or an empty one is universal and returns all of the sequence.
 * @throws DimseError A900 with the element for more than one item, or what isn't a sequence.
 */
export function readSequenceKey(element: DataElement, set: CharacterSet, rules: KeyRules): SequenceKey {
  const [item, another] = itemsOf(element);
  if (another !== undefined) throw misfit(element.tag, `${nameOf(element.tag)} takes one item`);
  const conditions: ItemCondition[] = [];
  const returned: ReturnedItemKey[] = [];
  const own = (item && characterSetOf(item)) ?? set;
  for (const inner of firstOfEach(item ?? [])) {
    const { tag } = inner;
    if (tag === SPECIFIC_CHARACTER_SET || isGroupLength(tag)) continue;
    const known = vrOf(tag);
    const vr = known === 'UN' ? inner.vr : known;
    if (vr === 'SQ') {
      const sequence = readSequenceKey(inner, own, rules);
      returned.push({ tag, vr, sequence });
      const match = matchOfSequence(sequence);
      if (match !== undefined) conditions.push({ tag, vr, match });
      continue;
    }
    returned.push({ tag, vr });
    const match = matchOf(tag, vr, valuesOf(inner, vr, own), rules);
    // Nothing is known of how the bytes of UN would compare.
    if (match !== undefined && vr !== 'UN') conditions.push({ tag, vr, match });
  }
  return {
    conditions,
    matches: itemTester(conditions),
    returned: returned.length === 0 ? undefined : returned,
  };
}

export function matchOfSequence({ conditions }: SequenceKey): Match | undefined {
  return conditions.length === 0 ? undefined : { kind: 'item', conditions };
}

/** The values of an element that must not be a sequence. */
export function valuesOf(element: DataElement, vr: string, set: CharacterSet): string[] {
  if (!isSequence(element)) return keyValues(element, vr, set);
  throw misfit(element.tag, `${nameOf(element.tag)} is no sequence`);
}

/** Elements of a data set, of doubled ones the first. */
export function firstOfEach(elements: DataSet): DataElement[] {
  const seen = new Set<Tag>();
  return elements.filter(({ tag }) => !seen.has(tag) && seen.add(tag));
}

function itemsOf(element: DataElement): readonly DataSet[] {
  if (isSequence(element)) return element.items;
  if (element.value.length === 0) return [];
  const sequence = element.vr === 'UN' ? sequenceFromUnknown(element.tag, element.value) : undefined;
  if (sequence === undefined) throw misfit(element.tag, `${nameOf(element.tag)} has to be a sequence`);
  return sequence;
}

/** A sequence that came as UN is encoded as Implicit VR Little Endian (PS3.5 6.2.2). */
function sequenceFromUnknown(tag: Tag, value: Buffer): readonly DataSet[] | undefined {
  const header = Buffer.alloc(8);
  header.writeUInt16LE(Math.floor(tag / 0x10000), 0);
  header.writeUInt16LE(tag & 0xffff, 2);
  header.writeUInt32LE(value.length, 4);
  try {
    const [element] = decodeDataSet(Buffer.concat([header, value]), UID.ImplicitVRLittleEndian);
    return element !== undefined && isSequence(element) ? element.items : undefined;
  } catch {
    return undefined;
  }
}

/** Of the items of an entity those that match, each with the attributes that were asked for (PS3.4 C.2.2.2.6). */
export function selectItems(items: readonly JsonDataSet[], key: SequenceKey): readonly JsonDataSet[] {
  const { matches, returned } = key;
  const matching = items.filter(matches);
  if (returned === undefined) return matching;
  return matching.map((item) => {
    const selected: Record<string, JsonAttribute> = {};
    for (const { tag, vr, sequence } of returned) {
      const name = tag.toString(16).toUpperCase().padStart(8, '0');
      const attribute = item[name] ?? { vr };
      selected[name] =
        sequence === undefined
          ? attribute
          : { vr, Value: selectItems((attribute.Value ?? []) as JsonDataSet[], sequence) };
    }
    return selected;
  });
}
