import { type ChildProcess, spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { connect, createServer as createSocketServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BuildOptions, build } from 'esbuild';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { expect, vi } from 'vitest';
import { freePort } from './port.ts';

/** A running server of ours. */
export interface Server {
  readonly port: number;
  readonly url: string;
  /** Ends it without a word, as a crash would. */
  kill(): Promise<void>;
  /** Ends it as an operator does: it tells its clients, and goes when they have gone. */
  stop(): Promise<void>;
  /** Starts it again on the same port. */
  start(): Promise<void>;
}

/** Where the pages come from: an origin that the server allows. */
const hostPort = await freePort();

/** Starts the server with flags. */
export async function startServer(...flags: string[]): Promise<Server> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  let child: ChildProcess | undefined;
  const start = async (): Promise<void> => {
    child = spawn(
      process.env.MILLRACE_PROGRAM ?? 'millrace',
      [
        'serve',
        '--listen',
        `127.0.0.1:${port}`,
        '--origins',
        `http://127.0.0.1:${hostPort}`,
        '--log-level',
        'error',
        ...flags,
      ],
      { stdio: 'ignore' },
    );
    await vi.waitFor(async () => expect((await fetch(`${url}/readyz`)).ok).toBe(true), 60_000);
  };
  await start();
  return { port, url, start, kill: () => end(child, 'SIGKILL'), stop: () => end(child, 'SIGTERM') };
}

async function end(child: ChildProcess | undefined, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill(signal);
  await gone;
}

/** A NATS server, in which several servers share channels. */
export interface NATS {
  readonly url: string;
  close(): Promise<void>;
}

/** Starts a NATS server. */
export async function startNATS(): Promise<NATS> {
  const port = await freePort();
  const folder = await mkdtemp(join(tmpdir(), 'millrace-nats-'));
  const args = ['--jetstream', '--store_dir', folder, '--addr', '127.0.0.1', '--port', String(port)];
  const child = spawn(process.env.NATS_PROGRAM ?? 'nats-server', args, { stdio: 'ignore' });
  await vi.waitFor(async () => {
    const probe = connect(port, '127.0.0.1');
    await once(probe, 'data'); // it says hello
    probe.destroy();
  }, 60_000);
  return {
    url: `nats://127.0.0.1:${port}`,
    async close() {
      await end(child, 'SIGKILL');
      await rm(folder, { recursive: true });
    },
  };
}

/** Publishes as a backend would. */
export async function publish(server: Server, channel: string, data: unknown): Promise<void> {
  const response = await fetch(`${server.url}/publish/${channel}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(data),
  });
  if (!response.ok) throw new Error(await response.text());
}

/** A browser, and a host of a page that has what a script exports as `window.m`. */
export interface Stage {
  readonly browser: Browser;
  page(context?: BrowserContext): Promise<Page>;
  close(): Promise<void>;
}

/** Bundles a script and starts Chromium. */
export async function createStage(contents: string, options: BuildOptions = {}): Promise<Stage> {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: import.meta.dirname, loader: 'ts' },
    bundle: true,
    format: 'iife',
    globalName: 'm',
    target: 'es2022',
    write: false,
    jsx: 'automatic',
    define: { 'process.env.NODE_ENV': '"development"' },
    ...options,
  });
  const script = outputFiles?.[0]?.text ?? '';
  const host = createServer((request, response) => {
    const isScript = request.url?.startsWith('/page.js');
    if (request.url?.startsWith('/missing')) response.statusCode = 404;
    response.setHeader('content-type', isScript ? 'text/javascript; charset=utf-8' : 'text/html; charset=utf-8');
    response.end(isScript ? script : '<!doctype html><div id="root"></div><script src="/page.js"></script>');
  }).listen(hostPort, '127.0.0.1');
  await once(host, 'listening');
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox'],
    ignoreDefaultArgs: ['--disable-back-forward-cache'], // a browser of a person has it
  });
  return {
    browser,
    async page(context) {
      const page = await (context ?? (await browser.newContext())).newPage();
      await page.goto(`http://127.0.0.1:${hostPort}/`);
      return page;
    },
    async close() {
      await browser.close();
      host.close();
    },
  };
}

