// Bundles each entry point as an application would, without what it has anyway (React, TanStack Query), and fails above its budget
// (gzip -9).
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const budgets = [
  { name: 'core + WebSocket', kilobytes: 6, from: ['createClient', 'websocket'] },
  { name: 'core + all transports', kilobytes: 8, from: ['createClient', 'websocket', 'connectStream', 'sse'] },
  { name: 'React', kilobytes: 10, entry: 'react/index' },
  { name: 'everything (/realtime)', kilobytes: 12, entry: 'realtime/index' },
  { name: '/shared', kilobytes: 4.5, entry: 'shared/index' },
  { name: '/flags', kilobytes: 0.5, entry: 'flags/index' },
];

let failed = false;
for (const { name, kilobytes, from, entry = 'index' } of budgets) {
  const { outputFiles } = await build({
    stdin: { contents: `export ${from ? `{ ${from.join(', ')} }` : '*'} from './dist/${entry}.js';`, resolveDir: '.' },
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    write: false,
    external: ['react', '@tanstack/react-query'],
  });
  const bytes = gzipSync(outputFiles[0].contents, { level: 9 }).length;
  const over = bytes > kilobytes * 1024;
  failed ||= over;
  console.log(
    `${over ? 'OVER ' : 'ok   '} ${name.padEnd(28)} ${String(bytes).padStart(6)} of ${kilobytes * 1024} bytes`,
  );
}
process.exitCode = failed ? 1 : 0;
