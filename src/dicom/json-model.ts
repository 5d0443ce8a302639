import { parseCharacterSet, type CharacterSet } from './charset';
import { isSequence, type DataElement, type DataSet } from './data-set';
import { isGroupLength } from './dictionary';
import { isNumeric, numberOf, numericValues, textValues } from './values';
import { valueRepresentation } from './vr';

const SPECIFIC_CHARACTER_SET = 0x00080005;

/** One attribute of the DICOM JSON model (PS3.18 F.2.2). */
export interface JsonAttribute {
  readonly vr: string;
  readonly Value?: readonly unknown[];
  readonly InlineBinary?: string;
}

export type JsonDataSet = Readonly<Record<string, JsonAttribute>>;

/**
 * The items of a sequence in the DICOM JSON model (PS3.18 F.2), as they stand in `Value`. Text is Unicode, decoded by the set around the
 * sequence or by the item's own (PS3.5 7.5.3), which is left out for that reason.
 */
export function itemsToJson(items: readonly DataSet[], set: CharacterSet): JsonDataSet[] {
  return items.map((item) => dataSetToJson(item, set));
}

export function dataSetToJson(elements: DataSet, around: CharacterSet): JsonDataSet {
  const set = characterSetOf(elements) ?? around;
  const json: Record<string, JsonAttribute> = {};
  for (const element of elements) {
    if (element.tag === SPECIFIC_CHARACTER_SET || isGroupLength(element.tag)) continue;
    json[element.tag.toString(16).toUpperCase().padStart(8, '0')] ??= attributeToJson(element, set);
  }
  return json;
}

/** The (0008,0005) of a data set or item, or undefined where it has none. */
export function characterSetOf(elements: DataSet): CharacterSet | undefined {
  const element = elements.find(({ tag }) => tag === SPECIFIC_CHARACTER_SET);
  if (element === undefined || isSequence(element) || element.value.length === 0) return undefined;
  return parseCharacterSet(element.value.toString('latin1').split('\\'));
}

function attributeToJson(element: DataElement, set: CharacterSet): JsonAttribute {
  const { vr } = element;
  if (isSequence(element)) return withValue(vr, itemsToJson(element.items, set));
  const { value } = element;
  if (value.length === 0) return { vr };
  if (vr === 'AT') {
    return withValue(
      vr,
      numericValues(value, vr).map((tag) => tag.toString(16).toUpperCase().padStart(8, '0')),
    );
  }
  // JSON has no NaN or infinity: such a number is no value.
  if (isNumeric(vr))
    return withValue(
      vr,
      numericValues(value, vr).map((number) => (Number.isFinite(number) ? number : null)),
    );
  if (vr.startsWith('O') || valueRepresentation(vr) === undefined || vr === 'UN')
    return { vr, InlineBinary: value.toString('base64') };
  return withValue(
    vr,
    textValues(value, vr, set).map((text) => textToJson(text, vr)),
  );
}

function textToJson(text: string, vr: string): unknown {
  if (text === '') return null;
  if (vr === 'IS' || vr === 'DS') return numberOf(text) ?? text;
  if (vr !== 'PN') return text;
  const groups = text.split('=');
  const name: Record<string, string> = {};
  ['Alphabetic', 'Ideographic', 'Phonetic'].forEach((key, index) => {
    const group = groups[index];
    if (group !== undefined && group !== '') name[key] = group;
  });
  return name;
}

function withValue(vr: string, values: readonly unknown[]): JsonAttribute {
  return values.every((value) => value === null) ? { vr } : { vr, Value: values };
}
