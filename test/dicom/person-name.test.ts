import fc from 'fast-check';
import { foldPersonName, foldText } from '../../src/dicom/person-name';

describe('foldText', () => {
  it.each([
    ['Müller', 'muller'],
    ['MÜLLER', 'muller'],
    ['Mu\u0308ller', 'muller'],
    ['Groß', 'gross'],
    ['Ångström', 'angstrom'],
    ['ΔΙΟΝΎΣΙΟΣ', 'διονυσιοσ'],
    ['Люкceмбypг', 'люкceмбypг'],
    ['Ёлкин', 'елкин'],
    ['ﾔﾏﾀﾞ', 'ヤマダ'],
    ['Ｙａｍａｄａ', 'yamada'],
    ['が', 'が'],
    ['か\u3099', 'が'],
    ['홍', '홍'],
    ['İstanbul', 'istanbul'],
  ])('makes %s %s', (text, folded) => {
    expect(foldText(text)).toBe(folded);
  });

  it('keeps voiced kana apart from unvoiced', () => {
    expect(foldText('がき')).not.toBe(foldText('かき'));
  });

  it('changes nothing the second time', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const folded = foldText(text);
        expect(foldText(folded)).toBe(folded);
      }),
    );
  });
});

describe('foldPersonName', () => {
  it('folds each group', () => {
    expect(foldPersonName('Yamada^Tarou=山田^太郎=やまだ^たろう')).toEqual([
      'yamada^tarou',
      '山田^太郎',
      'やまだ^たろう',
    ]);
  });

  it('trims components and drops empty ones at the end', () => {
    expect(foldPersonName('Doe ^ Jane^Q^^ ')).toEqual(['doe^jane^q', '', '']);
    expect(foldPersonName('Doe^^^')).toEqual(['doe', '', '']);
    expect(foldPersonName('^Jane')).toEqual(['^jane', '', '']);
    expect(foldPersonName('=山田=')).toEqual(['', '山田', '']);
    expect(foldPersonName('')).toEqual(['', '', '']);
  });
});
