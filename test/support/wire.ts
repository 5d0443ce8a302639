import net from 'node:net';

/**
 * The wire as PS3.8 9.3 and PS3.7 E write it, by hand and independent of src/: builders for PDUs and command sets, and
 * a socket that hands out one PDU at a time. It sends whatever it is told to, malformed or not.
 */
export const PDU = {
  associateRq: 1,
  associateAc: 2,
  associateRj: 3,
  data: 4,
  releaseRq: 5,
  releaseRp: 6,
  abort: 7,
} as const;

export const APPLICATION_CONTEXT = '1.2.840.10008.3.1.1.1';

export interface Proposal {
  readonly id: number;
  readonly abstractSyntax: string;
  readonly transferSyntaxes: readonly string[];
}

export interface AssociateRequestFields {
  readonly called?: string;
  readonly calling?: string;
  readonly contexts?: readonly Proposal[];
  readonly applicationContext?: string;
  readonly protocolVersion?: number;
  readonly maximumLength?: number;
  /** User sub-items after maximum length and implementation class. */
  readonly userItems?: readonly Buffer[];
  /** Items between the presentation contexts and the user information. */
  readonly items?: readonly Buffer[];
  /** Byte put into every reserved field. */
  readonly reserved?: number;
}

export function pdu(type: number, body: Buffer, claimedLength = body.length, reserved = 0): Buffer {
  const head = Buffer.from([type, reserved, 0, 0, 0, 0]);
  head.writeUInt32BE(claimedLength, 2);
  return Buffer.concat([head, body]);
}

export function item(type: number, content: Buffer | string, reserved = 0): Buffer {
  const bytes = typeof content === 'string' ? Buffer.from(content, 'latin1') : content;
  const head = Buffer.from([type, reserved, 0, 0]);
  head.writeUInt16BE(bytes.length, 2);
  return Buffer.concat([head, bytes]);
}

export function associateRq(fields: AssociateRequestFields = {}): Buffer {
  const reserved = fields.reserved ?? 0;
  const fixed = Buffer.alloc(68, reserved);
  fixed.writeUInt16BE(fields.protocolVersion ?? 1, 0);
  fixed.write((fields.called ?? 'NODE').padEnd(16), 4, 16, 'latin1');
  fixed.write((fields.calling ?? 'TESTER').padEnd(16), 20, 16, 'latin1');
  const contexts = (fields.contexts ?? [verification()]).map(({ id, abstractSyntax, transferSyntaxes }) =>
    item(
      0x20,
      Buffer.concat([
        Buffer.from([id, reserved, reserved, reserved]),
        item(0x30, abstractSyntax, reserved),
        ...transferSyntaxes.map((syntax) => item(0x40, syntax, reserved)),
      ]),
      reserved,
    ),
  );
  const maximum = Buffer.alloc(4);
  maximum.writeUInt32BE(fields.maximumLength ?? 65536);
  const user = item(
    0x50,
    Buffer.concat([
      item(0x51, maximum, reserved),
      item(0x52, '2.25.7701.9', reserved),
      ...(fields.userItems ?? []),
    ]),
    reserved,
  );
  return pdu(
    PDU.associateRq,
    Buffer.concat([
      fixed,
      item(0x10, fields.applicationContext ?? APPLICATION_CONTEXT, reserved),
      ...contexts,
      ...(fields.items ?? []),
      user,
    ]),
    undefined,
    reserved,
  );
}

export function verification(id = 1): Proposal {
  return { id, abstractSyntax: '1.2.840.10008.1.1', transferSyntaxes: ['1.2.840.10008.1.2'] };
}

export function releaseRq(): Buffer {
  return pdu(PDU.releaseRq, Buffer.alloc(4));
}

export function abort(source = 0, reason = 0): Buffer {
  return pdu(PDU.abort, Buffer.from([0, 0, source, reason]));
}

/** One presentation data value (PS3.8 9.3.5.1). */
export function pdv(contextId: number, command: boolean, last: boolean, bytes: Buffer): Buffer {
  const head = Buffer.alloc(6);
  head.writeUInt32BE(bytes.length + 2, 0);
  head[4] = contextId;
  head[5] = (command ? 1 : 0) | (last ? 2 : 0);
  return Buffer.concat([head, bytes]);
}

export function pData(...pdvs: readonly Buffer[]): Buffer {
  return pdu(PDU.data, Buffer.concat(pdvs));
}

/** Elements of group 0000: numbers are US, text is padded UI, AE or LO, by element number. */
export type CommandFields = Readonly<Record<number, number | string | Buffer>>;

/** A command set in Implicit VR Little Endian, ascending, with its group length (PS3.7 6.3.1). */
export function commandSet(fields: CommandFields, groupLength?: number): Buffer {
  const elements = Object.entries(fields)
    .map(([element, value]) => [Number(element), value] as const)
    .sort(([a], [b]) => a - b)
    .map(([element, value]) => commandElement(element, valueOf(element, value)));
  const body = Buffer.concat(elements);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(groupLength ?? body.length);
  return Buffer.concat([commandElement(0, length), body]);
}

