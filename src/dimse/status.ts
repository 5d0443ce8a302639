export type StatusCategory = 'success' | 'pending' | 'cancel' | 'warning' | 'failure';

/**
 * The status codes that we send or meet: PS3.7 Annex C, PS3.4 B.2.3, C.4.1.1.4, C.4.2.1.5, C.4.3.1.4, PS3.4 CC.2.3.
 * Columns: name, code, category, meaning (a default Error Comment, so at most 64 characters). Ranges stand below.
 */
const CODES = [
  ['Success', 0x0000, 'success', 'Success'],
  ['Pending', 0xff00, 'pending', 'Pending'],
  ['PendingWithWarning', 0xff01, 'pending', 'Pending, optional keys not supported'],
  ['Cancel', 0xfe00, 'cancel', 'Cancelled'],

  ['RequestedOptionalAttributesNotSupported', 0x0001, 'warning', 'Optional attributes not supported'],
  ['AttributeListError', 0x0107, 'warning', 'Attribute list error'],
  ['AttributeValueOutOfRange', 0x0116, 'warning', 'Attribute value out of range'],
  ['CoercionOfDataElements', 0xb000, 'warning', 'Coercion of data elements'],
  ['SubOperationsCompleteWithFailures', 0xb000, 'warning', 'Sub-operations complete, failures or warnings'],
  ['ElementsDiscarded', 0xb006, 'warning', 'Elements discarded'],
  ['DataSetDoesNotMatchSOPClassWarning', 0xb007, 'warning', 'Data set does not match SOP class'],

  ['NoSuchAttribute', 0x0105, 'failure', 'No such attribute'],
  ['InvalidAttributeValue', 0x0106, 'failure', 'Invalid attribute value'],
  ['ProcessingFailure', 0x0110, 'failure', 'Processing failure'],
  ['DuplicateSOPInstance', 0x0111, 'failure', 'Duplicate SOP instance'],
  ['NoSuchSOPInstance', 0x0112, 'failure', 'No such SOP instance'],
  ['NoSuchEventType', 0x0113, 'failure', 'No such event type'],
  ['NoSuchArgument', 0x0114, 'failure', 'No such argument'],
  ['InvalidArgumentValue', 0x0115, 'failure', 'Invalid argument value'],
  ['InvalidSOPInstance', 0x0117, 'failure', 'Invalid SOP instance'],
  ['NoSuchSOPClass', 0x0118, 'failure', 'No such SOP class'],
  ['ClassInstanceConflict', 0x0119, 'failure', 'Class-instance conflict'],
  ['MissingAttribute', 0x0120, 'failure', 'Missing attribute'],
  ['MissingAttributeValue', 0x0121, 'failure', 'Missing attribute value'],
  ['SOPClassNotSupported', 0x0122, 'failure', 'SOP class not supported'],
  ['NoSuchActionType', 0x0123, 'failure', 'No such action type'],
  ['NotAuthorized', 0x0124, 'failure', 'Not authorized'],
  // PS3.3 C.14.1.1; of storage commitment only.
  ['DuplicateTransactionUID', 0x0131, 'failure', 'Duplicate Transaction UID'],
  ['DuplicateInvocation', 0x0210, 'failure', 'Duplicate invocation'],
  ['UnrecognizedOperation', 0x0211, 'failure', 'Unrecognized operation'],
  ['MistypedArgument', 0x0212, 'failure', 'Mistyped argument'],
  ['ResourceLimitation', 0x0213, 'failure', 'Resource limitation'],
  ['OutOfResources', 0xa700, 'failure', 'Out of resources'],
  ['UnableToCountMatches', 0xa701, 'failure', 'Out of resources: unable to count the matches'],
  ['UnableToPerformSubOperations', 0xa702, 'failure', 'Unable to perform sub-operations'],
  ['MoveDestinationUnknown', 0xa801, 'failure', 'Move destination unknown'],
  ['DataSetDoesNotMatchSOPClass', 0xa900, 'failure', 'Data set or identifier does not match SOP class'],
  ['UnableToProcess', 0xc000, 'failure', 'Unable to process'],
] as const satisfies readonly (readonly [string, number, StatusCategory, string])[];

/** Statuses that stand for a whole range: (code & mask) === value. The first that fits counts. */
const RANGES: readonly {
  readonly value: number;
  readonly mask: number;
  readonly category: StatusCategory;
  readonly meaning: string;
}[] = [
  { value: 0xb000, mask: 0xf000, category: 'warning', meaning: 'Warning' },
  { value: 0xa700, mask: 0xff00, category: 'failure', meaning: 'Out of resources' },
  {
    value: 0xa900,
    mask: 0xff00,
    category: 'failure',
    meaning: 'Data set or identifier does not match SOP class',
  },
  { value: 0xc000, mask: 0xf000, category: 'failure', meaning: 'Unable to process' },
];

export type StatusName = (typeof CODES)[number][0];

/** Codes by name. */
export const STATUS = Object.fromEntries(CODES.map(([name, code]) => [name, code])) as Readonly<
  Record<StatusName, number>
>;

const BY_CODE = new Map<number, { readonly category: StatusCategory; readonly meaning: string }>();
for (const [, code, category, meaning] of CODES) {
  if (!BY_CODE.has(code)) BY_CODE.set(code, { category, meaning });
}

function lookUp(status: number): { readonly category: StatusCategory; readonly meaning: string } | undefined {
  return BY_CODE.get(status) ?? RANGES.find(({ value, mask }) => (status & mask) === value);
}

/** Class of a status (PS3.7 Annex C). An unknown code is a failure: nothing may be taken for done on a guess. */
export function statusCategory(status: number): StatusCategory {
  return lookUp(status)?.category ?? 'failure';
}

/** What a status says, in words of the standard. */
export function statusMeaning(status: number): string {
  return lookUp(status)?.meaning ?? 'Failure';
}

/** A status as it is written in logs and tables: four hexadecimal digits. */
export function statusText(status: number): string {
  return status.toString(16).toUpperCase().padStart(4, '0');
}
