import { DestinationTurns, type Account, type Turn } from '../../src/services/retrieve-turns';

const never = new AbortController().signal;

/** Turns that were given, by name, in order. */
class Line {
  now = 0;
  readonly turns = new DestinationTurns(() => this.now);
  readonly given: string[] = [];
  readonly held = new Map<string, Turn>();

  async take(name: string, limit = 1, signal = never, destination = 'a', account?: Account): Promise<void> {
    const turn = await this.turns.take(destination, limit, signal, account);
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

describe('what each has had', () => {
  const account = (served?: number): Account => ({ served });

  it('decides who is next, whoever came first', async () => {
    const line = new Line();
    void line.take('first', 1, never, 'a', account(100));
    void line.take('much', 1, never, 'a', account(300));
    void line.take('least', 1, never, 'a', account(50));
    void line.take('some', 1, never, 'a', account(200));
    await settled();
    for (const name of ['first', 'least', 'some']) await line.end(name);
    expect(line.given).toEqual(['first', 'least', 'some', 'much']);
  });

  it('begins with as much as the one that has had least', async () => {
    const line = new Line();
    const running = account(1000);
    void line.take('old', 1, never, 'a', running);
    await settled();
    running.served = 5000;
    line.now = 1000;
    const fresh = account();
    void line.take('new', 1, never, 'a', fresh);
    await line.end('old');
    expect(fresh.served).toBe(5000);
    void line.take('old again', 1, never, 'a', running);
    fresh.served = 6000;
    await line.end('new');
    expect(line.given).toEqual(['old', 'new', 'old again']);
  });

  it('begins with nothing beside one that has only just begun: they are to end together', async () => {
    const line = new Line();
    const running = account();
    void line.take('old', 1, never, 'a', running);
    await settled();
    running.served = 5000;
    line.now = 999;
    const fresh = account();
    void line.take('new', 1, never, 'a', fresh);
    expect(fresh.served).toBe(0);
    void line.take('old again', 1, never, 'a', running);
    await line.end('old');
    expect(line.given).toEqual(['old', 'new']);
  });

  it('puts those without an account behind the others, once', async () => {
    const line = new Line();
    const move = account(10);
    void line.take('held', 1, never, 'a', account(0));
    void line.take('move', 1, never, 'a', move);
    await settled();
    void line.take('job');
    void line.take('late', 1, never, 'a', account(5));
    await line.end('held');
    await line.end('late');
    move.served = 20;
    await line.end('move');
    expect(line.given).toEqual(['held', 'late', 'move', 'job']);
  });
});

it('remembers the shortest opening while somebody is there', async () => {
  const line = new Line();
  void line.take('1');
  void line.take('2');
  await settled();
  const first = line.held.get('1')!;
  expect(first.opening).toBeUndefined();
  first.opened(30);
  first.opened(50);
  await line.end('1');
  expect(line.held.get('2')!.opening).toBe(30);
});
