import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, vi } from 'vitest';
import { freePort } from '../../client/test/browser/port.ts';

/** The demo as a process of its own. */
export interface Demo {
  readonly url: string;
  /** Ends it without a word, as a crash would. */
  kill(): Promise<void>;
  /** Starts it again at the same address. */
  start(): Promise<void>;
  /** Asks it as a visitor. */
  as(user: string): Promise<Caller>;
}

/** Somebody who calls the server beside the browser, with the token of a visitor. */
export interface Caller {
  get<T>(path: string): Promise<T>;
  /** The data of what a channel keeps, oldest first. */
  history<T>(channel: string): Promise<T[]>;
  send(method: string, path: string, body?: unknown): Promise<void>;
}

async function startDemo(): Promise<Demo> {
  const address = `127.0.0.1:${await freePort()}`;
  const url = `http://${address}`;
  let child: ChildProcess | undefined;
  const start = async (): Promise<void> => {
    child = spawn(process.env.MILLRACE_PROGRAM ?? 'millrace', ['demo', '--listen', address], { stdio: 'ignore' });
    await vi.waitFor(async () => expect((await fetch(`${url}/readyz`)).ok).toBe(true), 30_000);
  };
  await start();
  return {
    url,
    start,
    async kill() {
      if (!child || child.exitCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
    as: (user) => call(url, user),
  };
}

async function call(url: string, user: string): Promise<Caller> {
  const enter = async (): Promise<string> => {
    const entered = await fetch(`${url}/demo/api/visitor`, { method: 'POST', body: JSON.stringify({ user }) });
    const { token }: { token: string } = await entered.json();
    return token;
  };
  let token = await enter();
  const request = (method: string, path: string, body?: unknown): Promise<Response> =>
    fetch(url + path, {
      method,
      headers: { authorization: `Bearer ${token}` },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
  const ask = async (method: string, path: string, body?: unknown): Promise<Response> => {
    let response = await request(method, path, body);
    if (response.status === 401) {
      token = await enter(); // the server was started anew, with another key
      response = await request(method, path, body);
    }
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response;
  };
  const get = async <T>(path: string): Promise<T> => (await ask('GET', path)).json();
  return {
    get,
    async history<T>(channel: string) {
      const { messages = [] } = await get<{ messages?: { data: T }[] }>(`/history/${channel}?limit=1000`);
      return messages.map(({ data }) => data);
    },
    async send(method, path, body) {
      await ask(method, path, body);
    },
  };
}

/** A visitor in a browser of his own. */
export interface Visitor {
  readonly page: Page;
  readonly user: string;
  /** What the page complained about. */
  readonly complaints: readonly string[];
  close(): Promise<void>;
}

/** What browsers say of a lost connection, where a test breaks it. */
const ofNetwork = /WebSocket connection|net::ERR_|Failed to load resource/;

async function visit(browser: Browser, demo: Demo, path: string, width = 1440): Promise<Visitor> {
  const context = await browser.newContext({ viewport: { width, height: 900 } });
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error' && !ofNetwork.test(message.text())) complaints.push(message.text());
  });
  await page.goto(`${demo.url}/demo/${path}`);
  await page.locator('[role=status][data-state=connected]').waitFor({ state: 'attached' }); // on a telephone it is in the menu
  const user = await page.evaluate(() => sessionStorage.getItem('millrace-demo-user') ?? '');
  return { page, user, complaints, close: () => context.close() };
}

function launch(): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox'],
  });
}

/** What the tests of a file share. */
export interface Stage {
  readonly demo: Demo;
  /** Somebody who only calls the server. */
  readonly server: Caller;
  /** Opens a page of the site as somebody new. */
  open(path: string, width?: number): Promise<Visitor>;
}

/** A demo and a browser for the tests of a file. A page that complains fails its test. */
export function openStage(): Stage {
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
  return {
    get demo() {
      return demo;
    },
    get server() {
      return server;
    },
    async open(path, width) {
      const visitor = await visit(browser, demo, path, width);
      visitors.push(visitor);
      return visitor;
    },
  };
}

/** Texts of what a locator finds, as they are now. */
export const texts = (page: Page, selector: string): Promise<string[]> => page.locator(selector).allTextContents();

/** Texts of what a locator finds, sooner or later. */
export const shown = (page: Page, selector: string): ReturnType<typeof expect.poll> =>
  expect.poll(() => texts(page, selector));

/** The number that an element shows. */
export const number = async (page: Page, selector: string): Promise<number> =>
  Number(await page.locator(selector).textContent());

/** `quiet-otter-42` is called Quiet Otter. */
export function nameOf(user: string): string {
  return user
    .split('-')
    .slice(0, 2)
    .map((word) => word.slice(0, 1).toUpperCase() + word.slice(1))
    .join(' ');
}
