import fc from 'fast-check';
import { fuzzyName, nameKey, nameMatches, namesOf } from '../../src/catalog/match-name';
import { soundOf } from '../../src/catalog/name-words';
import { foldPersonName } from '../../src/dicom/person-name';

function matches(key: string, name: string, wild = /[*?]/.test(key)): boolean {
  const parsed = nameKey(key, wild);
  return parsed === undefined || nameMatches(parsed, foldPersonName(name));
}

describe('a key for person names', () => {
  const THREE = 'Yamada^Tarou=山田^太郎=やまだ^たろう';

  it.each([
    // CS-07: case, accents and width don't count.
    ['doe^john', 'DOE^JOHN', true],
    ['MULLER', 'Müller', true],
    ['ﾔﾏﾀﾞ', 'ヤマダ', true],
    ['かき', 'がき', false],
    // Components are trimmed, empty ones at the end dropped.
    ['doe^john^^', 'Doe ^ John', true],
    ['doe', 'Doe^John', false],
    // Without = the key is tried against each group, with it group by group.
    ['山田^太郎', THREE, true],
    ['=山田^太郎', THREE, true],
    ['yamada^tarou=山田^太郎', THREE, true],
    ['yamada^tarou=佐藤^太郎', THREE, false],
    ['山田^太郎=', THREE, false],
    ['yamada^tarou=山田', 'Yamada^Tarou', false],
    ['==', 'Doe', true],
    // Wildcards stand for characters, of a pair of units as of one.
    ['doe^j*', 'Doe^Jane^Q', true],
    ['d?e*', 'Doe', true],
    ['d?e', 'D😀e', true],
    ['*=山?*', THREE, true],
    ['*太*', THREE, true],
    // Components at the end that may be empty.
    ['doe^*', 'Doe', true],
    ['doe^*', 'Doe^John', true],
    ['doe^*', 'Doering', false],
    ['doe*^*', 'Doering', true],
    ['*^*', 'Doe', true],
    ['doe^*^q', 'Doe^John', false],
    // What folding makes of a full-width star is no wildcard.
    ['d＊*', 'Doe', false],
    ['d＊*', 'D＊e', true],
    ['[d]oe*', 'doe', false],
  ])('%s against %s: %s', (key, name, expected) => {
    expect(matches(key, name)).toBe(expected);
  });

  it('reads several names from their columns', () => {
    const columns = foldPersonName('Doe^John=山田\\Roe＼X');
    expect(columns).toEqual(['doe^john\\roe＼x', '山田\\', '']);
    expect(namesOf(columns[0], columns[1], null)).toEqual([
      ['doe^john', '山田', ''],
      ['roe＼x', '', ''],
    ]);
    expect(namesOf(null, null, null)).toEqual([]);
  });
});

describe('a fuzzy key', () => {
  it.each([
    ['smith', 'Smyth^Anna', true],
    ['Smith^Ann', 'Schmidt^Anna', true],
    ['anna smith', 'Smith^Anna', true],
    ['Meyer', 'Maier^Otto', true],
    ['Filip', 'Phillip', true],
    ['Catherine', 'Katharina', true],
    ['Catherine', 'Kathryn', true],
    ['太郎', 'Yamada^Tarou=山田^太郎', true],
    ['Yamada 太郎', 'Yamada^Tarou=山田^太郎', true],
    ['smith', 'Jones', false],
    ['smith^bob', 'Smith^Anna', false],
    ['山口', 'Yamada=山田', false],
    ['smi*', 'Smithson', true],
  ])('%s against %s: %s', (key, name, expected) => {
    expect(fuzzyName(key)?.(foldPersonName(name))).toBe(expected);
  });

  it('finds all that the key finds without it', () => {
    const part = fc.constantFrom('Doe', 'john', 'É', '山田', '', '^', '=', ' ', '-', '*', '?');
    const name = fc.array(part, { maxLength: 6 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(name, name, (key, value) => {
        const plain = nameKey(key, true);
        const groups = foldPersonName(value);
        if (plain !== undefined && nameMatches(plain, groups)) expect(fuzzyName(key)?.(groups)).toBe(true);
      }),
    );
  });

  it('hears no sound in one letter, or in other scripts', () => {
    expect(soundOf('d')).toBe('');
    expect(soundOf('山田')).toBe('');
    expect(soundOf('дом')).toBe('');
  });
});
