import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type * as core from '../../src/index.ts';
import { createStage, publish, type Server, type Stage, startServer } from './stage.ts';

declare const m: typeof core;
declare global {
  var client: core.Client;
  var got: unknown[];
}

let server: Server;
let stage: Stage;
let page: Page;

beforeAll(async () => {
  stage = await createStage(`export * from '../../src/index.ts'`);
});
afterAll(async () => {
  await stage?.close();
});
const transports = ['websocket', 'sse', 'connect'] as const;

/** Opens a page with a client; the query is that of its event stream or WebSocket. */
async function open(name: (typeof transports)[number], query = ''): Promise<Page> {
  const opened = await stage.page();
  await opened.evaluate(
    ({ url, name, query }) => {
      const transport = {
        websocket: () => m.websocket(`${url}/ws${query}`),
        sse: () => m.sse(`${url}/events${query}`),
        connect: () => m.connectStream(url),
      }[name];
      globalThis.got = [];
      globalThis.client = m.createClient({ transports: [transport()], reconnect: m.fastBackoff({ max: 500 }) });
      client.connect();
    },
    { url: server.url, name, query },
  );
  return opened;
}

const received = () => page.evaluate(() => got);

describe.each(transports)('the client on %s', (name) => {
  beforeAll(async () => {
    server = await startServer();
  });
  afterAll(() => server?.kill());
  beforeEach(async () => {
    page = await open(name);
  });
  afterEach(async () => {
    for (const context of stage.browser.contexts()) await context.close();
  });

  it('publishes with an acknowledgement, and receives what it published', async () => {
    const ack = await page.evaluate(async () => {
      client.subscribe('test.echo', (data, { self }) => got.push([data, self]));
      return client.publish('test.echo', { text: 'zero 0, null and \u2028' });
    });
    expect(ack.position?.offset).toBe(1);
    await expect.poll(received).toEqual([[{ text: 'zero 0, null and \u2028' }, true]]);
  });

  it('loses nothing and doubles nothing while the network is away', async () => {
    await page.evaluate(async () => {
      client.subscribe('test.away', (data) => got.push(data));
      await client.publish('test.away', 0);
    });
    await expect.poll(received).toEqual([0]);
    await page.evaluate(() => client.disconnect());
    for (let i = 1; i <= 5; i++) await publish(server, 'test.away', i);
    await page.evaluate(() => {
      client.send('test.away', 6);
      client.connect();
    });
    await expect.poll(received).toEqual([0, 1, 2, 3, 4, 5, 6]);
  });

  it('tells of a gap when the server lost its memory', async () => {
    await page.evaluate(async () => {
      client.subscribe('test.gap', (data) => got.push(data));
      client.channel('test.gap').onGap((gap) => got.push(gap.reason));
      await client.publish('test.gap', 'before');
    });
    await expect.poll(received).toEqual(['before']);
    await server.kill();
    await server.start();
    await expect.poll(() => page.evaluate(() => client.channel('test.gap').getState())).toBe('subscribed');
    await expect.poll(received).toEqual(['before', 'EPOCH_CHANGED']);
    await publish(server, 'test.gap', 'after');
    await expect.poll(received).toEqual(['before', 'EPOCH_CHANGED', 'after']);
  });

  it('sees who is present, and who goes', async () => {
    const other = await open(name);
    await other.evaluate(() => {
      client.channel('test.room').presence.enter({ name: 'Bob' });
    });
    await page.evaluate(() => {
      client.channel('test.room').presence.onChange(() => {});
    });
    const members = () =>
      page.evaluate(() =>
        client
          .channel('test.room')
          .presence.getSnapshot()
          .members.map((x) => x.data),
      );
    await expect.poll(members).toEqual([{ name: 'Bob' }]);
    await other.evaluate(() => client.channel('test.room').presence.update({ name: 'Robert' }));
    await expect.poll(members).toEqual([{ name: 'Robert' }]);
    await other.evaluate(() => client.disconnect());
    await expect.poll(members).toEqual([]);
  });

  it('reads history, and positions', async () => {
    const result = await page.evaluate(async () => {
      for (let i = 0; i < 3; i++) await client.publish('test.history', i);
      const { messages, position } = await client.channel('test.history').history({ newest: true, limit: 2 });
      const { positions } = await client.positions(['test.history']);
      return { data: messages.map((x) => x.data), position, positions };
    });
    expect(result).toMatchObject({
      data: [2, 1],
      position: { offset: 3 },
      positions: { 'test.history': { offset: 3 } },
    });
  });

  it('begins with the newest messages when asked', async () => {
    for (let i = 0; i < 5; i++) await publish(server, 'test.recent', i);
    await page.evaluate(() => client.channel('test.recent', { recent: 2 }).subscribe((data) => got.push(data)));
    await expect.poll(received).toEqual([3, 4]);
  });

  it('keeps a channel apart from a pattern that passes over what the channel has still to show', async () => {
    await page.evaluate(() => {
      const note = (name: string) => (data: unknown) => void got.push(`${name} ${data}`);
      client.channel('test.apart.a', { minInterval: 60_000 }).subscribe(note('channel'));
      client.channel('test.apart.*', { filter: { types: ['kind'] } }).subscribe(note('pattern'));
      return client.publish('test.apart.a', 1);
    });
    await expect.poll(received).toEqual(['channel 1']);
    await page.evaluate(async () => {
      await client.publish('test.apart.a', 2);
      await client.publish('test.apart.a', 3);
      await client.publish('test.apart.a', 4, { messageType: 'kind' });
    });
    await expect.poll(received).toEqual(['channel 1', 'pattern 4']);
    await page.evaluate(() => {
      client.disconnect();
      client.connect();
    });
    await expect.poll(received).toEqual(['channel 1', 'pattern 4', 'channel 2', 'channel 3', 'channel 4']);
  });

  it('watches presence of a channel that it is subscribed to already', async () => {
    await page.evaluate(async () => {
      client.subscribe('test.both', (data) => got.push(data));
      await client.publish('test.both', 1);
      client.channel('test.both').presence.enter('me');
      client.channel('test.both').presence.onChange(() => {});
      await client.publish('test.both', 2);
    });
    await expect.poll(() => page.evaluate(() => client.channel('test.both').presence.getSnapshot().total)).toBe(1);
    await expect.poll(received).toEqual([1, 2]);
  });

  it('refuses what the server refuses, and goes on', async () => {
    const reason = await page.evaluate(() =>
      client.publish('not a channel', 1).catch((e: core.RealtimeError) => e.reason),
    );
    expect(reason).toBe('INVALID_CHANNEL');
    expect(await page.evaluate(() => client.getSnapshot().state)).toBe('connected');
  });
});

