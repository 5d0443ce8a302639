import { tagOf } from '../../src/dicom/dictionary';
import { readIdentifier } from '../../src/services/query-identifier';
import type { IncomingDataSet } from '../../src/dimse/types';
import { encode, TS } from '../support/data-sets';
import { elementsOf, identifier, plan, planBytes, refusal, type Keys, type Terms } from './query-kit';

const STUDY = { QueryRetrieveLevel: 'STUDY' };
const IN_STUDY = { StudyInstanceUID: '1.2' };
const values = (keyword: string, ...list: string[]) => ({ keyword, match: { kind: 'values', values: list } });

function returned(keys: Keys, terms: Terms = {}): string[] {
  return plan(keys, terms).returned.map(({ keyword }) => keyword);
}

describe('the level (QR-02)', () => {
  it.each<[string, Keys, Terms]>([
    ['is missing', { PatientID: 'P' }, {}],
    ['is empty', { QueryRetrieveLevel: '' }, {}],
    ['is none', { QueryRetrieveLevel: 'FOO' }, {}],
    ['has two values', { QueryRetrieveLevel: 'STUDY\\SERIES' }, {}],
    ['is none of Study Root', { QueryRetrieveLevel: 'PATIENT' }, {}],
    ['is none of Patient/Study Only', { QueryRetrieveLevel: 'SERIES' }, { model: 'patientStudy' }],
    ['is missing because all is', {}, {}],
  ])('that %s: A900 (0008,0052)', (_what, keys, terms) => {
    expect(refusal(() => plan(keys, terms))).toMatchObject({ status: 0xa900, at: ['QueryRetrieveLevel'] });
  });

  it('is read whatever its padding, or its VR', () => {
    expect(plan({ QueryRetrieveLevel: ' STUDY ' }).level).toBe('STUDY');
    const wrong = encode([{ tag: 0x00080052, vr: 'LO', value: 'STUDY' }]);
    expect(planBytes(wrong).level).toBe('STUDY');
  });

  it.each<[Terms['model'] & string, string]>([
    ['patient', 'PATIENT'],
    ['patient', 'IMAGE'],
    ['study', 'IMAGE'],
    ['patientStudy', 'PATIENT'],
    ['patientStudy', 'STUDY'],
  ])('of %s root may be %s', (model, level) => {
    expect(plan({ QueryRetrieveLevel: level }, { model, lenient: true }).level).toBe(level);
  });
});

describe('unique keys of upper levels (QR-04)', () => {
  const series = { QueryRetrieveLevel: 'SERIES', SeriesInstanceUID: '' };

  it.each<[string, Keys, Terms, string]>([
    ['absent', series, {}, 'StudyInstanceUID'],
    ['universal', { ...series, StudyInstanceUID: '' }, {}, 'StudyInstanceUID'],
    ['a list', { ...series, StudyInstanceUID: '1.2\\1.3' }, {}, 'StudyInstanceUID'],
    ['a wildcard', { ...series, StudyInstanceUID: '*' }, {}, 'StudyInstanceUID'],
    ['absent at the top', { ...series, ...IN_STUDY }, { model: 'patient' }, 'PatientID'],
    ['a pattern at the top', { ...STUDY, PatientID: 'P*' }, { model: 'patient' }, 'PatientID'],
    ['absent in between', { QueryRetrieveLevel: 'IMAGE', ...IN_STUDY }, {}, 'SeriesInstanceUID'],
  ])('%s: A900 with the key', (_what, keys, terms, at) => {
    expect(refusal(() => plan(keys, terms))).toMatchObject({ status: 0xa900, at: [at] });
  });

  it('are conditions, and returned, asked or not', () => {
    const { query, returned: keys } = plan(
      {
        QueryRetrieveLevel: 'IMAGE',
        ...IN_STUDY,
        SeriesInstanceUID: '1.2.3',
        PatientID: 'P',
        SOPInstanceUID: '',
      },
      { model: 'patient' },
    );
    expect(query.conditions).toEqual([
      values('PatientID', 'P'),
      values('StudyInstanceUID', '1.2'),
      values('SeriesInstanceUID', '1.2.3'),
    ]);
    expect(keys.map(({ keyword }) => keyword).sort()).toEqual(
      ['PatientID', 'SOPInstanceUID', 'SeriesInstanceUID', 'StudyInstanceUID'].sort(),
    );
    expect(query.columns).toHaveLength(4);
  });

  it('PatientID is none in Study Root', () => {
    expect(returned({ ...STUDY, StudyInstanceUID: '' })).toEqual(['StudyInstanceUID']);
  });

  it.each<[string, Terms]>([
    ['relational queries', { agreed: { relational: true } }],
    ['a lenient remote', { lenient: true }],
  ])('may be left out for %s, and are returned all the same', (_what, terms) => {
    const { query } = plan({ ...series, Modality: 'CT' }, terms);
    expect(query.conditions).toEqual([values('Modality', 'CT')]);
    expect(query.columns).toContain('StudyInstanceUID');
    expect(plan({ ...series, StudyInstanceUID: '1.2\\1.3' }, terms).query.conditions).toEqual([
      values('StudyInstanceUID', '1.2', '1.3'),
    ]);
  });
});

