// connect-web in a page, on fetch.
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { RealtimeService } from "../../sdk/ts/millrace/v1/realtime_service_pb.js";
import { play } from "./play.mjs";

export async function run(server, name, channel, say) {
  const client = createClient(RealtimeService, createConnectTransport({ baseUrl: server }));
  try {
    await play(client, name, [channel], say);
  } catch (reason) {
    const { code, message } = ConnectError.from(reason);
    if (code !== Code.Canceled) say({ error: message });
    else say({ cancelled: true });
  }
}
