import { STATUS, statusCategory, statusMeaning } from '../../src/dimse/status';

describe('status codes (PS3.7 Annex C)', () => {
  it.each([
    [0x0000, 'success'],
    [0xff00, 'pending'],
    [0xff01, 'pending'],
    [0xfe00, 'cancel'],
    [0x0001, 'warning'],
    [0x0107, 'warning'],
    [0x0116, 'warning'],
    [0xb000, 'warning'],
    [0xbfff, 'warning'],
    [0x0106, 'failure'],
    [0x0111, 'failure'],
    [0x0211, 'failure'],
    [0xa700, 'failure'],
    [0xa7ff, 'failure'],
    [0xa9aa, 'failure'],
    [0xc123, 'failure'],
    [0xff02, 'failure'],
    [0xfe01, 'failure'],
    [0x4711, 'failure'],
  ])('%i is %s', (status, category) => {
    expect(statusCategory(status)).toBe(category);
  });

  it('has names for the codes and words that fit an Error Comment', () => {
    expect(STATUS.NotAuthorized).toBe(0x0124);
    expect(STATUS.UnableToPerformSubOperations).toBe(0xa702);
    for (const status of [...Object.values(STATUS), 0xa7aa, 0x4711]) {
      expect(statusMeaning(status)).toMatch(/^[ -~]{1,64}$/);
    }
    expect(statusMeaning(0xa701)).toBe('Out of resources: unable to count the matches');
    expect(statusMeaning(0xa7aa)).toBe('Out of resources');
  });
});
