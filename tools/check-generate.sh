#!/usr/bin/env bash
# Fails when generated code is not what git holds. Run it after the generator: `make check-generate` does.
set -euo pipefail
cd "$(dirname "$0")/.."

stale=$(git status --porcelain --untracked-files=all -- gen web/packages/client/src/gen)
if [[ -n $stale ]]; then
  echo "this is not what \`make generate\` writes from proto/, or is not committed:" >&2
  echo "$stale" >&2
  exit 1
fi
