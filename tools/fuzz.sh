#!/usr/bin/env bash
# Runs every fuzz target of the module, one after the other, for FUZZTIME each (5s unless told).
# Finding none is a failure: the wires are parsed from what strangers send, so there is always something to fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."
fuzztime=${FUZZTIME:-5s}
cache=$(go env GOCACHE)/fuzz

# The end of the time can overtake a worker that is busy, which is then reported as a failure of the target:
# "context deadline exceeded", and nothing else. A target that really fails says what with.
overtaken() { grep -q '^    context deadline exceeded$' "$1" && ! grep -qE 'Failing input|panic:|_test\.go:[0-9]+:' "$1"; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
found=0
while read -r package; do
  # Once for all its targets: what is built to be fuzzed is linked anew for each `go test`.
  go test -vet=off -ldflags=-s -fuzz . -c -o "$work/fuzz.test" "./$package"
  for target in $(cd "$package" && "$work/fuzz.test" -test.list '^Fuzz'); do
    echo "fuzz: $package $target, $fuzztime"
    found=$((found + 1))
    # Where goroutines race, an input never covers quite the same again, and its minimizing would take all the time.
    (cd "$package" && "$work/fuzz.test" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "$fuzztime" \
      -test.fuzzminimizetime 10x -test.fuzzcachedir "$cache/$package" -test.timeout 0) </dev/null 2>&1 | tee "$work/log" || overtaken "$work/log"
  done
done < <(git ls-files '*_test.go' ':!bench' | xargs grep -l '^func Fuzz' | xargs -n1 dirname | sort -u)

if ((found == 0)); then
  echo "fuzz: no target found" >&2
  exit 1
fi
