#!/usr/bin/env bash
# Listens to a channel with curl, publishes to it in two ways, and shows what arrived.
#
#   examples/curl/publish.sh http://127.0.0.1:8080 chat
set -euo pipefail
server=${1:-http://127.0.0.1:8080} channel=${2:-chat}

# Every message is an event named after its channel. Leave it running in a terminal of its own; here, until two have arrived.
coproc EVENTS { exec curl --silent --no-buffer "$server/events?channel=$channel"; }
trap 'kill "$EVENTS_PID" 2>/dev/null || true' EXIT
until IFS= read -r line <&"${EVENTS[0]}" && [[ $line == "event: millrace.subscribed" ]]; do :; done

# The body is the payload, as it is.
curl --silent --fail-with-body --json '{"text":"hello from curl"}' "$server/publish/$channel"
echo

# The same call as every other client makes it: Connect, with JSON. `id` makes it safe to repeat.
curl --silent --fail-with-body --json '{"channel":"'"$channel"'","value":{"text":"hello again"},"id":"'"$RANDOM-$$"'"}' \
  "$server/millrace.v1.RealtimeService/Publish"
echo

arrived=0
while ((arrived < 2)) && IFS= read -r line <&"${EVENTS[0]}"; do
  if [[ $line == 'data: {"text":'* ]]; then
    echo "$line"
    arrived=$((arrived + 1))
  fi
done
