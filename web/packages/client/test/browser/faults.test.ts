/**
 * What the clients of existing applications are known to get wrong, one test each: ours must get it right.
 */
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type * as faults from './faults.page.tsx';
import {
  createStage,
  kept,
  type Network,
  publish,
  type Server,
  type Stage,
  secret,
  startNetwork,
  startServer,
  tokenOf,
  type Wire,
  watchSockets,
} from './stage.ts';

declare const m: typeof faults;

let server: Server;
let stage: Stage;
let page: Page;
let wires: readonly Wire[];
let ws: string;

beforeAll(async () => {
  [server, stage] = await Promise.all([
    startServer(),
    createStage(`export * from './faults.page.tsx'`, {
      jsx: 'automatic',
      define: { 'process.env.NODE_ENV': '"development"' },
    }),
  ]);
  ws = `${server.url}/ws`;
});
afterAll(async () => {
  await stage?.close();
  await server?.kill();
});
beforeEach(async () => {
  page = await stage.page();
  wires = watchSockets(page);
});
afterEach(() => page.context().close());

const received = () => page.evaluate(() => m.got);
const state = () => page.evaluate(() => m.context.connectionState);
const connected = () => expect.poll(state).toBe('connected');
const subscribed = (channel: string) =>
  expect
    .poll(() => page.evaluate((channel) => m.context.client.channel(channel).getState(), channel))
    .toBe('subscribed');

it('subscriptions and sends of the first mount reach the server', async () => {
  await page.evaluate((url) => m.app({ url, channels: ['test.first'], first: 'hello' }), ws);
  await expect.poll(received).toEqual(['hello']);
  expect(await kept(server, 'test.first')).toEqual(['hello']);
});

it('components that are mounted later get every message once', async () => {
  await page.evaluate((url) => m.app({ url, channels: ['test.early'] }), ws);
  await connected();
  await page.evaluate((url) => m.app({ url, channels: ['test.early', 'test.late'] }), ws);
  await subscribed('test.late');
  await publish(server, 'test.late', 1);
  await publish(server, 'test.late', 2);
  await expect.poll(received).toEqual([1, 2]);
});

describe('no connection comes back by itself', () => {
  const endings = {
    'after disconnect()': () => m.context.disconnect(),
    'after the provider is unmounted': () => m.unmount(),
    'after the flag is turned off': () => m.flag.set(false),
  };
  it.each(Object.entries(endings))('%s', async (_, end) => {
    await page.clock.install();
    await page.evaluate((url) => m.plain({ url, enabled: m.flag }), ws);
    await connected();
    await page.evaluate(end);
    await page.clock.runFor(300_000);
    await expect.poll(() => wires.map((wire) => wire.closed)).toEqual([true]);
  });
});

it('StrictMode has one socket and one subscription', async () => {
  await page.evaluate((url) => m.app({ url, channels: ['test.strict'], first: 1, strict: true }), ws);
  await connected();
  await subscribed('test.strict');
  expect(wires).toHaveLength(1);
  expect(wires[0]?.sent.filter((frame) => frame.type === 'subscribe')).toHaveLength(1);
  expect(wires[0]?.sent.filter((frame) => frame.type === 'unsubscribe')).toHaveLength(0);
});

it('a config in place makes no other connection when it is rendered again', async () => {
  for (let i = 0; i < 4; i++) {
    await page.evaluate((url) => m.app({ url, channels: ['test.inline'] }), ws);
    await connected();
  }
  await subscribed('test.inline');
  expect(wires).toHaveLength(1);
  expect(wires[0]?.sent.filter((frame) => frame.type === 'subscribe')).toHaveLength(1);
});

it('what is sent without a connection is sent when there is one', async () => {
  const own = await startServer();
  await page.evaluate((url) => m.app({ url, channels: ['test.offline'] }), `${own.url}/ws`);
  await connected();
  await own.kill();
  await expect.poll(state).toBe('reconnecting');
  await page.evaluate(() => {
    for (const data of [1, 2, 3]) m.context.send('test.offline', data);
  });
  await own.start();
  await page.evaluate(() => m.context.connect());
  await expect.poll(() => kept(own, 'test.offline')).toEqual([1, 2, 3]);
  await expect.poll(received).toEqual([1, 2, 3]);
  await own.kill();
});

it('a handler that throws disturbs no other', async () => {
  const errors: string[] = [];
  page.on('pageerror', (error) => errors.push(error.message));
  await page.evaluate((url) => m.plain({ url }), ws);
  await connected();
  await page.evaluate(() => {
    m.context.subscribe('test.throw', () => {
      throw new Error('of the application');
    });
    m.context.subscribe('test.throw', (data) => m.got.push(data));
  });
  await subscribed('test.throw');
  await publish(server, 'test.throw', 1);
  await publish(server, 'test.throw', 2);
  await expect.poll(received).toEqual([1, 2]);
  expect(errors).toEqual(['of the application', 'of the application']);
});