describe('keys', () => {
  it('of upper levels are matched and returned too', () => {
    const { query, incomplete } = plan({
      QueryRetrieveLevel: 'SERIES',
      ...IN_STUDY,
      PatientName: 'DOE*',
      StudyDate: '',
      Modality: 'CT',
    });
    expect(query.conditions.map(({ keyword }) => keyword)).toEqual([
      'Modality',
      'PatientName',
      'StudyInstanceUID',
    ]);
    expect(query.columns).toEqual(['StudyDate', 'Modality', 'PatientName', 'StudyInstanceUID']);
    expect(incomplete).toBe(false);
  });

  it('of lower levels are left out with FF01 where they are empty', () => {
    const { query, incomplete } = plan({
      ...STUDY,
      StudyInstanceUID: '',
      Modality: '',
      SeriesInstanceUID: '',
    });
    expect(query.columns).toEqual(['StudyInstanceUID']);
    expect(incomplete).toBe(true);
  });

  it('of lower levels are refused where they are not, with advice', () => {
    expect(refusal(() => plan({ ...STUDY, Modality: 'CT' }))).toEqual({
      status: 0xa900,
      at: ['Modality'],
      comment: 'Modality is no key of STUDY level: ask for ModalitiesInStudy',
    });
    expect(
      refusal(() => plan({ ...STUDY, RequestAttributesSequence: [{ ScheduledProcedureStepID: 'S' }] })),
    ).toMatchObject({ status: 0xa900, at: ['RequestAttributesSequence'] });
    expect(
      refusal(() => plan({ QueryRetrieveLevel: 'PATIENT', StudyDate: '20240101' }, { model: 'patient' }))
        .comment,
    ).toBe('StudyDate is a key of STUDY level');
  });

  it('of lower levels are ignored with FF01 for a lenient remote', () => {
    const { query, incomplete } = plan({ ...STUDY, Modality: 'CT', SeriesNumber: 'x' }, { lenient: true });
    expect([query.conditions, query.columns, incomplete]).toEqual([[], [], true]);
  });

  it.each<[string, Keys]>([
    ['private', { '00090010': 'ACME', '00091001': '' }],
    ['not of the table', { StorageMediaFileSetID: '' }],
  ])('that are %s are left out with FF01 (QR-06)', (_what, keys) => {
    expect(plan({ ...STUDY, StudyInstanceUID: '', ...keys })).toMatchObject({
      incomplete: true,
      query: { conditions: [], columns: ['StudyInstanceUID'] },
    });
  });

  it('of no data set, and group lengths, are ignored (QR-07)', () => {
    const bytes = encode([
      { tag: 0x00020010, vr: 'UI', value: TS.explicit },
      { tag: 0x00080000, vr: 'UL', value: [10] },
      ...elementsOf({ ...STUDY, PatientID: 'P' }),
    ]);
    expect(planBytes(bytes)).toMatchObject({ incomplete: false, query: { columns: ['PatientID'] } });
  });

  it('that stand in every answer are no conditions', () => {
    const { query, incomplete } = plan({
      ...STUDY,
      SpecificCharacterSet: 'ISO_IR 100',
      RetrieveAETitle: 'SOMEONE',
      InstanceAvailability: 'OFFLINE',
      '00080053': 'CLASSIC',
      TimezoneOffsetFromUTC: '+0500',
    });
    expect([query.conditions, query.columns, incomplete]).toEqual([[], [], false]);
  });

  it('of numbers that are counted are universal, whatever they say; modalities are matched (QR-20)', () => {
    const { query } = plan({
      ...STUDY,
      NumberOfStudyRelatedInstances: '7',
      ModalitiesInStudy: 'SR',
      SOPClassesInStudy: '1.2.3',
    });
    expect(query.conditions).toEqual([
      values('ModalitiesInStudy', 'SR'),
      values('SOPClassesInStudy', '1.2.3'),
    ]);
    expect(query.columns).toContain('NumberOfStudyRelatedInstances');
  });

  it('that are doubled count once', () => {
    const tag = tagOf('PatientID')!;
    const bytes = encode([
      ...elementsOf(STUDY),
      { tag, vr: 'LO', value: 'P1' },
      { tag, vr: 'LO', value: 'P2' },
    ]);
    expect(planBytes(bytes).query).toMatchObject({
      conditions: [values('PatientID', 'P1')],
      columns: ['PatientID'],
    });
  });

  it('that must not be a sequence: A900', () => {
    const bytes = encode([...elementsOf(STUDY), { tag: 0x00100020, vr: 'SQ', value: { items: [] } }]);
    expect(refusal(() => planBytes(bytes))).toMatchObject({ status: 0xa900, at: ['PatientID'] });
  });

  it('in a backwards range match nothing, and are no error', () => {
    expect(plan({ ...STUDY, StudyDate: '20240105-20240101' }).empty).toBe(true);
    expect(plan({ ...STUDY, StudyTime: '2200-0200' }).empty).toBe(true);
    expect(plan({ ...STUDY, StudyDate: '20240101-20240101' }).empty).toBe(false);
  });
});

