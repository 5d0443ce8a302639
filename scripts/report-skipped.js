'use strict';
/** A jest reporter that names the tests that were skipped: its own summary only counts them. */
module.exports = class ReportSkipped {
  onRunComplete(_contexts, results) {
    const names = results.testResults.flatMap((file) =>
      file.testResults.filter((test) => test.status === 'pending').map((test) => test.fullName),
    );
    if (names.length > 0) process.stderr.write(`\nSkipped:\n${names.map((name) => `  ${name}\n`).join('')}`);
  }
};
