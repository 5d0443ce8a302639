import type Database from 'better-sqlite3';
import type { AttributeValue } from '../../dicom/types';
import { foldPersonName } from '../../dicom/person-name';
import { emptyMerged, type Merged } from '../merge';
import type { Level } from '../types';
import { EntityCache } from './entity-cache';
import type { Layout, LevelLayout } from './layout';

export type EntityLevel = Exclude<Level, 'IMAGE'>;

/** A row of patients, studies or series as the writer works on it; written back once a batch. */
export interface Entity {
  readonly level: EntityLevel;
  readonly id: number;
  /** Row id of the level above; 0 for a patient. */
  readonly parent: number;
  /** What makes it unique below its parent: identity of a patient, or the UID. */
  readonly key: string;
  merged: Merged;
  /** Studies, series and instances below, of those that hold a current instance. */
  studies: number;
  series: number;
  instances: number;
  /** Of a study: sorted, joined by `\`. */
  ModalitiesInStudy: string;
  SOPClassesInStudy: string;
  /** The two sets may have shrunk: computed from the rows when written. */
  setsStale: boolean;
  stored: boolean;
  changed: 'no' | 'counters' | 'values';
}

export interface Totals {
  patients: number;
  studies: number;
  series: number;
  instances: number;
  bytes: number;
}

type Value = string | number | null;

/**
 * The three upper levels between a batch's records and their tables. Changes gather in memory, so that a hundred
 * instances of one series cost one UPDATE; `flush` writes them before the commit. `begin` starts a record, `undo` takes back what was changed since.
 */
export class Entities {
  private readonly tables: Readonly<Record<EntityLevel, EntityTable>>;
  private readonly cache = new EntityCache<Entity>();
  private readonly dirty = new Set<Entity>();
  private undoable: (() => void)[] = [];
  private readonly touched = new Set<Entity>();
  private readonly database: Database.Database;
  private readonly writeTotals: Database.Statement<number[]>;
  private readonly readModalities: Database.Statement<[number], string>;
  private readonly readClasses: Database.Statement<[number], string>;
  private totalsChanged = false;
  totals: Totals;

  constructor(database: Database.Database, layout: Layout) {
    this.database = database;
    this.tables = {
      PATIENT: new EntityTable(database, layout.PATIENT, 'identity'),
      STUDY: new EntityTable(database, layout.STUDY, 'StudyInstanceUID'),
      SERIES: new EntityTable(database, layout.SERIES, 'SeriesInstanceUID'),
    };
    this.writeTotals = database.prepare(
      'UPDATE totals SET patients = ?, studies = ?, series = ?, instances = ?, bytes = ?',
    );
    this.readModalities = database
      .prepare<[number], string>(
        `SELECT DISTINCT Modality FROM series
         WHERE study = ? AND NumberOfSeriesRelatedInstances > 0 AND Modality IS NOT NULL`,
      )
      .pluck();
    this.readClasses = database
      .prepare<[number], string>(
        `SELECT DISTINCT instances.SOPClassUID FROM series CROSS JOIN instances ON instances.series = series.id
         WHERE series.study = ? AND instances.version = 0`,
      )
      .pluck();
    this.totals = this.loadTotals();
  }

  begin(): void {
    this.undoable = [];
    this.touched.clear();
  }

  undo(): void {
    for (const restore of this.undoable.reverse()) restore();
    this.begin();
  }

  /** The transaction is gone: what is in memory says nothing any more. */
  forget(): void {
    this.begin();
    this.dirty.clear();
    this.cache.clear();
    this.totalsChanged = false;
    this.totals = this.loadTotals();
  }

  find(level: EntityLevel, parent: number, key: string): Entity {
    const name = `${level} ${parent} ${key}`;
    const known = this.cache.get(name);
    if (known !== undefined) return known;
    const table = this.tables[level];
    const entity = table.load(parent, key) ?? table.create(parent, key);
    this.cache.set(name, entity, textLength(entity.merged.values));
    if (!entity.stored) this.undoable.push(() => this.cache.delete(name));
    return entity;
  }

  /** By row id; `flush` must have run since the row was made. */
  byId(level: EntityLevel, id: number): Entity {
    const { parent, key } = this.tables[level].place(id);
    return this.find(level, parent, key);
  }

  /** Announces a change of this entity. */
  change(entity: Entity, what: 'counters' | 'values'): void {
    if (!this.touched.has(entity)) {
      this.touched.add(entity);
      const before = { ...entity };
      const wasDirty = this.dirty.has(entity);
      this.undoable.push(() => {
        Object.assign(entity, before);
        if (!wasDirty) this.dirty.delete(entity);
      });
    }
    this.dirty.add(entity);
    if (entity.changed !== 'values') entity.changed = what;
  }

