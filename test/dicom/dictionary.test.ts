import fs from 'node:fs';
import path from 'node:path';
import {
  additionProblem,
  ATTRIBUTES,
  attributeOf,
  attributeOfTag,
  attributesOf,
  BUILT_IN,
  storedAttributes,
} from '../../src/dicom/attributes';
import { formatTag, isGroupLength, isPrivate, keywordOf, tagOf, vrOf } from '../../src/dicom/dictionary';

describe('dictionary', () => {
  it('is what the script makes of dcmjs', () => {
    const root = path.join(__dirname, '..', '..');
    const { generate } = jest.requireActual<{ generate: () => string }>(
      path.join(root, 'scripts', 'generate-dictionary.js'),
    );
    const checkedIn = fs.readFileSync(path.join(root, 'src', 'dicom', 'dictionary-data.ts'), 'utf8');
    expect(generate() === checkedIn).toBe(true);
  });

  it('knows tags, keywords and VRs', () => {
    expect(tagOf('PatientName')).toBe(0x00100010);
    expect(keywordOf(0x00100010)).toBe('PatientName');
    expect(vrOf(0x00100010)).toBe('PN');
    expect(tagOf('PixelData')).toBe(0x7fe00010);
    expect(tagOf('NoSuchKeyword')).toBeUndefined();
    expect(keywordOf(0x00100011)).toBeUndefined();
  });

  it.each([
    ['pixel data of either kind', 0x7fe00010, 'OW'],
    ['US or SS', 0x00280106, 'US'],
    ['LUT data', 0x00283006, 'OW'],
    ['a group length', 0x00090000, 'UL'],
    ['a private creator', 0x00091010 & 0xffff00ff, 'LO'],
    ['a private element', 0x00091010, 'UN'],
    ['an unknown attribute', 0x00100011, 'UN'],
    ['a curve of the third group', 0x50043000, 'OW'],
    ['an overlay of the second group', 0x60020010, 'US'],
    ['a private group between the overlays', 0x60013000, 'UN'],
    ['a retired attribute', 0x00200070, 'LO'],
    ['a directory offset', 0x00041200, 'UL'],
  ])('reads %s implicitly', (_what, tag, vr) => {
    expect(vrOf(tag)).toBe(vr);
  });

  it('tells private elements and group lengths', () => {
    expect(isPrivate(0x00091001)).toBe(true);
    expect(isPrivate(0x00081001)).toBe(false);
    expect(isPrivate(0xffff0001)).toBe(true);
    expect(isGroupLength(0x00080000)).toBe(true);
    expect(isGroupLength(0x00080001)).toBe(false);
    expect(formatTag(0x00080018)).toBe('(0008,0018)');
    expect(formatTag(0xfffee000)).toBe('(FFFE,E000)');
  });
});

describe('attribute table', () => {
  it('has the unique and required keys of PS3.4 C.6 at their levels', () => {
    const keys = (level: string, key: string): string[] =>
      ATTRIBUTES.filter((row) => row.level === level && row.key === key).map(({ keyword }) => keyword);
    expect(keys('PATIENT', 'U')).toEqual(['PatientID']);
    expect(keys('PATIENT', 'R')).toEqual(['PatientName']);
    expect(keys('STUDY', 'U')).toEqual(['StudyInstanceUID']);
    expect(keys('STUDY', 'R')).toEqual(['StudyDate', 'StudyTime', 'AccessionNumber', 'StudyID']);
    expect(keys('SERIES', 'U')).toEqual(['SeriesInstanceUID']);
    expect(keys('SERIES', 'R')).toEqual(['Modality', 'SeriesNumber']);
    expect(keys('IMAGE', 'U')).toEqual(['SOPInstanceUID']);
    expect(keys('IMAGE', 'R')).toEqual(['InstanceNumber']);
  });

  it('names every attribute once, with the tag and VR of the dictionary', () => {
    expect(new Set(ATTRIBUTES.map(({ keyword }) => keyword)).size).toBe(ATTRIBUTES.length);
    for (const row of ATTRIBUTES) {
      expect(keywordOf(row.tag)).toBe(row.keyword);
      expect(vrOf(row.tag)).toBe(row.vr);
      expect(attributeOf(row.keyword)).toBe(row);
      expect(attributeOfTag(row.tag)).toBe(row);
    }
    expect(attributeOf('SpecificCharacterSet')).toBeUndefined();
  });

  it('tells what is stored from what is computed and derived', () => {
    const kindOf = (keyword: string): string | undefined => attributeOf(keyword)?.kind;
    expect(kindOf('NumberOfStudyRelatedInstances')).toBe('computed');
    expect(kindOf('ModalitiesInStudy')).toBe('computed');
    expect(kindOf('SOPClassesInStudy')).toBe('computed');
    expect(kindOf('InstanceAvailability')).toBe('computed');
    expect(kindOf('AvailableTransferSyntaxUID')).toBe('derived');
    expect(storedAttributes('PATIENT').map(({ keyword }) => keyword)).toEqual([
      'PatientID',
      'PatientName',
      'IssuerOfPatientID',
      'PatientBirthDate',
      'PatientSex',
      'OtherPatientIDs',
    ]);
    expect(storedAttributes('SERIES').map(({ keyword }) => keyword)).toContain('TimezoneOffsetFromUTC');
  });
});

describe('a table with more attributes', () => {
  it('has them behind the built-in ones, and leaves those as they are', () => {
    expect(attributesOf([])).toBe(BUILT_IN);
    const table = attributesOf([
      { keyword: 'StudyComments', level: 'study' },
      { keyword: 'ViewCodeSequence', level: 'instance' },
    ]);
    expect(table.rows.slice(0, ATTRIBUTES.length)).toEqual(ATTRIBUTES);
    expect(table.of('StudyComments')).toEqual({
      keyword: 'StudyComments',
      tag: 0x00324000,
      vr: 'LT',
      level: 'STUDY',
      key: 'O',
      kind: 'stored',
    });
    expect(table.ofTag(0x00540220)).toMatchObject({ keyword: 'ViewCodeSequence', vr: 'SQ', level: 'IMAGE' });
    expect(table.stored('STUDY').at(-1)?.keyword).toBe('StudyComments');
    expect(table.stored().map(({ level }) => level)).toEqual(
      ['PATIENT', 'STUDY', 'SERIES', 'IMAGE'].flatMap((level) =>
        table.stored().flatMap((row) => (row.level === level ? [level] : [])),
      ),
    );
    expect(BUILT_IN.of('StudyComments')).toBeUndefined();
  });

  it('takes what can be searched, and says why not the rest', () => {
    const problem = (keyword: string): string | undefined => additionProblem(tagOf(keyword)!);
    for (const keyword of [
      'StudyComments',
      'DiffusionBValue',
      'ViewCodeSequence',
      'OperatorsName',
      'EchoTime',
    ])
      expect(problem(keyword)).toBeUndefined();
    expect(problem('PatientName')).toContain('kept already, at patient level');
    expect(problem('ModalitiesInStudy')).toContain('answered already, at study level');
    for (const keyword of [
      'PixelData',
      'EncapsulatedDocument',
      'FrameIncrementPointer',
      'RedPaletteColorLookupTableData',
    ])
      expect(problem(keyword)).toContain("can't be searched");
    for (const keyword of ['TransferSyntaxUID', 'Priority'])
      expect(problem(keyword)).toContain('no part of a data set');
    for (const keyword of ['SpecificCharacterSet', 'QueryRetrieveLevel'])
      expect(problem(keyword)).toContain('queries');
  });
});
