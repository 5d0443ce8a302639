import type Database from 'better-sqlite3';
import { closeSync, existsSync, fsyncSync, openSync, rmSync } from 'node:fs';
import { EXIT, IsocenterError } from '../../errors';
import { createCommitments } from './commitments-rows';
import { corrupt } from './failure';
import { createJobs } from './jobs-rows';
import { createKeptAttributes, keepAttributes } from './kept-attributes';
import { SETS, isNumeric, type Layout, type LevelLayout } from './layout';
import { createQueryIndexes } from './query-indexes';

/** "ISOC": tells a catalog from any other SQLite file. */
const APPLICATION_ID = 0x49534f43;

export type Migration = (database: Database.Database, layout: Layout) => void;

/** Migration n leads from version n to n + 1 (PRAGMA user_version). Never change one that was released. */
export const MIGRATIONS: readonly Migration[] = [
  createTables,
  createKeptAttributes,
  createQueryIndexes,
  createJobs,
  createCommitments,
];

/**
 * Creates the tables, or brings them to this version, each step in a transaction of its own, and to the attributes that are wanted.
 * @throws IsocenterError `CATALOG_NEWER` (exit 78), `CATALOG_CORRUPT`.
 */
export function migrate(
  database: Database.Database,
  layout: Layout,
  migrations: readonly Migration[] = MIGRATIONS,
): void {
  const from = Number(database.pragma('user_version', { simple: true }));
  const tables = Number(database.prepare('SELECT count(*) FROM sqlite_schema').pluck().get());
  const application = database.pragma('application_id', { simple: true });
  if (from > migrations.length) {
    throw new IsocenterError(
      'CATALOG_NEWER',
      `The catalog ${database.name} has schema ${from}; this version knows up to ${migrations.length}`,
      {
        exitCode: EXIT.configuration,
        hint: 'start the newer isocenter, or restore the backup made before its upgrade',
      },
    );
  }
  if (tables > 0 && application !== APPLICATION_ID)
    throw corrupt(database.name, 'it is not a catalog of isocenter');
  if (from > 0 && from < migrations.length) copyAside(database, from);
  for (const [version, migration] of migrations.entries()) {
    if (version < from) continue;
    database
      .transaction(() => {
        migration(database, layout);
        database.pragma(`application_id = ${APPLICATION_ID}`);
        database.pragma(`user_version = ${version + 1}`);
      })
      .immediate();
  }
  keepAttributes(database, layout);
}

