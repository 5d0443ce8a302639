import Database from 'better-sqlite3';
import fc from 'fast-check';
import { behind, patternOf, wildcards } from '../../src/catalog/pattern';

const character = fc.constantFrom(...Array.from('ab*?[]%_^-\\ä山😀'));
const text = (maxLength: number): fc.Arbitrary<string> =>
  fc.array(character, { maxLength }).map((characters) => characters.join(''));

function expression(key: string): RegExp {
  const parts = Array.from(key, (one) =>
    one === '*' ? '.*' : one === '?' ? '.' : one.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'),
  );
  return new RegExp(`^${parts.join('')}$`, 'su');
}

describe('a pattern', () => {
  const database = new Database(':memory:');
  afterAll(() => {
    database.close();
  });

  it('matches as DICOM says, here and in SQLite, whatever characters there are', () => {
    const glob = database.prepare('SELECT ? GLOB ?').pluck();
    fc.assert(
      fc.property(text(6), text(6), (value, key) => {
        const expected = expression(key).test(value);
        const pattern = patternOf(wildcards(key));
        expect(pattern.matches(value)).toBe(expected);
        expect(pattern.globs.some((one) => glob.get(value, one) === 1)).toBe(expected);
        expect(!expected || value.startsWith(pattern.fixed)).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  it('takes no longer for many stars', () => {
    const pattern = patternOf(wildcards(`${'*a'.repeat(200)}*b`));
    const started = performance.now();
    expect(pattern.matches('a'.repeat(1000))).toBe(false);
    const glob = database.prepare('SELECT ? GLOB ?').pluck();
    expect(glob.get('a'.repeat(1000), pattern.globs[0])).toBe(0);
    expect(performance.now() - started).toBeLessThan(200);
  });

  it('has an end behind everything that begins alike, in the order of SQLite', () => {
    const within = database.prepare('SELECT ? >= ? AND ? < ?').pluck();
    const any = fc.string({ unit: 'binary', maxLength: 3 }).filter((one) => !one.includes('\0'));
    fc.assert(
      fc.property(any, any, (fixed, more) => {
        const end = behind(fixed);
        if (end !== undefined) {
          expect(within.get(fixed + more, fixed, fixed + more, end)).toBe(1);
          expect(within.get(end, fixed, end, end)).toBe(0);
        } else {
          expect(/^\u{10FFFF}*$/u.test(fixed)).toBe(true);
        }
      }),
    );
    expect(behind('ab')).toBe('ac');
    expect(behind('a\u{10FFFF}')).toBe('b');
    expect(behind('\uD7FF')).toBe('\uE000');
    expect(behind('')).toBeUndefined();
  });
});