it('connect() while connecting opens no other socket', async () => {
  await page.evaluate((url) => {
    const client = m.createWebSocketClient(url);
    for (let i = 0; i < 5; i++) client.connect();
    client.onStateChange((state) => m.got.push(state));
    client.subscribe('test.connect', (data) => m.got.push(data));
    client.sendToChannel('test.connect', 1);
  }, ws);
  await expect.poll(received).toEqual(['connected', 1]);
  expect(wires).toHaveLength(1);
});

const cache = (key: string) => page.evaluate((key) => m.queryClient.getQueryData([key]), key);

/** Publishes an entity event as a backend does. */
async function entity(name: string, type: string, data: { id: string }): Promise<void> {
  const response = await fetch(`${server.url}/millrace.v1.RealtimeService/Publish`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      channel: `entities.${name}`,
      type,
      payload: { json: JSON.stringify(data) },
      entity: { name, id: data.id, timestamp: new Date().toISOString() },
    }),
  });
  if (!response.ok) throw new Error(await response.text());
}

it("the document's cache strategies work", async () => {
  await page.evaluate((url) => {
    m.queryClient.setQueryData(['users'], [{ id: '1', name: 'Ada' }, { id: '2' }]);
    m.queryClient.setQueryData(['messages'], [{ id: 'a' }]);
    m.queryClient.setQueryData(['posts'], [{ id: 'x' }, { id: 'y' }]);
    m.cached(url);
  }, ws);
  for (const name of ['user', 'message', 'post']) await subscribed(`entities.${name}`);
  await entity('user', 'update', { id: '1' });
  await entity('message', 'create', { id: 'b' });
  await entity('message', 'create', { id: 'b' });
  await entity('post', 'update', { id: 'x' });
  await entity('post', 'delete', { id: 'y' });
  await expect.poll(() => cache('posts')).toEqual([{ id: 'x' }]);
  expect(await cache('users')).toEqual([{ id: '1', name: 'Ada', updatedAt: 1 }, { id: '2' }]);
  expect(await cache('messages')).toEqual([{ id: 'a' }, { id: 'b' }]);
});

it("the cache that is written is the application's own, and only what is cached", async () => {
  await page.evaluate((url) => {
    m.queryClient.setQueryData(['users'], [{ id: '1' }]);
    m.cached(url);
  }, ws);
  for (const name of ['user', 'message']) await subscribed(`entities.${name}`);
  await entity('message', 'create', { id: 'b' });
  await entity('user', 'update', { id: '1' });
  await expect.poll(() => cache('users')).toEqual([{ id: '1', updatedAt: 1 }]);
  expect(await page.evaluate(() => m.queryClient.getQueryCache().getAll().length)).toBe(1);
});

it('subscribing over SSE tells the server', async () => {
  await page.evaluate((url) => m.app({ url, config: { type: 'sse' }, channels: ['test.sse'] }), `${server.url}/events`);
  await subscribed('test.sse');
  await publish(server, 'test.sse', 'from the server');
  await page.evaluate(() => m.context.send('test.sse', 'from the page'));
  await expect.poll(received).toEqual(['from the server', 'from the page']);
});

it('the buffered hook shows every message of a steady stream', async () => {
  await page.evaluate((url) => m.buffered(url), ws);
  await subscribed('test.buffered');
  const numbers = Array.from({ length: 40 }, (_, i) => i);
  for (const n of numbers) await publish(server, 'test.buffered', n);
  await expect.poll(() => page.textContent('#buffered')).toBe(numbers.join(' '));
  expect(await page.evaluate(() => m.renders)).toBeLessThan(40);
});

describe('behind a network that breaks', () => {
  let network: Network;
  beforeEach(async () => {
    network = await startNetwork(server);
  });
  afterEach(() => network.close());

  it('a server that does not answer a ping is left', async () => {
    await page.clock.install();
    await page.evaluate((url) => m.app({ url, channels: ['test.silent'] }), `${network.url}/ws`);
    await subscribed('test.silent');
    await publish(server, 'test.silent', 'the last word'); // behind it, nothing is on its way
    await expect.poll(received).toEqual(['the last word']);
    network.freeze();
    await page.clock.runFor(36_000);
    await expect.poll(state).toBe('reconnecting');
  });

  it('positions: what was missed comes after a reconnect, once', async () => {
    await page.evaluate((url) => {
      m.plain({ url });
    }, `${network.url}/ws`);
    await connected();
    await page.evaluate(() => m.context.subscribe('test.resume', (data) => m.got.push(data)));
    await subscribed('test.resume');
    await publish(server, 'test.resume', 1);
    await expect.poll(received).toEqual([1]);
    network.cut();
    await expect.poll(state).toBe('reconnecting');
    await publish(server, 'test.resume', 2);
    await page.evaluate(() => m.context.connect());
    await subscribed('test.resume');
    await publish(server, 'test.resume', 3);
    await expect.poll(received).toEqual([1, 2, 3]);
  });

  it('the network: it is tried again when it comes back, not when the schedule says', async () => {
    await page.clock.install();
    await page.evaluate((url) => m.plain({ url }), `${network.url}/ws`);
    await connected();
    await page.context().setOffline(true);
    await expect.poll(() => page.evaluate(() => navigator.onLine)).toBe(false);
    await page.clock.runFor(11_000);
    await expect.poll(state).toBe('reconnecting');
    await page.clock.pauseAt(Date.now() + 60_000);
    await page.context().setOffline(false);
    await connected();
  });

  it.each([
    ['is shown', () => document.dispatchEvent(new Event('visibilitychange'))],
    ['comes back from the page cache', () => dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))],
    ['is resumed', () => document.dispatchEvent(new Event('resume'))],
  ])('visibility: it is tried again when the page %s', async (_, wake) => {
    await page.evaluate((url) => m.plain({ url, reconnect: () => 3_600_000 }), `${network.url}/ws`);
    await connected();
    const made = network.made;
    network.cut();
    await expect.poll(state).toBe('reconnecting');
    await page.evaluate(wake);
    await connected();
    expect(network.made).toBe(made + 1);
  });
});

