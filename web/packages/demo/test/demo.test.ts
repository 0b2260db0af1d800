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

  it('who reloads was never away', async () => {
    const ada = await open('presence');
    const alan = await open('presence');
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
    /** Reloads, and says how long that took, in milliseconds. */
    async function reload(): Promise<number> {
      const start = performance.now();
      await alan.page.reload();
      await alan.page.locator(`[data-user="${ada.user}"]`).waitFor();
      return performance.now() - start;
    }
    // Whoever needs longer than the server waits has been away: then it was no reload that counts.
    let before = 0;
    while ((await reload()) > 4000) before = await missed();
    // Something is told after the reload, so that whatever it caused has been told as well.
    await alan.page.getByRole('button', { name: 'away' }).click();
    await expect.poll(() => ada.page.locator(`${other} small`).textContent()).toBe('away');
    expect(await missed()).toBe(before);
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

  it('fast typing is never set back, and others read along', async () => {
    const [ada, alan] = [await open('together'), await open('together')];
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
    await alan.page.locator('#editor textarea').press('End');
    await alan.page.locator('#editor textarea').pressSequentially(' Indeed.');
    await expect.poll(() => area.inputValue()).toContain('Indeed.');
    const kept = await server.history<{ type: string; content?: string }>('document.notes');
    expect(kept.findLast(({ type }) => type === 'content-change')?.content).toBe(await area.inputValue());
  });
});

describe('dashboard', () => {
  const figure = (page: Page, title: string) => page.locator(`[data-metric="${title}"] p`).textContent();
  const cell = (page: Page, section: string) => page.locator(`${section} [data-row="2"] td:nth-child(3)`).textContent();

  it('figures go up and down', async () => {
    const { page } = await open('dashboard');
    await expect.poll(() => figure(page, 'Revenue')).toMatch(/^\$\d\d,\d{3}$/);
    const before = await figure(page, 'Active Users');
    await expect.poll(() => figure(page, 'Active Users')).not.toBe(before);
    await shown(page, '#live-metrics p').toHaveLength(2);
    expect((await texts(page, '#live-metrics .stage p'))[0]).toMatch(/^Users: \d+$/);
  });

  it('a row that is changed elsewhere changes in every query', async () => {
    const [ada, alan] = [await open('dashboard'), await open('dashboard')];
    const score = 1000 + Math.floor(Math.random() * 1000);
    await ada.page.locator('#provider [data-row="2"]').waitFor();
    await alan.page.locator('#table [data-row="2"]').waitFor();
    await server.send('PATCH', '/demo/api/users/2', { score });
    for (const { page } of [ada, alan])
      for (const section of ['#table', '#strategies', '#provider'])
        await expect.poll(() => cell(page, section), { message: section }).toBe(String(score));
    expect(await number(ada.page, '[data-count=loads]')).toBe(1);
  });

  it('entities are appended and removed as the strategies say', async () => {
    const [ada, alan] = [await open('dashboard'), await open('dashboard')];
    const posts = '[aria-label=posts] li';
    await expect.poll(() => alan.page.locator(posts).count()).toBeGreaterThan(0);
    const before = await alan.page.locator(posts).count();
    await ada.page.getByRole('button', { name: 'Add a message' }).click();
    const newest = async (): Promise<string | undefined> =>
      (await server.get<{ rows: { text: string }[] }>('/demo/api/messages')).rows.at(-1)?.text;
    await expect.poll(async () => (await texts(alan.page, '[aria-label=messages] li')).at(-1)).toBe(await newest());
    await ada.page.locator(`${posts} button`).first().click();
    await expect.poll(() => alan.page.locator(posts).count()).toBe(before - 1);
    expect((await server.get<{ rows: unknown[] }>('/demo/api/posts')).rows).toHaveLength(before - 1);
  });

  it('after a gap the query is loaded anew, and is what the server has', async () => {
    const { page } = await open('dashboard');
    await page.locator('#table [data-row="2"]').waitFor();
    await page.getByRole('button', { name: 'Be away for 30 changes' }).click();
    await expect.poll(() => number(page, '[data-count=gaps]')).toBe(1);
    await expect.poll(() => number(page, '[data-count=loads]')).toBe(2);
    const { rows } = await server.get<{ rows: { name: string; city: string; score: number }[] }>('/demo/api/users');
    const table = rows.map(({ name, city, score }) => `${name}${city}${score}`);
    await expect
      .poll(async () => (await texts(page, '#table tbody tr')).map((row) => row.replace(/Edit.*/, '')))
      .toEqual(table);
  });
});

