import { Turns } from '../../src/services/turns';

describe('Turns', () => {
  it('lets one in for each key, the others in the order in which they came', async () => {
    const turns = new Turns();
    const order: string[] = [];
    const come = async (name: string, key: string): Promise<void> => {
      const turn = turns.begin(key);
      if (turn !== undefined) await turn;
      order.push(name);
    };
    void come('a1', 'a');
    void come('b1', 'b');
    const second = come('a2', 'a');
    const third = come('a3', 'a');
    expect(order).toEqual(['a1', 'b1']);
    turns.end('a');
    await second;
    expect(order).toEqual(['a1', 'b1', 'a2']);
    turns.end('a');
    await third;
    turns.end('a');
    expect(turns.begin('a')).toBeUndefined();
    expect(turns.begin('b')).toBeInstanceOf(Promise);
  });
});