  changeTotals(change: Partial<Totals>): void {
    const before = this.totals;
    const { patients = 0, studies = 0, series = 0, instances = 0, bytes = 0 } = change;
    this.totals = {
      patients: before.patients + patients,
      studies: before.studies + studies,
      series: before.series + series,
      instances: before.instances + instances,
      bytes: before.bytes + bytes,
    };
    this.totalsChanged = true;
    this.undoable.push(() => (this.totals = before));
  }

  /** Empties the values of an entity whose arrivals are about to be merged again. */
  clear(entity: Entity): void {
    this.change(entity, 'values');
    entity.merged = emptyMerged(entity.merged.values.length);
  }

  /** Writes every change; within the transaction. */
  flush(): void {
    // A study's sets are read from its series.
    for (const level of ['PATIENT', 'SERIES', 'STUDY'] as const) {
      for (const entity of this.dirty) {
        if (entity.level !== level) continue;
        if (entity.setsStale) this.computeSets(entity);
        if (entity.merged.firstArrival === undefined) this.remove(entity);
        else this.tables[level].write(entity);
      }
    }
    this.dirty.clear();
    if (this.totalsChanged) {
      const { patients, studies, series, instances, bytes } = this.totals;
      this.writeTotals.run(patients, studies, series, instances, bytes);
      this.totalsChanged = false;
    }
  }

  /** Between batches: no caller holds an entity then. */
  trim(): void {
    this.cache.trim();
  }

  /** Takes what a merge made of it. */
  describe(entity: Entity, merged: Merged): void {
    this.change(entity, 'values');
    entity.merged = merged;
    this.cache.grow(textLength(merged.values));
  }

  /** No arrival speaks of it any more. */
  private remove(entity: Entity): void {
    if (entity.stored) this.tables[entity.level].remove(entity.id);
    this.cache.delete(`${entity.level} ${entity.parent} ${entity.key}`);
  }

  private computeSets(study: Entity): void {
    study.ModalitiesInStudy = this.readModalities.all(study.id).sort().join('\\');
    study.SOPClassesInStudy = this.readClasses.all(study.id).sort().join('\\');
    study.setsStale = false;
  }

  private loadTotals(): Totals {
    return this.database
      .prepare<[], Totals>('SELECT patients, studies, series, instances, bytes FROM totals')
      .get() as Totals;
  }
}

function textLength(values: readonly (AttributeValue | null)[]): number {
  let length = 0;
  for (const value of values) if (typeof value === 'string') length += value.length;
  return length;
}

/** The statements of one table. */
class EntityTable {
  private readonly layout: LevelLayout;
  private readonly select: Database.Statement<Value[], Value[]>;
  private readonly selectPlace: Database.Statement<[number], { parent: number; key: string }>;
  private readonly insert: Database.Statement<Value[]>;
  private readonly updateCounters: Database.Statement<Value[]>;
  private readonly updateAll: Database.Statement<Value[]>;
  private readonly delete: Database.Statement<[number]>;
  private nextId: number;

  constructor(database: Database.Database, layout: LevelLayout, key: string) {
    this.layout = layout;
    const { table, parent, counted } = layout;
    const attributes = layout.attributes.map(({ keyword }) => keyword);
    const names = layout.names.flatMap(({ columns }) => columns);
    const place = layout.level === 'PATIENT' ? ['identity'] : [parent ?? ''];
    const described = ['firstArrival', 'sources', ...attributes, ...names];
    const all = ['id', ...place, ...counted, ...described];
    this.select = database
      .prepare<Value[], Value[]>(
        `SELECT id, ${counted.join(', ')}, firstArrival, sources, ${attributes.join(', ')} FROM ${table}
         WHERE ${parent === undefined ? '' : `${parent} = ? AND `}${key} = ?`,
      )
      .raw();
    this.selectPlace = database.prepare(
      `SELECT ${parent ?? '0'} AS parent, ${key} AS key FROM ${table} WHERE id = ?`,
    );
    this.insert = database.prepare(
      `INSERT INTO ${table} (${all.join(', ')}) VALUES (${all.map(() => '?').join(', ')})`,
    );
    const set = (columns: readonly string[]): string => columns.map((column) => `${column} = ?`).join(', ');
    // Columns that an index holds are left out where they didn't change: SQLite would rewrite the entries.
    this.updateCounters = database.prepare(`UPDATE ${table} SET ${set(counted)} WHERE id = ?`);
    this.updateAll = database.prepare(`UPDATE ${table} SET ${set([...counted, ...described])} WHERE id = ?`);
    this.delete = database.prepare(`DELETE FROM ${table} WHERE id = ?`);
    this.nextId = 1 + Number(database.prepare(`SELECT coalesce(max(id), 0) FROM ${table}`).pluck().get());
  }