function valueOf(element: number, value: number | string | Buffer): Buffer {
  if (Buffer.isBuffer(value)) return value;
  if (typeof value === 'number') {
    const bytes = Buffer.alloc(2);
    bytes.writeUInt16LE(value);
    return bytes;
  }
  const text = Buffer.from(value, 'latin1');
  const uid = [0x0002, 0x0003, 0x1000, 0x1001].includes(element);
  return text.length % 2 === 0 ? text : Buffer.concat([text, Buffer.from(uid ? '\0' : ' ')]);
}

function commandElement(element: number, value: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt16LE(element, 2);
  head.writeUInt32LE(value.length, 4);
  return Buffer.concat([head, value]);
}

export function echoRq(messageId: number): Buffer {
  return commandSet({ 0x0002: '1.2.840.10008.1.1', 0x0100: 0x0030, 0x0110: messageId, 0x0800: 0x0101 });
}

export function storeRq(messageId: number, sopClass: string, sopInstance: string): Buffer {
  return commandSet({
    0x0002: sopClass,
    0x0100: 0x0001,
    0x0110: messageId,
    0x0700: 0,
    0x0800: 0x0001,
    0x1000: sopInstance,
  });
}

export interface Pdu {
  readonly type: number;
  readonly body: Buffer;
}

/** A received command set by element number; text without its padding. */
export class Command {
  private readonly elements = new Map<number, Buffer>();

  constructor(bytes: Buffer) {
    for (let at = 0; at < bytes.length;) {
      if (bytes.readUInt16LE(at) !== 0) throw new Error('an element outside group 0000 in a command set');
      const length = bytes.readUInt32LE(at + 4);
      this.elements.set(bytes.readUInt16LE(at + 2), bytes.subarray(at + 8, at + 8 + length));
      at += 8 + length;
    }
  }

  has(element: number): boolean {
    return this.elements.has(element);
  }

  bytes(element: number): Buffer | undefined {
    return this.elements.get(element);
  }

  number(element: number): number | undefined {
    const bytes = this.elements.get(element);
    return bytes?.length === 2 ? bytes.readUInt16LE(0) : undefined;
  }

  text(element: number): string | undefined {
    return this.elements
      .get(element)
      ?.toString('latin1')
      .replace(/[ \0]+$/, '');
  }

  get field(): number | undefined {
    return this.number(0x0100);
  }
  get respondsTo(): number | undefined {
    return this.number(0x0120);
  }
  get status(): number | undefined {
    return this.number(0x0900);
  }
  get comment(): string | undefined {
    return this.text(0x0902);
  }
}

export interface AssociateAc {
  readonly called: Buffer;
  readonly calling: Buffer;
  readonly contexts: ReadonlyMap<
    number,
    { readonly result: number; readonly transferSyntaxes: readonly string[] }
  >;
  readonly itemTypes: readonly number[];
  /** User sub-items in order. */
  readonly userItems: readonly { readonly type: number; readonly content: Buffer }[];
  readonly maximumLength: number;
}

export function parseAssociateAc(body: Buffer): AssociateAc {
  const contexts = new Map<number, { result: number; transferSyntaxes: string[] }>();
  const outer = items(body.subarray(68));
  let userItems: { type: number; content: Buffer }[] = [];
  let maximumLength = 0;
  for (const { type, content } of outer) {
    if (type === 0x21) {
      contexts.set(content[0]!, {
        result: content[2]!,
        transferSyntaxes: items(content.subarray(4)).map((syntax) => syntax.content.toString('latin1')),
      });
    }
    if (type === 0x50) {
      userItems = items(content);
      maximumLength = userItems.find((sub) => sub.type === 0x51)?.content.readUInt32BE(0) ?? 0;
    }
  }
  return {
    called: body.subarray(4, 20),
    calling: body.subarray(20, 36),
    contexts,
    itemTypes: outer.map(({ type }) => type),
    userItems,
    maximumLength,
  };
}

function items(bytes: Buffer): { type: number; content: Buffer }[] {
  const found: { type: number; content: Buffer }[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = bytes.readUInt16BE(at + 2);
    found.push({ type: bytes[at]!, content: bytes.subarray(at + 4, at + 4 + length) });
    at += 4 + length;
  }
  return found;
}

export interface Message {
  readonly contextId: number;
  readonly command: Command;
}

/** A scripted peer on 127.0.0.1. Every wait has an end. */
export class Wire {
  private readonly socket: net.Socket;
  private received = Buffer.alloc(0);
  private isClosed = false;
  private wake: (() => void) | undefined;
  private commandBytes: Buffer[] = [];

