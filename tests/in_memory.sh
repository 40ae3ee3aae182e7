#!/usr/bin/env bash
# Runs a command whose temporary files lie in memory, if there are 8 GB to spare; else as it is.
# The suite syncs tens of thousands of small files, each of which a disk makes wait for milliseconds.
set -euo pipefail
spare_mb="$(df -m --output=avail /dev/shm 2>/dev/null | tail -n 1 || true)"
if [ "${spare_mb:-0}" -gt 8000 ]; then
  TMPDIR="$(mktemp -d -p /dev/shm XXXX)" # short: a socket's path may have 107 characters
  export TMPDIR
  trap 'rm -rf "$TMPDIR"' EXIT
fi
"$@"
