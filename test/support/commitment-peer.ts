import { read } from '../services/query-kit';
import { encode, TS, type Element } from './data-sets';
import { associateAc, counted, releaseRp, roleItem, type RawAcceptor } from './raw-peer';
import { Command, commandSet, item, pData, pdv, PDU, Wire } from './wire';

export const COMMITMENT = '1.2.840.10008.1.20.1';
export const WELL_KNOWN = '1.2.840.10008.1.20.1.1';

export interface Reference {
  readonly SOPClassUID: string;
  readonly SOPInstanceUID: string;
}

/** What a modality asks; by default as the standard has it. */
export interface Request {
  readonly transaction?: string;
  readonly references?: readonly Reference[];
  readonly actionType?: number;
  readonly instance?: string;
  /** In the place of the data set of `transaction` and `references`; `null` = none. */
  readonly elements?: readonly Element[] | Buffer | null;
}

export function references(list: readonly Reference[]): Element {
  return {
    tag: 0x00081199,
    vr: 'SQ',
    value: {
      items: list.map(({ SOPClassUID, SOPInstanceUID }): Element[] => [
        { tag: 0x00081150, vr: 'UI', value: SOPClassUID },
        { tag: 0x00081155, vr: 'UI', value: SOPInstanceUID },
      ]),
    },
  };
}

export interface Answer {
  readonly status: number | undefined;
  readonly comment: string | undefined;
  /** Eight hexadecimal digits. */
  readonly offending: string | undefined;
}

/** A message of the peer with its data set. */
export interface Received {
  readonly contextId: number;
  readonly command: Command;
  readonly dataSet: Buffer | undefined;
}

/** The next message on a wire; undefined when the connection ends or another PDU comes first. */
export async function receive(wire: Wire, timeout = 10_000): Promise<Received | undefined> {
  const commands: Buffer[] = [];
  const data: Buffer[] = [];
  let command: Command | undefined;
  for (;;) {
    const pdu = await wire.tryPdu(timeout);
    if (pdu?.type === PDU.releaseRq) await wire.send(releaseRp());
    if (pdu?.type !== PDU.data) return undefined;
    const { body } = pdu;
    for (let at = 0; at < body.length;) {
      const length = body.readUInt32BE(at);
      const contextId = body[at + 4]!;
      const control = body[at + 5]!;
      const bytes = body.subarray(at + 6, at + 4 + length);
      at += 4 + length;
      ((control & 1) === 1 ? commands : data).push(bytes);
      if ((control & 2) === 0) continue;
      if ((control & 1) === 0) return { contextId, command: command!, dataSet: Buffer.concat(data) };
      command = new Command(Buffer.concat(commands));
      if (command.number(0x0800) === 0x0101) return { contextId, command, dataSet: undefined };
    }
  }
}

export interface AskerTitles {
  readonly calling?: string;
  readonly called?: string;
  readonly transferSyntax?: string;
}

/** A modality that asks for storage commitment on an association of its own. */
export class Asker {
  readonly wire: Wire;
  private messageId = 0;

  static async open(
    port: number,
    { calling = 'MODALITY', called = 'NODE', transferSyntax = TS.explicit }: AskerTitles = {},
  ): Promise<Asker> {
    const { wire, ac } = await Wire.associate(port, {
      calling,
      called,
      contexts: [{ id: 1, abstractSyntax: COMMITMENT, transferSyntaxes: [transferSyntax] }],
    });
    if (ac.contexts.get(1)?.result !== 0) throw new Error('storage commitment was not accepted');
    return new Asker(wire);
  }

  private constructor(wire: Wire) {
    this.wire = wire;
  }

  async ask({
    transaction = '2.25.7701.900.1',
    references: list = [],
    actionType = 1,
    instance = WELL_KNOWN,
    elements,
  }: Request): Promise<Answer> {
    const messageId = ++this.messageId;
    const dataSet =
      elements === null
        ? undefined
        : Buffer.isBuffer(elements)
          ? elements
          : encode(elements ?? [{ tag: 0x00081195, vr: 'UI', value: transaction }, references(list)]);
    await this.wire.send(
      pData(
        pdv(
          1,
          true,
          true,
          commandSet({
            0x0003: COMMITMENT,
            0x0100: 0x0130,
            0x0110: messageId,
            0x0800: dataSet === undefined ? 0x0101 : 1,
            0x1001: instance,
            0x1008: actionType,
          }),
        ),
      ),
    );
    for (let at = 0; dataSet !== undefined && at < dataSet.length; at += 16_000) {
      const piece = dataSet.subarray(at, at + 16_000);
      await this.wire.send(pData(pdv(1, false, at + 16_000 >= dataSet.length, piece)));
    }
    const answer = await receive(this.wire);
    if (answer?.command.field !== 0x8130 || answer.command.respondsTo !== messageId)
      throw new Error('no answer to N-ACTION');
    const { command } = answer;
    const offending = command.bytes(0x0901);
    return {
      status: command.status,
      comment: command.comment,
      offending:
        offending === undefined
          ? undefined
          : (offending.readUInt16LE(0) * 0x10000 + offending.readUInt16LE(2)).toString(16).padStart(8, '0'),
    };
  }

