#!/usr/bin/env bash
# Generates clients in other languages from proto/ into sdk/ (not committed), then compiles or loads each one.
#
#   tools/sdk.sh                   all languages
#   tools/sdk.sh python ruby       only these
#   tools/sdk.sh --generate-only   no checks: for tests that use the result at once
set -euo pipefail
cd "$(dirname "$0")/.."

readonly tools=tools/node_modules work=.tmp/sdk
readonly python=${PYTHON:-/usr/bin/python3} # Debian's: it is the one that finds Debian's grpcio
readonly all=(typescript python java cpp ruby)

need() {
  command -v "$1" >/dev/null || { echo "sdk: $1 is not installed: run \`make deps\`" >&2; exit 1; }
}

generate() {
  need "$tools/.bin/buf"
  need protoc
  local plugin
  for plugin in python java cpp ruby; do need "grpc_${plugin}_plugin"; done
  "$tools/.bin/buf" generate --template buf.gen.sdk.yaml

  # What Node and tsc expect round the generated code.
  echo '{"type": "module"}' >sdk/package.json
  ln -sfn "../$tools" sdk/node_modules
}

check_typescript() {
  cat >sdk/tsconfig.json <<'JSON'
{
  "compilerOptions": {
    "strict": true, "noUncheckedIndexedAccess": true, "exactOptionalPropertyTypes": true, "verbatimModuleSyntax": true,
    "target": "es2022", "module": "nodenext", "types": [], "noEmit": true
  },
  "include": ["ts", "check.ts"]
}
JSON
  cat >sdk/check.ts <<'TS'
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import type { Message } from "./ts/millrace/v1/message_pb.js";
import { RealtimeService } from "./ts/millrace/v1/realtime_service_pb.js";

const client = createClient(RealtimeService, createConnectTransport({ baseUrl: "http://127.0.0.1" }));
export async function* messages(channel: string): AsyncGenerator<Message> {
  for await (const response of client.subscribe({ subscriptions: [{ channel }] })) yield* response.messages;
}
TS
  "$tools/.bin/tsc" --project sdk
}

check_python() {
  PYTHONPATH=sdk/python "$python" -c '
import grpc
from millrace.v1 import admin_service_pb2_grpc, realtime_service_pb2, realtime_service_pb2_grpc
request = realtime_service_pb2.SubscribeRequest(subscriptions=[{"channel": "chat"}])
assert realtime_service_pb2.SubscribeRequest.FromString(request.SerializeToString()) == request
realtime_service_pb2_grpc.RealtimeServiceStub(grpc.insecure_channel("127.0.0.1:1")).Subscribe'
}

check_java() {
  need javac
  local jars=/usr/share/java
  find sdk/java -name '*.java' >"$work/java.files"
  javac -nowarn -Xlint:none -proc:none -d "$work/java" \
    -cp "$jars/protobuf.jar:$jars/grpc-api.jar:$jars/grpc-stub.jar:$jars/grpc-protobuf.jar:$jars/guava.jar:$jars/geronimo-annotation-1.3-spec.jar" \
    "@$work/java.files"
}

check_cpp() {
  need g++
  need pkg-config
  cat >"$work/main.cc" <<'CC'
#include <grpcpp/grpcpp.h>

#include "millrace/v1/realtime_service.grpc.pb.h"

int main() {
  auto channel = grpc::CreateChannel("127.0.0.1:1", grpc::InsecureChannelCredentials());
  auto stub = millrace::v1::RealtimeService::NewStub(channel);
  millrace::v1::SubscribeRequest request;
  request.add_subscriptions()->set_channel("chat");
  return stub && request.ByteSizeLong() > 0 ? 0 : 1;
}
CC
  find sdk/cpp "$work/main.cc" -name '*.cc' -print0 |
    xargs -0 -P "$(nproc)" -I{} sh -c 'g++ -std=c++17 -O0 -w -Isdk/cpp -c "$1" -o "$2/$(basename "$1").o"' _ {} "$work/cpp"
  # shellcheck disable=SC2046 # the flags are words
  g++ "$work"/cpp/*.o -o "$work/cpp/client" $(pkg-config --libs grpc++ protobuf)
  "$work/cpp/client"
}

check_ruby() {
  need ruby
  ruby -Isdk/ruby -e '
require "millrace/v1/admin_service_services_pb"
require "millrace/v1/realtime_service_services_pb"
request = Millrace::V1::SubscribeRequest.new(subscriptions: [{channel: "chat"}])
raise "not the same" unless Millrace::V1::SubscribeRequest.decode(request.to_proto) == request
Millrace::V1::RealtimeService::Stub.new("127.0.0.1:1", :this_channel_is_insecure)'
}

# Checks run in a process of their own: under an `if` of this one, errexit would be off.
if [[ ${1-} == --check ]]; then
  "check_$2"
  exit
fi

generate
if [[ ${1-} == --generate-only ]]; then exit; fi

failed=0
for language in "${@:-${all[@]}}"; do
  rm -rf "${work:?}/$language"
  mkdir -p "$work/$language"
  if tools/sdk.sh --check "$language"; then
    echo "sdk: $language ok"
  else
    echo "sdk: $language FAILED" >&2
    failed=1
  fi
done
exit "$failed"
