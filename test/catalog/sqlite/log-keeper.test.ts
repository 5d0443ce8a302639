import { LogKeeper } from '../../../src/catalog/sqlite/log-keeper';

describe('LogKeeper', () => {
  function recorder(): { keeper: LogKeeper; done: string[]; finish: () => void } {
    const done: string[] = [];
    let finish = (): void => undefined;
    const keeper = new LogKeeper({
      checkpoint: () => {
        done.push('checkpoint');
        return new Promise((resolve) => (finish = resolve));
      },
      restart: () => {
        done.push('restart');
        return Promise.resolve();
      },
    });
    return { keeper, done, finish: () => finish() };
  }

  it('copies a long log beside the commits, once at a time', async () => {
    const { keeper, done, finish } = recorder();
    keeper.look(3_999);
    expect(done).toEqual([]);
    keeper.look(4_000);
    keeper.look(9_000);
    expect(done).toEqual(['checkpoint']);
    finish();
    await keeper.idle();
    // Nothing that was copied is copied again for its length.
    keeper.look(7_999);
    expect(done).toEqual(['checkpoint']);
    keeper.look(8_000);
    expect(done).toEqual(['checkpoint', 'checkpoint']);
    finish();
    await keeper.idle();
  });

  it('has the writer start the log anew when it never gets short', async () => {
    const { keeper, done, finish } = recorder();
    keeper.look(16_000);
    finish();
    await keeper.idle();
    expect(done).toEqual(['checkpoint', 'restart']);
    keeper.look(100);
    keeper.look(4_000);
    expect(done).toEqual(['checkpoint', 'restart', 'checkpoint']);
  });
});
