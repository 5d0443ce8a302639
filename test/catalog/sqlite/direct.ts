import path from 'node:path';
import { storedAttributes } from '../../../src/dicom/attributes';
import { LEVELS, layoutOf } from '../../../src/catalog/sqlite/layout';
import { Reader } from '../../../src/catalog/sqlite/reader';
import { Writer, type JobResult, type WriteJob } from '../../../src/catalog/sqlite/writer';
import type { Arrival, Exchange, RecordOutcome } from '../../../src/catalog/types';
import { scratch } from '../arrivals';

export const layout = layoutOf(LEVELS.flatMap((level) => storedAttributes(level)));

/** Writer and reader in this thread: a batch is what the test says it is. */
export class Direct {
  readonly file: string;
  readonly writer: Writer;
  readonly reader: Reader;
  private readonly place = scratch();

  constructor() {
    this.file = path.join(this.place.folder, 'catalog.sqlite');
    this.writer = new Writer(this.file, layout);
    this.reader = new Reader(this.file, layout);
  }

  /** Records in one transaction, each replacing what is in its place. */
  put(batch: readonly Arrival[]): void {
    let open = [...batch.map((arrival): WriteJob => ({ kind: 'record', arrival }))];
    while (open.length > 0) {
      const { results } = this.writer.run(open);
      open = open.flatMap((job, index) => {
        const outcome = valueOf(results[index]) as RecordOutcome;
        if (job.kind !== 'record' || outcome.kind === 'recorded') return [];
        return [{ ...job, replaces: outcome.current.arrivalId }];
      });
    }
  }

  exchange(change: Exchange): unknown {
    return valueOf(this.writer.run([{ kind: 'exchange', change }]).results[0]);
  }

  dump(): string[] {
    const lines: string[] = [];
    let cursor: string | undefined;
    do {
      const page = this.reader.dump(cursor);
      lines.push(...page.lines);
      cursor = page.next;
    } while (cursor !== undefined);
    return lines;
  }

  remove(): void {
    this.reader.close();
    this.writer.close();
    this.place.remove();
  }
}

export function valueOf(result: JobResult | undefined): unknown {
  if (result !== undefined && 'value' in result) return result.value;
  throw new Error(JSON.stringify(result));
}
