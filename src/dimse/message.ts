import { IsocenterError, errorMessage } from '../errors';
import type { AcceptedContext, Association, AssociationEnd, AssociationUser } from '../net/types';
import { ByteQueue } from './byte-queue';
import { NO_DATA_SET, decodeCommand } from './command';
import type { ReadGate } from './read-gate';
import type { CommandSet, IncomingDataSet } from './types';

/** A real command set has some 200 bytes; more than this is an attack or a peer gone wrong. */
const COMMAND_LIMIT = 64 * 1024;
const FIRST_COMMAND_BUFFER = 512;

/** Reasons of A-ABORT by the service provider (PS3.8 9.3.8). */
export const PROVIDER = 2;
export const UNEXPECTED_PDU = 2;
export const INVALID_PARAMETER_VALUE = 6;

/** A message whose command is complete; the data set may still be on its way. */
export interface IncomingMessage {
  readonly command: CommandSet;
  readonly context: AcceptedContext;
  /** Undefined where the command announced none. */
  readonly dataSet: IncomingDataSet | undefined;
}

export interface MessageHandler {
  /** In wire order. Must not throw. */
  message(message: IncomingMessage): void;
  /** The last byte of a message with a data set is in; `bytes` of it were data set. */
  messageEnded(bytes: number): void;
  /** The peer asks for release, between two messages. */
  releaseRequested(): void;
  ended(end: AssociationEnd): void;
}

type State = 'command' | 'data' | 'over';

/**
 * Puts messages together from fragments (PS3.8 Annex E): all on one context, the command complete before its data set,
 * one message after the other. What breaks these rules is answered with A-ABORT 2/2, an unreadable command with 2/6.
 */
export class MessageReceiver implements AssociationUser {
  private readonly association: Pick<Association, 'contexts' | 'abort'>;
  private readonly gate: ReadGate;
  private readonly handler: MessageHandler;
  private state: State = 'command';
  /** Context of the message under way, undefined between messages. */
  private context: AcceptedContext | undefined;
  private lastFragment = false;
  private command = Buffer.allocUnsafe(FIRST_COMMAND_BUFFER);
  private commandLength = 0;
  private dataSet: ByteQueue | undefined;
  private dataSetBytes = 0;

  constructor(association: Pick<Association, 'contexts' | 'abort'>, gate: ReadGate, handler: MessageHandler) {
    this.association = association;
    this.gate = gate;
    this.handler = handler;
  }

  /** True from the first fragment of a message to its last: then it is the peer's turn to go on. */
  get inMessage(): boolean {
    return this.context !== undefined;
  }

  fragmentStart(contextId: number, command: boolean, last: boolean): void {
    if (this.state === 'over') return;
    if (command !== (this.state === 'command')) {
      this.refuse(
        command
          ? 'a command began inside a data set'
          : this.context === undefined
            ? 'a data set without a command that announces one'
            : 'a data set began inside a command',
      );
      return;
    }
    if (this.context === undefined) {
      this.context = this.association.contexts.get(contextId);
      if (this.context === undefined) {
        this.refuse(`a message on presentation context ${contextId}, which was not accepted`);
        return;
      }
    } else if (this.context.id !== contextId) {
      this.refuse(`a message on presentation context ${this.context.id} went on in ${contextId}`);
      return;
    }
    this.lastFragment = last;
  }

  fragmentData(chunk: Buffer): void {
    if (this.state === 'data') {
      this.dataSetBytes += chunk.length;
      this.dataSet?.push(chunk);
    } else if (this.state === 'command') {
      this.appendCommand(chunk);
    }
  }

  fragmentEnd(): void {
    if (!this.lastFragment) return;
    this.lastFragment = false;
    if (this.state === 'command') this.commandComplete();
    else if (this.state === 'data') this.dataSetComplete();
  }

  releaseRequested(): void {
    if (this.state === 'over') return;
    if (this.inMessage) this.refuse('release was requested in the middle of a message');
    else this.handler.releaseRequested();
  }

  ended(end: AssociationEnd): void {
    this.state = 'over';
    this.dataSet?.fail(endedError(end));
    this.dataSet = undefined;
    this.context = undefined;
    this.handler.ended(end);
  }

  private appendCommand(chunk: Buffer): void {
    const length = this.commandLength + chunk.length;
    if (length > COMMAND_LIMIT) {
      this.refuse(`a command set of more than ${COMMAND_LIMIT} bytes`, INVALID_PARAMETER_VALUE);
      return;
    }
    if (length > this.command.length) {
      const larger = Buffer.allocUnsafe(Math.max(length, 2 * this.command.length));
      this.command.copy(larger, 0, 0, this.commandLength);
      this.command = larger;
    }
    chunk.copy(this.command, this.commandLength);
    this.commandLength = length;
  }

  private commandComplete(): void {
    const context = this.context;
    if (context === undefined) return;
    let command: CommandSet;
    try {
      command = decodeCommand(this.command.subarray(0, this.commandLength));
    } catch (error) {
      this.refuse(`an unreadable command set: ${errorMessage(error)}`, INVALID_PARAMETER_VALUE);
      return;
    }
    this.commandLength = 0;
    if (this.command.length > FIRST_COMMAND_BUFFER) this.command = Buffer.allocUnsafe(FIRST_COMMAND_BUFFER);
    if (command.CommandDataSetType === NO_DATA_SET) {
      this.context = undefined;
    } else {
      this.state = 'data';
      this.dataSetBytes = 0;
      this.dataSet = new ByteQueue(this.gate);
    }
    this.handler.message({ command, context, dataSet: this.dataSet });
  }

  private dataSetComplete(): void {
    const dataSet = this.dataSet;
    this.state = 'command';
    this.dataSet = undefined;
    this.context = undefined;
    dataSet?.end();
    this.handler.messageEnded(this.dataSetBytes);
  }

  private refuse(why: string, reason = UNEXPECTED_PDU): void {
    this.state = 'over';
    this.association.abort(PROVIDER, reason, why);
  }
}

/** What every pending read and request of an association is rejected with when it ends. */
export function endedError(end: AssociationEnd): IsocenterError {
  return new IsocenterError('ASSOCIATION_ENDED', `the association ended: ${end.reason}`, {
    exitCode: end.kind === 'connection-lost' || end.kind === 'timeout' ? 5 : 4,
  });
}
