import { Deadline } from '../../src/net/timers';
import { FakeClock } from '../support/fake-clock';

function setUp() {
  const clock = new FakeClock();
  const expired: number[] = [];
  const deadline = new Deadline(clock, () => expired.push(clock.now() - 1000));
  return { clock, expired, deadline };
}

describe('Deadline', () => {
  it('expires once, after its time', () => {
    const { clock, expired, deadline } = setUp();
    deadline.start(100);
    clock.advance(99);
    expect(expired).toEqual([]);
    clock.advance(1);
    expect(expired).toEqual([100]);
    clock.advance(1000);
    expect(expired).toEqual([100]);
    expect(clock.pending).toBe(0);
  });

  it('counts from the last touch, without a timer operation for each', () => {
    const { clock, expired, deadline } = setUp();
    deadline.start(100);
    for (let i = 0; i < 1000; i++) {
      clock.advance(1);
      deadline.touch();
    }
    expect(expired).toEqual([]);
    expect(clock.set).toBeLessThan(15);
    clock.advance(100);
    expect(expired).toEqual([1100]);
  });

  it('does not expire a moment early', () => {
    const { clock, expired, deadline } = setUp();
    deadline.start(100);
    clock.advance(1);
    deadline.touch();
    clock.advance(99);
    expect(expired).toEqual([]);
    clock.advance(1);
    expect(expired).toEqual([101]);
  });

  it('does not expire once stopped, and starts again with the whole time', () => {
    const { clock, expired, deadline } = setUp();
    deadline.start(100);
    clock.advance(60);
    deadline.stop();
    clock.advance(20);
    deadline.start(100);
    clock.advance(99);
    expect(expired).toEqual([]);
    clock.advance(1);
    expect(expired).toEqual([180]);
  });

  it('takes a shorter time while a longer one runs', () => {
    const { clock, expired, deadline } = setUp();
    deadline.start(1000);
    deadline.start(50);
    clock.advance(50);
    expect(expired).toEqual([50]);
  });

  it('keeps no timer once cleared', () => {
    const { clock, deadline } = setUp();
    deadline.start(100);
    deadline.clear();
    expect(clock.pending).toBe(0);
    deadline.touch();
    expect(deadline.running).toBe(false);
  });
});
