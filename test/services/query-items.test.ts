import { decodeDataSet } from '../../src/dicom/data-set';
import { parseCharacterSet } from '../../src/dicom/charset';
import { itemsToJson, type JsonDataSet } from '../../src/dicom/json-model';
import { readSequenceKey, selectItems, type SequenceKey } from '../../src/services/query-items';
import { encode, TS } from '../support/data-sets';
import { elementsOf, plan, refusal, type Keys } from './query-kit';

const SET = parseCharacterSet([]);
const RULES = { fuzzyNames: false, emptyValue: true, multipleValues: true };

function key(items: readonly Keys[]): SequenceKey {
  const [element] = decodeDataSet(encode(elementsOf({ RequestAttributesSequence: items })), TS.explicit);
  return readSequenceKey(element!, SET, RULES);
}

function json(...items: Keys[]): JsonDataSet[] {
  return itemsToJson(
    items.map((item) => decodeDataSet(encode(elementsOf(item)), TS.explicit)),
    SET,
  );
}

const STORED = json(
  {
    ScheduledProcedureStepID: 'SPS1',
    RequestedProcedureID: 'RP1',
    RequestedProcedureCodeSequence: [{ CodeValue: 'C1' }, { CodeValue: 'C2', CodeMeaning: 'two' }],
  },
  { ScheduledProcedureStepID: 'SPS2', RequestedProcedureID: 'RP1' },
);
const ids = (items: readonly JsonDataSet[]): unknown[] => items.map((item) => item['00400009']?.Value?.[0]);

describe('a sequence key (QR-15)', () => {
  it('without an item, or with an empty one, returns all of the sequence', () => {
    for (const items of [[], [{}]]) {
      expect(key(items)).toMatchObject({ conditions: [], returned: undefined });
      expect(selectItems(STORED, key(items))).toEqual(STORED);
    }
  });

  it('takes one item only', () => {
    expect(
      refusal(() => key([{ ScheduledProcedureStepID: 'A' }, { ScheduledProcedureStepID: 'B' }])),
    ).toEqual({
      status: 0xa900,
      at: ['RequestAttributesSequence'],
      comment: 'RequestAttributesSequence takes one item',
    });
  });

  it('selects the items that match, with what was asked for', () => {
    const asked = key([{ ScheduledProcedureStepID: 'SPS2', RequestedProcedureDescription: '' }]);
    expect(selectItems(STORED, asked)).toEqual([
      { '00400009': { vr: 'SH', Value: ['SPS2'] }, '00321060': { vr: 'LO' } },
    ]);
  });

  it('of universal keys returns every item, with what was asked for', () => {
    const selected = selectItems(STORED, key([{ ScheduledProcedureStepID: '' }]));
    expect(selected).toEqual([
      { '00400009': { vr: 'SH', Value: ['SPS1'] } },
      { '00400009': { vr: 'SH', Value: ['SPS2'] } },
    ]);
  });

  it('holds all of its conditions against one item', () => {
    expect(
      ids(selectItems(STORED, key([{ ScheduledProcedureStepID: 'SPS?', RequestedProcedureID: 'RP1' }]))),
    ).toEqual(['SPS1', 'SPS2']);
    expect(
      selectItems(STORED, key([{ ScheduledProcedureStepID: 'SPS3', RequestedProcedureID: 'RP1' }])),
    ).toEqual([]);
  });

  it('goes down into sequences', () => {
    const asked = key([
      { RequestedProcedureCodeSequence: [{ CodeValue: 'C2' }], ScheduledProcedureStepID: '' },
    ]);
    expect(selectItems(STORED, asked)).toEqual([
      {
        '00400009': { vr: 'SH', Value: ['SPS1'] },
        '00321064': { vr: 'SQ', Value: [{ '00080100': { vr: 'SH', Value: ['C2'] } }] },
      },
    ]);
  });

  it('becomes one condition of the query', () => {
    const { query } = plan({
      QueryRetrieveLevel: 'SERIES',
      StudyInstanceUID: '1.2',
      RequestAttributesSequence: [{ ScheduledProcedureStepID: 'SPS1', RequestedProcedureID: '' }],
    });
    expect(query.conditions).toContainEqual({
      keyword: 'RequestAttributesSequence',
      match: {
        kind: 'item',
        conditions: [{ tag: 0x00400009, vr: 'SH', match: { kind: 'values', values: ['SPS1'] } }],
      },
    });
  });

  it('is read where it came as UN', () => {
    const item = encode(elementsOf({ ScheduledProcedureStepID: 'SPS1' }), 'implicit');
    const header = Buffer.from('fe ff 00 e0 00 00 00 00'.replaceAll(' ', ''), 'hex');
    header.writeUInt32LE(item.length, 4);
    const read = (value: Buffer): SequenceKey =>
      readSequenceKey({ tag: 0x00400275, vr: 'UN', value }, SET, RULES);
    expect(read(Buffer.concat([header, item])).conditions).toHaveLength(1);
    expect(read(Buffer.alloc(0)).returned).toBeUndefined();
    expect(refusal(() => read(Buffer.from('SPS1')))).toMatchObject({ status: 0xa900 });
  });

  it('keeps to the rules of each key', () => {
    expect(refusal(() => key([{ ScheduledProcedureStepStartDate: '20241399' }]))).toMatchObject({
      status: 0xa900,
      at: ['ScheduledProcedureStepStartDate'],
    });
  });
});
