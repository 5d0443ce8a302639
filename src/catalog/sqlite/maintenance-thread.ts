import { openConnection } from './connection';
import { arrivalsAfter } from './kept-attributes';
import { quickCheck } from './quick-check';
import { serve } from './thread';

/** A checkpoint copies pages from the log, one at a time; nothing here is worth keeping. */
const CACHE = 2 * 1024;

serve(({ file }) => {
  const database = openConnection(file, { cache: CACHE });
  return {
    /** Copies what no reader needs any more, beside the commits. */
    checkpoint: () => {
      database.pragma('wal_checkpoint(PASSIVE)');
    },
    arrivalsAfter: (range: Parameters<typeof arrivalsAfter>[1]) => arrivalsAfter(database, range),
    quickCheck: () => quickCheck(database),
    close: () => {
      database.close();
    },
  };
});
