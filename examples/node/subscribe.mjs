// Prints the messages of a channel, over Connect and HTTP/2. When the connection ends it comes back and misses nothing.
//
// Generate the client once with `make sdk`, then, after `npm install --prefix examples/node`:
//
//   node examples/node/subscribe.mjs http://127.0.0.1:8080 chat
import { setTimeout as delay } from "node:timers/promises";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { RealtimeService } from "../../sdk/ts/millrace/v1/realtime_service_pb.js";

const [baseUrl = "http://127.0.0.1:8080", channel = "chat"] = process.argv.slice(2);
const client = createClient(RealtimeService, createConnectTransport({ baseUrl, httpVersion: "2" }));

// The place in the channel that has been handled: all that a subscriber needs to keep.
let since;

async function subscribe() {
  for await (const { messages, notice } of client.subscribe({ subscriptions: [{ channel, since }] })) {
    if (notice.case === "subscribed") {
      console.error(`subscribed to ${channel} at ${notice.value.position.offset}`);
      since ??= notice.value.position;
    }
    if (notice.case === "gap") {
      console.error(`missed messages of ${channel}: load its state again`);
      since = notice.value.position;
    }
    for (const message of messages) {
      console.log(`${message.position.offset} ${message.payload.kind.value}`);
      since = message.position;
    }
  }
}

for (;;) {
  await subscribe().catch((reason) => {
    const error = ConnectError.from(reason);
    if ([Code.InvalidArgument, Code.PermissionDenied, Code.Unauthenticated].includes(error.code)) throw error;
    console.error(error.message);
  });
  await delay(1000 * Math.random());
}
