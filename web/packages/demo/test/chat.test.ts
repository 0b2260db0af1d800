/** The chat, from both ends. */
import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { nameOf, openStage, shown, texts } from './stage.ts';

const stage = openStage();

interface Said {
  readonly type: string;
  readonly data?: { readonly text: string; readonly userId: string };
}

async function say(page: Page, where: string, text: string): Promise<void> {
  await page.locator(`${where} .compose input`).fill(text);
  await page.locator(`${where} .compose input`).press('Enter');
}

describe('chat', () => {
  const inRoom = '#room .bubble p';
  const inDocumented = '#chat-room .bubble p';
  const said = async (): Promise<string[]> =>
    (await stage.server.history<Said>('chat.lobby')).flatMap(({ data }) => (data ? [data.text] : []));

  it('two visitors hear each other, in the room of hooks and in the one of the document', async () => {
    const [ada, alan] = [await stage.open('chat'), await stage.open('chat')];
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
    const [ada, alan] = [await stage.open('chat'), await stage.open('chat')];
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
    const ada = await stage.open('chat');
    await stage.demo.kill();
    await ada.page.locator('[role=status][data-state=reconnecting]').waitFor();
    for (const text of ['dead one', 'dead two']) await say(ada.page, '#room', text);
    await stage.demo.start();
    await expect.poll(said).toEqual(['dead one', 'dead two']);
    await expect.poll(async () => (await texts(ada.page, inRoom)).slice(-2)).toEqual(['dead one', 'dead two']);
  });

  it('a direct message is read by its receiver and its sender', async () => {
    const [ada, alan] = [await stage.open('chat'), await stage.open('chat')];
    await say(ada.page, '#direct', 'hello');
    await shown(ada.page, '#direct .sent > div > div').toEqual(['hello']);
    await shown(ada.page, '[aria-label=Inbox] li span:nth-child(2)').toEqual(['hello! hello!']);
    await ada.page.locator('#direct select').selectOption(alan.user);
    await say(ada.page, '#direct', 'between us');
    await shown(ada.page, '#direct .sent > div > div').toEqual(['between us']);
    await shown(alan.page, '[aria-label=Inbox] li span:nth-child(2)').toEqual(['between us']);
    const inbox = `user.${alan.user}.messages`;
    expect(await (await stage.demo.as(alan.user)).history(inbox)).toMatchObject([
      { text: 'between us', from: ada.user },
    ]);
    // Others read what they wrote themselves, which for this one is nothing.
    expect(await stage.server.history(inbox)).toEqual([]);
  });

  it('the form of the document sends, and empties itself', async () => {
    const { page } = await stage.open('chat');
    await page.locator('#chat-input input').fill('filled in');
    await page.locator('#chat-input button[type=submit]').click();
    await expect.poll(() => page.locator('#chat-input input').inputValue()).toBe('');
    await expect.poll(() => texts(page, '[aria-label="Channel chat"] code')).toHaveLength(1);
    expect(await stage.server.history('chat')).toMatchObject([{ text: 'filled in' }]);
  });
});