/** A whole copy beside the file, synced, before its first change. */
function copyAside(database: Database.Database, version: number): void {
  const copy = `${database.name}.v${version}`;
  if (existsSync(copy)) rmSync(copy);
  database.prepare('VACUUM INTO ?').run(copy);
  const descriptor = openSync(copy, 'r+');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function createTables(database: Database.Database, layout: Layout): void {
  const { PATIENT, STUDY, SERIES, IMAGE } = layout;
  // Small and often changed columns come first, so that a counter is reached without reading a long text.
  const entity = (level: LevelLayout, key: string): string => `
    CREATE TABLE ${level.table} (
      id INTEGER PRIMARY KEY,
      ${key},
      ${level.counted.map((column) => `${column} ${isSet(column) ? 'TEXT' : 'INTEGER NOT NULL'}`).join(',\n      ')},
      firstArrival TEXT NOT NULL,
      sources TEXT,
      ${columns(level)}
    ) STRICT;`;
  database.exec(`
    ${entity(PATIENT, 'identity TEXT NOT NULL')}
    ${entity(STUDY, 'patient INTEGER NOT NULL')}
    ${entity(SERIES, 'study INTEGER NOT NULL')}
    CREATE TABLE instances (
      id INTEGER PRIMARY KEY,
      series INTEGER NOT NULL,
      version INTEGER NOT NULL,
      segment INTEGER NOT NULL,
      arrivalId TEXT NOT NULL,
      arrivedAt INTEGER NOT NULL,
      dataSetOffset INTEGER NOT NULL,
      dataSetLength INTEGER NOT NULL,
      sha256 TEXT NOT NULL,
      TransferSyntaxUID TEXT NOT NULL,
      sourceAETitle TEXT NOT NULL,
      damaged TEXT,
      ${columns(IMAGE)}
    ) STRICT;
    CREATE TABLE conflicts (
      id INTEGER PRIMARY KEY,
      level TEXT NOT NULL,
      entity INTEGER NOT NULL,
      keyword TEXT NOT NULL,
      value ANY NOT NULL,
      arrivalId TEXT NOT NULL,
      UNIQUE (level, entity, keyword, value)
    ) STRICT;
    CREATE TABLE quarantine (
      id INTEGER PRIMARY KEY,
      arrivalId TEXT NOT NULL UNIQUE,
      SOPInstanceUID TEXT NOT NULL,
      SOPClassUID TEXT NOT NULL,
      StudyInstanceUID TEXT NOT NULL,
      sha256 TEXT NOT NULL,
      dataSetLength INTEGER NOT NULL,
      reason TEXT NOT NULL,
      detail TEXT NOT NULL,
      conflictsWith TEXT,
      sourceAETitle TEXT NOT NULL,
      time TEXT NOT NULL,
      count INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE segments (segment INTEGER PRIMARY KEY, settled INTEGER NOT NULL) STRICT;
    CREATE TABLE totals (
      id INTEGER PRIMARY KEY CHECK (id = 1),
      patients INTEGER NOT NULL,
      studies INTEGER NOT NULL,
      series INTEGER NOT NULL,
      instances INTEGER NOT NULL,
      bytes INTEGER NOT NULL
    ) STRICT;
    INSERT INTO totals VALUES (1, 0, 0, 0, 0, 0);
  `);
  for (const statement of indexes(layout)) database.exec(statement);
}

function isSet(column: string): boolean {
  return (SETS as readonly string[]).includes(column);
}

function columns(level: LevelLayout): string {
  return [
    ...level.attributes.map((attribute) => `${attribute.keyword} ${isNumeric(attribute) ? 'ANY' : 'TEXT'}`),
    ...level.names.flatMap((name) => name.columns.map((column) => `${column} TEXT`)),
  ].join(',\n      ');
}

/**
 * Every index is paid for by each row of its table, so an instance has four and all else hangs on the three small
 * tables above it. There is none on Modality, SeriesNumber, sex or birth date: they leave too many rows to be worth it, and come
 * with a date, a name or a UID; nor on what a configuration adds.
 */
function indexes(layout: Layout): string[] {
  const { attributes, names } = layout.PATIENT;
  const patientName = names.filter(({ position }) => attributes[position]?.keyword === 'PatientName');
  return [
    // The keys of the entities; they serve the way down from the level above as well.
    'CREATE UNIQUE INDEX patients_identity ON patients (identity)',
    'CREATE UNIQUE INDEX studies_key ON studies (patient, StudyInstanceUID)',
    'CREATE UNIQUE INDEX series_key ON series (study, SeriesInstanceUID)',
    // `version` is 0 for the current arrival of a UID, else the row's own id: never two current ones.
    'CREATE UNIQUE INDEX instances_key ON instances (SOPInstanceUID, version)',
    'CREATE UNIQUE INDEX instances_arrivalId ON instances (arrivalId)',
    'CREATE INDEX instances_series ON instances (series)',
    // `arrivals` of a segment: a few bytes a row, always appended.
    'CREATE INDEX instances_segment ON instances (segment)',
    // UIDs without those of the levels above them (relational queries, retrieve).
    'CREATE INDEX studies_StudyInstanceUID ON studies (StudyInstanceUID)',
    'CREATE INDEX series_SeriesInstanceUID ON series (SeriesInstanceUID)',
    // What people ask by: number, name, accession number, day.
    'CREATE INDEX patients_PatientID ON patients (PatientID)',
    ...patientName.flatMap(({ columns: [alphabetic, ...others] }) => [
      `CREATE INDEX patients_${alphabetic} ON patients (${alphabetic})`,
      // Most names have one group only.
      ...others.map(
        (column) => `CREATE INDEX patients_${column} ON patients (${column}) WHERE ${column} IS NOT NULL`,
      ),
    ]),
    'CREATE INDEX studies_AccessionNumber ON studies (AccessionNumber) WHERE AccessionNumber IS NOT NULL',
    'CREATE INDEX studies_StudyDate ON studies (StudyDate, StudyTime)',
    'CREATE INDEX quarantine_content ON quarantine (SOPInstanceUID, sha256)',
  ];
}
