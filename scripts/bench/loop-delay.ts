/**
 * Preloaded into a measured process (`node --require`) that was started with an IPC channel: how long its event loop was held up, asked
 * for by the messages `reset` and `report`. Nothing of it is part of the node.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { isMainThread } from 'node:worker_threads';

/** Milliseconds by which a timer of 2 ms came late. */
export interface LoopDelay {
  readonly p50: number;
  readonly p999: number;
  readonly max: number;
  readonly samples: number;
}

const RESOLUTION = 2;

if (isMainThread && process.send !== undefined) {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION });
  histogram.enable();
  // The histogram holds whole intervals, the resolution included.
  const late = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e6 - RESOLUTION);
  process.on('message', (message) => {
    if (message === 'reset') histogram.reset();
    if (message === 'report') {
      const report: LoopDelay = {
        p50: late(histogram.percentile(50)),
        p999: late(histogram.percentile(99.9)),
        max: late(histogram.max),
        samples: histogram.count,
      };
      process.send?.(report);
    }
  });
  // The listener must not keep the process alive: the node has to end by itself.
  process.channel?.unref();
}
