import { layoutOf } from './layout';
import { serve } from './thread';
import { Writer, type BatchReply, type WriteJob } from './writer';

serve(({ file, attributes }) => {
  const writer = new Writer(file, layoutOf(attributes));
  return {
    open: () => writer.backfill(),
    carried: () => writer.carried,
    run: (jobs: readonly WriteJob[]): BatchReply => writer.run(jobs),
    restartLog: () => writer.restartLog(),
    close: () => writer.close(),
  };
});
