import { killRounds } from '../../faults/kill';
import { faultSeed } from '../../faults/random';

const ROUNDS = Number(process.env['ISOCENTER_KILL_ROUNDS'] ?? 3);

describe('kill -9 under eight associations', () => {
  it(
    `keeps every acknowledged object, ${ROUNDS} times`,
    async () => {
      const report = await killRounds(ROUNDS, faultSeed());
      expect(report).toMatchObject({ violations: [] });
      expect(report.acknowledged).toBeGreaterThan(0);
      if (ROUNDS > 3) console.log(JSON.stringify(report));
    },
    30_000 + ROUNDS * 30_000,
  );
});
