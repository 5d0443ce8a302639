import Database from 'better-sqlite3';
import fc from 'fast-check';
import path from 'node:path';
import { openConnection } from '../../../src/catalog/sqlite/connection';
import { arrivalsAfter } from '../../../src/catalog/sqlite/kept-attributes';
import { layoutOf } from '../../../src/catalog/sqlite/layout';
import { Reader } from '../../../src/catalog/sqlite/reader';
import { MIGRATIONS } from '../../../src/catalog/sqlite/schema';
import { SqliteCatalog } from '../../../src/catalog/sqlite/catalog';
import { Writer, type WriteJob } from '../../../src/catalog/sqlite/writer';
import type { Arrival, BackfillState, RecordOutcome } from '../../../src/catalog/types';
import {
  attributesOf,
  BUILT_IN,
  type AddedAttribute,
  type AttributeTable,
} from '../../../src/dicom/attributes';
import { arrival, arrivalId, scratch, wrongCounters, type Sketch } from '../arrivals';
import { valueOf } from './direct';

const COMMENTS: AddedAttribute = { keyword: 'StudyComments', level: 'study' };
const OPERATOR: AddedAttribute = { keyword: 'OperatorsName', level: 'series' };
const AGE: AddedAttribute = { keyword: 'PatientAge', level: 'patient' };
const ANGLE: AddedAttribute = { keyword: 'EchoNumbers', level: 'instance' };
const SAMPLES: AddedAttribute = { keyword: 'SamplesPerPixel', level: 'instance' };
const ALL = [COMMENTS, OPERATOR, AGE, ANGLE, SAMPLES];

/** A catalog on one thread that is opened with one table after the other. */
class Shelf {
  private readonly place = scratch();
  readonly file = path.join(this.place.folder, 'catalog.sqlite');
  private opened: { writer: Writer; reader: Reader } | undefined;

  open(...added: AddedAttribute[]): this {
    this.close();
    const layout = layoutOf(attributesOf(added).stored());
    this.opened = { writer: new Writer(this.file, layout), reader: new Reader(this.file, layout) };
    return this;
  }

  get writer(): Writer {
    return this.opened!.writer;
  }

  get reader(): Reader {
    return this.opened!.reader;
  }

  close(): void {
    this.opened?.reader.close();
    this.opened?.writer.close();
    this.opened = undefined;
  }

  run(job: WriteJob): unknown {
    return valueOf(this.writer.run([job]).results[0]);
  }

  put(one: Arrival): void {
    let outcome = this.run({ kind: 'record', arrival: one }) as RecordOutcome;
    while (outcome.kind === 'exists') {
      const replaces = outcome.current.arrivalId;
      outcome = this.run({ kind: 'record', arrival: one, replaces }) as RecordOutcome;
    }
  }

  /** Walks over at most so many arrivals. */
  fill(arrivals: readonly Arrival[], most: number): BackfillState | undefined {
    const state = this.writer.backfill();
    if (state === undefined) return undefined;
    const database = openConnection(this.file, { readonly: true, cache: 1024 });
    const page = arrivalsAfter(database, { ...state, limit: most });
    database.close();
    return this.run({
      kind: 'fill',
      step: {
        arrivals: page.map((row) => ({
          arrivalId: row.arrivalId,
          values: arrivals.find((one) => one.arrivalId === row.arrivalId)!.header.values,
        })),
        unreadable: [],
        to: page.at(-1)?.arrivalId ?? state.after,
        walked: page.length,
        last: page.length < most,
      },
    }) as BackfillState;
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
    this.close();
    this.place.remove();
  }
}

/** What a reindex makes of the same arrivals. */
function anew(added: readonly AddedAttribute[], arrivals: readonly Arrival[]): string[] {
  const shelf = new Shelf().open(...added);
  try {
    for (const one of arrivals) shelf.put(one);
    return shelf.dump();
  } finally {
    shelf.remove();
  }
}

