import { Session } from '../../src/dimse/session';
import { echo } from '../../src/services/echo';
import { commandSet } from '../support/wire';
import { FakeAssociation, echoRequest, peer, settle } from '../dimse/fake-association';

describe('C-ECHO SCP', () => {
  it('answers Success (T01)', async () => {
    const association = new FakeAssociation({ peer: peer('echo') });
    new Session(association, { services: [echo] });
    for (let id = 1; id <= 100; id++) {
      association.message(1, echoRequest(id));
      await settle(1);
    }
    await settle();
    expect(association.answers()).toEqual(Array.from({ length: 100 }, (_, i) => [i + 1, 0]));
  });

  it('answers Message ID FFFF with a wrong group length and an extra element (T33)', async () => {
    const association = new FakeAssociation({ peer: peer('echo') });
    new Session(association, { services: [echo] });
    const bytes = commandSet(
      { 0x0002: '1.2.840.10008.1.1', 0x0100: 0x0030, 0x0110: 0xffff, 0x0800: 0x0101, 0x5110: 'X ' },
      7,
    );
    association.fragment(1, true, bytes, true);
    await settle();
    expect(association.messages()).toMatchObject([
      { contextId: 1, command: { CommandField: 0x8030, MessageIDBeingRespondedTo: 0xffff, Status: 0 } },
    ]);
  });

  it('is for callers with the right, and for Verification only', async () => {
    expect(echo.right).toBe('echo');
    expect(echo.handles('1.2.840.10008.1.1')).toBe(true);
    expect(echo.handles('1.2.840.10008.1.1.1')).toBe(false);
    const association = new FakeAssociation({ peer: peer('store') });
    new Session(association, { services: [echo] });
    association.message(1, echoRequest(1));
    await settle();
    expect(association.answers()).toEqual([[1, 0x0124]]);
  });

  it('overlooks a data set that nobody may send with it', async () => {
    const association = new FakeAssociation({ peer: peer('echo') });
    new Session(association, { services: [echo] });
    association.message(1, echoRequest(1, { CommandDataSetType: 1 }), Buffer.alloc(1000));
    await settle();
    expect(association.answers()).toEqual([[1, 0]]);
    expect(association.aborts).toEqual([]);
  });
});
