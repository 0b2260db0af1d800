// Measures what an application loads for each client (bundled and minified by esbuild, gzip -9, React and TanStack Query not
// counted), and writes the table of the client's README. With --check it fails where that is not what it would write.
import { readFileSync, writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const clients = [
  {
    what: '**`@millrace/client`**, core and WebSocket',
    code: `export { createClient, websocket } from '../client/dist/index.js'`,
  },
  {
    what: '**`@millrace/client`**, core and all transports',
    code: `export { createClient, websocket, sse, connectStream } from '../client/dist/index.js'`,
  },
  { what: '**`@millrace/client/react`**', code: `export * from '../client/dist/react/index.js'` },
  {
    what: '**`@millrace/client/realtime`**: React, query cache, existing names',
    code: `export * from '../client/dist/realtime/index.js'`,
  },
  { from: 'phoenix', code: `export { Socket, Presence } from 'phoenix'` },
  { from: 'socket.io-client', code: `export { io } from 'socket.io-client'` },
  { from: '@supabase/realtime-js', code: `export { RealtimeClient } from '@supabase/realtime-js'` },
  { from: 'pusher-js', code: `export { default } from 'pusher-js'` },
  { from: 'centrifuge', code: `export { Centrifuge } from 'centrifuge'` },
  {
    from: 'ably',
    note: ' (modular: base, WebSocket, fetch)',
    code: `export { BaseRealtime, WebSocketTransport, FetchRequest } from 'ably/modular'`,
  },
  { from: 'ably', code: `export { Realtime } from 'ably'` },
];

async function measure(contents) {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: import.meta.dirname },
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    write: false,
    logLevel: 'error',
    external: ['react', 'react-dom', '@tanstack/react-query'],
  });
  return gzipSync(outputFiles[0].contents, { level: 9 }).length;
}

const { packages } = JSON.parse(readFileSync(new URL('../../package-lock.json', import.meta.url), 'utf8'));
const lines = ['| client | bytes, gzip |', '| --- | ---: |'];
for (const { what, from, note = '', code } of clients) {
  const name = what ?? `${from} ${packages[`node_modules/${from}`].version}${note}`;
  lines.push(`| ${name} | ${(await measure(code)).toLocaleString('en-US')} |`);
}
const table = lines.join('\n');

const readme = new URL('../client/README.md', import.meta.url);
const before = readFileSync(readme, 'utf8');
const after = before.replace(/(<!-- sizes -->\n)[\s\S]*?(\n<!-- \/sizes -->)/, (_, start, end) => start + table + end);
if (!process.argv.includes('--check')) writeFileSync(readme, after);
else if (after !== before) {
  console.error('README.md of the client has other sizes: run `npm run table --workspace @millrace/sizes`');
  process.exitCode = 1;
}
console.log(table);
