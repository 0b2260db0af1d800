// The scenario of clients_test.go for a Connect client in Node or in a page: say hello when asked, stop at goodbye.

export async function play(client, name, channels, say) {
  const stop = new AbortController();
  const request = { subscriptions: channels.map((channel) => ({ channel })), client: "connect-es" };
  for await (const { messages, notice } of client.subscribe(request, { signal: stop.signal })) {
    if (notice.case === "subscribed") say({ subscribed: notice.value.channel });
    for (const message of messages) {
      const data = message.payload.kind.value;
      say({ channel: message.channel, offset: Number(message.position.offset), data });
      const word = JSON.parse(data).say;
      if (word === "hello") await hello(client, name, channels[0], say);
      if (word === "goodbye") stop.abort();
    }
  }
}

async function hello(client, name, channel, say) {
  const payload = { kind: { case: "json", value: JSON.stringify({ from: name, n: 0 }) } };
  const { position } = await client.publish({ channel, data: { case: "payload", value: payload } });
  say({ published: Number(position.offset) });
}
