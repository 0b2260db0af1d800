#!/usr/bin/env bash
# Installs the packages of apt-packages.txt that are missing. Asks nothing and costs nothing when all are there.
set -euo pipefail
cd "$(dirname "$0")"

if ! command -v apt-get >/dev/null; then
  echo "no apt-get here: install the counterparts of tools/apt-packages.txt by hand" >&2
  exit 1
fi

missing=()
while read -r package; do
  state=$(dpkg-query --show --showformat='${db:Status-Abbrev}' "$package" 2>/dev/null || true)
  [[ $state == ii* ]] || missing+=("$package")
done < <(sed 's/#.*//; /^[[:space:]]*$/d' apt-packages.txt)

if ((${#missing[@]} == 0)); then
  exit 0
fi

as_root=()
if ((EUID != 0)); then
  if ! command -v sudo >/dev/null; then
    echo "not root and no sudo; missing: ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi

echo "installing: ${missing[*]}"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive SYSTEMD_OFFLINE=1 apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null
