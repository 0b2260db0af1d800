/** What becomes of connections. */
import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { type Caller, number, openStage, shown, texts } from './stage.ts';

const stage = openStage();

describe('connection', () => {
  const state = (page: Page) => page.locator('[data-monitor=state]').textContent();
  const transport = (page: Page) => page.locator('[data-monitor=transport]').textContent();
  const pulse = (page: Page, field: string) => number(page, `[data-pulse=${field}]`);
  const states = (page: Page) => page.locator('[data-states]').getAttribute('data-states');

  /** Breaks something, and waits for the connection to be lost and to be there again, with nothing missed. */
  async function survive(page: Page, fault: string): Promise<void> {
    const before = (await states(page))?.split(' ').length ?? 0;
    await page.locator(`[data-fault=${fault}]`).click();
    await expect
      .poll(async () => (await states(page))?.split(' ').slice(before), { message: fault })
      .toContain('reconnecting');
    await expect.poll(() => state(page), { message: fault }).toBe('connected');
    const received = await pulse(page, 'received');
    await expect.poll(() => pulse(page, 'received'), { message: fault }).toBeGreaterThan(received);
    for (const field of ['missed', 'doubled', 'gaps'])
      expect(await pulse(page, field), `${field} after ${fault}`).toBe(0);
  }

  it('whatever is broken, nothing is missed or doubled', async () => {
    const { page } = await stage.open('connection');
    await expect.poll(() => pulse(page, 'received')).toBeGreaterThan(0);
    for (const fault of ['cut', 'revoke', 'freeze', 'restart']) await survive(page, fault);
  });

  it('every transport survives a cut', async () => {
    const { page, user } = await stage.open('connection');
    const mine = await stage.demo.as(user);
    for (const [way, name] of [
      ['Connect stream', 'connect'],
      ['Server-Sent Events', 'sse'],
    ] as const) {
      await page.locator('.choice select').first().selectOption(way);
      await expect.poll(() => state(page)).toBe('connected');
      await expect.poll(() => pulse(page, 'received')).toBeGreaterThan(0);
      expect(await transport(page)).toBe(name);
      const protocols = (await mine.get<{ protocol: string }[]>('/demo/api/sessions')).map(({ protocol }) => protocol);
      expect(protocols).toContain(name);
      await survive(page, 'cut');
    }
  });

  it('another transport takes over where no WebSocket passes', async () => {
    const { page } = await stage.open('connection');
    await page.locator('.choice select').first().selectOption('whatever passes');
    await expect.poll(() => transport(page)).toBe('websocket');
    await expect.poll(() => state(page)).toBe('connected');
    await survive(page, 'no-websocket');
    expect(await transport(page)).toBe('connect');
  });

  it('the alert of the document comes and goes', async () => {
    const { page } = await stage.open('connection');
    const alert = page.locator('#connection-monitor .alert');
    await page.locator('#connection-monitor').getByRole('button', { name: 'Pull the plug' }).click();
    await alert.waitFor();
    expect(await alert.locator('p').textContent()).toBe('Connection lost. Attempting to reconnect...');
    await alert.getByRole('button', { name: 'Retry Now' }).click();
    await alert.waitFor({ state: 'detached' });
    await page.locator('#connection-monitor').getByRole('button', { name: 'Pull the plug' }).waitFor();
  });

  it('the component of the document that insists on a connection has one', async () => {
    const { page } = await stage.open('connection');
    const status = page.locator('#live-component .stage');
    await expect.poll(() => status.textContent()).toContain('Status: connected✅ Enabled');
    await status.getByRole('button').click();
    await expect.poll(() => status.textContent()).toContain('Status: connected✅ Enabled');
  });

  it('the script of the document connects, and hears what it was joined to', async () => {
    const { page } = await stage.open('connection');
    const lines = '#script .console li';
    await shown(page, lines).toContain('Connection state: connected');
    await expect
      .poll(async () => (await texts(page, lines)).some((line) => line.startsWith('Received: {"channel":"demo.pulse"')))
      .toBe(true);
  });

  it('delays are those of the document, and a little more', async () => {
    const { page } = await stage.open('connection');
    for (const row of await page.locator('[data-delay]').all()) {
      const documented = Number(await row.getAttribute('data-delay'));
      const delay = Number.parseFloat((await row.textContent()) ?? '');
      expect(delay).toBeGreaterThanOrEqual(documented === 30 ? 24 : documented);
      expect(delay).toBeLessThanOrEqual(documented === 30 ? 30 : documented + 1);
    }
  });

  it('debug mode tells the console', async () => {
    const told: string[] = [];
    const visitor = await stage.open('');
    visitor.page.on('console', (message) => {
      if (message.type() === 'debug') told.push(message.text());
    });
    await visitor.page.getByRole('link', { name: 'Connection', exact: true }).click();
    await expect.poll(() => told.some((line) => line.startsWith('[millrace] metrics'))).toBe(true);
    await shown(visitor.page, '#debug .stage p').not.toEqual(["0 messages: each is a line in the browser's console"]);
  });

  it('the devtools show what passes, and break it', async () => {
    const { page } = await stage.open('connection');
    await page.getByRole('button', { name: 'Open the real-time devtools' }).click();
    const panel = page.getByRole('region', { name: 'Real-time devtools' });
    const status = panel.locator('strong');
    const lines = () => panel.locator('li').allTextContents();
    await expect.poll(() => status.textContent()).toContain('connected · websocket · 1 link');
    await expect.poll(async () => (await lines()).some((line) => line.includes('↓ {"channel":"metrics"'))).toBe(true);
    await panel.getByLabel('Filter frames').fill('opens');
    const opened = async (): Promise<number> => (await lines()).length;
    await expect.poll(opened).toBe(1);
    await panel.getByRole('button', { name: 'Drain' }).click();
    await expect.poll(opened).toBe(2);
    await panel.getByRole('button', { name: 'Drop' }).click();
    await expect.poll(opened).toBe(3);
    await expect.poll(() => status.textContent()).toContain('connected · websocket · 1 link');
    await panel.getByRole('button', { name: 'Refuse' }).click();
    await panel.getByRole('button', { name: 'Drop' }).click();
    await expect.poll(() => status.textContent()).toContain('reconnecting');
    await panel.getByRole('button', { name: 'Refuse' }).click();
    await expect.poll(() => status.textContent()).toContain('connected · websocket · 1 link');
    await panel.getByRole('button', { name: 'Close', exact: true }).click();
    await panel.waitFor({ state: 'detached' });
  });
});

