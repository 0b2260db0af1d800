import { QueryClient, QueryObserver } from '@tanstack/react-query';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { type Client, createClient, type Position } from '../src/index.ts';
import { channelQuery } from '../src/query/index.ts';
import { createFakeServer, type FakeServer } from '../src/testing/index.ts';

let server: FakeServer;
let client: Client;
let cache: QueryClient;
/** What the database holds, and the position that is read with it. */
let database: { data: readonly number[]; position?: Position };
let loads: number;
let duringLoad: () => void;
let stop: () => void;

beforeEach(async () => {
  server = createFakeServer();
  client = createClient({ transports: [server.transport()] });
  cache = new QueryClient();
  loads = 0;
  duringLoad = () => {};
  client.connect();
  await client.ready();
});
afterEach(() => {
  stop();
  cache.clear();
  client.disconnect();
});

function follow(): void {
  const observer = new QueryObserver(
    cache,
    channelQuery<readonly number[], number>(client, {
      queryKey: ['numbers'],
      channel: 'numbers',
      fetch: async () => {
        loads++;
        const read = database;
        duringLoad();
        return read;
      },
      reduce: (all, { data }) => [...all, data],
    }),
  );
  stop = observer.subscribe(() => {});
}

const shows = (numbers: readonly number[]) =>
  vi.waitFor(() => expect(cache.getQueryData(['numbers'])).toEqual(numbers));

it('applies what was published since the position of the data, once, and what follows', async () => {
  await client.publish('numbers', 1);
  const { position } = await client.publish('numbers', 2);
  database = { data: [1, 2], ...(position && { position }) };
  await client.publish('numbers', 3);
  await client.publish('numbers', 4);
  duringLoad = () => server.publish('numbers', 5);
  follow();
  await shows([1, 2, 3, 4, 5]);
  server.publish('numbers', 6);
  await shows([1, 2, 3, 4, 5, 6]);
  expect(loads).toBe(1);
});

it('begins where the channel was before the load, where the data has no position', async () => {
  await client.publish('numbers', 1);
  database = { data: [1] };
  duringLoad = () => server.publish('numbers', 2);
  follow();
  await shows([1, 2]);
});

it('loads anew after a gap', async () => {
  const { position } = await client.publish('numbers', 1);
  database = { data: [1], ...(position && { position }) };
  follow();
  await shows([1]);
  await vi.waitFor(() => expect(client.channel('numbers').getState()).toBe('subscribed'));
  server.drop();
  database = { data: [10, 20] };
  for (const n of [2, 3, 4]) server.publish('numbers', n);
  server.forget('numbers', 0);
  client.connect();
  await shows([10, 20]);
  expect(loads).toBe(2);
});

it('is as it was, where what comes is what the data has', async () => {
  const { position } = await client.publish('numbers', 1);
  database = { data: [1], ...(position && { position }) };
  follow();
  await shows([1]);
  server.drop();
  client.connect();
  server.publish('numbers', 2);
  await shows([1, 2]);
  expect(loads).toBe(1);
});
