import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { createDevtools, type Devtools } from '../src/devtools/index.ts';
import { type Client, createClient, fastBackoff } from '../src/index.ts';
import { createFakeServer, type FakeServer } from '../src/testing/index.ts';

let server: FakeServer;
let devtools: Devtools;
let client: Client;
let got: unknown[];

beforeEach(async () => {
  vi.useFakeTimers();
  server = createFakeServer();
  devtools = createDevtools({ max: 50 });
  client = createClient({ transports: devtools.wrap([server.transport()]), reconnect: fastBackoff({ max: 100 }) });
  devtools.watch(client);
  got = [];
  client.subscribe('chat', (data) => got.push(data));
  client.connect();
  await settle();
});
afterEach(() => {
  client.disconnect();
  vi.useRealTimers();
});

const settle = (ms = 500) => vi.advanceTimersByTimeAsync(ms);
const log = () => devtools.getSnapshot().entries.map(({ kind, text }) => `${kind} ${text}`);

it('records frames, links and states', async () => {
  await client.publish('chat', 1);
  await settle();
  expect(log()).toContain('state connected');
  expect(log()).toContain('link opens fake');
  expect(log().filter((line) => line.startsWith('out') && line.includes('"publish"'))).toHaveLength(1);
  expect(log().filter((line) => line.startsWith('in') && line.includes('"data":1'))).toHaveLength(1);
});

it('keeps the newest entries only', async () => {
  for (let n = 0; n < 100; n++) server.publish('chat', n);
  await settle();
  expect(log()).toHaveLength(50);
  expect(log().at(-1)).toContain('"data":99');
});

it('drops links, and nothing is lost', async () => {
  server.publish('chat', 1);
  devtools.drop();
  server.publish('chat', 2);
  await settle();
  expect(got).toEqual([1, 2]);
  expect(server.opened).toBe(2);
});

it('holds back what passes a half-open link, in order', async () => {
  devtools.set({ silent: true });
  server.publish('chat', 1);
  await settle();
  expect(got).toEqual([]);
  devtools.set({ silent: false });
  server.publish('chat', 2);
  await settle();
  expect(got).toEqual([1, 2]);
});

it('has the client give up a link that stays half-open', async () => {
  devtools.set({ silent: true });
  await settle(36_000);
  devtools.set({ silent: false });
  await settle();
  expect(server.opened).toBeGreaterThan(1);
  expect(client.getSnapshot().state).toBe('connected');
});

it('makes everything late', async () => {
  devtools.set({ delay: 1000 });
  server.publish('chat', 1);
  await settle(900);
  expect(got).toEqual([]);
  await settle(200);
  expect(got).toEqual([1]);
});

it('refuses links until it is told not to', async () => {
  devtools.set({ refuse: true });
  devtools.drop();
  await settle(2000);
  expect(client.getSnapshot().state).toBe('reconnecting');
  devtools.set({ refuse: false });
  await settle(2000);
  expect(client.getSnapshot().state).toBe('connected');
});

it('drains a link: another is opened first, and the state does not change', async () => {
  const states = new Set<string>();
  client.onChange(() => states.add(client.getSnapshot().state));
  devtools.drain();
  server.publish('chat', 1);
  await settle();
  server.publish('chat', 2);
  await settle();
  expect(got).toEqual([1, 2]);
  expect([server.opened, server.links]).toEqual([2, 1]);
  expect([...states]).toEqual(['connected']);
});