describe('attributes that are added', () => {
  let shelf: Shelf;

  beforeEach(() => {
    shelf = new Shelf();
  });

  afterEach(() => shelf.remove());

  const columns = (table: string): string[] => {
    const database = new Database(shelf.file, { readonly: true });
    const names = database
      .prepare<[string], string>('SELECT name FROM pragma_table_info(?)')
      .pluck()
      .all(table);
    database.close();
    return names;
  };

  it('to an empty catalog are there from the first arrival on', () => {
    shelf.open();
    shelf.open(...ALL);
    expect(shelf.writer.backfill()).toBeUndefined();
    const one = arrival({ values: { OperatorsName: 'Müller^Änne', SamplesPerPixel: 3 } });
    shelf.put(one);
    expect(shelf.dump()).toEqual(anew(ALL, [one]));
    expect(columns('series')).toEqual(
      expect.arrayContaining(['OperatorsName', 'OperatorsName_alphabetic', 'OperatorsName_phonetic']),
    );
    const found = shelf.reader.find({
      filter: { level: 'IMAGE', keys: { OperatorsName: 'muller*', SamplesPerPixel: '3' } },
      page: { limit: 10 },
    });
    expect(found.rows).toHaveLength(1);
  });

  it('miss the values of what is there already, and say so, until they are filled', () => {
    shelf.open();
    const arrivals = [1, 2, 3].map((number) =>
      arrival({ number, values: { StudyComments: `c${number}`, EchoNumbers: String(number) } }),
    );
    for (const one of arrivals.slice(0, 2)) shelf.put(one);
    shelf.open(COMMENTS, ANGLE);
    shelf.put(arrivals[2]!);
    expect(shelf.writer.backfill()).toEqual({
      keywords: ['EchoNumbers', 'StudyComments'],
      after: '',
      until: arrivalId(2),
      done: 0,
      total: 2,
      skipped: 0,
      finished: false,
    });
    expect(shelf.fill(arrivals, 1)).toMatchObject({ done: 1, after: arrivalId(1) });
    // As a process that was killed finds it.
    shelf.open(COMMENTS, ANGLE);
    expect(shelf.writer.backfill()).toMatchObject({ done: 1, after: arrivalId(1) });
    expect(shelf.fill(arrivals, 5)).toMatchObject({ done: 2, finished: true });
    expect(shelf.writer.backfill()).toBeUndefined();
    expect(shelf.dump()).toEqual(anew([COMMENTS, ANGLE], arrivals));
    expect(
      shelf.reader.conflicts({ limit: 10 }).rows.map(({ kept, differing }) => [kept, differing]),
    ).toEqual(
      expect.arrayContaining([
        ['c1', 'c2'],
        ['c1', 'c3'],
      ]),
    );
    shelf.open(COMMENTS, ANGLE);
    expect(shelf.writer.backfill()).toBeUndefined();
  });

  it('and taken out are neither kept nor shown; added again they are filled from the beginning', () => {
    const arrivals = [1, 2, 3, 4].map((number) =>
      arrival({
        number,
        study: number === 4 ? '4' : '1',
        values: { StudyComments: `c${number}`, PatientAge: '1' },
      }),
    );
    shelf.open(COMMENTS, AGE);
    for (const one of arrivals.slice(0, 2)) shelf.put(one);
    shelf.open(AGE);
    expect(shelf.dump()).toEqual(anew([AGE], arrivals.slice(0, 2)));
    expect(columns('studies')).toContain('StudyComments');
    expect(() =>
      shelf.reader.find({ filter: { level: 'STUDY', keys: { StudyComments: '*' } }, page: { limit: 1 } }),
    ).toThrow(expect.objectContaining({ code: 'CATALOG_FILTER' }));
    expect(shelf.writer.backfill()).toBeUndefined();
    // What said so first goes while nobody keeps it.
    shelf.run({ kind: 'exchange', change: { leaves: arrivalId(1), replay: [arrivals[1]!, arrivals[2]!] } });
    shelf.put(arrivals[3]!);
    shelf.open(COMMENTS, AGE);
    expect(shelf.writer.backfill()).toMatchObject({ keywords: ['StudyComments'], after: '', total: 3 });
    while (shelf.fill(arrivals, 2)?.finished === false);
    expect(shelf.dump()).toEqual(anew([COMMENTS, AGE], arrivals.slice(1)));
  });

  it('in the middle of a walk begin it anew; taken out they end it', () => {
    const arrivals = [1, 2, 3].map((number) =>
      arrival({ number, values: { StudyComments: 'c', PatientAge: `${number}` } }),
    );
    shelf.open();
    for (const one of arrivals) shelf.put(one);
    shelf.open(COMMENTS);
    shelf.fill(arrivals, 2);
    shelf.open(COMMENTS, AGE);
    expect(shelf.writer.backfill()).toMatchObject({
      keywords: ['PatientAge', 'StudyComments'],
      after: '',
      done: 0,
    });
    shelf.fill(arrivals, 2);
    shelf.open(AGE);
    expect(shelf.writer.backfill()).toMatchObject({ keywords: ['PatientAge'], done: 2 });
    shelf.open();
    expect(shelf.writer.backfill()).toBeUndefined();
    expect(shelf.dump()).toEqual(anew([], arrivals));
  });

  it('move to another level', () => {
    const arrivals = [1, 2].map((number) => arrival({ number, values: { StudyComments: `c${number}` } }));
    shelf.open(COMMENTS);
    for (const one of arrivals) shelf.put(one);
    const moved: AddedAttribute = { keyword: 'StudyComments', level: 'series' };
    shelf.open(moved);
    while (shelf.fill(arrivals, 1)?.finished === false);
    expect(shelf.dump()).toEqual(anew([moved], arrivals));
  });

  it('by a new version are added in the same way; an older schema is brought along', () => {
    const database = new Database(shelf.file);
    const older = BUILT_IN.stored().filter(({ keyword }) => keyword !== 'StationName');
    MIGRATIONS[0]!(database, layoutOf(older));
    database.pragma(`application_id = 1230196547`);
    database.pragma('user_version = 1');
    database.close();
    shelf.open();
    expect(columns('series')).toContain('StationName');
    shelf.put(arrival({ values: { StationName: 'S' } }));
    expect(shelf.dump()).toEqual(anew([], [arrival({ values: { StationName: 'S' } })]));
  });

  it('count what could not be read, and pass over what has left', () => {
    shelf.open();
    for (const number of [1, 2]) shelf.put(arrival({ number }));
    shelf.open(COMMENTS);
    const step = {
      arrivals: [{ arrivalId: arrivalId(7), values: { StudyComments: 'x' } }],
      unreadable: [arrivalId(1), arrivalId(8)],
      to: arrivalId(1),
      walked: 2,
      last: false,
    };
    expect(shelf.run({ kind: 'fill', step })).toMatchObject({ skipped: 1, done: 2 });
    expect(shelf.dump().join()).not.toContain('"x"');
  });

  it('never touch what is kept already', () => {
    shelf.open();
    shelf.put(arrival({ values: { StudyDescription: 'kept' } }));
    shelf.open(COMMENTS);
    const values = { StudyDescription: 'other', StudyComments: 'c', PatientName: 'Other' };
    const step = {
      arrivals: [{ arrivalId: arrivalId(1), values }],
      unreadable: [],
      to: arrivalId(1),
      walked: 1,
      last: true,
    };
    shelf.run({ kind: 'fill', step });
    expect(shelf.dump()).toEqual(
      anew([COMMENTS], [arrival({ values: { StudyDescription: 'kept', StudyComments: 'c' } })]),
    );
  });

  it('are filled through the threads as without', async () => {
    const options = (
      table: AttributeTable,
    ): { path: string; attributes: ReturnType<AttributeTable['stored']> } => ({
      path: shelf.file,
      attributes: table.stored(),
    });
    const first = new SqliteCatalog(options(attributesOf([])));
    await first.open();
    const arrivals = [1, 2, 3].map((number) => arrival({ number, values: { PatientAge: `00${number}Y` } }));
    for (const one of arrivals) await first.record(one);
    await first.close();
    const catalog = new SqliteCatalog(options(attributesOf([AGE])));
    await catalog.open();
    const state = catalog.backfill!;
    expect(state).toMatchObject({ keywords: ['PatientAge'], total: 3 });
    const page = await catalog.arrivalsAfter({ after: arrivalId(1), until: state.until, limit: 10 });
    expect(page.map((row) => row.arrivalId)).toEqual([arrivalId(2), arrivalId(3)]);
    expect(page[0]).toMatchObject({
      dataSetOffset: 542,
      dataSetLength: 1000,
      sourceAETitle: 'CT1',
      damaged: undefined,
    });
    await catalog.fill({
      arrivals: arrivals.map((one) => ({ arrivalId: one.arrivalId, values: one.header.values })),
      unreadable: [],
      to: arrivalId(3),
      walked: 3,
      last: true,
    });
    expect(catalog.backfill).toBeUndefined();
    const { rows } = await catalog.find({ level: 'PATIENT', keys: { PatientAge: '001Y' } }, { limit: 5 });
    expect(rows).toHaveLength(1);
    await catalog.close();
  });
});

