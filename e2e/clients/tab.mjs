// A browser tab that plays the scenario of clients_test.go on one wire: tab.html?wire=ws&server=http://...&name=n&channel=c
// What it sees it logs, one JSON object a line, and shows.
import { run } from "./connect_web.mjs";

const query = new URLSearchParams(location.search);
const [wire, server, name, channel] = ["wire", "server", "name", "channel"].map((key) => query.get(key));
const hello = { from: name, n: 0 };

function say(what) {
  const line = JSON.stringify(what);
  console.log(line);
  document.getElementById("log").textContent += `${line}\n`;
}

function ws() {
  const socket = new WebSocket(`${server.replace("http", "ws")}/ws`);
  socket.onopen = () => socket.send(JSON.stringify({ type: "subscribe", channel, id: 1 }));
  socket.onerror = () => say({ error: "no connection" });
  socket.onclose = ({ code, wasClean }) => say(wasClean ? { cancelled: true } : { closed: code });
  socket.onmessage = (event) => {
    const frame = JSON.parse(event.data);
    if (frame.type === "subscribed") say({ subscribed: frame.for });
    if (frame.type === "error") say({ error: frame });
    if (frame.channel !== channel) return;
    say({ channel, offset: frame.offset, data: JSON.stringify(frame.data) });
    if (frame.data.say === "hello") socket.send(JSON.stringify({ channel, data: hello }));
    if (frame.data.say === "goodbye") socket.close(1000, "Client disconnect");
  };
}

function sse() {
  const source = new EventSource(`${server}/events?channel=${channel}`);
  source.onerror = () => say(source.readyState === EventSource.CLOSED ? { error: "no connection" } : { reconnecting: true });
  source.addEventListener("millrace.subscribed", (event) => say({ subscribed: JSON.parse(event.data).for }));
  source.addEventListener("millrace.gap", (event) => say({ gap: JSON.parse(event.data) }));
  source.addEventListener("millrace.error", (event) => say({ error: JSON.parse(event.data) }));
  source.addEventListener(channel, (event) => {
    say({ channel, data: event.data });
    const word = JSON.parse(event.data).say;
    if (word === "hello") publish();
    if (word === "goodbye") source.close(), say({ cancelled: true });
  });
}

async function publish() {
  const request = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(hello) };
  const response = await fetch(`${server}/publish/${channel}`, request).catch((reason) => say({ error: String(reason) }));
  if (response) say({ published: (await response.json()).offset });
}

// What a form can do from any page: browsers do not ask before they send it, and hide the answer.
async function forge() {
  await fetch(`${server}/publish/${channel}`, { method: "POST", mode: "no-cors", body: JSON.stringify(hello) });
  say({ open: true });
}

const connect = () => run(server, name, channel, say);
({ ws, sse, publish, forge, connect })[wire]();
