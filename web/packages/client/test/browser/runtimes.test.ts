/** The core where there is no page. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Server, startServer } from './stage.ts';

const { resolve } = createRequire(import.meta.url);
const { platform, arch } = process;

/** The commands that run a script. Programs are taken from the packages of this platform: no install script is needed. */
const runtimes: Readonly<Record<string, () => readonly string[]>> = {
  Node: () => [process.execPath],
  Bun: () => [resolve(`@oven/bun-${platform}-${arch.replace('arm', 'aarch')}/bin/bun`)],
  Deno: () => [
    resolve(`@deno/${platform}-${arch}${platform === 'linux' ? '-glibc' : ''}/deno`),
    'run',
    '--allow-net',
    '--no-lock',
  ],
};

let server: Server;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-runtimes-'));
  [server] = await Promise.all([
    startServer(),
    build({
      entryPoints: [join(import.meta.dirname, 'visit.ts')],
      outfile: join(folder, 'visit.mjs'),
      bundle: true,
      format: 'esm',
      target: 'es2022',
    }),
  ]);
});
afterAll(async () => {
  await server?.kill();
  await rm(folder, { recursive: true });
});

describe.each(Object.keys(runtimes))('%s', (name) => {
  const ways = ['websocket', 'sse', 'connect'].filter(
    (way) => way !== 'websocket' || name !== 'Node' || 'WebSocket' in globalThis, // Node 20 has none
  );
  it.each(ways)('publishes, receives and is present on %s', async (way) => {
    const [program = '', ...options] = runtimes[name]?.() ?? [];
    const { stdout } = await promisify(execFile)(program, [...options, join(folder, 'visit.mjs'), server.url, way]);
    expect(JSON.parse(stdout)).toEqual({ data: { text: 'zero 0, null and \u2028' }, self: true, present: 1 });
  });
});