describe('one connection', () => {
  it('many providers of an address have one session on the server', async () => {
    const { page, user } = await stage.open('tabs');
    const mine = await stage.demo.as(user);
    const sessions = async (): Promise<number> =>
      (await mine.get<{ channels: string[] }[]>('/demo/api/sessions')).filter(({ channels }) =>
        channels.includes('metrics'),
      ).length;
    await expect.poll(sessions).toBe(2); // of the widgets, and of the tabs
    await page.getByRole('slider').fill('24');
    await expect.poll(() => page.locator('#widgets .widget').count()).toBe(24);
    await expect.poll(async () => new Set(await texts(page, '#widgets .widget')).has('…')).toBe(false);
    expect(await sessions()).toBe(2);
    await expect.poll(() => page.locator('#sessions tbody tr').count()).toBe(3);
  });

  it('tabs have one session on the server, and go on when the first is closed', async () => {
    const ada = await stage.open('tabs');
    const mine = await stage.demo.as(ada.user);
    const of = async (caller: Caller): Promise<number> =>
      (await caller.get<{ protocol: string; channels: string[] }[]>('/demo/api/sessions')).filter(({ channels }) =>
        channels.includes('metrics'),
      ).length;
    await expect.poll(() => of(mine)).toBe(2); // of the widgets, and of the tabs
    const second = await ada.page.context().newPage();
    await second.goto(`${stage.demo.url}/demo/tabs`);
    await second.locator('#shared [data-state=connected]').waitFor();
    const theirs = await stage.demo.as(await second.evaluate(() => sessionStorage.getItem('millrace-demo-user') ?? ''));
    await expect.poll(() => second.locator('#shared .widget').textContent()).toMatch(/^\d+$/);
    await expect.poll(() => of(theirs)).toBe(1); // of the widgets alone
    await ada.page.close();
    await expect.poll(() => of(theirs)).toBe(2);
    await second.locator('#shared [data-state=connected]').waitFor();
  });
});