  create(parent: number, key: string): Entity {
    return {
      level: this.layout.level as EntityLevel,
      id: this.nextId++,
      parent,
      key,
      merged: emptyMerged(this.layout.attributes.length),
      studies: 0,
      series: 0,
      instances: 0,
      ModalitiesInStudy: '',
      SOPClassesInStudy: '',
      setsStale: false,
      stored: false,
      changed: 'no',
    };
  }

  load(parent: number, key: string): Entity | undefined {
    const row = this.layout.parent === undefined ? this.select.get(key) : this.select.get(parent, key);
    if (row === undefined) return undefined;
    const id = Number(row[0]);
    const counted = row.slice(1, 1 + this.layout.counted.length);
    const [firstArrival, sources, ...values] = row.slice(1 + this.layout.counted.length);
    const number = (index: number): number => Number(counted[index]);
    const text = (index: number): string => (typeof counted[index] === 'string' ? counted[index] : '');
    const { level } = this.layout;
    return {
      level: level as EntityLevel,
      id,
      parent,
      key,
      merged: { firstArrival: String(firstArrival), values, sources: this.readSources(sources) },
      studies: level === 'PATIENT' ? number(0) : 0,
      series: level === 'PATIENT' ? number(1) : level === 'STUDY' ? number(0) : 0,
      instances: number(level === 'PATIENT' ? 2 : level === 'STUDY' ? 1 : 0),
      ModalitiesInStudy: level === 'STUDY' ? text(2) : '',
      SOPClassesInStudy: level === 'STUDY' ? text(3) : '',
      setsStale: false,
      stored: true,
      changed: 'no',
    };
  }

  place(id: number): { parent: number; key: string } {
    const place = this.selectPlace.get(id);
    if (place === undefined) throw new Error(`${this.layout.table} has no row ${id}`);
    return place;
  }

  write(entity: Entity): void {
    const counted = this.counted(entity);
    if (!entity.stored) {
      const place = entity.level === 'PATIENT' ? entity.key : entity.parent;
      this.insert.run(entity.id, place, ...counted, ...this.described(entity));
    } else if (entity.changed === 'values') {
      this.updateAll.run(...counted, ...this.described(entity), entity.id);
    } else {
      this.updateCounters.run(...counted, entity.id);
    }
    entity.stored = true;
    entity.changed = 'no';
  }

  remove(id: number): void {
    this.delete.run(id);
  }

  private counted(entity: Entity): Value[] {
    switch (entity.level) {
      case 'PATIENT':
        return [entity.studies, entity.series, entity.instances];
      case 'STUDY':
        return [
          entity.series,
          entity.instances,
          entity.ModalitiesInStudy === '' ? null : entity.ModalitiesInStudy,
          entity.SOPClassesInStudy === '' ? null : entity.SOPClassesInStudy,
        ];
      case 'SERIES':
        return [entity.instances];
    }
  }

  private described({ merged }: Entity): Value[] {
    return [
      merged.firstArrival ?? '',
      this.sourcesText(merged),
      ...merged.values,
      ...this.folded(merged.values),
    ];
  }

  private folded(values: readonly (AttributeValue | null)[]): (string | null)[] {
    return this.layout.names.flatMap(({ position }) => {
      const name = values[position];
      if (typeof name !== 'string') return [null, null, null];
      return foldPersonName(name).map((group) => (group === '' ? null : group));
    });
  }

  /** Keywords in the order of the table, so that equal rows have equal text. */
  private sourcesText({ sources }: Merged): string | null {
    if (sources.size === 0) return null;
    const text: Record<string, string> = {};
    for (const [position, { keyword }] of this.layout.attributes.entries()) {
      const source = sources.get(position);
      if (source !== undefined) text[keyword] = source;
    }
    return JSON.stringify(text);
  }

  private readSources(text: Value | undefined): Map<number, string> {
    const sources = new Map<number, string>();
    if (typeof text !== 'string') return sources;
    const byKeyword = JSON.parse(text) as Record<string, string>;
    for (const [position, { keyword }] of this.layout.attributes.entries()) {
      const source = byKeyword[keyword];
      if (source !== undefined) sources.set(position, source);
    }
    return sources;
  }
}
