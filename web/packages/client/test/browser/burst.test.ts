/** 600 messages a second into a list and into a query cache. */
import type { CDPSession, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type * as burst from './burst.page.tsx';
import { createStage, type Server, type Stage, startServer } from './stage.ts';

declare const m: typeof burst;

const perSecond = 600;
const seconds = 3;
const total = perSecond * seconds;

let server: Server;
let stage: Stage;

beforeAll(async () => {
  [server, stage] = await Promise.all([
    startServer('--limits-publish-rate', '10000', '--limits-call-rate', '10000'),
    createStage(`export * from './burst.page.tsx'`),
  ]);
});
afterAll(async () => {
  await stage?.close();
  await server?.kill();
});

/** Publishes numbers at an even pace, over one connection of a backend. */
async function pour(channel: string): Promise<void> {
  const start = performance.now();
  for (let n = 0; n < total; ) {
    const due = Math.min(total, Math.ceil(((performance.now() - start) / 1000) * perSecond));
    const requests = Array.from({ length: Math.max(due - n, 0) }, (_, i) => ({
      channel,
      payload: { json: String(n + i + 1) },
    }));
    n = Math.max(due, n);
    if (requests.length > 0) {
      const response = await fetch(`${server.url}/millrace.v1.RealtimeService/PublishBatch`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ requests }),
      });
      if (!response.ok) throw new Error(await response.text());
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function metrics(devtools: CDPSession): Promise<Readonly<Record<string, number>>> {
  const { metrics } = await devtools.send('Performance.getMetrics');
  return Object.fromEntries(metrics.map(({ name, value }) => [name, value]));
}

function p95(times: readonly number[]): string {
  return (times.toSorted((a, b) => a - b)[Math.floor(times.length * 0.95)] ?? 0).toFixed(1);
}

const last = (page: Page) => page.getAttribute('#shown', 'data-last');

it.each(['list', 'cache'] as const)('a %s renders at most once a frame, and shows every message', async (kind) => {
  const channel = `burst.${kind}`;
  const page = await stage.page();
  const got = page.evaluate(({ kind, url, channel }) => m.show(kind, url, channel), {
    kind,
    url: `${server.url}/ws`,
    channel,
  });
  await got;
  await expect.poll(() => page.evaluate((name) => m.client?.channel(name).getState(), channel)).toBe('subscribed');
  await page.evaluate((name) => {
    Object.assign(globalThis, { numbers: [] });
    m.client.subscribe(name, (data) => (globalThis as unknown as { numbers: unknown[] }).numbers.push(data));
    for (const list of [m.commits, m.frames, m.work]) list.length = 0;
  }, channel);
  const devtools = await page.context().newCDPSession(page);
  await devtools.send('Performance.enable', { timeDomain: 'threadTicks' });
  const { TaskDuration: before = 0 } = await metrics(devtools);
  await pour(channel);
  await expect.poll(() => last(page)).toBe(String(total));
  const { commits, frames, work, numbers } = await page.evaluate(() => ({
    commits: m.commits,
    frames: m.frames,
    work: m.work,
    numbers: (globalThis as unknown as { numbers: number[] }).numbers,
  }));
  expect(numbers).toEqual(Array.from({ length: total }, (_, i) => i + 1));
  if (kind === 'cache') expect(await page.getAttribute('#shown', 'data-count')).toBe(String(total));

  expect(commits.length).toBeLessThanOrEqual(frames.length + 1);
  expect(commits.length).toBeLessThan(total / 2);

  // The processor's time, not that of the wall: what else the machine does is not the page's.
  const { TaskDuration: worked = 0 } = await metrics(devtools);
  const cost = (((worked - before) / frames.length) * 1000).toFixed(1);
  console.log(
    `${kind}: ${frames.length} frames of ${cost} ms, ${commits.length} renders, 95 % of them within ${p95(work)} ms`,
  );
  await page.context().close();
});
