import { DestinationTurns, type Turn } from '../../src/services/retrieve-turns';

const never = new AbortController().signal;

/** Turns that were given, by name, in order. */
class Line {
  readonly turns = new DestinationTurns();
  readonly given: string[] = [];
  readonly held = new Map<string, Turn>();

  async take(name: string, limit = 1, signal = never, destination = 'a'): Promise<void> {
    const turn = await this.turns.take(destination, limit, signal);
    this.given.push(turn === undefined ? `${name} none` : name);
    if (turn !== undefined) this.held.set(name, turn);
  }

  end(name: string): Promise<void> {
    this.held.get(name)?.end();
    return settled();
  }
}

async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await Promise.resolve();
}

it('gives a destination to one after the other, in their order', async () => {
  const line = new Line();
  for (const name of ['1', '2', '3']) void line.take(name);
  await settled();
  expect(line.given).toEqual(['1']);
  expect(line.held.get('1')?.contested).toBe(true);
  await line.end('1');
  void line.take('1 again');
  await line.end('2');
  expect(line.given).toEqual(['1', '2', '3']);
  await line.end('3');
  expect(line.given).toEqual(['1', '2', '3', '1 again']);
  expect(line.held.get('1 again')?.contested).toBe(false);
});

it('counts an end once', async () => {
  const line = new Line();
  for (const name of ['1', '2', '3']) void line.take(name);
  await settled();
  await line.end('1');
  await line.end('1');
  expect(line.given).toEqual(['1', '2']);
});

it('keeps destinations apart', async () => {
  const line = new Line();
  void line.take('1', 1, never, 'a');
  void line.take('2', 1, never, 'b');
  await settled();
  expect(line.given).toEqual(['1', '2']);
  expect(line.held.get('1')?.contested).toBe(false);
});

it('gives all associations to one that is alone, and shares what is free', async () => {
  const line = new Line();
  await line.take('1', 4);
  expect(line.held.get('1')?.associations).toBe(4);
  for (const name of ['2', '3', '4']) void line.take(name, 4);
  await line.end('1');
  expect([...line.held.values()].slice(1).map(({ associations }) => associations)).toEqual([1, 1, 2]);
});

it('lets one go that does not wait any longer', async () => {
  const line = new Line();
  const cancel = new AbortController();
  void line.take('1');
  void line.take('2', 1, cancel.signal);
  void line.take('3');
  await settled();
  cancel.abort();
  await settled();
  expect(line.given).toEqual(['1', '2 none']);
  await line.end('1');
  expect(line.given).toEqual(['1', '2 none', '3']);
  await line.take('4', 1, cancel.signal);
  expect(line.given.at(-1)).toBe('4 none');
});

it('follows a limit that was raised', async () => {
  const line = new Line();
  void line.take('1', 1);
  void line.take('2', 1);
  await settled();
  void line.take('3', 3);
  await settled();
  expect(line.given).toEqual(['1', '2', '3']);
});
