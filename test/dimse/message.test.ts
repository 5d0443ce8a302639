import fc from 'fast-check';
import { encodeCommand } from '../../src/dimse/command';
import { MessageReceiver } from '../../src/dimse/message';
import type { IncomingMessage, MessageHandler } from '../../src/dimse/message';
import { ReadGate } from '../../src/dimse/read-gate';
import { commandSet } from '../support/wire';
import { FakeAssociation, echoRequest, settle, storeRequest } from './fake-association';

class Recorder implements MessageHandler {
  readonly messages: IncomingMessage[] = [];
  readonly data: Promise<string>[] = [];
  readonly lengths: number[] = [];
  releases = 0;
  ends = 0;

  message(message: IncomingMessage): void {
    this.messages.push(message);
    this.data.push(readAll(message));
    this.data.at(-1)!.catch(() => undefined);
  }
  messageEnded(bytes: number): void {
    this.lengths.push(bytes);
  }
  releaseRequested(): void {
    this.releases++;
  }
  ended(): void {
    this.ends++;
  }
}

async function readAll(message: IncomingMessage): Promise<string> {
  if (message.dataSet === undefined) return 'none';
  const chunks: Buffer[] = [];
  for await (const chunk of message.dataSet) chunks.push(chunk);
  return Buffer.concat(chunks).toString('hex');
}

function make(): { association: FakeAssociation; recorder: Recorder; receiver: MessageReceiver } {
  const association = new FakeAssociation();
  const recorder = new Recorder();
  const receiver = new MessageReceiver(association, new ReadGate(association), recorder);
  association.attach(receiver);
  return { association, recorder, receiver };
}

/** Cuts `bytes` at the given places (fractions); equal places make empty fragments. */
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const at = [
    0,
    ...places.map((place) => Math.floor(place * (bytes.length + 1))).sort((a, b) => a - b),
    bytes.length,
  ];
  return at.slice(1).map((end, index) => bytes.subarray(at[index], end));
}

const places = fc.array(fc.double({ min: 0, max: 0.9999, noNaN: true }), { maxLength: 12 });