  /** The report that comes on this association, answered with `status`. */
  report(status = 0): Promise<Report> {
    return takeReport(this.wire, status);
  }

  async release(): Promise<void> {
    await this.wire.release();
  }
}

export interface Report {
  readonly eventType: number | undefined;
  readonly transaction: unknown;
  readonly retrieveAETitle: unknown;
  readonly committed: string[];
  /** `UID reason` */
  readonly failed: string[];
}

/** Reads an N-EVENT-REPORT and answers it. */
export async function takeReport(wire: Wire, status = 0, timeout = 10_000): Promise<Report> {
  const message = await receive(wire, timeout);
  if (message?.command.field !== 0x0100 || message.dataSet === undefined)
    throw new Error('no N-EVENT-REPORT came');
  const { command, contextId } = message;
  if (command.text(0x0002) !== COMMITMENT || command.text(0x1000) !== WELL_KNOWN)
    throw new Error('an N-EVENT-REPORT of something else');
  await wire.send(
    pData(
      pdv(
        contextId,
        true,
        true,
        commandSet({
          0x0002: COMMITMENT,
          0x0100: 0x8100,
          0x0120: command.number(0x0110)!,
          0x0800: 0x0101,
          0x0900: status,
          0x1000: WELL_KNOWN,
        }),
      ),
    ),
  );
  const data = read(message.dataSet);
  const items = (name: string): Record<string, unknown>[] => (data[name] ?? []) as Record<string, unknown>[];
  return {
    eventType: command.number(0x1002),
    transaction: data['TransactionUID'],
    retrieveAETitle: data['RetrieveAETitle'],
    committed: items('ReferencedSOPSequence').map((one) => String(one['ReferencedSOPInstanceUID'])),
    failed: items('FailedSOPSequence').map(
      (one) =>
        `${String(one['ReferencedSOPInstanceUID'])} ${(one['FailureReason'] as Buffer).readUInt16LE(0).toString(16).padStart(4, '0')}`,
    ),
  };
}

/** What an archive proposes when it calls to report. */
export interface Call {
  readonly calling: string;
  readonly called: string;
  /** SCU and SCP role that it proposes for storage commitment; undefined where it proposes none. */
  readonly role: readonly number[] | undefined;
  readonly wire: Wire;
}

/** Takes the next call and accepts it: with the role that is proposed, unless told otherwise. */
export async function accept(
  acceptor: RawAcceptor,
  { role = 'as proposed', result = 0 }: { role?: 'as proposed' | 'none' | 'refused'; result?: number } = {},
): Promise<Call> {
  const wire = await acceptor.caller();
  const { body } = await wire.nextPdu();
  const prefix = counted(COMMITMENT);
  const at = body.indexOf(
    Buffer.concat([item(0x54, Buffer.alloc(prefix.length + 2)).subarray(0, 4), prefix]),
  );
  const proposed = at < 0 ? undefined : [...body.subarray(at + 4 + prefix.length, at + 6 + prefix.length)];
  const roles =
    role === 'none' || proposed === undefined
      ? []
      : [roleItem(COMMITMENT, 0, role === 'refused' ? 0 : proposed[1]!)];
  await wire.send(
    associateAc({ contexts: [{ id: 1, result, transferSyntax: TS.explicit }], userItems: roles }),
  );
  return {
    called: body.toString('latin1', 4, 20).trim(),
    calling: body.toString('latin1', 20, 36).trim(),
    role: proposed,
    wire,
  };
}

/** Takes the next call, its report, and its release. */
export async function reported(
  acceptor: RawAcceptor,
  status = 0,
): Promise<Report & Pick<Call, 'calling' | 'called' | 'role'>> {
  const { wire, ...call } = await accept(acceptor);
  const report = await takeReport(wire, status);
  if ((await receive(wire)) !== undefined) throw new Error('more than one report on an association');
  wire.destroy();
  return { ...report, ...call };
}
