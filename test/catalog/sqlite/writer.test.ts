import Database from 'better-sqlite3';
import { openConnection, requireVersion } from '../../../src/catalog/sqlite/connection';
import type { Writer } from '../../../src/catalog/sqlite/writer';
import { type BatchReply, type WriteJob } from '../../../src/catalog/sqlite/writer';
import { arrival, arrivalId, quarantineEntry, wrongCounters, type Sketch } from '../arrivals';
import { Direct, valueOf } from './direct';

const record = (sketch: Sketch = {}): WriteJob => ({ kind: 'record', arrival: arrival(sketch) });

/** The writer's own connection, to break things under its hands. */
function inside(writer: Writer): Database.Database {
  return (writer as unknown as { database: Database.Database }).database;
}

const errors = ({ results }: BatchReply): (string | undefined)[] =>
  results.map((result) => ('error' in result ? result.error.code : undefined));

describe('Writer', () => {
  let direct: Direct;

  beforeEach(() => {
    direct = new Direct();
  });

  afterEach(() => {
    direct.remove();
  });

  /** Makes the insert of one arrival fail, and only that. */
  function refuse(number: number, error = 'refused'): void {
    const outside = new Database(direct.file);
    outside.exec(`CREATE TRIGGER refusal BEFORE INSERT ON instances WHEN NEW.arrivalId = '${arrivalId(number)}'
      BEGIN SELECT RAISE(FAIL, '${error}'); END`);
    outside.close();
  }

  describe('a record that fails alone', () => {
    it('takes nothing of its batch with it and leaves no trace', () => {
      refuse(2);
      const reply = direct.writer.run([
        record({ number: 1 }),
        record({ number: 2, study: '2', values: { PatientID: 'P2', Modality: 'MR' } }),
        record({ number: 3, values: { AccessionNumber: 'A3' } }),
      ]);
      expect(errors(reply)).toEqual([undefined, 'CATALOG_ROLLED_BACK', undefined]);
      const lines = direct.dump();
      expect(lines.filter((line) => line.includes('P2'))).toEqual([]);
      expect(direct.reader.counts()).toMatchObject({
        patients: 1,
        studies: 1,
        series: 1,
        instances: 2,
        bytes: 2000,
      });
      expect(wrongCounters(lines)).toEqual([]);
    });

    it('gives back what it had changed in memory', () => {
      refuse(2);
      // The same series: name and modality of the refused one came earlier and would win.
      direct.writer.run([
        record({ number: 3, values: { Modality: 'CT', StudyDescription: 'kept' } }),
        record({ number: 2, values: { Modality: 'MR', StudyDescription: 'lost' } }),
        record({ number: 4 }),
      ]);
      const { rows } = direct.reader.find({ filter: { level: 'STUDY', keys: {} }, page: { limit: 5 } });
      expect(rows).toMatchObject([
        { StudyDescription: 'kept', ModalitiesInStudy: 'CT', NumberOfStudyRelatedInstances: 2 },
      ]);
      expect(direct.reader.conflicts({ limit: 5 }).rows).toEqual([]);
      // What is in memory goes on being what is in the tables.
      direct.writer.run([record({ number: 5, values: { StudyDescription: 'late' } })]);
      expect(direct.reader.conflicts({ limit: 5 }).rows).toMatchObject([{ kept: 'kept', differing: 'late' }]);
    });

    it('does so when it replaces, and when it exchanges', () => {
      direct.writer.run([record({ number: 1, uid: '7' }), record({ number: 3 })]);
      refuse(2);
      const before = direct.dump();
      const replacing = arrival({ number: 2, uid: '7', study: '9', values: { PatientID: 'P9' } });
      const reply = direct.writer.run([
        { kind: 'record', arrival: replacing, replaces: arrivalId(1) },
        { kind: 'exchange', change: { leaves: arrivalId(1), replay: [arrival({ number: 3 }), replacing] } },
      ]);
      expect(errors(reply)).toEqual(['CATALOG_ROLLED_BACK', 'CATALOG_ROLLED_BACK']);
      expect(direct.dump()).toEqual(before);
      direct.writer.run([record({ number: 4 })]);
      expect(wrongCounters(direct.dump())).toEqual([]);
      expect(direct.reader.counts()).toMatchObject({ patients: 1, instances: 3 });
    });
  });

  it('keeps what came before a savepoint that was undone', () => {
    refuse(2);
    const reply = direct.writer.run([
      record({ number: 1, uid: '7' }),
      // Looks at rows by id: what is in memory is written before its savepoint.
      { kind: 'record', arrival: arrival({ number: 2, uid: '7' }), replaces: arrivalId(1) },
    ]);
    expect(errors(reply)).toEqual([undefined, 'CATALOG_ROLLED_BACK']);
    expect(direct.reader.counts()).toMatchObject({ instances: 1 });
    expect(wrongCounters(direct.dump())).toEqual([]);
  });

  describe('a batch that fails', () => {
    it('is rolled back when the disk is full, says why, and goes on when there is room', () => {
      direct.writer.run([record({ number: 1 })]);
      const before = direct.dump();
      inside(direct.writer).pragma('max_page_count = 1');
      const many = Array.from({ length: 200 }, (_, index) =>
        record({ number: index + 2, study: `2.${index}` }),
      );
      const reply = direct.writer.run(many);
      expect(new Set(errors(reply))).toEqual(new Set(['CATALOG_ROLLED_BACK']));
      expect(reply.results[0]).toMatchObject({ error: { cause: { code: 'SQLITE_FULL' } } });
      expect(reply.fatal).toBeUndefined();
      expect(direct.dump()).toEqual(before);
      inside(direct.writer).pragma('max_page_count = 1000000');
      expect(errors(direct.writer.run(many)).every((code) => code === undefined)).toBe(true);
      expect(wrongCounters(direct.dump())).toEqual([]);
    });

    it.each([
      ['SQLITE_FULL', 'CATALOG_ROLLED_BACK', false],
      ['SQLITE_BUSY', 'CATALOG_ROLLED_BACK', false],
      ['SQLITE_IOERR_FSYNC', 'CATALOG_UNKNOWN', true],
      ['SQLITE_NOMEM', 'CATALOG_UNKNOWN', true],
    ])('at its commit with %s is %s', (code, expected, fatal) => {
      const { statements } = direct.writer as unknown as {
        statements: { commit: { run: () => unknown } };
      };
      const { commit } = statements;
      statements.commit = {
        run: () => {
          throw Object.assign(new Error('broken'), { code });
        },
      };
      const reply = direct.writer.run([record({ number: 1 }), record({ number: 2 })]);
      expect(errors(reply)).toEqual([expected, expected]);
      expect(reply.fatal !== undefined).toBe(fatal);
      statements.commit = commit;
      // After a failed sync nothing may be written any more.
      const next = direct.writer.run([record({ number: 3 })]);
      expect(errors(next)).toEqual([fatal ? 'CATALOG_ROLLED_BACK' : undefined]);
      expect(direct.reader.counts().instances).toBe(fatal ? 0 : 1);
    });

    it('by a broken page stops the writer, and nothing of it is written', () => {
      refuse(2, 'x');
      const { ledger } = direct.writer as unknown as { ledger: { record: () => never } };
      ledger.record = () => {
        throw Object.assign(new Error('malformed'), { code: 'SQLITE_CORRUPT_INDEX' });
      };
      const reply = direct.writer.run([record()]);
      expect(errors(reply)).toEqual(['CATALOG_ROLLED_BACK']);
      expect(reply.fatal).toMatchObject({ code: 'SQLITE_CORRUPT_INDEX' });
    });

    it('by the lock of another process is refused', () => {
      inside(direct.writer).pragma('busy_timeout = 10');
      const other = new Database(direct.file);
      other.exec('BEGIN IMMEDIATE');
      const reply = direct.writer.run([record()]);
      expect(errors(reply)).toEqual(['CATALOG_ROLLED_BACK']);
      expect(reply.results[0]).toMatchObject({ error: { cause: { code: 'SQLITE_BUSY' } } });
      other.exec('ROLLBACK');
      other.close();
      expect(errors(direct.writer.run([record()]))).toEqual([undefined]);
    });
  });

  describe('durability', () => {
    const NORMAL = 1;
    const FULL = 2;

    it.each<[string, WriteJob[], number]>([
      ['records', [record({ number: 1 }), record({ number: 2 })], NORMAL],
      ['a settled mark among records', [record({ number: 1 }), { kind: 'settle', segment: 1 }], FULL],
      ['an opened segment', [{ kind: 'openSegment', segment: 1 }], FULL],
      ['a damaged mark', [{ kind: 'markDamaged', arrivalId: arrivalId(1), reason: 'x' }], FULL],
      ['quarantine', [{ kind: 'addQuarantine', entry: quarantineEntry(1) }], FULL],
      ['its removal', [{ kind: 'removeQuarantine', arrivalId: arrivalId(1) }], FULL],
      ['an exchange', [{ kind: 'exchange', change: { leaves: arrivalId(1), replay: [] } }], FULL],
    ])('commits %s in its mode, and records after it in theirs', (_, jobs, mode) => {
      const modes: unknown[] = [];
      const { statements } = direct.writer as unknown as { statements: { commit: { run: () => unknown } } };
      const { commit } = statements;
      statements.commit = {
        run: () => {
          modes.push(inside(direct.writer).pragma('synchronous', { simple: true }));
          return commit.run();
        },
      };
      for (const batch of [jobs, [record({ number: 9 })]]) {
        for (const result of direct.writer.run(batch).results) valueOf(result);
      }
      expect(modes).toEqual([mode, NORMAL]);
    });

    it('refuses SQLite before the mend of its log, and a file system without WAL', () => {
      expect(() => requireVersion('3.51.2')).toThrow(/3\.51\.3/);
      expect(() => requireVersion('3.9.9')).toThrow(/3\.51\.3/);
      for (const fine of ['3.51.3', '3.52.0', '4.0.0']) expect(() => requireVersion(fine)).not.toThrow();
      expect(() => openConnection(':memory:', { cache: 100 })).toThrow(/journal_mode/);
    });

    it('keeps the log bounded by restarting it', () => {
      for (let round = 0; round < 5; round++) {
        direct.writer.run(
          Array.from({ length: 200 }, (_, index) => record({ number: round * 200 + index + 1 })),
        );
        direct.writer.restartLog();
      }
      const [state] = inside(direct.writer).pragma('wal_checkpoint(NOOP)') as {
        log: number;
        checkpointed: number;
      }[];
      expect(state?.checkpointed).toBe(state?.log);
      expect(direct.reader.counts().instances).toBe(1000);
    });
  });

  it('goes on with what is in the tables when many entities were written in between', () => {
    const of = (number: number): WriteJob => record({ number, study: `1.${number % 700}` });
    for (let from = 0; from < 2100; from += 100) {
      direct.writer.run(Array.from({ length: 100 }, (_, index) => of(from + index + 1)));
    }
    expect(wrongCounters(direct.dump())).toEqual([]);
    expect(direct.reader.counts()).toMatchObject({ patients: 1, studies: 700, series: 700, instances: 2100 });
  });
});
