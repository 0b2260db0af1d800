/** The generated service, over Connect-Web. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type * as connect from './connect.page.ts';
import { createStage, type Server, type Stage, startServer } from './stage.ts';

declare const m: typeof connect;

let server: Server;
let stage: Stage;

beforeAll(async () => {
  [server, stage] = await Promise.all([startServer(), createStage(`export * from './connect.page.ts'`)]);
});
afterAll(async () => {
  await stage?.close();
  await server?.kill();
});

it('streams and publishes', async () => {
  const page = await stage.page();
  expect(await page.evaluate((url) => m.follow(url), server.url)).toEqual(['ready', 'subscribed', ['1']]);
});

it('is told why something is refused', async () => {
  const page = await stage.page();
  expect(await page.evaluate((url) => m.refused(url), server.url)).toBe(true);
});
