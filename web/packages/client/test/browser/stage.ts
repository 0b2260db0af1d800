import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createServer as createSocketServer } from 'node:net';
import { type BuildOptions, build } from 'esbuild';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';

/** A running server of ours. */
export interface Server {
  readonly port: number;
  readonly url: string;
  /** Ends it without a word, as a crash would. */
  kill(): Promise<void>;
  /** Starts it again on the same port. */
  start(): Promise<void>;
}

async function freePort(): Promise<number> {
  const probe = createSocketServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  if (typeof address !== 'object' || !address) throw new Error('no port');
  return address.port;
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
    for (let i = 0; i < 200; i++) {
      if (
        await fetch(`${url}/readyz`).then(
          (r) => r.ok,
          () => false,
        )
      )
        return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error('the server does not start');
  };
  await start();
  return {
    port,
    url,
    start,
    async kill() {
      if (!child || child.exitCode !== null) return;
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
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
    ...options,
  });
  const script = outputFiles?.[0]?.text ?? '';
  const host = createServer((request, response) => {
    const isScript = request.url === '/page.js';
    response.setHeader('content-type', isScript ? 'text/javascript; charset=utf-8' : 'text/html; charset=utf-8');
    response.end(isScript ? script : '<!doctype html><div id="root"></div><script src="/page.js"></script>');
  }).listen(hostPort, '127.0.0.1');
  await once(host, 'listening');
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox'],
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
