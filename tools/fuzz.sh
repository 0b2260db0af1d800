#!/usr/bin/env bash
# Runs every fuzz target of the module, one after the other, for FUZZTIME each (10s unless told).
# Finding none is a failure: the wires are parsed from what strangers send, so there is always something to fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."
fuzztime=${FUZZTIME:-10s}

# `go test -list` prints the names of a package's targets, then "ok <package>".
targets=$(go test -vet=off -list '^Fuzz' ./... | awk '
  /^Fuzz/ { names[++count] = $1 }
  /^ok/   { for (i = 1; i <= count; i++) print $2, names[i]; count = 0 }')

if [[ -z $targets ]]; then
  echo "fuzz: no target found" >&2
  exit 1
fi

# The end of the time can overtake a worker that is busy, which go test then reports as a failure of the target:
# "context deadline exceeded", and nothing else. A target that really fails says what with.
overtaken() { grep -q '^    context deadline exceeded$' "$1" && ! grep -qE 'Failing input|panic:|_test\.go:[0-9]+:' "$1"; }

log=$(mktemp)
trap 'rm -f "$log"' EXIT
while read -r package target; do
  echo "fuzz: $package $target, $fuzztime"
  # Where goroutines race, an input never covers quite the same again, and its minimizing would take all the time.
  go test -run '^$' -fuzz "^$target\$" -fuzztime "$fuzztime" -fuzzminimizetime 10x "$package" </dev/null 2>&1 | tee "$log" || overtaken "$log"
done <<<"$targets"
