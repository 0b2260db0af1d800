#!/usr/bin/env bash
# Compares proto/ with the latest release, so that no client in the field is broken unawares.
set -euo pipefail
cd "$(dirname "$0")/.."

tag=$(git describe --tags --abbrev=0 --match 'v[0-9]*' 2>/dev/null || true)
if [[ -z $tag ]]; then
  echo "buf breaking: skipped, no release tag (v*) to compare with"
  exit 0
fi
echo "buf breaking: against $tag"
buf breaking --against "$(git rev-parse --git-common-dir)#tag=$tag"
