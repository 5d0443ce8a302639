/**
 * The upper layer state machine as data: PS3.8 9.2, tables 9-6 to 9-10. `step` is the whole engine; what the effects do
 * is the connection's business.
 */

/** Sta1 idle, 2 awaiting RQ, 3 awaiting local answer, 4 awaiting transport, 5 awaiting AC or RJ, 6 established, 7 awaiting
 *  RELEASE-RP, 8 awaiting local release answer, 9-12 release collision, 13 awaiting the transport's close. */
export type State = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10 | 11 | 12 | 13;

/** Table 9-10's events; the number in the standard stands beside each. */
export type UpperLayerEvent =
  | 'associate-request' // 1
  | 'transport-confirm' // 2
  | 'associate-ac' // 3
  | 'associate-rj' // 4
  | 'transport-indication' // 5
  | 'associate-rq' // 6
  | 'associate-accept' // 7
  | 'associate-reject' // 8
  | 'data-request' // 9
  | 'data' // 10
  | 'release-request' // 11
  | 'release-rq' // 12
  | 'release-rp' // 13
  | 'release-response' // 14
  | 'abort-request' // 15
  | 'abort' // 16
  | 'transport-closed' // 17
  | 'artim-expired' // 18
  | 'invalid-pdu'; // 19

export type Effect =
  | 'open-transport'
  | 'send-associate-rq'
  | 'confirm-accept'
  | 'confirm-reject'
  | 'indicate-associate'
  | 'send-associate-ac'
  | 'send-associate-rj'
  | 'send-data'
  | 'indicate-data'
  | 'send-release-rq'
  | 'indicate-release'
  | 'confirm-release'
  | 'send-release-rp'
  | 'send-user-abort'
  | 'send-provider-abort'
  | 'indicate-abort'
  | 'start-artim'
  | 'stop-artim'
  | 'close-transport';

interface Outcome {
  readonly effects: readonly Effect[];
  readonly next: State;
}

/** An action. `otherwise` is its second branch: AE-6 for an unacceptable request, AR-8 for the acceptor. */
type ActionRow = Outcome & { readonly otherwise?: Outcome };

/** Tables 9-6 to 9-9. */
export const ACTIONS = {
  'AE-1': { effects: ['open-transport'], next: 4 },
  'AE-2': { effects: ['send-associate-rq'], next: 5 },
  'AE-3': { effects: ['confirm-accept'], next: 6 },
  'AE-4': { effects: ['confirm-reject', 'close-transport'], next: 1 },
  'AE-5': { effects: ['start-artim'], next: 2 },
  'AE-6': {
    effects: ['stop-artim', 'indicate-associate'],
    next: 3,
    otherwise: { effects: ['stop-artim', 'send-associate-rj', 'start-artim'], next: 13 },
  },
  'AE-7': { effects: ['send-associate-ac'], next: 6 },
  'AE-8': { effects: ['send-associate-rj', 'start-artim'], next: 13 },
  'DT-1': { effects: ['send-data'], next: 6 },
  'DT-2': { effects: ['indicate-data'], next: 6 },
  'AR-1': { effects: ['send-release-rq'], next: 7 },
  'AR-2': { effects: ['indicate-release'], next: 8 },
  'AR-3': { effects: ['confirm-release', 'close-transport'], next: 1 },
  'AR-4': { effects: ['send-release-rp', 'start-artim'], next: 13 },
  'AR-5': { effects: ['stop-artim'], next: 1 },
  'AR-6': { effects: ['indicate-data'], next: 7 },
  'AR-7': { effects: ['send-data'], next: 8 },
  'AR-8': {
    effects: ['indicate-release'],
    next: 9,
    otherwise: { effects: ['indicate-release'], next: 10 },
  },
  'AR-9': { effects: ['send-release-rp'], next: 11 },
  'AR-10': { effects: ['confirm-release'], next: 12 },
  'AA-1': { effects: ['send-user-abort', 'start-artim'], next: 13 },
  'AA-2': { effects: ['stop-artim', 'close-transport'], next: 1 },
  'AA-3': { effects: ['indicate-abort', 'close-transport'], next: 1 },
  'AA-4': { effects: ['indicate-abort'], next: 1 },
  'AA-5': { effects: ['stop-artim'], next: 1 },
  'AA-6': { effects: [], next: 13 },
  'AA-7': { effects: ['send-provider-abort'], next: 13 },
  'AA-8': { effects: ['send-provider-abort', 'indicate-abort', 'start-artim'], next: 13 },
} as const satisfies Readonly<Record<string, ActionRow>>;

