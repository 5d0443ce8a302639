#!/usr/bin/env bash
# npm run test:faults: the kill and power-cut rounds in their long form, as root where the loop mounts are wanted.
# ISOCENTER_KILL_ROUNDS, ISOCENTER_POWER_CUTS and ISOCENTER_FAULT_SEED choose other numbers.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
export ISOCENTER_KILL_ROUNDS="${ISOCENTER_KILL_ROUNDS:-100}"
export ISOCENTER_POWER_CUTS="${ISOCENTER_POWER_CUTS:-50}"
export ISOCENTER_FAULT_SEED="${ISOCENTER_FAULT_SEED:-$RANDOM}"
exec jest --selectProjects behaviour --runInBand test/behaviour/faults "$@"
