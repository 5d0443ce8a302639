import type Database from 'better-sqlite3';
import type { AttributeValue } from '../../dicom/types';
import { merge } from '../merge';
import type { Arrival, InstanceLocation, RecordOutcome } from '../types';
import type { Entities, Entity, EntityLevel } from './entities';
import { rowValues, type Layout } from './layout';
import { locationSelect } from './sql';

type Value = string | number | null;

interface HeldRow {
  readonly id: number;
  readonly arrivalId: string;
  readonly version: number;
}

/** The three entities that an instance belongs to. */
interface Place {
  readonly patient: Entity;
  readonly study: Entity;
  readonly series: Entity;
}

/** What an instance row had before it was written again. */
export interface Kept {
  readonly id: number;
  readonly damaged: string | null;
}

/**
 * Puts arrivals into the tables. Values of an entity come from every arrival whose file is in `instances/`, versions included: a
 * value goes when its file goes, and only then (`exchange`). Counters and derived sets count current arrivals only, and
 * an entity without any is left out of answers.
 */
export class Ledger {
  private readonly layout: Layout;
  private readonly entities: Entities;
  private readonly held: Database.Statement<[string], HeldRow>;
  private readonly location: Database.Statement<[number], InstanceLocation>;
  private readonly insertInstance: Database.Statement<Value[]>;
  private readonly setVersion: Database.Statement<[number, number]>;
  private readonly seriesOf: Database.Statement<[number], { series: number; SOPClassUID: string }>;
  private readonly putConflict: Database.Statement<Value[]>;
  private readonly dropConflict: Database.Statement<Value[]>;
  /** Position among the attributes of a series. */
  private readonly modality: number;
  private nextInstance: number;

  constructor(database: Database.Database, layout: Layout, entities: Entities) {
    this.layout = layout;
    this.entities = entities;
    this.held = database.prepare(
      'SELECT id, arrivalId, version FROM instances WHERE SOPInstanceUID = ? ORDER BY version',
    );
    this.location = database.prepare(`${locationSelect()} WHERE instances.id = ?`);
    const columns = [
      'id, series, version, segment, arrivalId, arrivedAt, dataSetOffset, dataSetLength, sha256',
      'TransferSyntaxUID, sourceAETitle, damaged',
      ...layout.IMAGE.attributes.map(({ keyword }) => keyword),
    ].join(', ');
    this.insertInstance = database.prepare(
      `INSERT INTO instances (${columns}) VALUES (${columns.replaceAll(/\w+/g, '?')})`,
    );
    this.setVersion = database.prepare('UPDATE instances SET version = ? WHERE id = ?');
    this.seriesOf = database.prepare('SELECT series, SOPClassUID FROM instances WHERE id = ?');
    this.putConflict = database.prepare(
      `INSERT INTO conflicts (level, entity, keyword, value, arrivalId) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (level, entity, keyword, value) DO UPDATE SET arrivalId = excluded.arrivalId
       WHERE excluded.arrivalId < arrivalId`,
    );
    this.dropConflict = database.prepare(
      'DELETE FROM conflicts WHERE level = ? AND entity = ? AND keyword = ? AND value = ?',
    );
    this.modality = layout.SERIES.attributes.findIndex(({ keyword }) => keyword === 'Modality');
    this.nextInstance =
      1 + Number(database.prepare('SELECT coalesce(max(id), 0) FROM instances').pluck().get());
  }

  /** Whether any arrival has this one's SOP Instance UID. */
  holds({ header }: Arrival): boolean {
    return this.held.get(header.SOPInstanceUID) !== undefined;
  }

  /** The rule of `Catalog.record`; where `holds`, `Entities.flush` must have run. */
  record(arrival: Arrival, replaces: string | undefined): RecordOutcome {
    const held = this.held.all(arrival.header.SOPInstanceUID);
    const current = held[0];
    if (current === undefined) {
      this.insert(arrival, undefined, 'current');
      return { kind: 'recorded' };
    }
    if (held.some((row) => row.arrivalId === arrival.arrivalId)) return { kind: 'recorded' };
    if (replaces !== current.arrivalId) {
      const location = this.location.get(current.id);
      if (location === undefined) throw new Error(`no instance ${current.id}`);
      return { kind: 'exists', current: readLocation(location) };
    }
    this.insert(arrival, undefined, 'version');
    this.entities.flush();
    this.choose(arrival.header.SOPInstanceUID);
    return { kind: 'recorded' };
  }