/** A TCP proxy before a server: a network that can be broken. */
export interface Network {
  readonly url: string;
  /** Connections that were made through it. */
  readonly made: number;
  /** Streams of events that are open. */
  readonly streams: number;
  /** Gives new connections to another server, as a load balancer does. */
  use(server: Server): void;
  /** Forwards nothing more, and says nothing of it: half-open connections. */
  freeze(): void;
  /** Forwards again, the connections of before as well. */
  thaw(): void;
  /** Ends the connections that are open. */
  cut(): void;
  close(): Promise<void>;
}

/** Starts a proxy before a server. */
export async function startNetwork(server: Server): Promise<Network> {
  const pairs = new Set<readonly [Socket, Socket]>();
  const streaming = new Set<Socket>();
  let { port } = server;
  let made = 0;
  let frozen = false;
  const host = createSocketServer((client) => {
    made++;
    const upstream = connect(port, '127.0.0.1');
    const pair = [client, upstream] as const;
    pairs.add(pair);
    client.on('data', (bytes) => bytes.includes('GET /events') && streaming.add(client));
    client.on('close', () => streaming.delete(client));
    for (const [from, to] of [pair, [upstream, client] as const]) {
      from.on('error', () => {});
      from.on('close', () => {
        pairs.delete(pair);
        to.destroy();
      });
      from.pipe(to);
      if (frozen) from.pause();
    }
    if (frozen) for (const socket of pair) socket.unpipe().pause();
  }).listen(0, '127.0.0.1');
  await once(host, 'listening');
  const address = host.address();
  if (typeof address !== 'object' || !address) throw new Error('no port');
  return {
    url: `http://127.0.0.1:${address.port}`,
    get made() {
      return made;
    },
    get streams() {
      return streaming.size;
    },
    use(other) {
      ({ port } = other);
    },
    freeze() {
      frozen = true;
      for (const [client, upstream] of pairs) for (const socket of [client, upstream]) socket.unpipe().pause();
    },
    thaw() {
      frozen = false;
      for (const [client, upstream] of pairs) {
        client.pipe(upstream);
        upstream.pipe(client);
      }
    },
    cut() {
      for (const [client] of pairs) client.destroy();
    },
    async close() {
      const gone = once(host, 'close');
      host.close();
      for (const [client] of pairs) client.destroy();
      await gone;
    },
  };
}

/** A WebSocket of a page, as the browser sees it. */
export interface Wire {
  readonly url: string;
  /** Frames of the page, as JSON. */
  readonly sent: readonly { readonly type?: string; readonly channel?: string }[];
  closed: boolean;
}

/** Records the WebSockets of a page. Call it before the page makes any. */
export function watchSockets(page: Page): readonly Wire[] {
  const wires: Wire[] = [];
  page.on('websocket', (socket) => {
    const sent: { type?: string; channel?: string }[] = [];
    const wire: Wire = { url: socket.url(), sent, closed: false };
    wires.push(wire);
    socket.on('framesent', ({ payload }) => void sent.push(JSON.parse(String(payload))));
    socket.on('close', () => {
      wire.closed = true;
    });
  });
  return wires;
}

/** What a channel of a server keeps: the data of its messages. */
export async function kept(server: Server, channel: string): Promise<unknown[]> {
  const response = await fetch(`${server.url}/history/${channel}?limit=1000`);
  if (!response.ok) throw new Error(await response.text());
  const { messages = [] }: { messages?: { data: unknown }[] } = await response.json();
  return messages.map((message) => message.data);
}

const secretText = 'a secret of thirty-two bytes, or more';

/** A flag that makes a server ask for tokens. */
export const secret = ['--secret', secretText] as const;

/** How long the server bears clocks that differ. */
const leeway = 30;

/** A token of a user that may do everything, and is good for some more seconds. */
export function tokenOf(user: string, seconds = 3600): string {
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const exp = Math.floor(Date.now() / 1000) + seconds - leeway;
  const text = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ sub: user, exp, grants: [everything] })}`;
  return `${text}.${createHmac('sha256', secretText).update(text).digest('base64url')}`;
}

const everything = { pattern: '>', actions: ['subscribe', 'publish', 'presence', 'watch', 'history'] };
