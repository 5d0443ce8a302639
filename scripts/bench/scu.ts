/**
 * A small C-ECHO and C-STORE requestor for measurements: it sends what it is given and understands just enough of the answers. Written
 * apart from src/, so that the node isn't measured with its own code.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

const EXPLICIT_LITTLE_ENDIAN = '1.2.840.10008.1.2.1';
const IMPLICIT_LITTLE_ENDIAN = '1.2.840.10008.1.2';
export const VERIFICATION = '1.2.840.10008.1.1';
const APPLICATION_CONTEXT = '1.2.840.10008.3.1.1.1';
const IMPLEMENTATION_CLASS = '2.25.208141519734110396552913160713562904811';

export interface ScuOptions {
  readonly port: number;
  readonly calledAETitle: string;
  readonly callingAETitle?: string;
  /** One presentation context each, with explicit and implicit little endian. Default: Verification. */
  readonly SOPClassUIDs?: readonly string[];
}

function item(type: number, ...content: Buffer[]): Buffer {
  const body = Buffer.concat(content);
  const head = Buffer.alloc(4);
  head[0] = type;
  head.writeUInt16BE(body.length, 2);
  return Buffer.concat([head, body]);
}

const text = (value: string): Buffer => Buffer.from(value, 'latin1');

/** A-ASSOCIATE-RQ (PS3.8 9.3.2). */
function associateRequest(called: string, calling: string, classes: readonly string[]): Buffer {
  const fixed = Buffer.alloc(68);
  fixed.writeUInt16BE(1, 0);
  fixed.write(called.padEnd(16), 4, 'latin1');
  fixed.write(calling.padEnd(16), 20, 'latin1');
  const contexts = classes.map((uid, index) =>
    item(
      0x20,
      Buffer.from([2 * index + 1, 0, 0, 0]),
      item(0x30, text(uid)),
      item(0x40, text(EXPLICIT_LITTLE_ENDIAN)),
      item(0x40, text(IMPLICIT_LITTLE_ENDIAN)),
    ),
  );
  const limit = Buffer.alloc(4);
  limit.writeUInt32BE(16384);
  const user = item(0x50, item(0x51, limit), item(0x52, text(IMPLEMENTATION_CLASS)));
  const body = Buffer.concat([fixed, item(0x10, text(APPLICATION_CONTEXT)), ...contexts, user]);
  const head = Buffer.alloc(6);
  head[0] = 1;
  head.writeUInt32BE(body.length, 2);
  return Buffer.concat([head, body]);
}

/** Elements of a command set, implicit little endian, behind their group length (PS3.7 6.3.1). */
function commandSet(elements: readonly (readonly [number, string | number])[]): Buffer {
  const parts = elements.map(([element, value]) => {
    const odd = typeof value === 'string' && value.length % 2 === 1;
    const bytes = typeof value === 'string' ? text(odd ? `${value}\0` : value) : Buffer.alloc(2);
    if (typeof value === 'number') bytes.writeUInt16LE(value);
    const head = Buffer.alloc(8);
    head.writeUInt16LE(element, 2);
    head.writeUInt32LE(bytes.length, 4);
    return Buffer.concat([head, bytes]);
  });
  const body = Buffer.concat(parts);
  const length = Buffer.alloc(12);
  length.writeUInt32LE(4, 4);
  length.writeUInt32LE(body.length, 8);
  return Buffer.concat([length, body]);
}

/** Status (0000,0900) of a response. */
function statusOf(command: Buffer): number {
  for (let at = 0; at + 8 <= command.length; at += 8 + command.readUInt32LE(at + 4)) {
    if (command.readUInt32LE(at) === 0x09000000) return command.readUInt16LE(at + 8);
  }
  throw new Error('a response without Status');
}

/** One association; one operation at a time. */
export class Scu {
  private readonly socket: Socket;
  private received: Buffer = Buffer.alloc(0);
  private failure: Error | undefined;
  private wake: (() => void) | undefined;
  private messageId = 0;
  private sendLimit = 16384;
  private readonly contexts = new Map<string, number>();

  private constructor(socket: Socket) {
    this.socket = socket;
    const end = (error: Error): void => {
      this.failure ??= error;
      this.wake?.();
    };
    socket.on('data', (chunk) => {
      this.received = this.received.length === 0 ? chunk : Buffer.concat([this.received, chunk]);
      this.wake?.();
    });
    socket.on('error', end);
    socket.on('close', () => end(new Error('the peer closed the connection')));
  }

  /** @throws Error where the connection or the association is refused. */
  static async open(options: ScuOptions): Promise<Scu> {
    const socket = connect({ host: '127.0.0.1', port: options.port, noDelay: true });
    await once(socket, 'connect');
    const scu = new Scu(socket);
    const classes = options.SOPClassUIDs ?? [VERIFICATION];
    socket.write(associateRequest(options.calledAETitle, options.callingAETitle ?? 'BENCH', classes));
    const { type, body } = await scu.pdu();
    if (type !== 2) {
      socket.destroy();
      throw new Error(`association refused: PDU type ${type}, ${body.toString('hex')}`);
    }
    scu.readAccept(body, classes);
    return scu;
  }

