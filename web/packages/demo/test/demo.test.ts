/** Each page in Chromium, on the real server, looked at from both ends. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Caller, type Demo, launch, nameOf, startDemo, type Visitor, visit } from './stage.ts';

let demo: Demo;
let browser: Browser;
let server: Caller;
let visitors: Visitor[] = [];

beforeAll(async () => {
  [demo, browser] = await Promise.all([startDemo(), launch()]);
  server = await demo.as('keen-heron-1');
});
afterAll(async () => {
  await browser?.close();
  await demo?.kill();
});
afterEach(async () => {
  const complaints = visitors.flatMap((visitor) => visitor.complaints);
  await Promise.all(visitors.map((visitor) => visitor.close()));
  visitors = [];
  expect(complaints).toEqual([]);
});

async function open(path: string, width?: number): Promise<Visitor> {
  const visitor = await visit(browser, demo, path, width);
  visitors.push(visitor);
  return visitor;
}

/** Texts of what a locator finds, as they are now. */
const texts = (page: Page, selector: string): Promise<string[]> => page.locator(selector).allTextContents();
const shown = (page: Page, selector: string) => expect.poll(() => texts(page, selector));
const number = async (page: Page, selector: string): Promise<number> =>
  Number(await page.locator(selector).textContent());

async function say(page: Page, where: string, text: string): Promise<void> {
  await page.locator(`${where} .compose input`).fill(text);
  await page.locator(`${where} .compose input`).press('Enter');
}

interface Said {
  readonly type: string;
  readonly data?: { readonly text: string; readonly userId: string };
}

describe('chat', () => {
  const inRoom = '#room .bubble p';
  const inDocumented = '#chat-room .bubble p';
  const said = async (): Promise<string[]> =>
    (await server.history<Said>('chat.lobby')).flatMap(({ data }) => (data ? [data.text] : []));

  it('two visitors hear each other, in the room of hooks and in the one of the document', async () => {
    const [ada, alan] = [await open('chat'), await open('chat')];
    await say(ada.page, '#room', 'from the hooks');
    await say(alan.page, '#chat-room', 'from the document');
    for (const { page } of [ada, alan]) {
      await shown(page, inRoom).toEqual(['from the hooks', 'from the document']);
      await shown(page, inDocumented).toEqual(['from the hooks', 'from the document']);
    }
    await shown(ada.page, '#room .bubble.own i').toEqual(['✓']);
    expect(await said()).toEqual(['from the hooks', 'from the document']);
    await alan.page.locator('#chat-room .compose input').pressSequentially('hm');
    await shown(ada.page, '#room .typing').toEqual([`${nameOf(alan.user)} is typing`]);
    await shown(ada.page, '#chat-room .typing').toEqual([`${nameOf(alan.user)} is typing`]);
  });

  it('what is written with the plug pulled arrives once, in order', async () => {
    const [ada, alan] = [await open('chat'), await open('chat')];
    const before = (await said()).length;
    await ada.page.getByRole('button', { name: 'Pull the plug' }).click();
    for (const text of ['one', 'two', 'three']) await say(ada.page, '#room', text);
    await shown(ada.page, '#room .bubble.own i').toContain('waits for a connection');
    expect((await said()).slice(before)).toEqual([]);
    await ada.page.getByRole('button', { name: 'Plug in' }).click();
    await expect.poll(async () => (await texts(alan.page, inDocumented)).slice(-3)).toEqual(['one', 'two', 'three']);
    await expect.poll(async () => (await texts(ada.page, '#room .bubble.own i')).slice(-3)).toEqual(['✓', '✓', '✓']);
    expect((await said()).slice(before)).toEqual(['one', 'two', 'three']);
  });

  it('what is written while the server is dead is there when it lives again', async () => {
    const ada = await open('chat');
    await demo.kill();
    await ada.page.locator('[role=status][data-state=reconnecting]').waitFor();
    for (const text of ['dead one', 'dead two']) await say(ada.page, '#room', text);
    await demo.start();
    server = await demo.as('keen-heron-1');
    await expect.poll(said).toEqual(['dead one', 'dead two']);
    await expect.poll(async () => (await texts(ada.page, inRoom)).slice(-2)).toEqual(['dead one', 'dead two']);
  });

  it('a direct message is read by its receiver and its sender', async () => {
    const [ada, alan] = [await open('chat'), await open('chat')];
    await say(ada.page, '#direct', 'hello');
    await shown(ada.page, '#direct .sent > div > div').toEqual(['hello']);
    await shown(ada.page, '[aria-label=Inbox] li span:nth-child(2)').toEqual(['hello! hello!']);
    await ada.page.locator('#direct select').selectOption(alan.user);
    await say(ada.page, '#direct', 'between us');
    await shown(ada.page, '#direct .sent > div > div').toEqual(['between us']);
    await shown(alan.page, '[aria-label=Inbox] li span:nth-child(2)').toEqual(['between us']);
    const inbox = `user.${alan.user}.messages`;
    expect(await (await demo.as(alan.user)).history(inbox)).toMatchObject([{ text: 'between us', from: ada.user }]);
    // Others read what they wrote themselves, which for this one is nothing.
    expect(await server.history(inbox)).toEqual([]);
  });

  it('the form of the document sends, and empties itself', async () => {
    const { page } = await open('chat');
    await page.locator('#chat-input input').fill('filled in');
    await page.locator('#chat-input button[type=submit]').click();
    await expect.poll(() => page.locator('#chat-input input').inputValue()).toBe('');
    await expect.poll(() => texts(page, '[aria-label="Channel chat"] code')).toHaveLength(1);
    expect(await server.history('chat')).toMatchObject([{ text: 'filled in' }]);
  });
});

describe('presence', () => {
  const present = async (): Promise<string[]> =>
    (await server.get<{ members?: { user: string }[] }>('/presence/room.presence')).members?.map(({ user }) => user) ??
    [];

  it('who is there is shown, and gone soon after the tab is', async () => {
    const ada = await open('presence');
    const alan = await open('presence');
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
});

describe('cursors and editor', () => {
  it('hundreds of movements a second are rendered once a frame', async () => {
    const [ada, alan] = [await open('together'), await open('together')];
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
});
