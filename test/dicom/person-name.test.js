"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const fast_check_1 = __importDefault(require("fast-check"));
const person_name_1 = require("../../src/dicom/person-name");
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
        expect((0, person_name_1.foldText)(text)).toBe(folded);
    });
    it('keeps voiced kana apart from unvoiced', () => {
        expect((0, person_name_1.foldText)('がき')).not.toBe((0, person_name_1.foldText)('かき'));
    });
    it('changes nothing the second time', () => {
        fast_check_1.default.assert(fast_check_1.default.property(fast_check_1.default.string({ unit: 'binary' }), (text) => {
            const folded = (0, person_name_1.foldText)(text);
            expect((0, person_name_1.foldText)(folded)).toBe(folded);
        }));
    });
});
describe('foldPersonName', () => {
    it('folds each group', () => {
        expect((0, person_name_1.foldPersonName)('Yamada^Tarou=山田^太郎=やまだ^たろう')).toEqual([
            'yamada^tarou',
            '山田^太郎',
            'やまだ^たろう',
        ]);
    });
    it('trims components and drops empty ones at the end', () => {
        expect((0, person_name_1.foldPersonName)('Doe ^ Jane^Q^^ ')).toEqual(['doe^jane^q', '', '']);
        expect((0, person_name_1.foldPersonName)('Doe^^^')).toEqual(['doe', '', '']);
        expect((0, person_name_1.foldPersonName)('^Jane')).toEqual(['^jane', '', '']);
        expect((0, person_name_1.foldPersonName)('=山田=')).toEqual(['', '山田', '']);
        expect((0, person_name_1.foldPersonName)('')).toEqual(['', '', '']);
    });
});
