/** What can go wrong with a connection, under traffic: nothing is lost or doubled, and what cannot be had is told. */
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type * as core from '../../src/index.ts';
import {
  createStage,
  type Network,
  type Server,
  type Stage,
  secret,
  startNATS,
  startNetwork,
  startServer,
  tokenOf,
} from './stage.ts';

declare const m: typeof core;
declare global {
  var client: core.Client;
  var got: unknown[];
  var gaps: string[];
  var failed: string[];
  var moves: string[];
  var present: string[][];
}

/** What a slow machine needs to come back is kept. */
const rules = '[{pattern: ">", history: {messages: 100000, age: 1h}}]';
/** A path, and the streams, that have the channel without being asked: they begin with what is live. */
const joined = ['--join', '{/ws/joined: [test.traffic]}', '--sse-channels', 'test.traffic'];
const flags = [...secret, ...joined, '--limits-publish-rate', '10000', '--limits-call-rate', '10000', '--rules', rules];

let server: Server;
let stage: Stage;
let network: Network;
let page: Page;

beforeAll(async () => {
  stage = await createStage(`export * from '../../src/index.ts'`);
});
afterAll(() => stage?.close());
beforeEach(async () => {
  server = await startServer(...flags);
  network = await startNetwork(server);
  page = await stage.page();
});
afterEach(async () => {
  await page.context().close();
  await network.close();
  await server.kill();
});

/** Connects, and publishes a number ten times a second until it is stopped. */
async function begin(transport: 'websocket' | 'websocket/joined' | 'sse' | 'connect', seconds = 3600): Promise<void> {
  await page.exposeFunction('sign', () => tokenOf('ada', seconds));
  await page.evaluate(
    async ({ url, transport }) => {
      const { sign } = globalThis as unknown as { sign(): Promise<string> };
      Object.assign(globalThis, { got: [], gaps: [], failed: [], moves: [] });
      globalThis.client = m.createClient({
        transports: [
          transport === 'sse'
            ? m.sse(`${url}/events`)
            : transport === 'connect'
              ? m.connectStream(url)
              : m.websocket(`${url}${transport.replace('websocket', '/ws')}`),
        ],
        token: sign,
        reconnect: m.fastBackoff({ max: 300 }),
        heartbeat: { interval: 6000, timeout: 1500 },
        queue: { max: 5000 },
      });
      const channel = client.channel('test.traffic');
      channel.subscribe((data) => got.push(data));
      channel.onGap(({ reason }) => gaps.push(reason));
      client.connect();
      await client.ready();
      client.onChange(() => moves.push(client.getSnapshot().state));
      let n = 0;
      const timer = setInterval(() => {
        client.publish('test.traffic', ++n).catch((error: core.RealtimeError) => failed.push(error.reason));
      }, 100);
      Object.assign(globalThis, {
        stop: () => {
          clearInterval(timer);
          return n;
        },
      });
    },
    { url: network.url, transport },
  );
  await passed(10);
}

/** The states since it was connected first, each once. */
const states = () => page.evaluate(() => [...new Set(moves)]);
const count = () => page.evaluate(() => got.length);
/** Waits until some more messages have come. */
async function passed(more: number): Promise<void> {
  const before = await count();
  await expect.poll(count).toBeGreaterThan(before + more);
}

/** Ends the traffic, and expects every number once and in order. */
async function complete(): Promise<void> {
  const n = await page.evaluate(() => (globalThis as unknown as { stop(): number }).stop());
  const all = Array.from({ length: n }, (_, i) => i + 1);
  await expect.poll(() => page.evaluate(() => client.getSnapshot().queued)).toBe(0);
  await expect.poll(count).toBe(n);
  expect(await page.evaluate(() => got)).toEqual(all);
  expect(await page.evaluate(() => ({ gaps, failed }))).toEqual({ gaps: [], failed: [] });
  // The server holds the newest: those are what was received.
  const newest = await page.evaluate(async () => {
    const { messages } = await client.channel('test.traffic').history({ newest: true, limit: 50 });
    return messages.map((message) => message.data).reverse();
  });
  expect(newest).toEqual(all.slice(-newest.length));
}

