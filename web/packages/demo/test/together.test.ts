/** Who is there, and what many do at once. */
import type { Locator } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { nameOf, number, openStage, shown } from './stage.ts';

const stage = openStage();

describe('presence', () => {
  const present = async (): Promise<string[]> =>
    (await stage.server.get<{ members?: { user: string }[] }>('/presence/room.presence')).members?.map(
      ({ user }) => user,
    ) ?? [];

  it('who is there is shown, and gone soon after the tab is', async () => {
    const ada = await stage.open('presence');
    const alan = await stage.open('presence');
    const other = ada.page.locator(`[data-user="${alan.user}"]`);
    await other.waitFor();
    await alan.page.getByRole('button', { name: 'busy' }).click();
    await expect.poll(() => other.locator('small').textContent()).toBe('busy');
    await shown(ada.page, '[aria-label=Lobby] li').toContain(nameOf(alan.user));
    await shown(ada.page, '#online-users li').toContain(alan.user);
    expect(await present()).toEqual(expect.arrayContaining([ada.user, alan.user]));
    await alan.close();
    await other.waitFor({ state: 'detached' });
    await shown(ada.page, '[aria-label=Lobby] li').not.toContain(nameOf(alan.user));
    expect(await present()).not.toContain(alan.user);
  });

  it('who reloads was never away', async () => {
    const ada = await stage.open('presence');
    const alan = await stage.open('presence');
    const other = `[data-user="${alan.user}"]`;
    await ada.page.locator(other).waitFor();
    await ada.page.evaluate((selector) => {
      const watched = window as typeof window & { missed: number };
      watched.missed = 0;
      new MutationObserver(() => {
        if (!document.querySelector(selector)) watched.missed++;
      }).observe(document.body, { childList: true, subtree: true });
    }, other);
    const missed = () => ada.page.evaluate(() => (window as typeof window & { missed: number }).missed);
    /** Reloads, and says how long that took, in milliseconds. What is told after it has been told when it returns. */
    async function reload(mood: string): Promise<number> {
      const start = performance.now();
      await alan.page.reload();
      await alan.page.locator(`[data-user="${ada.user}"]`).waitFor();
      const took = performance.now() - start;
      await alan.page.getByRole('button', { name: mood }).click();
      await expect.poll(() => ada.page.locator(`${other} small`).textContent()).toBe(mood);
      return took;
    }
    // Whoever needs longer than the server waits has been away: then it was no reload that counts.
    let before = 0;
    for (const moods = ['busy', 'away']; (await reload(moods[0] ?? '')) > 4000; moods.reverse())
      before = await missed();
    expect(await missed()).toBe(before);
  });
});

describe('cursors and editor', () => {
  it('hundreds of movements a second are rendered once a frame', async () => {
    const [ada, alan] = [await stage.open('together'), await stage.open('together')];
    await expect.poll(() => ada.page.locator('[data-cursor^=bot]').count()).toBe(10);
    await expect.poll(() => number(ada.page, '[data-meter=came]')).toBeGreaterThan(200);
    const [came = 0, shown = 0] = await ada.page.evaluate(() =>
      ['came', 'shown'].map((name) => Number(document.querySelector(`[data-meter=${name}]`)?.textContent)),
    );
    expect(shown).toBeLessThan(came / 2);
    const board = await alan.page.locator('.board').boundingBox();
    if (!board) throw new Error('there is no board');
    await expect
      .poll(async () => {
        await alan.page.mouse.move(board.x + 40 + Math.random() * 100, board.y + 60);
        return ada.page.locator(`[data-cursor="${alan.user}"]`).count();
      })
      .toBe(1);
  });

  it('fast typing is never set back, and others read along', async () => {
    const [ada, alan] = [await stage.open('together'), await stage.open('together')];
    const text = 'The wheel turns, and what it grinds is flour.';
    const area = ada.page.locator('#editor textarea');
    await ada.page.evaluate(() => {
      const watched = window as typeof window & { seen: string[] };
      watched.seen = [];
      const each = (): void => {
        watched.seen.push(document.querySelector<HTMLTextAreaElement>('#editor textarea')?.value ?? '');
        requestAnimationFrame(each);
      };
      each();
    });
    await area.pressSequentially(text);
    await expect.poll(() => alan.page.locator('#editor textarea').inputValue()).toBe(text);
    await shown(alan.page, '.places li').toEqual([`${nameOf(ada.user)}, line 1`]);
    const seen = await ada.page.evaluate(() => (window as typeof window & { seen: string[] }).seen);
    expect(seen.filter((value, i) => value.length < (seen[i - 1]?.length ?? 0))).toEqual([]);
  });

  it('what is written at once ends as the same text for everybody, and moves no caret', async () => {
    const [ada, alan] = [await stage.open('together'), await stage.open('together')];
    const [hers, his] = [ada, alan].map(({ page }) => page.locator('#editor textarea')) as [Locator, Locator];
    await Promise.all([hers.pressSequentially('The wheel turns.'), his.pressSequentially('The cat sleeps.')]);
    await shown(alan.page, '.places li').toContain(`${nameOf(ada.user)}, line 1`);
    const newest = async (): Promise<string | undefined> =>
      (await stage.server.history<{ type: string; content?: string }>('document.notes')).findLast(
        ({ type }) => type === 'content-change',
      )?.content;
    await expect
      .poll(async () => new Set([await hers.inputValue(), await his.inputValue(), await newest()]).size)
      .toBe(1);
    await hers.press('Home');
    await hers.press('ArrowRight');
    await his.press('End');
    await his.pressSequentially(' Indeed.');
    await expect.poll(() => hers.inputValue()).toMatch(/Indeed\.$/);
    expect(await hers.evaluate((area: HTMLTextAreaElement) => area.selectionEnd)).toBe(1);
  });
});
