#!/usr/bin/env bash
# Names the Go files that gofmt would change, those not yet added to git included.
set -euo pipefail
cd "$(dirname "$0")/.."

unformatted=$(git ls-files --cached --others --exclude-standard -- '*.go' ':!gen/' |
  while read -r file; do if [[ -f $file ]]; then echo "$file"; fi; done | # deleted, not yet committed
  xargs --no-run-if-empty gofmt -l)
if [[ -n $unformatted ]]; then
  echo "not gofmt clean (run \`make format\`):" >&2
  echo "$unformatted" >&2
  exit 1
fi