it.each(['websocket', 'websocket/joined', 'sse'] as const)(
  'connections that are cut again and again (%s)',
  async (transport) => {
    await begin(transport);
    for (let i = 0; i < 3; i++) {
      network.cut();
      await passed(10);
    }
    await complete();
  },
);

it('a network that is away', async () => {
  await begin('websocket');
  await page.context().setOffline(true);
  await expect.poll(() => page.evaluate(() => client.getSnapshot().state)).toBe('reconnecting');
  await page.context().setOffline(false);
  await passed(10);
  await complete();
});

it('a connection that is half-open', async () => {
  await begin('websocket');
  network.freeze();
  await expect.poll(() => page.evaluate(() => client.getSnapshot().state)).toBe('reconnecting');
  network.thaw();
  await passed(10);
  await complete();
});

it('a tab that is frozen', async () => {
  await begin('websocket');
  const devtools = await page.context().newCDPSession(page);
  await devtools.send('Page.setWebLifecycleState', { state: 'frozen' });
  network.cut();
  await devtools.send('Page.setWebLifecycleState', { state: 'active' });
  await passed(10);
  await complete();
});

it.each(['websocket', 'sse'] as const)('tokens that expire every few seconds (%s)', async (transport) => {
  await begin(transport, 10);
  await passed(110); // 11 s
  await complete();
  expect(await states()).toEqual(['connected']);
});

it.each(['websocket/joined', 'sse'] as const)(
  'servers that are replaced one after the other (%s)',
  async (transport) => {
    const nats = await startNATS();
    const shared = [...flags, '--nats-url', nats.url, '--drain-window', '6s'];
    const [first, second] = [await startServer(...shared), await startServer(...shared)];
    network.use(first);
    await begin(transport);
    const watcher = await stage.page();
    await watcher.evaluate(
      ({ url, token }) => {
        globalThis.client = m.createClient({ transports: [m.websocket(`${url}/ws`)], token });
        globalThis.present = [];
        const { presence } = client.channel('test.room');
        presence.onChange(() => {
          present.push(presence.getSnapshot().members.map(({ user }) => user));
        });
        client.connect();
      },
      { url: network.url, token: tokenOf('eve') },
    );
    await page.evaluate(() => void client.channel('test.room').presence.enter());
    await expect.poll(() => watcher.evaluate(() => present.at(-1))).toEqual(['ada']);

    for (const [going, staying] of [
      [first, second],
      [second, first],
    ] as const) {
      network.use(staying);
      await going.stop();
      await passed(10);
      await going.start();
    }
    await complete();
    expect(await states()).toEqual(['connected']);
    await watcher.evaluate(() => client.positions(['test.room'])); // what was said before has come
    const seen = await watcher.evaluate(() => present.slice(present.findIndex((users) => users.length > 0)));
    expect(new Set(seen.map(String))).toEqual(new Set(['ada']));
    await watcher.context().close();
    await first.kill();
    await second.kill();
    await nats.close();
  },
);

it('a server that is killed, and has forgotten: the gap says so, and nothing is doubled', async () => {
  await begin('websocket');
  await server.kill();
  await server.start();
  await expect.poll(() => page.evaluate(() => gaps)).toEqual(['EPOCH_CHANGED']);
  await passed(10);
  const n = await page.evaluate(() => (globalThis as unknown as { stop(): number }).stop());
  await expect.poll(() => page.evaluate(() => client.getSnapshot().queued)).toBe(0);
  await expect.poll(() => page.evaluate(() => got.at(-1))).toBe(n);
  const numbers = (await page.evaluate(() => got)) as number[];
  expect(numbers).toEqual([...new Set(numbers)].toSorted((a, b) => a - b));
  expect(await page.evaluate(() => failed)).toEqual([]);
});