describe.each([
  { who: 'server', name: 'sse', query: '' },
  { who: 'address', name: 'sse', query: '?channel=joined.news&channel=joined.prices' },
  { who: 'address', name: 'websocket', query: '?channel=joined.news&channel=joined.prices' },
] as const)('the client on $name, where the $who joins channels by itself', ({ name, query }) => {
  beforeAll(async () => {
    server = await startServer('--sse-channels', 'joined.news,joined.prices');
  });
  afterAll(() => server?.kill());
  beforeEach(async () => {
    page = await open(name, query);
  });
  afterEach(async () => {
    for (const context of stage.browser.contexts()) await context.close();
  });

  it('resumes where it was when it comes back', async () => {
    await page.evaluate(async () => {
      client.subscribe('joined.news', (data) => got.push(data));
      await client.publish('joined.news', 1);
    });
    await expect.poll(received).toEqual([1]);
    for (const [first, last] of [
      [2, 3],
      [4, 5],
    ] as const) {
      await page.evaluate(() => client.disconnect());
      await publish(server, 'joined.news', first);
      await publish(server, 'joined.news', last);
      await page.evaluate(() => client.connect());
      await expect.poll(received).toEqual(Array.from({ length: last }, (_, i) => i + 1));
    }
    await page.evaluate(() => client.publish('joined.news', 6));
    await expect.poll(received).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it('begins with the newest messages when asked', async () => {
    for (let i = 0; i < 5; i++) await publish(server, 'joined.prices', i);
    await page.evaluate(() => {
      client.disconnect();
      client.channel('joined.prices', { recent: 2 }).subscribe((data) => got.push(data));
      client.connect();
    });
    await expect.poll(received).toEqual([3, 4]);
  });
});
