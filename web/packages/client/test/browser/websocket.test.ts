import type { Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
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
  [server, stage] = await Promise.all([startServer(), createStage(`export * from '../../src/index.ts'`)]);
});
afterAll(async () => {
  await stage?.close();
  await server?.kill();
});
beforeEach(async () => {
  page = await stage.page();
  await page.evaluate((url) => {
    globalThis.got = [];
    globalThis.client = m.createClient({
      transports: [m.websocket(`${url}/ws`)],
      reconnect: m.fastBackoff({ max: 500 }),
    });
    client.connect();
  }, server.url);
});

const received = () => page.evaluate(() => got);

describe('the client on a WebSocket', () => {
  it('publishes with an acknowledgement, and receives what it published', async () => {
    const ack = await page.evaluate(async () => {
      client.subscribe('ws.echo', (data, { self }) => got.push([data, self]));
      return client.publish('ws.echo', { text: 'zero 0, null and \u2028' });
    });
    expect(ack).toMatchObject({ duplicate: false, position: { offset: 1 } });
    await expect.poll(received).toEqual([[{ text: 'zero 0, null and \u2028' }, true]]);
  });

  it('loses nothing and doubles nothing while the network is away', async () => {
    await page.evaluate(async () => {
      client.subscribe('ws.away', (data) => got.push(data));
      await client.publish('ws.away', 0);
    });
    const link = await page.evaluateHandle(() => client);
    await page.evaluate(() => client.disconnect());
    for (let i = 1; i <= 5; i++) await publish(server, 'ws.away', i);
    await page.evaluate(() => {
      client.send('ws.away', 6);
      client.connect();
    });
    await expect.poll(received).toEqual([0, 1, 2, 3, 4, 5, 6]);
    await link.dispose();
  });

  it('tells of a gap when the server lost its memory', async () => {
    await page.evaluate(async () => {
      client.subscribe('ws.gap', (data) => got.push(data));
      client.channel('ws.gap').onGap((gap) => got.push(gap.reason));
      await client.publish('ws.gap', 'before');
    });
    await server.kill();
    await server.start();
    await expect
      .poll(() => page.evaluate(() => client.channel('ws.gap').getState()), { timeout: 10_000 })
      .toBe('subscribed');
    await publish(server, 'ws.gap', 'after');
    await expect.poll(received).toEqual(['before', 'EPOCH_CHANGED', 'after']);
  });

  it('sees who is present, and who goes', async () => {
    const other = await stage.page();
    await other.evaluate((url) => {
      globalThis.client = m.createClient({ transports: [m.websocket(`${url}/ws`)] });
      client.connect();
      client.channel('ws.room').presence.enter({ name: 'Bob' });
    }, server.url);
    await page.evaluate(() => {
      client.channel('ws.room').presence.onChange(() => {});
    });
    const members = () =>
      page.evaluate(() =>
        client
          .channel('ws.room')
          .presence.getSnapshot()
          .members.map((x) => x.data),
      );
    await expect.poll(members).toEqual([{ name: 'Bob' }]);
    await other.evaluate(() => client.channel('ws.room').presence.update({ name: 'Robert' }));
    await expect.poll(members).toEqual([{ name: 'Robert' }]);
    await other.evaluate(() => client.disconnect());
    await expect.poll(members).toEqual([]);
  });

  it('reads history, and positions', async () => {
    const result = await page.evaluate(async () => {
      for (let i = 0; i < 3; i++) await client.publish('ws.history', i);
      const { messages, position } = await client.channel('ws.history').history({ newest: true, limit: 2 });
      const { positions } = await client.positions(['ws.history']);
      return { data: messages.map((x) => x.data), position, positions };
    });
    expect(result).toMatchObject({ data: [2, 1], position: { offset: 3 }, positions: { 'ws.history': { offset: 3 } } });
  });

  it('begins with the newest messages when asked', async () => {
    for (let i = 0; i < 5; i++) await publish(server, 'ws.recent', i);
    await page.evaluate(() => client.channel('ws.recent', { recent: 2 }).subscribe((data) => got.push(data)));
    await expect.poll(received).toEqual([3, 4]);
  });

  it('watches presence of a channel that it is subscribed to already', async () => {
    await page.evaluate(async () => {
      client.subscribe('ws.both', (data) => got.push(data));
      await client.publish('ws.both', 1);
      client.channel('ws.both').presence.enter('me');
      client.channel('ws.both').presence.onChange(() => {});
      await client.publish('ws.both', 2);
    });
    await expect.poll(() => page.evaluate(() => client.channel('ws.both').presence.getSnapshot().total)).toBe(1);
    expect(await received()).toEqual([1, 2]);
  });

  it('refuses what the server refuses, and goes on', async () => {
    const reason = await page.evaluate(() =>
      client.publish('not a channel', 1).catch((e: core.RealtimeError) => e.reason),
    );
    expect(reason).toBe('INVALID_CHANNEL');
    expect(await page.evaluate(() => client.getSnapshot().state)).toBe('connected');
  });
});
