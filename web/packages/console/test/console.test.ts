import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { apiKey, createStage, heading, type Stage, signIn, tokenOf, visit as visitOf } from './stage.ts';

let stage: Stage;
const errors: string[] = [];

beforeAll(async () => {
  stage = await createStage();
});
afterAll(() => stage?.close());
afterEach(async () => {
  for (const context of stage.browser.contexts()) await context.close();
  expect(errors.splice(0)).toEqual([]);
});

/** Signs in, and remembers what the page complains of. */
async function operator(token = apiKey, options = {}): Promise<Page> {
  const page = await signIn(stage, token, options);
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error' && message.text().includes('Content Security Policy')) errors.push(message.text());
  });
  return page;
}

/** Opens a page of the console by its address. */
const visit = (page: Page, path: string, title: string | RegExp) => visitOf(stage, page, path, title);

/** Moves the focus with the tab key until it is on something that says this. */
async function tabTo(page: Page, name: string): Promise<void> {
  for (let i = 0; i < 60; i++) {
    await page.keyboard.press('Tab');
    const focus = await page.evaluate(() => {
      const element = document.activeElement;
      const label =
        element?.getAttribute('aria-label') ??
        (element instanceof HTMLInputElement ? element.labels?.[0]?.textContent : undefined);
      return {
        name: label ?? element?.textContent ?? '',
        outline: element ? getComputedStyle(element).outlineStyle : '',
      };
    });
    if (focus.name.trim() === name) {
      expect(focus.outline).not.toBe('none');
      return;
    }
  }
  throw new Error(`the tab key does not come to ${name}`);
}

describe('signing in', () => {
  it('is with an API key, and lasts as long as the tab', async () => {
    const page = await operator();
    await heading(page, 'Overview');
    await page.reload();
    await heading(page, 'Overview');
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('API key or token').waitFor();
    await page.reload();
    await page.getByLabel('API key or token').waitFor();
    expect(await page.evaluate(() => JSON.stringify([{ ...localStorage }, document.cookie]))).toBe('[{},""]');
  });

  it('says what is wrong with credentials', async () => {
    const forged = await operator('nonsense');
    await forged.getByRole('alert').filter({ hasText: 'does not accept these credentials' }).waitFor();
    const user = await operator(tokenOf('ada', ['subscribe', 'publish']));
    await user.getByRole('alert').filter({ hasText: 'do not allow administration' }).waitFor();
  });

  it('shows an operator who may only look nothing else', async () => {
    await stage.stream('looked.at', ['quiet']);
    const page = await operator(tokenOf('eve', ['inspect']));
    await heading(page, 'Overview');
    await visit(page, 'sessions?user=looked.at', 'Sessions');
    await page.locator('tbody a').first().click();
    await heading(page, /^Session /);
    await page.getByRole('cell', { name: 'quiet' }).waitFor();
    expect(await page.getByRole('button', { name: /Disconnect|Kick|Revoke|Unsubscribe/ }).count()).toBe(0);
    await visit(page, 'access', 'Access');
    await page.getByText('Your credentials allow to look').waitFor();
  });
});

