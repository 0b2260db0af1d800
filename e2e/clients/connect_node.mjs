// Plays the scenario of clients_test.go with connect-node and generated code, over the protocol that is asked for.
//
// usage: node connect_node.mjs ADDRESS NAME PROTOCOL CHANNEL...
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { play } from "./play.mjs";
import { RealtimeService } from "../../sdk/ts/millrace/v1/realtime_service_pb.js";

const [address, name, protocol, ...channels] = process.argv.slice(2);
const baseUrl = `http://${address}`;
const transports = {
  "connect-json-h1": () => createConnectTransport({ baseUrl, httpVersion: "1.1", useBinaryFormat: false }),
  "connect-h2": () => createConnectTransport({ baseUrl, httpVersion: "2" }),
  grpc: () => createGrpcTransport({ baseUrl }),
  "grpc-web": () => createGrpcWebTransport({ baseUrl, httpVersion: "2" }),
};

const client = createClient(RealtimeService, transports[protocol]());
await play(client, name, channels, (what) => console.log(JSON.stringify(what))).catch((reason) => {
  if (ConnectError.from(reason).code !== Code.Canceled) throw reason;
});
console.log(JSON.stringify({ cancelled: true }));
// HTTP/2 connections would be kept for fifteen more minutes.
process.exit();