describe('character sets of keys (QR-21)', () => {
  const name = (bytes: Buffer, set?: string): Keys => ({
    ...STUDY,
    ...(set === undefined ? {} : { SpecificCharacterSet: set }),
    PatientName: bytes,
  });
  const latin = Buffer.from('M\xfcller*', 'latin1');

  it('are those of the request', () => {
    const expected = [{ keyword: 'PatientName', match: { kind: 'wildcard', patterns: ['Müller*'] } }];
    expect(plan(name(latin, 'ISO_IR 100')).query.conditions).toEqual(expected);
    expect(plan(name(Buffer.from('Müller* '), 'ISO_IR 192')).query.conditions).toEqual(expected);
  });

  it('are those that the remote is known for where the request names none', () => {
    const { query, characterSet } = plan(name(latin), { defaultCharset: 'ISO_IR 100' });
    expect(query.conditions[0]?.match).toEqual({ kind: 'wildcard', patterns: ['Müller*'] });
    expect(characterSet?.terms).toEqual(['ISO_IR 100']);
  });

  it('T57: that are unknown, or broken bytes, are read as far as they go', () => {
    const { query, characterSet } = plan(name(latin, 'ISO_IR 999'));
    expect(query.conditions[0]?.match).toEqual({ kind: 'wildcard', patterns: ['M?ller*'] });
    expect(characterSet).toBeUndefined();
    expect(plan(name(latin, 'ISO_IR 192')).query.conditions[0]?.match).toEqual({
      kind: 'wildcard',
      patterns: ['M?ller*'],
    });
    expect(plan(name(Buffer.from('DOE '), '')).query.conditions[0]?.match).toEqual({
      kind: 'values',
      values: ['DOE'],
    });
  });
});

