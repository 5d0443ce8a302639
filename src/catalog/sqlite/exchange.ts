import type Database from 'better-sqlite3';
import type { Arrival, Exchange } from '../types';
import type { Entities, Entity } from './entities';
import type { Kept, Ledger } from './ledger';
import type { QuarantineRows } from './quarantine-rows';

interface PatientRow extends Kept {
  readonly arrivalId: string;
  readonly SOPInstanceUID: string;
  readonly dataSetLength: number;
}

/**
 * Takes one arrival out of the catalog as if it had never come: everything its patient has is emptied and written again from the headers
 * of the other arrivals. Rows keep their ids, so that a find between two pages sees each of them once.
 */
export class Exchanger {
  private readonly database: Database.Database;
  private readonly ledger: Ledger;
  private readonly entities: Entities;
  private readonly quarantine: QuarantineRows;

  constructor(database: Database.Database, ledger: Ledger, entities: Entities, quarantine: QuarantineRows) {
    this.database = database;
    this.ledger = ledger;
    this.entities = entities;
    this.quarantine = quarantine;
  }

  /** Within the transaction, `Entities.flush` done. */
  run(change: Exchange): 'done' | 'stale' {
    const replay = new Map(change.replay.map((arrival) => [arrival.arrivalId, arrival]));
    const unreadable = new Set(change.unreadable);
    const patient = this.patientOf(change.leaves);
    if (patient === undefined) {
      // Asked again after a commit whose answer was lost.
      if ([...replay.keys()].some((arrivalId) => this.patientOf(arrivalId) === undefined)) return 'stale';
    } else {
      const rows = this.rowsOf(patient);
      const others = rows.filter((row) => row.arrivalId !== change.leaves);
      const stays = others.filter((row) => unreadable.has(row.arrivalId));
      const missed = others.some((row) => !replay.has(row.arrivalId) && !unreadable.has(row.arrivalId));
      if (replay.has(change.leaves) || missed) return 'stale';
      const said = stays.map((row) => ({ ...row, values: this.ledger.valuesAbove(row.id) }));
      const goes = rows.filter((row) => !stays.includes(row));
      this.empty(patient, goes);
      for (const row of said) this.ledger.sayAgain(row);
      this.fill([...replay.values()], rows);
    }
    if (change.quarantineRemove !== undefined) this.quarantine.remove(change.quarantineRemove);
    if (change.quarantineAdd !== undefined) this.quarantine.put(change.quarantineAdd);
    return 'done';
  }

  private patientOf(arrivalId: string): number | undefined {
    return this.database
      .prepare<[string], number>(
        `SELECT studies.patient FROM instances CROSS JOIN series ON series.id = instances.series
         CROSS JOIN studies ON studies.id = series.study WHERE instances.arrivalId = ?`,
      )
      .pluck()
      .get(arrivalId);
  }

  private rowsOf(patient: number): PatientRow[] {
    return this.database
      .prepare<[number], PatientRow>(
        `SELECT instances.id, instances.arrivalId, instances.SOPInstanceUID, instances.dataSetLength, instances.damaged
         FROM studies CROSS JOIN series ON series.study = studies.id
         CROSS JOIN instances ON instances.series = series.id WHERE studies.patient = ?`,
      )
      .all(patient);
  }

  private empty(patientId: number, rows: readonly PatientRow[]): void {
    const patient = this.entities.byId('PATIENT', patientId);
    const ids = (text: string, parent: number): number[] =>
      this.database.prepare<[number], number>(text).pluck().all(parent);
    const studies = ids('SELECT id FROM studies WHERE patient = ?', patientId).map((id) =>
      this.entities.byId('STUDY', id),
    );
    const series = studies.flatMap((study) =>
      ids('SELECT id FROM series WHERE study = ?', study.id).map((id) => this.entities.byId('SERIES', id)),
    );
    this.entities.changeTotals({
      patients: patient.instances > 0 ? -1 : 0,
      studies: -patient.studies,
      series: -patient.series,
      instances: -patient.instances,
      bytes: -rows.reduce((sum, row) => sum + row.dataSetLength, 0),
    });
    const dropConflicts = this.database.prepare('DELETE FROM conflicts WHERE level = ? AND entity = ?');
    for (const entity of [patient, ...studies, ...series]) {
      this.emptyEntity(entity);
      dropConflicts.run(entity.level, entity.id);
    }
    const deleteInstance = this.database.prepare('DELETE FROM instances WHERE id = ?');
    for (const row of rows) deleteInstance.run(row.id);
  }

  private emptyEntity(entity: Entity): void {
    this.entities.clear(entity);
    entity.studies = 0;
    entity.series = 0;
    entity.instances = 0;
    entity.ModalitiesInStudy = '';
    entity.SOPClassesInStudy = '';
  }

  private fill(replay: readonly Arrival[], before: readonly PatientRow[]): void {
    const kept = new Map(before.map((row) => [row.arrivalId, row]));
    // A UID can have versions, here or with another patient: those are sorted out by arrival id afterwards.
    const open = new Set(before.map((row) => row.SOPInstanceUID));
    for (const { header } of replay) open.add(header.SOPInstanceUID);
    for (const arrival of replay) {
      if (!kept.has(arrival.arrivalId) && this.patientOf(arrival.arrivalId) !== undefined) continue;
      this.ledger.insert(arrival, kept.get(arrival.arrivalId), 'version');
    }
    this.entities.flush();
    for (const SOPInstanceUID of open) this.ledger.choose(SOPInstanceUID);
  }
}