  /** @param from address on the loopback range to call from. */
  static connect(port: number, from = '127.0.0.1'): Promise<Wire> {
    return new Promise((resolve, reject) => {
      const socket = net.connect({ host: '127.0.0.1', port, noDelay: true, localAddress: from });
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new Wire(socket));
      });
    });
  }

  /** Connects and asks for an association; the answer must be A-ASSOCIATE-AC. */
  static async associate(
    port: number,
    fields: AssociateRequestFields = {},
  ): Promise<{ wire: Wire; ac: AssociateAc }> {
    const wire = await Wire.connect(port);
    await wire.send(associateRq(fields));
    const answer = await wire.nextPdu();
    if (answer.type !== PDU.associateAc) {
      wire.destroy();
      throw new Error(`A-ASSOCIATE answered with PDU type ${answer.type}: ${answer.body.toString('hex')}`);
    }
    return { wire, ac: parseAssociateAc(answer.body) };
  }

  private constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.received = Buffer.concat([this.received, chunk]);
      this.wake?.();
    });
    const closed = (): void => {
      this.isClosed = true;
      this.wake?.();
    };
    socket.on('end', closed);
    socket.on('close', closed);
    // A peer that resets the connection shows as closed.
    socket.on('error', closed);
  }

  get closed(): boolean {
    return this.isClosed;
  }

  /** Writes and waits until the kernel has it; a connection that is gone is no error here, reads tell it. */
  send(bytes: Buffer): Promise<void> {
    return new Promise((resolve) => {
      if (this.isClosed || this.socket.destroyed) {
        resolve();
        return;
      }
      const done = (): void => {
        this.socket.off('close', done);
        resolve();
      };
      this.socket.once('close', done);
      this.socket.write(bytes, done);
    });
  }

  /** The next PDU. Rejects when the connection closes first or nothing comes within `timeout` ms. */
  async nextPdu(timeout = 10_000): Promise<Pdu> {
    const found = await this.tryPdu(timeout);
    if (found === undefined) throw new Error('the peer closed the connection');
    return found;
  }

  /** The next PDU, or undefined when the connection closes first. */
  async tryPdu(timeout = 10_000): Promise<Pdu | undefined> {
    const until = Date.now() + timeout;
    for (;;) {
      if (this.received.length >= 6) {
        const length = this.received.readUInt32BE(2);
        if (this.received.length >= 6 + length) {
          const found = { type: this.received[0]!, body: this.received.subarray(6, 6 + length) };
          this.received = this.received.subarray(6 + length);
          return found;
        }
      }
      if (this.isClosed) return undefined;
      await this.change(until, 'no PDU came');
    }
  }

  /** The next command; data sets of responses are dropped. */
  async nextMessage(timeout = 10_000): Promise<Message> {
    const until = Date.now() + timeout;
    for (;;) {
      const { type, body } = await this.nextPdu(until - Date.now());
      if (type !== PDU.data)
        throw new Error(`PDU type ${type} instead of a message: ${body.toString('hex')}`);
      let message: Message | undefined;
      for (let at = 0; at < body.length;) {
        const length = body.readUInt32BE(at);
        const control = body[at + 5]!;
        if ((control & 1) === 1) {
          this.commandBytes.push(body.subarray(at + 6, at + 4 + length));
          if ((control & 2) === 2) {
            message = { contextId: body[at + 4]!, command: new Command(Buffer.concat(this.commandBytes)) };
            this.commandBytes = [];
          }
        }
        at += 4 + length;
      }
      if (message !== undefined) return message;
    }
  }

  /** Resolves with what came before the peer closed; rejects when it doesn't within `timeout` ms. */
  async untilClosed(timeout = 10_000): Promise<Buffer> {
    const until = Date.now() + timeout;
    while (!this.isClosed) await this.change(until, 'the peer keeps the connection open');
    return this.received;
  }

  /** C-ECHO on a context of Verification. */
  async echo(messageId = 1, contextId = 1): Promise<number | undefined> {
    await this.send(pData(pdv(contextId, true, true, echoRq(messageId))));
    const { command } = await this.nextMessage();
    if (command.respondsTo !== messageId)
      throw new Error(`an answer to message ${String(command.respondsTo)}`);
    return command.status;
  }

  async release(): Promise<void> {
    await this.send(releaseRq());
    const answer = await this.nextPdu();
    if (answer.type !== PDU.releaseRp) throw new Error(`A-RELEASE answered with PDU type ${answer.type}`);
    this.socket.destroy();
  }

  /** Closes without a word. */
  destroy(): void {
    this.isClosed = true;
    this.socket.destroy();
  }

  /** Closes with RST. */
  reset(): void {
    this.isClosed = true;
    this.socket.resetAndDestroy();
  }

  private change(until: number, what: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => {
          this.wake = undefined;
          reject(new Error(`${what} in time`));
        },
        Math.max(0, until - Date.now()),
      );
      this.wake = () => {
        clearTimeout(timer);
        this.wake = undefined;
        resolve();
      };
    });
  }
}
