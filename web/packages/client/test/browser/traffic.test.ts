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

it.each(['websocket', 'sse', 'connect'] as const)(
  'a pattern that begins over a channel, and a replay under a pattern (%s)',
  async (way) => {
    await page.evaluate(
      async ({ url, way, token }) => {
        const { websocket, sse, connectStream } = m;
        const transports = {
          websocket: websocket(`${url}/ws`),
          sse: sse(`${url}/events`),
          connect: connectStream(url),
        };
        globalThis.client = m.createClient({ transports: [transports[way]], token });
        client.connect();
        await client.ready();
      },
      { url: server.url, way, token: tokenOf('ada') },
    );
    const all = Array.from({ length: 40 }, (_, i) => i + 1);
    for (let round = 0; round < 10; round++) {
      const heard = await page.evaluate(
        async ({ all, round }) => {
          const heard: Record<string, unknown[]> = { channel: [], pattern: [], replay: [] };
          const name = `round.${round}`;
          const publish = (some: number[]) => Promise.all(some.map((n) => client.publish(`${name}.a`, n)));
          const there = async (of: string, last = all.length) => {
            while (heard[of]?.at(-1) !== last) await new Promise((resolve) => setTimeout(resolve, 5));
          };
          const undo = [client.subscribe(`${name}.a`, (data) => heard.channel?.push(data))];
          await client.positions([]);
          const first = publish(all.slice(0, 10));
          undo.push(client.subscribe(`${name}.*`, (data) => heard.pattern?.push(data)));
          await Promise.all([first, publish(all.slice(10, 20))]);
          await there('channel', 20);
          undo[0]?.();
          const more = publish(all.slice(20, 30));
          undo.push(client.channel(`${name}.a`, { recent: all.length }).subscribe((data) => heard.replay?.push(data)));
          await Promise.all([more, publish(all.slice(30))]);
          await Promise.all([there('pattern'), there('replay')]);
          for (const each of undo) each();
          return heard;
        },
        { all, round },
      );
      expect(heard.channel).toEqual(all.slice(0, 20));
      expect(heard.pattern).toEqual(all.slice(-(heard.pattern?.length ?? 0)));
      expect(heard.replay).toEqual(all.slice(-(heard.replay?.length ?? 0)));
    }
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
