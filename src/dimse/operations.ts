import type { CommandSet } from './types';

/** Set in the command field of every response (PS3.7 E.1). */
export const RESPONSE = 0x8000;

/** Command fields of the requests (PS3.7 E.1). */
export const COMMAND = {
  'C-STORE': 0x0001,
  'C-GET': 0x0010,
  'C-FIND': 0x0020,
  'C-MOVE': 0x0021,
  'C-ECHO': 0x0030,
  'N-EVENT-REPORT': 0x0100,
  'N-GET': 0x0110,
  'N-SET': 0x0120,
  'N-ACTION': 0x0130,
  'N-CREATE': 0x0140,
  'N-DELETE': 0x0150,
  'C-CANCEL': 0x0fff,
} as const;

export type OperationName = keyof typeof COMMAND;

/** What a request must hold, and how its operation may be ended (PS3.7 9.3, 10.3). */
export interface Operation {
  readonly name: OperationName;
  /** Mandatory beside Command Field, Message ID and Data Set Type. */
  readonly mandatory: readonly (keyof CommandSet)[];
  readonly dataSet: 'mandatory' | 'optional' | 'none';
  /** C-CANCEL may name it (PS3.7 9.3.2.3, 9.3.3.3, 9.3.4.3). */
  readonly cancellable: boolean;
  /** Of a composite service: its own status for a wrong SOP class is 0122, that of a normalized one 0118. */
  readonly composite: boolean;
}

const composite = (
  name: OperationName,
  dataSet: Operation['dataSet'],
  cancellable: boolean,
  mandatory: readonly (keyof CommandSet)[],
): [number, Operation] => [COMMAND[name], { name, mandatory, dataSet, cancellable, composite: true }];

const normalized = (
  name: OperationName,
  dataSet: Operation['dataSet'],
  mandatory: readonly (keyof CommandSet)[],
): [number, Operation] => [COMMAND[name], { name, mandatory, dataSet, cancellable: false, composite: false }];

/** By command field. C-CANCEL isn't here: it starts nothing and has no response. */
export const OPERATIONS: ReadonlyMap<number, Operation> = new Map([
  composite('C-STORE', 'mandatory', false, ['AffectedSOPClassUID', 'AffectedSOPInstanceUID', 'Priority']),
  composite('C-GET', 'mandatory', true, ['AffectedSOPClassUID', 'Priority']),
  composite('C-FIND', 'mandatory', true, ['AffectedSOPClassUID', 'Priority']),
  composite('C-MOVE', 'mandatory', true, ['AffectedSOPClassUID', 'Priority', 'MoveDestination']),
  composite('C-ECHO', 'none', false, ['AffectedSOPClassUID']),
  normalized('N-EVENT-REPORT', 'optional', ['AffectedSOPClassUID', 'AffectedSOPInstanceUID', 'EventTypeID']),
  normalized('N-GET', 'none', ['RequestedSOPClassUID', 'RequestedSOPInstanceUID']),
  normalized('N-SET', 'mandatory', ['RequestedSOPClassUID', 'RequestedSOPInstanceUID']),
  normalized('N-ACTION', 'optional', ['RequestedSOPClassUID', 'RequestedSOPInstanceUID', 'ActionTypeID']),
  normalized('N-CREATE', 'optional', ['AffectedSOPClassUID']),
  normalized('N-DELETE', 'none', ['RequestedSOPClassUID', 'RequestedSOPInstanceUID']),
]);
