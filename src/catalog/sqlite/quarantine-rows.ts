import type Database from 'better-sqlite3';
import type { QuarantineEntry } from '../types';

type Value = string | number | null;
type NewEntry = Omit<QuarantineEntry, 'count'>;

/** Statements of the quarantine's list. */
export class QuarantineRows {
  private readonly known: Database.Statement<[string]>;
  private readonly countUp: Database.Statement<[string, string], number>;
  private readonly insert: Database.Statement<Value[]>;
  private readonly delete: Database.Statement<[string]>;

  constructor(database: Database.Database) {
    this.known = database.prepare('SELECT 1 FROM quarantine WHERE arrivalId = ?');
    this.countUp = database.prepare(
      `UPDATE quarantine SET count = count + 1
       WHERE id = (SELECT min(id) FROM quarantine WHERE SOPInstanceUID = ? AND sha256 = ?)`,
    );
    this.insert = database.prepare(
      `INSERT INTO quarantine (arrivalId, SOPInstanceUID, SOPClassUID, StudyInstanceUID, sha256, dataSetLength, reason,
         detail, conflictsWith, sourceAETitle, time, count) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)
       ON CONFLICT (arrivalId) DO NOTHING`,
    );
    this.delete = database.prepare('DELETE FROM quarantine WHERE arrivalId = ?');
  }

  /** Whether the file is to be kept: false where the same bytes of the same instance are there, which are counted. */
  add(entry: NewEntry, kept: boolean): boolean {
    if (this.known.get(entry.arrivalId) !== undefined) return true;
    if (!kept && this.countUp.run(entry.SOPInstanceUID, entry.sha256).changes > 0) return false;
    this.put(entry);
    return true;
  }

  /** Without looking at others: the file of this entry is there in any case. */
  put(entry: NewEntry): void {
    this.insert.run(
      entry.arrivalId,
      entry.SOPInstanceUID,
      entry.SOPClassUID,
      entry.StudyInstanceUID,
      entry.sha256,
      entry.dataSetLength,
      entry.reason,
      entry.detail,
      entry.conflictsWith ?? null,
      entry.sourceAETitle,
      entry.time,
    );
  }

  remove(arrivalId: string): void {
    this.delete.run(arrivalId);
  }
}