describe('notifications', () => {
  it('each is shown once, however often the connection is cut', async () => {
    const { page, user } = await open('notifications');
    const notify = page.getByRole('button', { name: 'Notify everybody' });
    const mine = await demo.as(user);
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
    const kept = await server.history<{ message: string }>('notifications');
    expect(await texts(page, '.note p')).toEqual(kept.map(({ message }) => message).toReversed());
    // Two toasts for each: one of the centre, one of the client of events.
    expect(await page.evaluate(() => (window as typeof window & { toasts: number }).toasts)).toBe(4);
  });
});

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
    const { page } = await open('connection');
    await expect.poll(() => pulse(page, 'received')).toBeGreaterThan(0);
    for (const fault of ['cut', 'revoke', 'freeze', 'restart']) await survive(page, fault);
  });

  it('every transport survives a cut', async () => {
    const { page, user } = await open('connection');
    const mine = await demo.as(user);
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
    const { page } = await open('connection');
    await page.locator('.choice select').first().selectOption('whatever passes');
    await expect.poll(() => transport(page)).toBe('websocket');
    await expect.poll(() => state(page)).toBe('connected');
    await survive(page, 'no-websocket');
    expect(await transport(page)).toBe('connect');
  });

  it('the alert of the document comes and goes', async () => {
    const { page } = await open('connection');
    const alert = page.locator('#connection-monitor .alert');
    await page.locator('#connection-monitor').getByRole('button', { name: 'Pull the plug' }).click();
    await alert.waitFor();
    expect(await alert.locator('p').textContent()).toBe('Connection lost. Attempting to reconnect...');
    await alert.getByRole('button', { name: 'Retry Now' }).click();
    await alert.waitFor({ state: 'detached' });
    await page.locator('#connection-monitor').getByRole('button', { name: 'Pull the plug' }).waitFor();
  });

  it('the component of the document that insists on a connection has one', async () => {
    const { page } = await open('connection');
    const status = page.locator('#live-component .stage');
    await expect.poll(() => status.textContent()).toContain('Status: connected✅ Enabled');
    await status.getByRole('button').click();
    await expect.poll(() => status.textContent()).toContain('Status: connected✅ Enabled');
  });

  it('the script of the document connects, and hears what it was joined to', async () => {
    const { page } = await open('connection');
    const lines = '#script .console li';
    await shown(page, lines).toContain('Connection state: connected');
    await expect
      .poll(async () => (await texts(page, lines)).some((line) => line.startsWith('Received: {"channel":"demo.pulse"')))
      .toBe(true);
  });

  it('delays are those of the document, and a little more', async () => {
    const { page } = await open('connection');
    for (const row of await page.locator('[data-delay]').all()) {
      const documented = Number(await row.getAttribute('data-delay'));
      const delay = Number.parseFloat((await row.textContent()) ?? '');
      expect(delay).toBeGreaterThanOrEqual(documented === 30 ? 24 : documented);
      expect(delay).toBeLessThanOrEqual(documented === 30 ? 30 : documented + 1);
    }
  });

  it('debug mode tells the console', async () => {
    const told: string[] = [];
    const visitor = await open('');
    visitor.page.on('console', (message) => {
      if (message.type() === 'debug') told.push(message.text());
    });
    await visitor.page.getByRole('link', { name: 'Connection', exact: true }).click();
    await expect.poll(() => told.some((line) => line.startsWith('[millrace] metrics'))).toBe(true);
    await shown(visitor.page, '#debug .stage p').not.toEqual(["0 messages: each is a line in the browser's console"]);
  });

  it('the devtools show what passes, and break it', async () => {
    const { page } = await open('connection');
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
    const { page, user } = await open('tabs');
    const mine = await demo.as(user);
    const sessions = async (): Promise<number> =>
      (await mine.get<{ channels: string[] }[]>('/demo/api/sessions')).filter(({ channels }) =>
        channels.includes('metrics'),
      ).length;
    await expect.poll(sessions).toBe(2); // of the widgets, and of the tabs
    await page.getByRole('slider').fill('24');
    await expect.poll(() => page.locator('.widget').count()).toBe(24);
    await expect.poll(async () => new Set(await texts(page, '.widget')).has('…')).toBe(false);
    expect(await sessions()).toBe(2);
    await expect.poll(() => page.locator('#sessions tbody tr').count()).toBe(3);
  });

  it('tabs have one session on the server, and go on when the first is closed', async () => {
    const ada = await open('tabs');
    const mine = await demo.as(ada.user);
    const of = async (caller: Caller): Promise<number> =>
      (await caller.get<{ protocol: string; channels: string[] }[]>('/demo/api/sessions')).filter(({ channels }) =>
        channels.includes('metrics'),
      ).length;
    await expect.poll(() => of(mine)).toBe(2); // of the widgets, and of the tabs
    const second = await ada.page.context().newPage();
    await second.goto(`${demo.url}/demo/tabs`);
    const theirs = await demo.as(await second.evaluate(() => sessionStorage.getItem('millrace-demo-user') ?? ''));
    await second.locator('#shared [data-state=connected]').waitFor();
    await expect.poll(() => second.locator('#shared .widget').textContent()).toMatch(/^\d+$/);
    expect(await of(theirs)).toBe(1); // of the widgets alone
    await ada.page.close();
    await expect.poll(() => of(theirs)).toBe(2);
    await second.locator('#shared [data-state=connected]').waitFor();
  });
});

describe('the site', () => {
  const paths = ['', 'chat', 'presence', 'together', 'dashboard', 'notifications', 'connection', 'tabs'];

  it('three wires carry the same messages in the same order', async () => {
    const { page } = await open('');
    const lane = (name: string): Promise<string[]> => texts(page, `[data-lane="${name}"] i`);
    for (const name of ['WebSocket', 'Connect stream', 'Server-Sent Events']) {
      await expect.poll(async () => (await lane(name)).length, { message: name }).toBeGreaterThan(3);
      const numbers = (await lane(name)).map(Number);
      expect(numbers).toEqual(numbers.map((_, i) => (numbers[0] ?? 0) + i));
    }
  });

  it('is used with the keyboard', async () => {
    const { page } = await open('');
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
    const { page } = await open('', 390);
    for (const path of paths) {
      await page.goto(`${demo.url}/demo/${path}`);
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
    const { page } = await open('');
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
