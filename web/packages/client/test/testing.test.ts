import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { type Client, createClient, fastBackoff, type RealtimeError } from '../src/index.ts';
import { createFakeServer, type FakeServer } from '../src/testing/index.ts';

let server: FakeServer;
let client: Client;
let got: unknown[];

beforeEach(async () => {
  vi.useFakeTimers();
  server = createFakeServer();
  client = createClient({ transports: [server.transport()], reconnect: fastBackoff({ max: 100 }) });
  got = [];
  client.connect();
  await settle();
});
afterEach(() => {
  client.disconnect();
  vi.useRealTimers();
});

const settle = (ms = 500) => vi.advanceTimersByTimeAsync(ms);

it('delivers what is published, and acknowledges it once', async () => {
  client.subscribe('chat', (data, { publisher, self }) => got.push([data, publisher, self]));
  const first = await client.publish('chat', 'hi', { messageId: 'm' });
  const again = await client.publish('chat', 'hi', { messageId: 'm' });
  await settle();
  expect([first.duplicate, again.duplicate]).toEqual([false, true]);
  expect(got).toEqual([['hi', undefined, false]]);
  expect(server.kept('chat')).toEqual(['hi']);
});

it('resumes, and has a gap for what it has forgotten', async () => {
  const channel = client.channel('chat');
  channel.subscribe((data) => got.push(data));
  channel.onGap(({ reason }) => got.push(reason));
  await settle();
  server.publish('chat', 1);
  server.drop();
  server.publish('chat', 2);
  await settle();
  server.drop();
  for (const n of [3, 4]) server.publish('chat', n);
  server.forget('chat', 1);
  await settle();
  server.restart();
  await settle();
  server.publish('chat', 5);
  await settle();
  expect(got).toEqual([1, 2, 'TRUNCATED', 'EPOCH_CHANGED', 5]);
});

it('refuses links and commands as the test says', async () => {
  server.refuseCommands((c) => (c.type === 'publish' ? { reason: 'TOO_LARGE', limit: 5 } : undefined));
  const error = await client.publish('chat', 1).catch((e: RealtimeError) => e);
  expect(error).toMatchObject({ reason: 'TOO_LARGE', channel: 'chat', limit: 5 });
  server.refuse('FORBIDDEN');
  server.drop();
  await settle();
  expect(client.getSnapshot()).toMatchObject({ state: 'error', error: { reason: 'FORBIDDEN' } });
});

it('is silent when the test says so, which the client notices', async () => {
  server.silence(true);
  await settle(40_000);
  expect(client.getSnapshot().state).not.toBe('connected');
  server.silence(false);
  await settle(11_000);
  expect(client.getSnapshot().state).toBe('connected');
});

it('has positions, history in pages, and compare and set', async () => {
  for (const n of [1, 2, 3]) server.publish('chat', n);
  const channel = client.channel('chat');
  const first = await channel.history({ limit: 2 });
  const rest = await channel.history({ limit: 2, page: first.next ?? '' });
  expect([...first.messages, ...rest.messages].map((m) => m.data)).toEqual([1, 2, 3]);
  const { positions } = await client.positions(['chat']);
  expect(positions.chat).toEqual({ offset: 3, epoch: 'e1' });
  await expect(client.publish('chat', 4, { expect: { offset: 1, epoch: 'e1' } })).rejects.toMatchObject({
    reason: 'POSITION_MISMATCH',
    position: { offset: 3 },
  });
});
