/** What is the same on every page. */
import { describe, expect, it } from 'vitest';
import { openStage, texts } from './stage.ts';

const stage = openStage();

describe('the site', () => {
  const paths = ['', 'chat', 'presence', 'together', 'dashboard', 'notifications', 'connection', 'tabs'];

  it('three wires carry the same messages in the same order', async () => {
    const { page } = await stage.open('');
    const lane = (name: string): Promise<string[]> => texts(page, `[data-lane="${name}"] i`);
    for (const name of ['WebSocket', 'Connect stream', 'Server-Sent Events']) {
      await expect.poll(async () => (await lane(name)).length, { message: name }).toBeGreaterThan(3);
      const numbers = (await lane(name)).map(Number);
      expect(numbers).toEqual(numbers.map((_, i) => (numbers[0] ?? 0) + i));
    }
  });

  it('is used with the keyboard', async () => {
    const { page } = await stage.open('');
    await page.keyboard.press('Tab');
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe('Skip to the page');
    await page.getByRole('link', { name: 'Chat', exact: true }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Chat', level: 1 }).waitFor();
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('page');
    await page.goBack();
    await page.locator('.tiles').waitFor();
  });

  it('fits a telephone', async () => {
    const { page } = await stage.open('', 390);
    for (const path of paths) {
      await page.goto(`${stage.demo.url}/demo/${path}`);
      await page.locator('main h1').waitFor();
      const over = await page.evaluate(
        () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
      );
      expect(over, path).toBe(0);
    }
    await page.getByRole('button', { name: 'Pages' }).click();
    await page.getByRole('link', { name: 'Presence', exact: true }).click();
    await page.getByRole('heading', { name: 'Presence', level: 1 }).waitFor();
  });

  it('has the colours that are chosen', async () => {
    const { page } = await stage.open('');
    const ground = (): Promise<string> =>
      page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    const button = page.getByRole('button', { name: /^Colours/ });
    await button.click();
    const light = await ground();
    await button.click();
    expect(await ground()).not.toBe(light);
    await page.reload();
    await page.locator('.tiles').waitFor();
    expect(await ground()).not.toBe(light);
  });
});
