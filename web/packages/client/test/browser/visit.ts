/** What a program does with the client in any runtime: `visit URL WAY`. It prints what it has received. */
import { connectStream, createClient, sse, websocket } from '../../src/index.ts';

const [url = '', way = ''] = process.argv.slice(2);
const transports = [websocket(`${url}/ws`), sse(`${url}/events`), connectStream(url)];
const client = createClient({ transports: transports.filter(({ name }) => name === way) });
const channel = client.channel('test.runtime');
const messages = channel.messages();
const first = messages.next();
channel.presence.enter({ name: 'a program' });
client.connect();
await client.ready();
await channel.publish({ text: 'zero 0, null and \u2028' });
const { value } = await first;
const { members } = await channel.presence.list();
await messages.return();
client.disconnect();
console.log(JSON.stringify({ data: value?.data, self: value?.self, present: members.length }));
