#!/usr/bin/env bash
# npm test: set up, bring in the programs that the interoperability tests talk to, then run every test.
# Extra words go to jest: npm test -- --selectProjects unit
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

# Debian's names of what the interoperability and fault tests use.
packages=(dcmtk orthanc python3-pydicom python3-numpy strace e2fsprogs)

tools_present() {
  [ -x /usr/bin/storescu ] && [ -x /usr/sbin/Orthanc ] && [ -x /usr/bin/strace ] && [ -x /usr/sbin/mkfs.ext4 ] &&
    /usr/bin/python3 -c 'import pydicom, numpy' 2>/dev/null
}

# Installs without questions; a policy keeps Debian from starting the orthanc service on its port.
install_tools() {
  local policy=/usr/sbin/policy-rc.d own_policy='' failed=0
  if [ ! -e "$policy" ]; then
    own_policy=yes
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
  fi
  {
    timeout 120 apt-get -q update &&
      DEBIAN_FRONTEND=noninteractive timeout 420 apt-get -q -y --no-install-recommends install "${packages[@]}"
  } >&2 </dev/null || failed=1
  [ -z "$own_policy" ] || rm -f "$policy"
  return "$failed"
}

if ! tools_present; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "isocenter: installing ${packages[*]} for the interoperability tests" >&2
    install_tools || echo "isocenter: that failed; tests that need them are reported as skipped" >&2
  else
    echo "isocenter: ${packages[*]} are not all here; tests that need them are reported as skipped" >&2
  fi
fi

# Written for .ci/run, which counts what passed and what was skipped.
results=()
if [ -n "${ISOCENTER_TEST_RESULTS:-}" ]; then
  results=(--json "--outputFile=$ISOCENTER_TEST_RESULTS")
fi
# --maxWorkers last: what follows a list, such as the reporters, would be taken into it.
exec jest --reporters="$PWD/scripts/report-skipped.js" --reporters=default "${results[@]}" --maxWorkers=2 "$@"