describe('a server that is away for long', () => {
  /** Lets time pass until there were some more attempts, and says how long each had to wait. */
  async function attempts(n: number): Promise<number[]> {
    const waits: number[] = [];
    const next = () =>
      page.evaluate(() => {
        const { attempt, retryAt } = m.context.client.getSnapshot();
        return { attempt: retryAt > 0 ? attempt : 0, wait: retryAt - Date.now() };
      });
    for (let last = 0; waits.length < n; ) {
      await expect.poll(async () => (await next()).attempt).toBeGreaterThan(last);
      const { attempt, wait } = await next();
      last = attempt;
      waits.push(wait);
      await page.clock.runFor(Math.ceil(wait));
    }
    return waits;
  }

  it('is tried without end, and not by everybody at the same time', async () => {
    const own = await startServer();
    await page.clock.install();
    // Not a WebSocket: Chromium delays those to a host that refuses them.
    await page.evaluate((url) => m.plain({ type: 'sse', url }), `${own.url}/events`);
    await connected();
    await own.kill();
    await expect.poll(state).toBe('reconnecting');
    await page.clock.pauseAt(Date.now() + 60_000);
    const waits = await attempts(20);
    await expect.poll(state).toBe('reconnecting');
    const atCap = waits.slice(10);
    expect(Math.max(...atCap)).toBeLessThanOrEqual(30_000);
    expect(Math.min(...atCap)).toBeGreaterThan(20_000);
    expect(new Set(atCap).size).toBeGreaterThan(5);
    await own.start();
    await page.clock.resume();
    await page.evaluate(() => m.context.connect());
    await connected();
    await own.kill();
  });
});

it('tokens: one that expires is renewed, and nothing is lost', async () => {
  const own = await startServer(...secret);
  const asked: boolean[] = [];
  await page.exposeFunction('sign', (refresh: boolean) => {
    asked.push(refresh);
    return tokenOf('ada', asked.length === 1 ? 5 : 3600);
  });
  await page.evaluate((url) => {
    const { sign } = globalThis as unknown as { sign(refresh: boolean): Promise<string> };
    m.plain({ type: 'sse', url, token: ({ refresh }) => sign(refresh) });
  }, `${own.url}/events`);
  await connected();
  await page.evaluate(() => m.context.subscribe('test.token', (data) => m.got.push(data)));
  const ack = await page.evaluate(() => m.context.client.publish('test.token', 1));
  expect(ack.duplicate).toBe(false);
  await expect.poll(() => asked.length).toBe(2);
  expect(asked).toEqual([false, true]);
  await connected();
  await page.evaluate(() => m.context.client.publish('test.token', 2));
  await expect.poll(received).toEqual([1, 2]);
  await own.kill();
});

it('acknowledgements: a publish tells its place, and again that it is a duplicate', async () => {
  await page.evaluate((url) => m.plain({ url }), ws);
  const acks = await page.evaluate(async () => {
    const publish = () => m.context.client.publish('test.ack', 'once', { messageId: 'the one' });
    return [await publish(), await publish()];
  });
  expect(acks).toMatchObject([
    { duplicate: false, position: { offset: 1 } },
    { duplicate: true, position: { offset: 1 } },
  ]);
  expect(await kept(server, 'test.ack')).toEqual(['once']);
});

it('pooling: providers of the same URL share one connection', async () => {
  await page.evaluate((url) => m.twice(url), ws);
  await connected();
  await subscribed('one');
  await subscribed('two');
  await publish(server, 'one', 1);
  await expect.poll(received).toEqual([1]);
  await publish(server, 'two', 2);
  await expect.poll(received).toEqual([1, 2]);
  expect(wires).toHaveLength(1);
});
