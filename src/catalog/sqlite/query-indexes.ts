import type Database from 'better-sqlite3';

/**
 * What queries need beyond the keys. The index of days goes on with row ids at once, so that a page resumes within a day. And next to no
 * row has several values of these, which no index finds by the second one: such rows are listed.
 */
export function createQueryIndexes(database: Database.Database): void {
  database.exec(`
    DROP INDEX studies_StudyDate;
    CREATE INDEX studies_StudyDate ON studies (StudyDate);
  `);
  const columns = [
    ['patients', 'PatientID'],
    ['patients', 'PatientName'],
    ['studies', 'AccessionNumber'],
    ['studies', 'StudyDate'],
  ] as const;
  for (const [table, column] of columns) {
    database.exec(
      `CREATE INDEX ${table}_${column}_several ON ${table} (${column}) WHERE instr(${column}, '\\') > 0`,
    );
  }
}
