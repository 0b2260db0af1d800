/** Ten tabs of a browser, over HTTP/1.1: one connection, and the browser's six for each host stay free. */
import type { BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type * as core from '../../src/index.ts';
import type * as sharing from '../../src/shared/index.ts';
import { createStage, type Network, publish, type Server, type Stage, startNetwork, startServer } from './stage.ts';

declare const m: typeof core & typeof sharing;
declare global {
  var client: core.Client;
  var got: unknown[];
}

const script = `
  import { serveTabs } from '../../src/shared/index.ts';
  import { sse } from '../../src/index.ts';
  export * from '../../src/index.ts';
  export * from '../../src/shared/index.ts';
  if (typeof document === 'undefined') serveTabs(sse(new URL(location.href).searchParams.get('url')));
`;

let server: Server;
let stage: Stage;
let network: Network;
let context: BrowserContext;

beforeAll(async () => {
  [server, stage] = await Promise.all([startServer(), createStage(script)]);
});
afterAll(async () => {
  await stage?.close();
  await server?.kill();
});
beforeEach(async () => {
  network = await startNetwork(server);
  context = await stage.browser.newContext();
});
afterEach(async () => {
  await context.close();
  await network.close();
});

/** Opens a tab that shares a stream of events, which over HTTP/1.1 holds one of the browser's six connections. */
async function open(channel: string, viaWorker: boolean, script = '/page.js'): Promise<Page> {
  const page = await stage.page(context);
  await page.evaluate(
    ({ url, channel, viaWorker, script }) => {
      const worker = () => new SharedWorker(`${script}?url=${encodeURIComponent(url)}`);
      globalThis.got = [];
      globalThis.client = m.createClient({
        transports: [m.shared(m.sse(url), viaWorker ? { worker } : {})],
        reconnect: m.fastBackoff({ max: 500 }),
      });
      client.subscribe(channel, (data) => got.push(data));
      client.connect();
    },
    { url: `${network.url}/events`, channel, viaWorker, script },
  );
  return page;
}

const subscribed = (page: Page, channel: string) =>
  expect.poll(() => page.evaluate((name) => client.channel(name).getState(), channel)).toBe('subscribed');
const received = (page: Page) => page.evaluate(() => got);

describe.each([
  ['a worker', true],
  ['one of them', false],
] as const)('tabs whose connection is in %s', (name, viaWorker) => {
  const channel = `test.tabs.${viaWorker}`;

  it('are ten with one stream, and an ordinary fetch still works', async () => {
    const pages: Page[] = [];
    for (let i = 0; i < 10; i++) pages.push(await open(channel, viaWorker));
    for (const page of pages) await subscribed(page, channel);
    await publish(server, channel, name);
    for (const page of pages) await expect.poll(() => received(page)).toEqual([name]);
    await expect.poll(() => network.streams).toBe(1);
    const status = await pages[9]?.evaluate(async (url) => (await fetch(`${url}/healthz`)).status, network.url);
    expect(status).toBe(200);
  });

  it('go on when the first of them is closed: nothing is lost or doubled', async () => {
    const [first, second, third] = [
      await open(channel, viaWorker),
      await open(channel, viaWorker),
      await open(channel, viaWorker),
    ];
    for (const page of [first, second, third]) await subscribed(page, channel);
    const before = await received(second);
    await publish(server, channel, 1);
    await expect.poll(() => received(second)).toEqual([...before, 1]);
    await first.close();
    await publish(server, channel, 2);
    await publish(server, channel, 3);
    for (const page of [second, third]) await expect.poll(() => received(page)).toEqual([...before, 1, 2, 3]);
    expect(await second.evaluate((name) => client.publish(name, 4).then((ack) => ack.duplicate), channel)).toBe(false);
    await expect.poll(() => received(third)).toEqual([...before, 1, 2, 3, 4]);
  });
});

it('one of the tabs has the connection where the script of the worker cannot be had', async () => {
  const channel = 'test.tabs.missing';
  const pages = [await open(channel, true, '/missing.js'), await open(channel, true, '/missing.js')];
  for (const page of pages) await subscribed(page, channel);
  await publish(server, channel, 1);
  for (const page of pages) await expect.poll(() => received(page)).toEqual([1]);
  await expect.poll(() => network.streams).toBe(1);
});
