/** A page that goes into the page cache of the browser, and comes back from it as it was, as with the button "back". */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type * as faults from './faults.page.tsx';
import { createStage, publish, type Server, type Stage, startServer } from './stage.ts';

declare const m: typeof faults;
declare const kept: { shows: boolean[]; got: Record<string, unknown[]> };

let server: Server;
let stage: Stage;
beforeAll(async () => {
  [server, stage] = await Promise.all([startServer('--open'), createStage("export * from './faults.page.tsx'")]);
});
afterAll(async () => {
  await stage?.close();
  await server?.kill();
});

it('goes on where it was: nothing is lost or doubled, on any transport and with any client', async () => {
  const page = await stage.page();
  await page.evaluate((url) => {
    const { core, createSSEClient, createWebSocketClient } = m;
    const shows: boolean[] = [];
    addEventListener('pageshow', ({ persisted }) => shows.push(persisted));
    const got: Record<string, unknown[]> = { provider: m.got };
    Object.assign(globalThis, { kept: { shows, got } });
    const transports = [core.websocket(`${url}/ws`), core.sse(`${url}/events`), core.connectStream(url)];
    for (const transport of transports) {
      const list: unknown[] = [];
      got[transport.name] = list;
      const client = core.createClient({ transports: [transport] });
      client.subscribe('test', (data) => list.push(data));
      client.connect();
    }
    const documented = { createWebSocketClient: [] as unknown[], createSSEClient: [] as unknown[] };
    Object.assign(got, documented);
    const socket = createWebSocketClient(`${url}/ws`);
    socket.subscribe('test', (data) => documented.createWebSocketClient.push(data));
    socket.connect();
    createSSEClient(`${url}/events`).on('test', (data) => documented.createSSEClient.push(data));
    m.app({ url: `${url}/ws` });
  }, server.url);
  const got = (): Promise<[string, unknown[]][]> =>
    page.evaluate(() =>
      Object.entries(kept.got).map(([name, list]) => [name, list.filter((data) => data !== 'early')]),
    );
  const all = (...data: number[]): [string, number[]][] =>
    ['provider', 'websocket', 'sse', 'connect', 'createWebSocketClient', 'createSSEClient'].map((name) => [name, data]);
  const hear = (): Promise<boolean> => page.evaluate(() => Object.values(kept.got).every((list) => list.length > 0));
  await expect.poll(() => publish(server, 'test', 'early').then(hear), { timeout: 60_000 }).toBe(true);
  await publish(server, 'test', 1);
  await expect.poll(got, { timeout: 60_000 }).toEqual(all(1));
  await page.goto('about:blank');
  for (const number of [2, 3]) await publish(server, 'test', number);
  await page.goBack({ waitUntil: 'commit' }); // a page that was kept does not load
  expect(await page.evaluate(() => kept.shows)).toEqual([true]);
  await publish(server, 'test', 4);
  await expect.poll(got, { timeout: 60_000 }).toEqual(all(1, 2, 3, 4));
});
