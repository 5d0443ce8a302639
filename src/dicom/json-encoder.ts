import type { CharacterSet } from './charset';
import { encodeText } from './charset-encoder';
import type { DataElement, DataSet } from './data-set';
import type { JsonAttribute, JsonDataSet } from './json-model';
import { isNumeric, numericBytes } from './values';

/**
 * A data set of the DICOM JSON model (PS3.18 F.2) in elements, its text in a character set that the data set around it states. Undefined
 * where the set lacks a character: the caller takes another one.
 */
export function dataSetFromJson(json: JsonDataSet, set: CharacterSet): DataSet | undefined {
  const elements: DataElement[] = [];
  for (const [key, attribute] of Object.entries(json)) {
    const element = elementFromJson(Number.parseInt(key, 16), attribute, set);
    if (element === undefined) return undefined;
    elements.push(element);
  }
  return elements;
}

/** The items of a sequence, as `itemsToJson` made them. */
export function itemsFromJson(items: readonly JsonDataSet[], set: CharacterSet): DataSet[] | undefined {
  const result: DataSet[] = [];
  for (const item of items) {
    const elements = dataSetFromJson(item, set);
    if (elements === undefined) return undefined;
    result.push(elements);
  }
  return result;
}

function elementFromJson(tag: number, attribute: JsonAttribute, set: CharacterSet): DataElement | undefined {
  const { vr, Value = [], InlineBinary } = attribute;
  if (vr === 'SQ') {
    const items = itemsFromJson(Value as readonly JsonDataSet[], set);
    return items && { tag, vr, items };
  }
  const value =
    InlineBinary !== undefined
      ? Buffer.from(InlineBinary, 'base64')
      : isNumeric(vr)
        ? numericBytes(Value.map(numberFromJson), vr)
        : encodeText(jsonTexts(attribute).join('\\'), set, vr);
  return value && { tag, vr, value };
}

function numberFromJson(value: unknown): number {
  // AT stands there in hexadecimal digits.
  if (typeof value === 'string') return Number.parseInt(value, 16);
  return typeof value === 'number' ? value : NaN;
}

const NAME_GROUPS = ['Alphabetic', 'Ideographic', 'Phonetic'] as const;

/** The values of an attribute that holds characters or numbers, as text; of a person name with `=` between its groups. */
export function jsonTexts({ Value = [] }: JsonAttribute): string[] {
  return Value.map((value) => {
    if (typeof value === 'string') return value;
    if (typeof value === 'number') return String(value);
    if (typeof value !== 'object' || value === null) return '';
    const name = value as Partial<Record<(typeof NAME_GROUPS)[number], string>>;
    return NAME_GROUPS.map((group) => name[group] ?? '')
      .join('=')
      .replace(/=+$/, '');
  });
}
