import { ACTIONS, TRANSITIONS, step } from '../../src/net/fsm';
import type { Action, State, UpperLayerEvent } from '../../src/net/fsm';

/** Table 9-10 of PS3.8, written down anew: a row an event, a column a state from Sta1 to Sta13. */
const TABLE = `
associate-request     AE-1  .     .     .     .     .     .     .     .     .     .     .     .
transport-confirm     .     .     .     AE-2  .     .     .     .     .     .     .     .     .
associate-ac          .     AA-1  AA-8  .     AE-3  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
associate-rj          .     AA-1  AA-8  .     AE-4  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
transport-indication  AE-5  .     .     .     .     .     .     .     .     .     .     .     .
associate-rq          .     AE-6  AA-8  .     AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-7
associate-accept      .     .     AE-7  .     .     .     .     .     .     .     .     .     .
associate-reject      .     .     AE-8  .     .     .     .     .     .     .     .     .     .
data-request          .     .     .     .     .     DT-1  .     AR-7  .     .     .     .     .
data                  .     AA-1  AA-8  .     AA-8  DT-2  AR-6  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
release-request       .     .     .     .     .     AR-1  .     .     .     .     .     .     .
release-rq            .     AA-1  AA-8  .     AA-8  AR-2  AR-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
release-rp            .     AA-1  AA-8  .     AA-8  AA-8  AR-3  AA-8  AA-8  AR-10 AR-3  AA-8  AA-6
release-response      .     .     .     .     .     .     .     AR-4  AR-9  .     .     AR-4  .
abort-request         .     .     AA-1  AA-2  AA-1  AA-1  AA-1  AA-1  AA-1  AA-1  AA-1  AA-1  .
abort                 .     AA-2  AA-3  .     AA-3  AA-3  AA-3  AA-3  AA-3  AA-3  AA-3  AA-3  AA-2
transport-closed      .     AA-5  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AR-5
artim-expired         .     AA-2  .     .     .     .     .     .     .     .     .     .     AA-2
invalid-pdu           .     AA-1  AA-8  .     AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-7
`;

/** Next states and what is sent or done, from tables 9-6 to 9-9. */
const NEXT: Record<string, [State, string]> = {
  'AE-1': [4, 'open-transport'],
  'AE-2': [5, 'send-associate-rq'],
  'AE-3': [6, 'confirm-accept'],
  'AE-4': [1, 'confirm-reject close-transport'],
  'AE-5': [2, 'start-artim'],
  'AE-6': [3, 'stop-artim indicate-associate'],
  'AE-7': [6, 'send-associate-ac'],
  'AE-8': [13, 'send-associate-rj start-artim'],
  'DT-1': [6, 'send-data'],
  'DT-2': [6, 'indicate-data'],
  'AR-1': [7, 'send-release-rq'],
  'AR-2': [8, 'indicate-release'],
  'AR-3': [1, 'confirm-release close-transport'],
  'AR-4': [13, 'send-release-rp start-artim'],
  'AR-5': [1, 'stop-artim'],
  'AR-6': [7, 'indicate-data'],
  'AR-7': [8, 'send-data'],
  'AR-8': [9, 'indicate-release'],
  'AR-9': [11, 'send-release-rp'],
  'AR-10': [12, 'confirm-release'],
  'AA-1': [13, 'send-user-abort start-artim'],
  'AA-2': [1, 'stop-artim close-transport'],
  'AA-3': [1, 'indicate-abort close-transport'],
  'AA-4': [1, 'indicate-abort'],
  'AA-5': [1, 'stop-artim'],
  'AA-6': [13, ''],
  'AA-7': [13, 'send-provider-abort'],
  'AA-8': [13, 'send-provider-abort indicate-abort start-artim'],
};

const rows = TABLE.trim()
  .split('\n')
  .map((line) => line.split(/ +/));
const requestor = { role: 'requestor', acceptable: true } as const;
const acceptor = { role: 'acceptor', acceptable: true } as const;

describe('the state table', () => {
  it('has every event of the standard and no other', () => {
    expect(rows).toHaveLength(19);
    expect(Object.keys(TRANSITIONS).sort()).toEqual(rows.map(([event]) => event).sort());
    expect(Object.keys(ACTIONS).sort()).toEqual(Object.keys(NEXT).sort());
  });

  const cells = rows.flatMap(([event, ...actions]) =>
    actions.map((action, index) => [event, index + 1, action] as const),
  );
  it.each(cells)('%s in Sta%i: %s', (event, state, action) => {
    expect(cells).toHaveLength(19 * 13);
    const taken = step(state as State, event as UpperLayerEvent, requestor);
    if (action === '.') {
      expect(taken).toBeUndefined();
      return;
    }
    expect(taken?.action).toBe(action);
    const [next, effects] = NEXT[action as Action]!;
    expect(taken?.next).toBe(next);
    expect(taken?.effects.join(' ')).toBe(effects);
  });

  it('refuses an unacceptable request in the second branch of AE-6', () => {
    const taken = step(2, 'associate-rq', { role: 'acceptor', acceptable: false });
    expect(taken).toEqual({
      action: 'AE-6',
      next: 13,
      effects: ['stop-artim', 'send-associate-rj', 'start-artim'],
    });
    expect(step(2, 'associate-rq', acceptor)?.next).toBe(3);
  });

  it('parts requestor and acceptor in a release collision (AR-8)', () => {
    expect(step(7, 'release-rq', requestor)?.next).toBe(9);
    expect(step(7, 'release-rq', acceptor)?.next).toBe(10);
  });
});
