const { execFileSync } = require('node:child_process');
const path = require('node:path');

/** Brings dist/ up to date: worker threads and the command line are run from the build. */
module.exports = () => {
  const root = path.join(__dirname, '..', '..');
  execFileSync(process.execPath, [path.join(root, 'scripts', 'build.js')], { cwd: root, stdio: 'inherit' });
};
