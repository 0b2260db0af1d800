/** Every page, in both colours, passes the checks of axe. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { apiKey, createStage, heading, type Stage, signIn, visit } from './stage.ts';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

let stage: Stage;

beforeAll(async () => {
  stage = await createStage();
});
afterAll(() => stage?.close());
afterEach(async () => {
  for (const context of stage.browser.contexts()) await context.close();
});

describe.each(['light', 'dark'] as const)('in %s colours', (colorScheme) => {
  it('every page passes the accessibility check', async () => {
    await stage.stream('seen', ['seen.by.axe']);
    await stage.publish('seen.by.axe', { text: 'hello' });
    const found: string[] = [];
    const check = async (page: Page, name: string): Promise<void> => {
      await page.evaluate(axe);
      const violations = await page.evaluate(async () => {
        const { violations } = await (globalThis as unknown as { axe: typeof import('axe-core') }).axe.run();
        return violations.flatMap((v) => v.nodes.map((n) => `${v.id}: ${n.target} (${n.failureSummary})`));
      });
      found.push(...violations.map((text) => `${name}: ${text}`));
    };
    const out = await signIn(stage, 'nonsense', { colorScheme, bypassCSP: true });
    await out.getByRole('alert').waitFor();
    await check(out, 'sign-in');
    const page = await signIn(stage, apiKey, { colorScheme, bypassCSP: true });
    await heading(page, 'Overview');
    await page.locator('.chart .line').first().waitFor({ state: 'attached' });
    await check(page, 'overview');
    await visit(stage, page, 'sessions', 'Sessions');
    await page.locator('tbody a').first().waitFor();
    await check(page, 'sessions');
    await page.locator('tbody a').first().click();
    await page.getByRole('button', { name: 'Disconnect' }).click();
    await page.getByRole('dialog').waitFor();
    await check(page, 'a dialog');
    await page.keyboard.press('Escape');
    await check(page, 'a session');
    await visit(stage, page, 'channels', 'Channels');
    await page.locator('tbody a').first().waitFor();
    await check(page, 'channels');
    await visit(stage, page, 'channels/seen.by.axe', 'Channel seen.by.axe');
    await page.locator('.lines li').first().waitFor();
    await check(page, 'a channel');
    await visit(stage, page, 'access', 'Access');
    await check(page, 'access');
    expect(found).toEqual([]);
  });
});