describe('the pages', () => {
  it('show what happens now', async () => {
    await stage.stream('watched', ['busy.1']);
    const page = await operator();
    await heading(page, 'Overview');
    await page.getByText('live', { exact: true }).waitFor();
    const chart = page.getByRole('slider', { name: /Messages a second/ });
    await expect.poll(() => chart.getAttribute('aria-valuetext')).toMatch(/delivered \d/);
    await stage.publish('busy.1', { n: 1 });
    const rates = () =>
      page.evaluate(
        () =>
          document
            .querySelector('.chart .line')
            ?.getAttribute('d')
            ?.match(/,(\d+)/g)?.length,
      );
    await expect.poll(rates).toBeGreaterThan(2);
    await visit(page, 'channels?order=rate', 'Channels');
    await page.getByRole('link', { name: 'busy.1', exact: true }).click();
    await heading(page, 'Channel busy.1');
    await expect.poll(() => page.locator('.facts').innerText()).toMatch(/Head\s+1 /);
  });

  it('go through many sessions page by page', async () => {
    await Promise.all(Array.from({ length: 60 }, () => stage.stream('crowd', ['many'])));
    const page = await operator();
    await visit(page, 'sessions?user=crowd', 'Sessions');
    await page.getByText('1 to 50 of 60').waitFor();
    expect(await page.locator('tbody tr').count()).toBe(50);
    await page.getByRole('button', { name: 'Next' }).click();
    await page.getByText('51 to 60 of 60').waitFor();
    await expect.poll(() => page.locator('tbody tr').count()).toBe(10);
    await page.getByRole('button', { name: 'Previous' }).click();
    await page.getByText('1 to 50 of 60').waitFor();
    await page.getByLabel('User', { exact: true }).fill('nobody');
    await page.getByRole('button', { name: 'Apply' }).click();
    await page.getByText('No session is like that.').waitFor();
  });

  it('keep what is typed and chosen while new figures come', async () => {
    await stage.stream('typist', ['typed']);
    const page = await operator();
    await visit(page, 'sessions', 'Sessions');
    await page.locator('tbody a').first().waitFor();
    const user = page.getByLabel('User', { exact: true });
    await user.pressSequentially('typ');
    await page.getByLabel('Order').selectOption('pending');
    // The node's figures come each second, and the list after two: three lists are some of both.
    for (let i = 0; i < 3; i++) await page.waitForResponse(/ListSessions/);
    await user.pressSequentially('ist');
    expect(await user.inputValue()).toBe('typist');
    expect(await page.getByLabel('Order').inputValue()).toBe('pending');
    await page.keyboard.press('Enter');
    await page.getByText('1 to 1 of 1').waitFor();
    expect(await user.inputValue()).toBe('typist');
    expect(await page.getByLabel('Order').inputValue()).toBe('pending');
  });

  it('say what cannot be', async () => {
    const page = await operator();
    await visit(page, 'sessions?address=nowhere', 'Sessions');
    await page.getByRole('alert').filter({ hasText: 'neither an address nor a network' }).waitFor();
    await visit(page, 'sessions/NOSUCHSESSION', /^Session NOSUCH/);
    await page.getByText('not live here any more').waitFor();
    await visit(page, 'elsewhere', 'There is no such page');
  });
});

describe('a channel', () => {
  it('shows messages as they come, and takes what is published', async () => {
    await stage.publish('tail.1', 'of before');
    const page = await operator();
    await visit(page, 'channels/tail.1', 'Channel tail.1');
    const lines = page.getByRole('list', { name: 'Messages, newest first' });
    await lines.getByText('"of before"').waitFor();
    await stage.publish('tail.1', { text: 'published now' });
    await lines.getByText('published now').waitFor();
    await page.getByLabel('Data').fill('{"from":"the operator"}');
    await page.getByRole('button', { name: 'Publish' }).click();
    await page.getByText('Published to tail.1 at 3.').waitFor();
    await lines.getByText('the operator').waitFor();
    await page.getByLabel('Data').fill('{');
    await page.getByRole('button', { name: 'Publish' }).click();
    await page.getByRole('alert').filter({ hasText: 'This is not JSON' }).waitFor();
  });

  it('stops while it is paused, and shows nothing but what is searched for', async () => {
    const page = await operator();
    await visit(page, 'channels/paused.*', 'Pattern paused.*');
    const lines = page.getByRole('list', { name: 'Messages, newest first' });
    await expect
      .poll(async () => {
        await stage.publish('paused.1', 'first');
        return lines.innerText();
      })
      .toContain('paused.1');
    await page.getByRole('button', { name: 'Pause' }).click();
    const before = await lines.innerText();
    await stage.publish('paused.2', 'while paused');
    await stage.publish('paused.3', 'another');
    expect(await lines.innerText()).toBe(before);
    await page.getByRole('button', { name: 'Pause' }).click();
    await lines.getByText('while paused').waitFor();
    await page.getByLabel('Show only with').fill('another');
    await expect.poll(() => lines.locator('li').count()).toBe(1);
  });
});

