#!/usr/bin/env bash
# npm start: set up, then become the node (exec, so that signals sent to npm reach it).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
export UV_THREADPOOL_SIZE="${UV_THREADPOOL_SIZE:-16}"
exec node scripts/isocenter serve "$@"
