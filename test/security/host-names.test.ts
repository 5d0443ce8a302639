import { HostNames } from '../../src/security/host-names';
import type { Lookup } from '../../src/security/host-names';

/** A timer that the test turns, and a name server that it plays. */
function setUp(names: string[]) {
  let tick: () => void = () => undefined;
  const stopped = { value: false };
  const asked: string[] = [];
  const answers = new Map<string, string[] | Error>();
  const lookup: Lookup = (name) => {
    asked.push(name);
    const answer = answers.get(name) ?? new Error('ENOTFOUND');
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
  };
  const changes: string[] = [];
  const table = new HostNames(names, {
    lookup,
    onChange: (name, state, detail) => changes.push(`${name} ${state} ${detail}`),
    every: (milliseconds, task) => {
      expect(milliseconds).toBe(60_000);
      tick = task;
      return () => {
        stopped.value = true;
      };
    },
  });
  const turn = async () => {
    tick();
    await new Promise(setImmediate);
  };
  return { table, answers, asked, changes, turn, stopped };
}

it('looks each name up once, and again each minute', async () => {
  const { table, answers, asked, turn, changes } = setUp([
    'a.example',
    'a.example',
    '10.0.0.0/8',
    'b.example',
  ]);
  answers.set('a.example', ['10.0.0.1', '::ffff:10.0.0.2']);
  answers.set('b.example', ['2001:DB8::1']);
  await table.start();
  expect(asked).toEqual(['a.example', 'b.example']);
  expect(table.addressesOf('a.example')).toEqual(['10.0.0.1', '10.0.0.2']);
  expect(table.addressesOf('b.example')).toEqual(['2001:db8::1']);
  answers.set('a.example', ['10.0.0.3']);
  await turn();
  expect(table.addressesOf('a.example')).toEqual(['10.0.0.3']);
  expect(changes).toEqual(['a.example found 10.0.0.1, 10.0.0.2', 'b.example found 2001:db8::1']);
});

it('keeps the last good answer while the name server is away, and says so once', async () => {
  const { table, answers, turn, changes } = setUp(['a.example']);
  answers.set('a.example', ['10.0.0.1']);
  await table.start();
  answers.set('a.example', new Error('EAI_AGAIN'));
  await turn();
  await turn();
  answers.set('a.example', []);
  await turn();
  expect(table.addressesOf('a.example')).toEqual(['10.0.0.1']);
  answers.set('a.example', ['10.0.0.9']);
  await turn();
  expect(table.addressesOf('a.example')).toEqual(['10.0.0.9']);
  expect(changes).toEqual([
    'a.example found 10.0.0.1',
    'a.example failed EAI_AGAIN',
    'a.example found 10.0.0.9',
  ]);
});

it('does not let one name that fails keep the others back', async () => {
  const { table, answers } = setUp(['bad.example', 'good.example']);
  answers.set('good.example', ['10.0.0.1']);
  await table.start();
  expect(table.addressesOf('bad.example')).toEqual([]);
  expect(table.addressesOf('good.example')).toEqual(['10.0.0.1']);
});

it('asks one name at a time, whatever the name server does', async () => {
  let running = 0;
  let most = 0;
  const release: (() => void)[] = [];
  let tick: () => void = () => undefined;
  const table = new HostNames(['a', 'b'], {
    lookup: async () => {
      most = Math.max(most, ++running);
      await new Promise<void>((resolve) => release.push(resolve));
      running -= 1;
      return ['10.0.0.1'];
    },
    every: (_milliseconds, task) => {
      tick = task;
      return () => undefined;
    },
  });
  const started = table.start();
  for (let i = 0; i < 6; i++) {
    tick();
    await new Promise(setImmediate);
    release.shift()?.();
  }
  release.forEach((done) => done());
  await started;
  expect(most).toBe(1);
  table.stop();
});

it('ends with its timer, and needs none without names', async () => {
  const { table, stopped } = setUp(['a.example']);
  await table.start();
  table.stop();
  expect(stopped.value).toBe(true);
  const none = new HostNames(['10.0.0.1', '10.0.0.0/8', '::1'], {
    every: () => {
      throw new Error('no timer is wanted');
    },
  });
  await none.start();
  none.stop();
});