  /** @returns milliseconds until the answer. @throws Error unless it is Success. */
  async echo(): Promise<number> {
    const started = performance.now();
    const context = this.contextOf(VERIFICATION);
    this.messageId = (this.messageId % 65535) + 1;
    const command = commandSet([
      [0x0002, VERIFICATION],
      [0x0100, 0x0030],
      [0x0110, this.messageId],
      [0x0800, 0x0101],
    ]);
    await this.send(context, true, [command], command.length);
    const status = await this.response();
    if (status !== 0) throw new Error(`C-ECHO was answered ${status.toString(16)}`);
    return performance.now() - started;
  }

  /** Sends one instance. @returns the status. */
  async store(
    SOPClassUID: string,
    SOPInstanceUID: string,
    dataSet: Iterable<Buffer>,
    length: number,
  ): Promise<number> {
    const context = this.contextOf(SOPClassUID);
    this.messageId = (this.messageId % 65535) + 1;
    const command = commandSet([
      [0x0002, SOPClassUID],
      [0x0100, 0x0001],
      [0x0110, this.messageId],
      [0x0700, 0],
      [0x0800, 1],
      [0x1000, SOPInstanceUID],
    ]);
    await this.send(context, true, [command], command.length);
    await this.send(context, false, dataSet, length);
    return await this.response();
  }

  async release(): Promise<void> {
    this.socket.write(Buffer.from([5, 0, 0, 0, 0, 4, 0, 0, 0, 0]));
    const { type } = await this.pdu();
    this.socket.destroy();
    if (type !== 6) throw new Error(`A-RELEASE-RQ was answered by PDU type ${type}`);
  }

  destroy(): void {
    this.socket.destroy();
  }

  private contextOf(uid: string): number {
    const id = this.contexts.get(uid);
    if (id === undefined) throw new Error(`no presentation context for ${uid}`);
    return id;
  }

  /** P-DATA-TF, one PDV each, filled up to the peer's limit (PS3.8 9.3.5). */
  private async send(
    contextId: number,
    command: boolean,
    chunks: Iterable<Buffer>,
    length: number,
  ): Promise<void> {
    const room = this.sendLimit - 6;
    let left = length;
    let roomLeft = 0;
    for (const chunk of chunks) {
      for (let at = 0; at < chunk.length;) {
        if (roomLeft === 0) {
          roomLeft = Math.min(room, left);
          const head = Buffer.alloc(12);
          head[0] = 4;
          head.writeUInt32BE(roomLeft + 6, 2);
          head.writeUInt32BE(roomLeft + 2, 6);
          head[10] = contextId;
          head[11] = (command ? 1 : 0) | (roomLeft === left ? 2 : 0);
          this.socket.write(head);
        }
        const slice = chunk.subarray(at, at + roomLeft);
        at += slice.length;
        left -= slice.length;
        roomLeft -= slice.length;
        if (!this.socket.write(slice)) await this.drained();
      }
    }
    if (left !== 0) throw new Error('the data set is not as long as announced');
  }

  private async drained(): Promise<void> {
    if (this.failure !== undefined) throw this.failure;
    await new Promise<void>((resolve) => {
      const go = (): void => {
        this.socket.off('drain', go);
        this.socket.off('close', go);
        resolve();
      };
      this.socket.on('drain', go);
      this.socket.on('close', go);
    });
  }

  /** Status of the next response. */
  private async response(): Promise<number> {
    const fragments: Buffer[] = [];
    for (;;) {
      const { type, body } = await this.pdu();
      if (type !== 4) throw new Error(`PDU type ${type} in place of a response: ${body.toString('hex')}`);
      for (let at = 0; at < body.length;) {
        const size = body.readUInt32BE(at);
        fragments.push(body.subarray(at + 6, at + 4 + size));
        if ((body[at + 5]! & 2) !== 0) return statusOf(Buffer.concat(fragments));
        at += 4 + size;
      }
    }
  }

  private async pdu(): Promise<{ type: number; body: Buffer }> {
    for (;;) {
      if (this.received.length >= 6) {
        const end = 6 + this.received.readUInt32BE(2);
        if (this.received.length >= end) {
          const pdu = { type: this.received[0]!, body: this.received.subarray(6, end) };
          this.received = this.received.subarray(end);
          return pdu;
        }
      }
      if (this.failure !== undefined) throw this.failure;
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
      this.wake = undefined;
    }
  }

  private readAccept(body: Buffer, classes: readonly string[]): void {
    for (let at = 68; at + 4 <= body.length; at += 4 + body.readUInt16BE(at + 2)) {
      if (body[at] === 0x21 && body[at + 6] === 0) {
        const id = body[at + 4]!;
        this.contexts.set(classes[(id - 1) / 2]!, id);
      }
      // The maximum length comes first in the user information (PS3.8 D.1).
      if (body[at] === 0x50 && body[at + 4] === 0x51) {
        const limit = body.readUInt32BE(at + 8);
        this.sendLimit = limit === 0 ? 131072 : Math.min(limit, 131072);
      }
    }
  }
}
