'use strict';
/** Builds dist/ when a source, the compiler's configuration or the lockfile is newer than the last build. */
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const root = path.join(__dirname, '..');
const stamp = path.join(root, 'dist', '.built');

function newest(file) {
  const stat = fs.statSync(file);
  if (!stat.isDirectory()) return stat.mtimeMs;
  // A folder's own time tells of removed files.
  return fs
    .readdirSync(file)
    .reduce((latest, name) => Math.max(latest, newest(path.join(file, name))), stat.mtimeMs);
}

function stale() {
  if (!fs.existsSync(stamp)) return true;
  const built = fs.statSync(stamp).mtimeMs;
  return ['src', 'tsconfig.json', 'tsconfig.build.json', 'package-lock.json'].some(
    (name) => newest(path.join(root, name)) > built,
  );
}

if (stale()) {
  const started = new Date();
  fs.rmSync(stamp, { force: true });
  execFileSync(
    process.execPath,
    [path.join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', 'tsconfig.build.json'],
    {
      cwd: root,
      stdio: 'inherit',
    },
  );
  // The time before the compiler began: a file saved while it ran makes the next build stale again.
  fs.writeFileSync(stamp, '');
  fs.utimesSync(stamp, started, started);
}