describe('assembling messages (PS3.8 Annex E)', () => {
  it('is the same however commands and data sets are cut into PDVs and chunks (T18)', async () => {
    const message = fc.record({
      data: fc.option(fc.uint8Array({ maxLength: 3000 }), { nil: undefined }),
      commandPlaces: places,
      dataPlaces: places,
      chunk: fc.integer({ min: 1, max: 700 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(message, { minLength: 1, maxLength: 5 }), async (messages) => {
        const { association, recorder } = make();
        messages.forEach(({ data, commandPlaces, dataPlaces, chunk }, index) => {
          const command = data === undefined ? echoRequest(index) : storeRequest(index);
          const contextId = data === undefined ? 1 : 3;
          const send = (bytes: Buffer, isCommand: boolean, at: readonly number[]): void => {
            const parts = cut(bytes, at);
            parts.forEach((part, i) =>
              association.fragment(contextId, isCommand, part, i === parts.length - 1, chunk),
            );
          };
          send(encodeCommand(command), true, commandPlaces);
          if (data !== undefined) send(Buffer.from(data), false, dataPlaces);
        });
        expect(association.aborts).toEqual([]);
        expect(recorder.messages.map(({ command }) => command.MessageID)).toEqual(messages.map((_, i) => i));
        expect(await Promise.all(recorder.data)).toEqual(
          messages.map(({ data }) => (data === undefined ? 'none' : Buffer.from(data).toString('hex'))),
        );
        expect(recorder.lengths).toEqual(
          messages.filter(({ data }) => data !== undefined).map(({ data }) => data!.length),
        );
      }),
    );
  });

  it('hands a message on as soon as its command is complete', async () => {
    const { association, recorder, receiver } = make();
    association.fragment(3, true, encodeCommand(storeRequest(1)), true);
    expect(recorder.messages).toHaveLength(1);
    expect(receiver.inMessage).toBe(true);
    association.fragment(3, false, Buffer.from('abc'), false);
    association.fragment(3, false, Buffer.alloc(0), true);
    expect(receiver.inMessage).toBe(false);
    expect(await recorder.data[0]).toBe('616263');
  });

  it('takes any Data Set Type but 0101H as "present", and an empty data set as one', async () => {
    const { association, recorder } = make();
    association.message(3, storeRequest(1, { CommandDataSetType: 0x0000 }), Buffer.alloc(0));
    expect(await recorder.data[0]).toBe('');
    expect(recorder.lengths).toEqual([0]);
  });

  const echo = encodeCommand(echoRequest(1));
  const store = encodeCommand(storeRequest(1));
  it.each<[string, number, (association: FakeAssociation) => void]>([
    ['a context that was not accepted (T20)', 2, (a) => a.fragment(99, true, echo, true)],
    ['a data set without a command (T20)', 2, (a) => a.fragment(3, false, Buffer.from('ab'), true)],
    [
      'a data set after a command that announced none',
      2,
      (a) => {
        a.fragment(1, true, echo, true);
        a.fragment(1, false, Buffer.from('ab'), true);
      },
    ],
    [
      'a data set inside a command',
      2,
      (a) => {
        a.fragment(3, true, store.subarray(0, 10), false);
        a.fragment(3, false, Buffer.from('ab'), true);
      },
    ],
    [
      'a command inside a data set',
      2,
      (a) => {
        a.fragment(3, true, store, true);
        a.fragment(3, false, Buffer.from('ab'), false);
        a.fragment(3, true, echo, true);
      },
    ],
    [
      'a command that goes on in another context',
      2,
      (a) => {
        a.fragment(3, true, store.subarray(0, 10), false);
        a.fragment(5, true, store.subarray(10), true);
      },
    ],
    [
      'a data set in another context than its command',
      2,
      (a) => {
        a.fragment(3, true, store, true);
        a.fragment(5, false, Buffer.from('ab'), true);
      },
    ],
    ['an unreadable command', 6, (a) => a.fragment(1, true, Buffer.from('garbage!garbage!'), true)],
    ['an empty command', 6, (a) => a.fragment(1, true, Buffer.alloc(0), true)],
    ['a command without data set type', 6, (a) => a.fragment(1, true, commandSet({ 0x0100: 0x0030 }), true)],
    [
      'a command set without end',
      6,
      (a) => {
        for (let i = 0; i < 65 && a.aborts.length === 0; i++) a.fragment(1, true, Buffer.alloc(1024), false);
      },
    ],
  ])('aborts on %s', async (_what, reason, send) => {
    const { association, recorder } = make();
    send(association);
    expect(association.aborts).toEqual([{ source: 2, reason, why: expect.stringMatching(/./) }]);
    expect(recorder.ends).toBe(1);
    // Whatever else stood in the same PDU is not looked at.
    const before = recorder.messages.length;
    association.fragment(1, true, echo, true);
    expect(recorder.messages).toHaveLength(before);
    await settle();
  });

  it('allows a command set of exactly 64 KiB', () => {
    const { association, recorder } = make();
    const filler = Buffer.alloc(65536 - commandSet({ 0x0100: 0x0030, 0x0110: 1, 0x0800: 0x0101 }).length - 8);
    const bytes = commandSet({ 0x0100: 0x0030, 0x0110: 1, 0x0800: 0x0101, 0x5110: filler });
    expect(bytes).toHaveLength(65536);
    association.fragment(1, true, bytes, true, 1000);
    expect(recorder.messages).toHaveLength(1);
    expect(association.aborts).toEqual([]);
  });

  it('fails the data set under way when the association ends', async () => {
    const { association, recorder } = make();
    association.fragment(3, true, store, true);
    association.fragment(3, false, Buffer.from('abc'), false);
    association.finish({ kind: 'connection-lost', reason: 'connection lost' });
    await expect(recorder.data[0]).rejects.toMatchObject({ code: 'ASSOCIATION_ENDED' });
    expect(recorder.ends).toBe(1);
  });

  it('passes a release on between messages and aborts it inside one', () => {
    const between = make();
    between.association.message(1, echoRequest(1));
    between.association.askRelease();
    expect(between.recorder.releases).toBe(1);
    const inside = make();
    inside.association.fragment(3, true, store, true);
    inside.association.askRelease();
    expect(inside.recorder.releases).toBe(0);
    expect(inside.association.aborts).toMatchObject([{ source: 2, reason: 2 }]);
  });
});