export type Action = keyof typeof ACTIONS;

type Row = Readonly<Partial<Record<State, Action>>>;

/** The answer of the associated states (6 to 12) where a row says the same for all of them. */
function associated(action: Action): Row {
  return { 6: action, 7: action, 8: action, 9: action, 10: action, 11: action, 12: action };
}

const VIOLATION: Row = { 2: 'AA-1', 3: 'AA-8', 5: 'AA-8', ...associated('AA-8') };

/** Table 9-10; an empty cell can't happen, or is the local user's mistake and without effect. */
export const TRANSITIONS: Readonly<Record<UpperLayerEvent, Row>> = {
  'associate-request': { 1: 'AE-1' },
  'transport-confirm': { 4: 'AE-2' },
  'associate-ac': { ...VIOLATION, 5: 'AE-3', 13: 'AA-6' },
  'associate-rj': { ...VIOLATION, 5: 'AE-4', 13: 'AA-6' },
  'transport-indication': { 1: 'AE-5' },
  'associate-rq': { ...VIOLATION, 2: 'AE-6', 13: 'AA-7' },
  'associate-accept': { 3: 'AE-7' },
  'associate-reject': { 3: 'AE-8' },
  'data-request': { 6: 'DT-1', 8: 'AR-7' },
  data: { ...VIOLATION, 6: 'DT-2', 7: 'AR-6', 13: 'AA-6' },
  'release-request': { 6: 'AR-1' },
  'release-rq': { ...VIOLATION, 6: 'AR-2', 7: 'AR-8', 13: 'AA-6' },
  'release-rp': { ...VIOLATION, 7: 'AR-3', 10: 'AR-10', 11: 'AR-3', 13: 'AA-6' },
  'release-response': { 8: 'AR-4', 9: 'AR-9', 12: 'AR-4' },
  'abort-request': { 3: 'AA-1', 4: 'AA-2', 5: 'AA-1', ...associated('AA-1') },
  abort: { 2: 'AA-2', 3: 'AA-3', 5: 'AA-3', ...associated('AA-3'), 13: 'AA-2' },
  'transport-closed': { 2: 'AA-5', 3: 'AA-4', 4: 'AA-4', 5: 'AA-4', ...associated('AA-4'), 13: 'AR-5' },
  'artim-expired': { 2: 'AA-2', 13: 'AA-2' },
  'invalid-pdu': { ...VIOLATION, 13: 'AA-7' },
};

/** What an action's branch depends on. */
export interface Conditions {
  readonly role: 'requestor' | 'acceptor';
  /** The A-ASSOCIATE-RQ at hand can be served at all (AE-6). */
  readonly acceptable: boolean;
}

export interface Step extends Outcome {
  readonly action: Action;
}

/** One cell of the table: what to do and where to go, or undefined where the cell is empty. */
export function step(state: State, event: UpperLayerEvent, conditions: Conditions): Step | undefined {
  const action = TRANSITIONS[event][state];
  if (action === undefined) return undefined;
  const row: ActionRow = ACTIONS[action];
  const second = action === 'AE-6' ? !conditions.acceptable : conditions.role === 'acceptor';
  const { effects, next } = row.otherwise !== undefined && second ? row.otherwise : row;
  return { action, effects, next };
}