describe('timezones (QR-18)', () => {
  const keys = { ...STUDY, StudyDate: '20240101', TimezoneOffsetFromUTC: '+0200' };

  it('are none of our business where it was not agreed on', () => {
    expect(plan(keys)).toMatchObject({
      adjustment: undefined,
      timezoneOffset: undefined,
      query: { conditions: [values('StudyDate', '20240101')], columns: ['StudyDate'] },
    });
  });

  it('are adjusted to where it was', () => {
    const { query, timezoneOffset } = plan(keys, { agreed: { timezone: true } });
    expect(timezoneOffset).toBe('+0200');
    expect(query.conditions).toEqual([
      { keyword: 'StudyDate', match: { kind: 'range', from: '20231231', to: '20240102' } },
    ]);
    expect([...query.columns].sort()).toEqual(['StudyDate', 'StudyTime', 'TimezoneOffsetFromUTC']);
  });

  it('that are none: A900', () => {
    expect(
      refusal(() => plan({ ...keys, TimezoneOffsetFromUTC: 'CET' }, { agreed: { timezone: true } })),
    ).toMatchObject({ status: 0xa900, at: ['TimezoneOffsetFromUTC'] });
  });

  it('of a series are told where they are asked for, or agreed on', () => {
    const series = { QueryRetrieveLevel: 'SERIES', ...IN_STUDY };
    expect(returned(series)).not.toContain('TimezoneOffsetFromUTC');
    expect(returned({ ...series, TimezoneOffsetFromUTC: '' })).toContain('TimezoneOffsetFromUTC');
    expect(returned(series, { agreed: { timezone: true } })).toContain('TimezoneOffsetFromUTC');
    expect(returned({ ...STUDY, TimezoneOffsetFromUTC: '' })).not.toContain('TimezoneOffsetFromUTC');
  });
});

it('combines dates and times where that was agreed on (QR-13)', () => {
  const keys = { ...STUDY, StudyDate: '20240101-20240105', StudyTime: '1000-1100' };
  expect(plan(keys).query.conditions).toHaveLength(2);
  expect(plan(keys, { agreed: { combinedDateTime: true } }).query.conditions).toEqual([
    {
      keyword: 'StudyDate',
      match: {
        kind: 'dateTime',
        time: 'StudyTime',
        from: '20240101100000.000000',
        to: '20240105110059.999999',
      },
    },
  ]);
});

describe('reading an identifier', () => {
  const incoming = (...chunks: Buffer[]): IncomingDataSet =>
    ({
      [Symbol.asyncIterator]: () => {
        let at = 0;
        return { next: async () => ({ done: at >= chunks.length, value: chunks[at++] }) };
      },
    }) as unknown as IncomingDataSet;
  const refused = async (chunks: Buffer[], syntax: string = TS.explicit): Promise<unknown> => {
    try {
      await readIdentifier(incoming(...chunks), syntax);
    } catch (error) {
      return refusal(() => {
        throw error;
      });
    }
    return undefined;
  };
  const bytes = identifier({ ...STUDY, PatientID: 'P' });

  it('takes it in any pieces', async () => {
    const pieces = Array.from(bytes, (byte) => Buffer.of(byte));
    expect(await readIdentifier(incoming(...pieces), TS.explicit)).toHaveLength(2);
    expect(await readIdentifier(undefined, TS.explicit)).toEqual([]);
  });

  it('stops at 256 KiB', async () => {
    const chunk = Buffer.alloc(64 * 1024, 0x20);
    const endless = {
      [Symbol.asyncIterator]: () => ({ next: async () => ({ done: false, value: chunk }) }),
    } as unknown as IncomingDataSet;
    await expect(readIdentifier(endless, TS.explicit)).rejects.toMatchObject({
      status: 0xc000,
      comment: 'Identifier is larger than 256 KiB',
    });
  });

  it('refuses what can not be read, and says where, but not what', async () => {
    expect(await refused([bytes.subarray(0, -1)])).toMatchObject({ status: 0xc000, at: ['PatientID'] });
    expect(await refused([Buffer.alloc(100, 0x55)])).toMatchObject({ status: 0xc000 });
    const huge = encode([{ tag: 0x00091001, vr: 'UN', value: '', claimedLength: 1.5 * 2 ** 30 }]);
    expect(await refused([huge])).toMatchObject({
      status: 0xc000,
      comment: 'Identifier can not be read: truncated',
    });
    expect(await refused([Buffer.alloc(20)], TS.deflated)).toMatchObject({ status: 0xc000 });
  });
});
