import type { OutgoingInstance } from '../../src/services/outgoing';
import { Backlog } from '../../src/services/send-backlog';
import { planContexts, type ContextGroup } from '../../src/services/send-contexts';
import type { OutgoingKind } from '../../src/services/send-types';
import { SOP, TS } from '../support/data-sets';
import { transcoder } from './send-kit';

const kind = (index: number, syntax: string = TS.explicit): OutgoingKind => ({
  SOPClassUID: `1.2.3.${index}`,
  TransferSyntaxUID: syntax,
});
const instance = (of: OutgoingKind, name: string): OutgoingInstance => ({
  ...of,
  name,
  SOPInstanceUID: '1',
  dataSetLength: 0,
  read: () => {
    throw new Error('nobody reads it');
  },
});

/** Two kinds that don't share an association: the first of 128, and one more. */
const KINDS = Array.from({ length: 129 }, (_, index) => kind(index));
const [FIRST, LAST] = [KINDS[0]!, KINDS[128]!];
const plan = (kinds: Iterable<OutgoingKind>): ContextGroup[] => planContexts(kinds, {});

/** Serves a backlog to its end: the names in the order in which they were handed out, by association. */
async function serve(backlog: Backlog, note: () => void = () => undefined): Promise<string[][]> {
  const rounds: string[][] = [];
  for (let group = await backlog.group(); group !== undefined; group = await backlog.group()) {
    const names: string[] = [];
    for (let next = await backlog.next(group); next !== undefined; next = await backlog.next(group)) {
      expect(group.has(next)).toBe(true);
      names.push(next.name);
      note();
    }
    rounds.push(names);
  }
  return rounds;
}

it('hands out all of one group, then all of the other', async () => {
  const instances = [LAST, FIRST, LAST, FIRST, FIRST].map((of, index) => instance(of, `${index}`));
  expect(await serve(new Backlog(instances, KINDS, plan))).toEqual([
    ['0', '2'],
    ['1', '3', '4'],
  ]);
});

it('keeps few in memory, however many come of the other group', async () => {
  let read = 0;
  let handed = 0;
  let most = 0;
  function* stream(): Iterable<OutgoingInstance> {
    for (let index = 0; index < 20_000; index++) {
      read++;
      most = Math.max(most, read - handed);
      yield instance(index % 10 === 0 ? FIRST : LAST, `${index}`);
    }
  }
  const rounds = await serve(new Backlog(stream(), KINDS, plan), () => handed++);
  expect(new Set(rounds.flat()).size).toBe(20_000);
  expect(most).toBeLessThanOrEqual(4097);
  expect(rounds.length).toBeLessThan(8);
});

it('hands out again first what was put back, and the rest whatever its group', async () => {
  const instances = [FIRST, LAST, FIRST, FIRST].map((of, index) => instance(of, `${index}`));
  const backlog = new Backlog(instances, KINDS, plan);
  const group = (await backlog.group())!;
  const taken = [await backlog.next(group), await backlog.next(group)].map((one) => one!);
  expect(taken.map(({ name }) => name)).toEqual(['0', '2']);
  backlog.putBack(group, taken);
  expect((await backlog.next(group))!.name).toBe('0');
  const rest: string[] = [];
  for await (const { name } of backlog.rest()) rest.push(name);
  expect(rest.sort()).toEqual(['1', '2', '3']);
  expect(await backlog.group()).toBeUndefined();
});

describe('contexts', () => {
  const planned = (kinds: OutgoingKind[], options: Parameters<typeof planContexts>[1]): unknown[] =>
    planContexts(kinds, options).map(({ contexts }) =>
      contexts.map(({ id, abstractSyntax, transferSyntaxes }) => [id, abstractSyntax, ...transferSyntaxes]),
    );
  const targets = {
    [TS.rle]: [TS.explicit, TS.implicit],
    [TS.explicit]: [TS.implicit],
    [TS.deflated]: [TS.big],
  };
  const of = (SOPClassUID: string, TransferSyntaxUID: string): OutgoingKind => ({
    SOPClassUID,
    TransferSyntaxUID,
  });

  it('are one for each class and stored syntax, and one for each class to fall back on', () => {
    const kinds = [of(SOP.ct, TS.rle), of(SOP.mr, TS.explicit), of(SOP.ct, TS.explicit), of(SOP.ct, TS.rle)];
    expect(planned(kinds, { transcoder: transcoder(targets) })).toEqual([
      [
        [1, SOP.ct, TS.rle],
        [3, SOP.ct, TS.explicit],
        [5, SOP.ct, TS.explicit, TS.implicit],
        [7, SOP.mr, TS.explicit],
        [9, SOP.mr, TS.explicit, TS.implicit],
      ],
    ]);
  });

  it('have no fall-back that nothing can be brought into, or that must not be used', () => {
    const rle = [of(SOP.ct, TS.rle)];
    const only = [[[1, SOP.ct, TS.rle]]];
    expect(planned(rle, {})).toEqual(only);
    expect(planned(rle, { transcode: 'never', transcoder: transcoder(targets) })).toEqual(only);
    for (const syntax of [TS.mpeg4, TS.deflated])
      expect(planned([of(SOP.ct, syntax)], { transcoder: transcoder(targets) })).toEqual([
        [[1, SOP.ct, syntax]],
      ]);
  });

  it('are never more than 128, even of one class', () => {
    const kinds = Array.from({ length: 300 }, (_, index) => of(SOP.ct, `1.2.3.${index}`));
    const all = Object.fromEntries(kinds.map(({ TransferSyntaxUID }) => [TransferSyntaxUID, [TS.implicit]]));
    const groups = planContexts(kinds, { transcoder: transcoder(all) });
    expect(groups.map(({ contexts }) => contexts.length)).toEqual([128, 128, 47]);
    for (const { contexts } of groups) expect(contexts.at(-1)!.transferSyntaxes).toEqual([TS.implicit]);
    for (const one of kinds) expect(groups.filter((group) => group.has(one))).toHaveLength(1);
    expect(groups[0]!.contexts.at(-1)!.id).toBe(255);
  });
});