describe('an operator', () => {
  it('disconnects a session', async () => {
    const stream = await stage.stream('loud', ['noise']);
    const page = await operator();
    await visit(page, 'sessions?user=loud', 'Sessions');
    await page.locator('tbody a').first().click();
    await page.getByRole('button', { name: 'Disconnect' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Disconnect' }).click();
    await page.getByText('1 session ended.').waitFor();
    await stream.ended;
    await page.getByText('not live here any more').waitFor();
  });

  it('revokes a token', async () => {
    const stream = await stage.stream('leaky', ['secrets'], 'token-of-leaky');
    const other = await stage.stream('leaky', ['secrets'], 'another-token');
    const page = await operator();
    await visit(page, 'access', 'Access');
    await page.getByLabel('What', { exact: true }).selectOption('tokenId');
    await page.getByLabel('Token id').fill('token-of-leaky');
    await page.getByRole('button', { name: 'Revoke' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
    await page.getByText('Revoked; 1 session ended.').waitFor();
    await stream.ended;
    await visit(page, 'sessions?user=leaky', 'Sessions');
    await page.getByText('1 to 1 of 1').waitFor();
    await page.locator('tbody a').first().click();
    await page.getByRole('button', { name: 'Kick user' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Kick user' }).click();
    await other.ended;
  });

  it('takes a channel from a session', async () => {
    await stage.stream('reader', ['kept', 'taken']);
    const page = await operator();
    await visit(page, 'sessions?user=reader', 'Sessions');
    await page.locator('tbody a').first().click();
    const row = page.getByRole('row', { name: /taken/ });
    await row.getByRole('button', { name: 'Unsubscribe' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Unsubscribe' }).click();
    await expect.poll(() => row.count()).toBe(0);
    await page.getByRole('row', { name: /kept/ }).waitFor();
  });

  it('needs the keyboard alone', async () => {
    const stream = await stage.stream('keyed', ['keys']);
    const page = await operator();
    await heading(page, 'Overview');
    const chart = page.getByRole('slider', { name: /Messages a second/ });
    await expect.poll(async () => Number(await chart.getAttribute('aria-valuenow'))).toBeGreaterThan(2);
    await tabTo(page, 'Messages a second: a moment of the last ten minutes');
    await page.keyboard.press('ArrowLeft');
    await page.locator('.cursor').first().waitFor();
    await page.keyboard.press('Escape');
    await visit(page, 'overview', 'Overview');
    await page.locator('body').press('Shift+Tab');
    await tabTo(page, 'Sessions');
    await page.keyboard.press('Enter');
    await heading(page, 'Sessions');
    await tabTo(page, 'User');
    await page.keyboard.type('keyed');
    await page.keyboard.press('Enter');
    await page.getByText('1 to 1 of 1').waitFor();
    await tabTo(page, (await page.locator('tbody a').first().innerText()).trim());
    await page.keyboard.press('Enter');
    await heading(page, /^Session /);
    await tabTo(page, 'Disconnect');
    await page.keyboard.press('Enter');
    await page.keyboard.press('Escape');
    await expect.poll(() => page.getByRole('dialog').count()).toBe(0);
    await page.keyboard.press('Enter');
    await tabTo(page, 'Disconnect');
    await page.keyboard.press('Enter');
    await stream.ended;
  });
});

describe('the console', () => {
  it('fits a telephone, the lists as well', async () => {
    await stage.stream('grace', ['orders.of-a-customer-with-quite-a-long-name.updates']);
    const page = await operator(apiKey, { viewport: { width: 390, height: 844 } });
    for (const [path, title] of [
      ['overview', 'Overview'],
      ['sessions', 'Sessions'],
      ['channels', 'Channels'],
      ['access', 'Access'],
    ] as const) {
      await visit(page, path, title);
      if (path === 'sessions' || path === 'channels') await page.locator('tbody a').first().waitFor();
      const over = await page.evaluate(() =>
        [document.documentElement, ...document.querySelectorAll('.scroll')].map((e) => e.scrollWidth - e.clientWidth),
      );
      expect(Math.max(...over), path).toBe(0);
    }
  });
});
