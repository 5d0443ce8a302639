import { Admission } from '../../src/net/admission';

describe('Admission', () => {
  it('counts in all and by address, and gives a slot back once', () => {
    const admission = new Admission(() => ({ associations: 3, associationsPerRemote: 2 }));
    const first = admission.take('a');
    const second = admission.take('a');
    expect(admission.take('a')).toBe('associationsPerRemote');
    const third = admission.take('b');
    expect(admission.take('c')).toBe('associations');
    if (typeof first !== 'function' || typeof second !== 'function' || typeof third !== 'function') {
      throw new Error('a slot within the limits was refused');
    }
    first();
    first();
    expect(admission.taken).toBe(2);
    expect(typeof admission.take('a')).toBe('function');
    expect(admission.take('a')).toBe('associations');
    second();
    third();
    expect(admission.taken).toBe(1);
  });

  it('reads the limits anew for each caller', () => {
    const limits = { associations: 1, associationsPerRemote: 1 };
    const admission = new Admission(() => limits);
    admission.take('a');
    expect(admission.take('b')).toBe('associations');
    limits.associations = 2;
    expect(typeof admission.take('b')).toBe('function');
  });
});
