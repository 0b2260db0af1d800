import { once } from 'node:events';
import { createServer } from 'node:http';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type * as core from '../../src/index.ts';
import { createStage, type Server, type Stage, startServer } from './stage.ts';

declare const m: typeof core;

let server: Server;
let stage: Stage;

beforeAll(async () => {
  [server, stage] = await Promise.all([
    startServer('--secret', 'a secret of thirty-two bytes, or more'),
    createStage(`export * from '../../src/index.ts'`),
  ]);
});
afterAll(async () => {
  await stage?.close();
  await server?.kill();
});

it('falls back at once where a proxy refuses WebSockets', async () => {
  const open = await startServer();
  const proxy = createServer((_, response) => response.writeHead(403).end()).listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const address = proxy.address();
  const port = typeof address === 'object' ? address?.port : 0;
  const page = await stage.page();
  const result = await page.evaluate(
    async ({ url, port }) => {
      let waits = 0;
      const client = m.createClient({
        transports: [m.websocket(`http://127.0.0.1:${port}/ws`), m.sse(`${url}/events`)],
        reconnect: () => ++waits,
      });
      client.connect();
      await client.ready();
      return { transport: client.getSnapshot().transport, waits };
    },
    { url: open.url, port },
  );
  proxy.close();
  await open.kill();
  expect(result).toEqual({ transport: 'sse', waits: 0 });
});

it.each(['sse', 'connect'] as const)('stops on %s when the token is refused twice', async (name) => {
  const page = await stage.page();
  const result = await page.evaluate(
    async ({ url, name }) => {
      const asked: boolean[] = [];
      const transport = name === 'sse' ? m.sse(`${url}/events`) : m.connectStream(url);
      const client = m.createClient({
        transports: [transport],
        token: ({ refresh }) => {
          asked.push(refresh);
          return 'nonsense';
        },
      });
      client.connect();
      const reason = await client.ready().catch((e: core.RealtimeError) => e.reason);
      return { asked, reason, state: client.getSnapshot().state };
    },
    { url: server.url, name },
  );
  expect(result).toEqual({ asked: [false, true], reason: 'UNAUTHENTICATED', state: 'error' });
});