  /** Writes the row and what it says of the levels above. A version isn't counted. */
  insert(arrival: Arrival, kept: Kept | undefined, state: 'current' | 'version'): void {
    const { header } = arrival;
    const place = this.describe(arrival);
    const id = kept?.id ?? this.nextInstance++;
    this.insertInstance.run(
      id,
      place.series.id,
      state === 'current' ? 0 : id,
      arrival.segment,
      arrival.arrivalId,
      arrival.arrivedAt,
      arrival.dataSetOffset,
      arrival.dataSetLength,
      arrival.sha256,
      arrival.TransferSyntaxUID,
      arrival.sourceAETitle,
      kept?.damaged ?? null,
      ...rowValues(this.layout.IMAGE, {
        ...header.values,
        SOPClassUID: header.SOPClassUID,
        SOPInstanceUID: header.SOPInstanceUID,
      }),
    );
    this.entities.changeTotals({ bytes: arrival.dataSetLength });
    if (state === 'current') this.count(place, header.SOPClassUID);
  }

  /** What the levels above an instance say. `Entities.flush` must have run. */
  valuesAbove(id: number): Record<string, AttributeValue> {
    const { patient, study, series } = this.placeOf(id).place;
    const values: Record<string, AttributeValue> = {};
    for (const { level, merged } of [patient, study, series]) {
      for (const [position, { keyword }] of this.layout[level].attributes.entries()) {
        const value = merged.values[position];
        if (value !== null && value !== undefined) values[keyword] = value;
      }
    }
    return values;
  }

  /** Makes an instance that stays while its levels are emptied a version, and the one to have said these values. */
  sayAgain(row: {
    readonly id: number;
    readonly arrivalId: string;
    readonly values: Readonly<Record<string, AttributeValue>>;
  }): void {
    this.setVersion.run(row.id, row.id);
    this.say(row.id, row.arrivalId, row.values);
  }

  /** Merges values of an instance that has a row into the levels above. `Entities.flush` must have run. */
  say(id: number, arrivalId: string, values: Readonly<Record<string, AttributeValue>>): void {
    const { patient, study, series } = this.placeOf(id).place;
    this.merge('PATIENT', 0, patient.key, arrivalId, values);
    this.merge('STUDY', patient.id, study.key, arrivalId, values);
    this.merge('SERIES', study.id, series.key, arrivalId, values, study);
  }

  /** Makes the highest arrival of a UID the current one, the others versions. `Entities.flush` must have run. */
  choose(SOPInstanceUID: string): void {
    const rows = this.held.all(SOPInstanceUID).sort((a, b) => (a.arrivalId < b.arrivalId ? -1 : 1));
    const chosen = rows.pop();
    for (const row of rows) {
      if (row.version !== 0) continue;
      this.setVersion.run(row.id, row.id);
      this.uncount(row.id);
    }
    if (chosen === undefined || chosen.version === 0) return;
    this.setVersion.run(0, chosen.id);
    const { place, SOPClassUID } = this.placeOf(chosen.id);
    this.count(place, SOPClassUID);
  }

  /** Takes a current instance out of counters and sets; its row stays. */
  uncount(id: number): void {
    const { patient, study, series } = this.placeOf(id).place;
    for (const entity of [patient, study, series]) {
      this.entities.change(entity, 'counters');
      entity.instances--;
    }
    study.setsStale = true;
    const totals = { patients: 0, studies: 0, series: 0, instances: -1 };
    if (series.instances === 0) {
      study.series--;
      patient.series--;
      totals.series--;
    }
    if (study.instances === 0) {
      patient.studies--;
      totals.studies--;
    }
    if (patient.instances === 0) totals.patients--;
    this.entities.changeTotals(totals);
  }

