import fc from 'fast-check';
import { decodeCommand, encodeCommand } from '../../src/dimse/command';
import { OPERATIONS } from '../../src/dimse/operations';
import { commandSet } from '../support/wire';
import { GOLDEN } from './golden-commands';

const code = (run: () => unknown): unknown => {
  try {
    return run();
  } catch (error) {
    return (error as { code?: string }).code;
  }
};

describe('command sets of PS3.7 9.3 and 10.3', () => {
  it.each(GOLDEN)('$name is written byte for byte as pydicom writes it', ({ command, hex }) => {
    expect(encodeCommand(command).toString('hex')).toBe(hex);
  });

  it.each(GOLDEN)('$name is read', ({ command, hex }) => {
    expect(decodeCommand(Buffer.from(hex, 'hex'))).toEqual(command);
  });

  it('has a golden request and response for every operation', () => {
    const fields = new Set(GOLDEN.map(({ command }) => command.CommandField));
    for (const field of OPERATIONS.keys())
      expect([...fields]).toEqual(expect.arrayContaining([field, field | 0x8000]));
  });
});

describe('reading', () => {
  const echo = { 0x0002: '1.2.840.10008.1.1', 0x0100: 0x0030, 0x0110: 0xffff, 0x0800: 0x0101 };

  it('does not believe the group length and ignores unknown elements (T33)', () => {
    const expected = {
      AffectedSOPClassUID: '1.2.840.10008.1.1',
      CommandField: 0x0030,
      MessageID: 0xffff,
      CommandDataSetType: 0x0101,
    };
    expect(decodeCommand(commandSet({ ...echo, 0x5110: 'LEGACY' }, 0xdeadbeef))).toEqual(expected);
    expect(decodeCommand(commandSet(echo).subarray(12))).toEqual(expected);
  });

  it('trims NUL and space at the end of UIDs, and spaces around titles', () => {
    const command = decodeCommand(
      commandSet({ ...echo, 0x0002: Buffer.from('1.2.3 \0\0 '), 0x0600: Buffer.from('  DEST 1 \0') }),
    );
    expect(command).toMatchObject({ AffectedSOPClassUID: '1.2.3', MoveDestination: 'DEST 1' });
  });

  it('takes empty numbers as absent and keeps empty text', () => {
    const command = decodeCommand(commandSet({ ...echo, 0x0110: Buffer.alloc(0), 0x1000: '' }));
    expect('MessageID' in command).toBe(false);
    expect(command.AffectedSOPInstanceUID).toBe('');
  });

  it('reads elements in any order', () => {
    const bytes = commandSet(echo).subarray(12);
    const first = 8 + bytes.readUInt32LE(4);
    expect(decodeCommand(Buffer.concat([bytes.subarray(first), bytes.subarray(0, first)]))).toMatchObject({
      CommandField: 0x0030,
      MessageID: 0xffff,
    });
  });

  it.each([
    ['a header that is cut', commandSet(echo).subarray(0, -3)],
    ['a value that is cut', Buffer.concat([commandSet(echo), Buffer.from('0000020908000000616263', 'hex')])],
    ['a length of 4 GiB', Buffer.concat([commandSet(echo), Buffer.from('00000209ffffffff', 'hex')])],
    [
      'an element of another group',
      Buffer.concat([commandSet(echo), Buffer.from('0800050002000000', 'hex')]),
    ],
    ['a number of one byte', commandSet({ ...echo, 0x0700: Buffer.from([1]) })],
    ['a number of four bytes', commandSet({ ...echo, 0x0900: Buffer.alloc(4) })],
    ['tags of six bytes', commandSet({ ...echo, 0x0901: Buffer.alloc(6) })],
    ['an element twice', Buffer.concat([commandSet(echo), commandSet({ 0x0100: 0x0001 })])],
    ['no command field', commandSet({ 0x0110: 1, 0x0800: 0x0101 })],
    ['no data set type', commandSet({ 0x0100: 0x0030, 0x0110: 1 })],
    ['nothing', Buffer.alloc(0)],
  ])('refuses %s', (_what, bytes) => {
    expect(code(() => decodeCommand(bytes))).toBe('COMMAND_PARSE');
  });

  it('reads or refuses whatever it is given', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        const result = code(() => decodeCommand(Buffer.from(bytes)));
        expect(result === 'COMMAND_PARSE' || typeof result === 'object').toBe(true);
      }),
    );
    const valid = Buffer.from(GOLDEN[4]!.hex, 'hex');
    fc.assert(
      fc.property(fc.nat(valid.length - 1), fc.nat(255), fc.nat(valid.length), (at, byte, length) => {
        const damaged = Buffer.from(valid.subarray(0, length));
        if (at < damaged.length) damaged[at] = byte;
        const result = code(() => decodeCommand(damaged));
        expect(result === 'COMMAND_PARSE' || typeof result === 'object').toBe(true);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('writing', () => {
  const number = fc.nat(0xffff);
  const uid = fc.stringMatching(/^[0-9.]{0,64}$/);
  const text = fc.stringMatching(/^([!-~]([ -~]{0,14}[!-~])?)?$/);
  const tags = fc.array(fc.nat(0xffffffff), { maxLength: 20 });
  const commands = fc.record(
    {
      CommandField: number,
      CommandDataSetType: number,
      AffectedSOPClassUID: uid,
      RequestedSOPClassUID: uid,
      MessageID: number,
      MessageIDBeingRespondedTo: number,
      MoveDestination: text,
      Priority: number,
      Status: number,
      OffendingElement: tags,
      ErrorComment: text,
      ErrorID: number,
      AffectedSOPInstanceUID: uid,
      RequestedSOPInstanceUID: uid,
      EventTypeID: number,
      AttributeIdentifierList: tags,
      ActionTypeID: number,
      NumberOfRemainingSuboperations: number,
      NumberOfCompletedSuboperations: number,
      NumberOfFailedSuboperations: number,
      NumberOfWarningSuboperations: number,
      MoveOriginatorApplicationEntityTitle: text,
      MoveOriginatorMessageID: number,
    },
    { requiredKeys: ['CommandField', 'CommandDataSetType'] },
  );

  it('is undone by reading', () => {
    fc.assert(
      fc.property(commands, (command) => {
        const bytes = encodeCommand(command);
        expect(bytes.readUInt32LE(8)).toBe(bytes.length - 12);
        expect(bytes.length % 2).toBe(0);
        expect(decodeCommand(bytes)).toEqual(command);
      }),
    );
  });

  it('caps counters at what their 16 bits hold (DM-14) and refuses other numbers', () => {
    const command = { CommandField: 0x8021, CommandDataSetType: 0x0101 };
    const capped = decodeCommand(encodeCommand({ ...command, NumberOfCompletedSuboperations: 70_000 }));
    expect(capped.NumberOfCompletedSuboperations).toBe(0xffff);
    expect(() => encodeCommand({ ...command, Status: 0x10000 })).toThrow('out of range');
  });
});
