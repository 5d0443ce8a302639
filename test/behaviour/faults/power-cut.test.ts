import { powerCuts } from '../../faults/power-cut';
import { faultSeed } from '../../faults/random';
import { describeInterop } from '../../support/tools';

const CUTS = Number(process.env['ISOCENTER_POWER_CUTS'] ?? 2);

describeInterop(['ext4'], 'power cut on ext4', () => {
  it(
    `leaves every acknowledged object on the disk, ${CUTS} times`,
    async () => {
      const report = await powerCuts(CUTS, faultSeed());
      expect(report).toMatchObject({ violations: [] });
      expect(report.acknowledged).toBeGreaterThan(0);
      if (CUTS > 2) console.log(JSON.stringify(report));
    },
    30_000 + CUTS * 30_000,
  );
});

describeInterop(['ext4', 'strace'], 'the power-cut harness', () => {
  it('finds the losses of a node whose syncs do nothing', async () => {
    const wrapper = ['strace', '-f', '-qq', '-o', '/dev/null', '-e', 'trace=fsync,fdatasync'];
    const report = await powerCuts(1, faultSeed(), {
      wrapper: [...wrapper, '-e', 'inject=fsync,fdatasync:retval=0'],
      minimumBytes: 20e6,
    });
    expect(report.acknowledged).toBeGreaterThan(0);
    expect(report.violations.length).toBeGreaterThan(0);
  }, 60_000);
});
