# Sourced by start.sh and test.sh: installs what is missing from the lockfile and builds what is stale.
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# npm writes this file after an install; it is older than the lockfile when the lockfile has changed since.
if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  echo "isocenter: installing packages from package-lock.json" >&2
  npm ci --no-fund --no-audit >&2
  touch node_modules/.package-lock.json
fi
# npm put node_modules/.bin first before the pinned runtime was there; look it up again.
export PATH="$PWD/node_modules/.bin:$PATH"
hash -r
node scripts/build.js >&2
