import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { get } from 'node:http';
import { connect, type Socket } from 'node:net';
import { type Browser, chromium, type Page } from 'playwright-core';
import { freePort } from '../../client/test/browser/port.ts';
import { type Server, startServer } from '../../client/test/browser/stage.ts';

const secret = 'a secret of thirty-two bytes, or more';

/** An API key of the server. */
export const apiKey = 'the-key-of-an-operator';

/** A server with an address for operators, a browser, and clients. */
export interface Stage {
  readonly server: Server;
  readonly admin: string;
  readonly browser: Browser;
  /** Opens an event stream of a user, and leaves it open. It resolves when the server has it. */
  stream(user: string, channels: readonly string[], id?: string): Promise<Stream>;
  /** Opens an event stream whose client reads nothing. */
  stall(user: string, channel: string): Promise<void>;
  publish(channel: string, data: unknown): Promise<void>;
  close(): Promise<void>;
}

/** One event stream. */
export interface Stream {
  /** Resolves when it has ended. */
  readonly ended: Promise<void>;
}

/** A token of a user, with grants for all channels. */
export function tokenOf(user: string, actions: readonly string[], id = ''): string {
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const now = Math.floor(Date.now() / 1000);
  const claims = { sub: user, iat: now, exp: now + 3600, ...(id && { jti: id }), grants: [{ pattern: '>', actions }] };
  const text = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(claims)}`;
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}

const everything = ['subscribe', 'publish', 'presence', 'watch', 'history'];

export async function createStage(): Promise<Stage> {
  const port = await freePort();
  const server = await startServer('--secret', secret, '--api-keys', apiKey, '--admin-listen', `127.0.0.1:${port}`);
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox'],
  });
  const sockets = new Set<Socket>();
  const query = (channels: readonly string[]): string =>
    channels.map((name) => `channel=${encodeURIComponent(name)}`).join('&');
  return {
    server,
    admin: `http://127.0.0.1:${port}`,
    browser,
    async stream(user, channels, id) {
      const request = get(`${server.url}/events?${query(channels)}`, {
        agent: false,
        headers: { authorization: `Bearer ${tokenOf(user, everything, id)}` },
      });
      request.on('error', () => {});
      const [response] = await once(request, 'response');
      sockets.add(response.socket);
      response.on('error', () => {});
      response.resume();
      await once(response, 'data');
      return { ended: new Promise((resolve) => response.once('close', resolve)) };
    },
    async stall(user, channel) {
      const socket = connect(server.port, '127.0.0.1');
      sockets.add(socket);
      socket.on('error', () => {});
      const token = tokenOf(user, everything);
      socket.write(
        `GET /events?${query([channel])} HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\nAuthorization: Bearer ${token}\r\n\r\n`,
      );
      await once(socket, 'readable');
      socket.pause();
    },
    async publish(channel, data) {
      const response = await fetch(`${server.url}/publish/${channel}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${apiKey}` },
        body: JSON.stringify(data),
      });
      if (!response.ok) throw new Error(await response.text());
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await browser.close();
      await server.kill();
    },
  };
}

/** Opens the console in a tab of its own, and signs in with the keyboard alone. */
export async function signIn(
  stage: Stage,
  token: string,
  options: Parameters<Browser['newContext']>[0] = {},
): Promise<Page> {
  const page = await (await stage.browser.newContext({ viewport: { width: 1280, height: 860 }, ...options })).newPage();
  await page.goto(stage.admin);
  await page.getByLabel('API key or token').waitFor();
  await page.locator('input:focus').waitFor(); // else what is typed goes nowhere
  await page.keyboard.type(token);
  await page.keyboard.press('Enter');
  return page;
}

/** Waits for the title of a page. */
export const heading = (page: Page, name: string | RegExp): Promise<void> =>
  page.getByRole('heading', { level: 1, name }).waitFor();

/** Opens a page of the console by its address. */
export async function visit(stage: Stage, page: Page, path: string, title: string | RegExp): Promise<void> {
  await page.goto(`${stage.admin}/console/#/${path}`);
  await heading(page, title);
}
