/** What the backend publishes, in caches and lists. */
import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { number, openStage, shown, texts } from './stage.ts';

const stage = openStage();

describe('dashboard', () => {
  const figure = (page: Page, title: string) => page.locator(`[data-metric="${title}"] p`).textContent();
  const cell = (page: Page, section: string) => page.locator(`${section} [data-row="2"] td:nth-child(3)`).textContent();

  it('figures go up and down', async () => {
    const { page } = await stage.open('dashboard');
    await expect.poll(() => figure(page, 'Revenue')).toMatch(/^\$\d\d,\d{3}$/);
    const before = await figure(page, 'Active Users');
    await expect.poll(() => figure(page, 'Active Users')).not.toBe(before);
    await shown(page, '#live-metrics .stage p').toHaveLength(2);
    expect((await texts(page, '#live-metrics .stage p'))[0]).toMatch(/^Users: \d+$/);
  });

  it('a row that is changed elsewhere changes in every query', async () => {
    const [ada, alan] = [await stage.open('dashboard'), await stage.open('dashboard')];
    const score = 1000 + Math.floor(Math.random() * 1000);
    await ada.page.locator('#provider [data-row="2"]').waitFor();
    await alan.page.locator('#table [data-row="2"]').waitFor();
    await stage.server.send('PATCH', '/demo/api/users/2', { score });
    for (const { page } of [ada, alan])
      for (const section of ['#table', '#strategies', '#provider'])
        await expect.poll(() => cell(page, section), { message: section }).toBe(String(score));
    expect(await number(ada.page, '[data-count=loads]')).toBe(1);
  });

  it('entities are appended and removed as the strategies say', async () => {
    const [ada, alan] = [await stage.open('dashboard'), await stage.open('dashboard')];
    const posts = '[aria-label=posts] li';
    await expect.poll(() => alan.page.locator(posts).count()).toBeGreaterThan(0);
    const before = await alan.page.locator(posts).count();
    await ada.page.getByRole('button', { name: 'Add a message' }).click();
    const newest = async (): Promise<string | undefined> =>
      (await stage.server.get<{ rows: { text: string }[] }>('/demo/api/messages')).rows.at(-1)?.text;
    await expect.poll(async () => (await texts(alan.page, '[aria-label=messages] li')).at(-1)).toBe(await newest());
    await ada.page.locator(`${posts} button`).first().click();
    await expect.poll(() => alan.page.locator(posts).count()).toBe(before - 1);
    expect((await stage.server.get<{ rows: unknown[] }>('/demo/api/posts')).rows).toHaveLength(before - 1);
  });

  it('after a gap the query is loaded anew, and is what the server has', async () => {
    const { page } = await stage.open('dashboard');
    await page.locator('#table [data-row="2"]').waitFor();
    await page.getByRole('button', { name: 'Be away for 30 changes' }).click();
    await expect.poll(() => number(page, '[data-count=gaps]')).toBe(1);
    await expect.poll(() => number(page, '[data-count=loads]')).toBe(2);
    const { rows } = await stage.server.get<{ rows: { name: string; city: string; score: number }[] }>(
      '/demo/api/users',
    );
    const table = rows.map(({ name, city, score }) => `${name}${city}${score}`);
    await expect
      .poll(async () => (await texts(page, '#table tbody tr')).map((row) => row.replace(/Edit.*/, '')))
      .toEqual(table);
  });
});

describe('notifications', () => {
  it('each is shown once, however often the connection is cut', async () => {
    const { page, user } = await stage.open('notifications');
    const notify = page.getByRole('button', { name: 'Notify everybody' });
    const mine = await stage.demo.as(user);
    const wires = async (): Promise<string[]> =>
      (await mine.get<{ protocol: string }[]>('/demo/api/sessions')).map(({ protocol }) => protocol);
    await expect.poll(async () => (await wires()).filter((wire) => wire === 'sse').length).toBe(3);
    await page.evaluate(() => {
      const watched = window as typeof window & { toasts: number };
      watched.toasts = 0;
      new MutationObserver((changes) => {
        for (const { addedNodes } of changes) watched.toasts += addedNodes.length;
      }).observe(document.querySelector('.toasts') as Element, { childList: true });
    });
    for (const count of [1, 2]) {
      await notify.click();
      await expect.poll(() => page.locator('.note').count()).toBe(count);
      await expect.poll(() => page.locator('[aria-label=Console] li').count()).toBe(2 * count);
      await expect.poll(() => page.locator('[aria-label=Events] li:not(.empty)').count()).toBe(count);
      await page.getByRole('button', { name: 'Cut my connections' }).click();
      await expect.poll(async () => (await wires()).filter((wire) => wire === 'sse').length).toBe(3);
    }
    const kept = await stage.server.history<{ message: string }>('notifications');
    expect(await texts(page, '.note p')).toEqual(kept.map(({ message }) => message).toReversed());
    // Two toasts for each: one of the centre, one of the client of events.
    expect(await page.evaluate(() => (window as typeof window & { toasts: number }).toasts)).toBe(4);
  });
});
