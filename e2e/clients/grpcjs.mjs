// Plays the scenario of clients_test.go with grpc-js, which reads the .proto files itself.
//
// usage: node grpcjs.mjs ADDRESS NAME CHANNEL...     with PROTO_PATH=proto
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const [address, name, ...channels] = process.argv.slice(2);
const definition = loadSync("millrace/v1/realtime_service.proto", {
  includeDirs: [process.env.PROTO_PATH],
  arrays: true,
  longs: Number,
  oneofs: true,
});
const { RealtimeService } = grpc.loadPackageDefinition(definition).millrace.v1;
const client = new RealtimeService(address, grpc.credentials.createInsecure());
const say = (what) => console.log(JSON.stringify(what));

const stream = client.subscribe({ subscriptions: channels.map((channel) => ({ channel })), client: "grpc-js" });

stream.on("data", (response) => {
  if (response.notice === "subscribed") say({ subscribed: response.subscribed.channel });
  for (const message of response.messages) {
    const data = message.payload.json;
    say({ channel: message.channel, offset: message.position.offset, data });
    const word = JSON.parse(data).say;
    if (word === "hello") hello();
    if (word === "goodbye") stream.cancel();
  }
});
stream.on("error", (error) => {
  client.close();
  if (error.code !== grpc.status.CANCELLED) throw error;
  say({ cancelled: true });
});

function hello() {
  const request = { channel: channels[0], payload: { json: JSON.stringify({ from: name, n: 0 }) } };
  client.publish(request, (error, response) => {
    if (error) throw error;
    say({ published: response.position.offset });
  });
}