  private count({ patient, study, series }: Place, SOPClassUID: string): void {
    const totals = { patients: 0, studies: 0, series: 0, instances: 1 };
    for (const entity of [patient, study, series]) this.entities.change(entity, 'counters');
    if (patient.instances === 0) totals.patients++;
    if (study.instances === 0) {
      patient.studies++;
      totals.studies++;
    }
    if (series.instances === 0) {
      study.series++;
      patient.series++;
      totals.series++;
      const modality = this.modalityOf(series);
      if (typeof modality === 'string') study.ModalitiesInStudy = added(study.ModalitiesInStudy, modality);
    }
    for (const entity of [patient, study, series]) entity.instances++;
    study.SOPClassesInStudy = added(study.SOPClassesInStudy, SOPClassUID);
    this.entities.changeTotals(totals);
  }

  /** Finds or makes the entities of an arrival and merges its values into them. */
  private describe(arrival: Arrival): Place {
    const { header } = arrival;
    const { StudyInstanceUID, SeriesInstanceUID } = header;
    const values = { ...header.values, StudyInstanceUID, SeriesInstanceUID };
    const patient = this.merge('PATIENT', 0, identityOf(arrival), arrival.arrivalId, values);
    const study = this.merge('STUDY', patient.id, StudyInstanceUID, arrival.arrivalId, values);
    const series = this.merge('SERIES', study.id, SeriesInstanceUID, arrival.arrivalId, values, study);
    return { patient, study, series };
  }

  private merge(
    level: EntityLevel,
    parent: number,
    key: string,
    arrivalId: string,
    values: Readonly<Record<string, AttributeValue>>,
    study?: Entity,
  ): Entity {
    const entity = this.entities.find(level, parent, key);
    const layout = this.layout[level];
    const { merged, conflicts } = merge(entity.merged, arrivalId, rowValues(layout, values));
    if (merged === entity.merged) return entity;
    const modality = study === undefined ? undefined : this.modalityOf(entity);
    this.entities.describe(entity, merged);
    if (study !== undefined && entity.instances > 0 && modality !== this.modalityOf(entity)) {
      this.entities.change(study, 'counters');
      study.setsStale = true;
    }
    for (const change of conflicts) {
      const keyword = layout.attributes[change.position]?.keyword ?? '';
      if (change.kind === 'agrees') this.dropConflict.run(level, entity.id, keyword, change.value);
      else this.putConflict.run(level, entity.id, keyword, change.value, change.arrivalId);
    }
    return entity;
  }

  private modalityOf(series: Entity): AttributeValue | null | undefined {
    return series.merged.values[this.modality];
  }

  private placeOf(instance: number): { place: Place; SOPClassUID: string } {
    const row = this.seriesOf.get(instance);
    if (row === undefined) throw new Error(`no instance ${instance}`);
    const series = this.entities.byId('SERIES', row.series);
    const study = this.entities.byId('STUDY', series.parent);
    const patient = this.entities.byId('PATIENT', study.parent);
    return { place: { patient, study, series }, SOPClassUID: row.SOPClassUID };
  }
}

/** `state` and `damaged` as the contract has them. */
export function readLocation(row: InstanceLocation): InstanceLocation {
  return { ...row, damaged: row.damaged ?? undefined };
}

/**
 * PatientID and its issuer; without a PatientID nothing says that two studies are of one person, so each has a patient
 * of its own (an issuer alone identifies nobody).
 */
function identityOf({ header }: Arrival): string {
  const { PatientID, IssuerOfPatientID } = header.values;
  if (PatientID === undefined || PatientID === '') return JSON.stringify([null, header.StudyInstanceUID]);
  return JSON.stringify([String(PatientID), String(IssuerOfPatientID ?? '')]);
}

/** A sorted set of values joined by `\`, with one more. */
function added(set: string, value: string): string {
  if (set === value) return set;
  if (set === '') return value;
  const values = set.split('\\');
  return values.includes(value) ? set : [...values, value].sort().join('\\');
}
