import net from 'node:net';
import { Wire, associateRq, item, parseAssociateAc, pdu, PDU } from './wire';
import type { AssociateRequestFields, Proposal } from './wire';

/**
 * More for scripted peers, beside the builders and the calling side in `wire.ts`: slicing, the answering side, and
 * items that only an acceptor writes.
 */

/** Cuts bytes into pieces of `size`. */
export function slices(bytes: Buffer, size: number): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.subarray(at, at + size));
  return pieces;
}

export interface AssociateAcceptFields {
  readonly contexts?: readonly {
    readonly id: number;
    readonly result?: number;
    readonly transferSyntax: string;
  }[];
  readonly maximumLength?: number;
  readonly userItems?: readonly Buffer[];
}

export function associateAc(fields: AssociateAcceptFields = {}): Buffer {
  const fixed = Buffer.alloc(68);
  fixed.writeUInt16BE(1, 0);
  const contexts = fields.contexts ?? [{ id: 1, transferSyntax: '1.2.840.10008.1.2' }];
  const maximum = Buffer.alloc(4);
  maximum.writeUInt32BE(fields.maximumLength ?? 65536);
  return pdu(
    PDU.associateAc,
    Buffer.concat([
      fixed,
      item(0x10, '1.2.840.10008.3.1.1.1'),
      ...contexts.map(({ id, result = 0, transferSyntax }) =>
        item(0x21, Buffer.concat([Buffer.from([id, 0, result, 0]), item(0x40, transferSyntax)])),
      ),
      item(
        0x50,
        Buffer.concat([item(0x51, maximum), item(0x52, '2.25.7701.8'), ...(fields.userItems ?? [])]),
      ),
    ]),
  );
}

export function associateRj(result: number, source: number, reason: number): Buffer {
  return pdu(PDU.associateRj, Buffer.from([0, result, source, reason]));
}

export function releaseRp(): Buffer {
  return pdu(PDU.releaseRp, Buffer.alloc(4));
}

/** A text with its length in two bytes before it. */
export function counted(value: string | Buffer): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value, 'latin1') : value;
  const length = Buffer.alloc(2);
  length.writeUInt16BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/** SCP/SCU role selection, as a user sub-item. */
export function roleItem(sopClass: string, scu: number, scp: number): Buffer {
  return item(0x54, Buffer.concat([counted(sopClass), Buffer.from([scu, scp])]));
}

/** `Wire` connects by itself; here the socket is there already. */
function wireOf(socket: net.Socket): Wire {
  const Constructor = Wire as unknown as new (socket: net.Socket) => Wire;
  return new Constructor(socket);
}

/** Answers as an SCP would, by script: a server on 127.0.0.1 that hands out its callers one by one. */
export class RawAcceptor {
  readonly port: number;
  private readonly server: net.Server;
  private readonly waiting: Wire[] = [];
  private take: ((wire: Wire) => void) | undefined;
  private readonly wires: Wire[] = [];

  static listen(port = 0): Promise<RawAcceptor> {
    const server = net.createServer({ noDelay: true });
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, '127.0.0.1', () => resolve(new RawAcceptor(server)));
    });
  }

  private constructor(server: net.Server) {
    this.server = server;
    this.port = (server.address() as net.AddressInfo).port;
    server.on('connection', (socket) => {
      const wire = wireOf(socket);
      this.wires.push(wire);
      if (this.take === undefined) this.waiting.push(wire);
      else this.take(wire);
      this.take = undefined;
    });
  }

  /** The next caller. */
  caller(): Promise<Wire> {
    const wire = this.waiting.shift();
    return wire === undefined
      ? new Promise((resolve) => {
          this.take = resolve;
        })
      : Promise.resolve(wire);
  }

  /** The next caller, its A-ASSOCIATE-RQ read and answered. */
  async associate(fields: AssociateAcceptFields = {}): Promise<Wire> {
    const wire = await this.caller();
    await wire.nextPdu();
    await wire.send(associateAc(fields));
    return wire;
  }

  async close(): Promise<void> {
    for (const wire of this.wires) wire.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

export { Wire, associateRq, parseAssociateAc };
export type { AssociateRequestFields, Proposal };