describe('a catalog whose attributes come and go under a load', () => {
  type Step =
    | { readonly kind: 'put'; readonly number: number }
    | { readonly kind: 'fill'; readonly most: number }
    | { readonly kind: 'leave'; readonly pick: number }
    | { readonly kind: 'open'; readonly added: readonly AddedAttribute[] };
  const sketch: fc.Arbitrary<Sketch> = fc.record({
    uid: fc.constantFrom('1.1', '1.2', '1.3', '1.4', '1.5', '1.6', '1.7'),
    study: fc.constantFrom('1', '2'),
    series: fc.constantFrom('1.1', '1.2'),
    values: fc.record(
      {
        PatientID: fc.constantFrom('P1', 'P2'),
        StudyComments: fc.constantFrom('a', 'b'),
        OperatorsName: fc.constantFrom('A^B', 'C'),
        PatientAge: fc.constantFrom('1', '2'),
        EchoNumbers: fc.constantFrom('1', '2'),
        SamplesPerPixel: fc.constantFrom(1, 3),
        StudyDescription: fc.constantFrom('x', 'y'),
      },
      { requiredKeys: ['PatientID'] },
    ),
  });
  const step: fc.Arbitrary<Step> = fc.oneof(
    { weight: 5, arbitrary: fc.record({ kind: fc.constant('put' as const), number: fc.nat(19) }) },
    {
      weight: 5,
      arbitrary: fc.record({ kind: fc.constant('fill' as const), most: fc.integer({ min: 1, max: 4 }) }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('leave' as const), pick: fc.nat(19) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('open' as const), added: fc.subarray(ALL) }) },
  );

  it('is in the end what a reindex makes of its arrivals', () => {
    fc.assert(
      fc.property(
        fc.array(sketch, { minLength: 20, maxLength: 20 }),
        fc.array(step, { minLength: 5, maxLength: 30 }),
        (sketches, steps) => {
          const arrivals = sketches.map((one, index) => arrival({ ...one, number: index + 1 }));
          const present = new Set<Arrival>();
          const shelf = new Shelf().open();
          let added: readonly AddedAttribute[] = [];
          try {
            for (const one of steps) {
              if (one.kind === 'open') {
                added = one.added;
                shelf.open(...added);
              } else if (one.kind === 'fill') {
                shelf.fill(arrivals, one.most);
              } else if (one.kind === 'put') {
                const chosen = arrivals[one.number]!;
                present.add(chosen);
                shelf.put(chosen);
              } else {
                const leaves = [...present][one.pick % Math.max(1, present.size)];
                if (leaves === undefined) continue;
                const ids = new Set(shelf.reader.arrivalsOfPatient(leaves.arrivalId));
                const replay = [...present].filter((other) => other !== leaves && ids.has(other.arrivalId));
                expect(shelf.run({ kind: 'exchange', change: { leaves: leaves.arrivalId, replay } })).toBe(
                  'done',
                );
                present.delete(leaves);
              }
            }
            while (shelf.fill(arrivals, 3)?.finished === false);
            const lines = shelf.dump();
            expect(lines).toEqual(
              anew(
                added,
                arrivals.filter((one) => present.has(one)),
              ),
            );
            expect(wrongCounters(lines)).toEqual([]);
          } finally {
            shelf.remove();
          }
        },
      ),
      { numRuns: 60 },
    );
  });
});
