// Bundles the page into console/assets of the Go module, where the binary embeds it. The same sources give the same bytes.
// With --check it writes nothing, and fails when those that are there are not what the sources give.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const root = join(import.meta.dirname, '..');
const assets = join(root, '../../../console/assets');
const client = join(root, '../client/src');

const { outputFiles } = await build({
  absWorkingDir: root,
  entryPoints: [
    { in: 'src/main.tsx', out: 'console' },
    { in: 'src/style.css', out: 'console' },
  ],
  outdir: assets,
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  jsx: 'automatic',
  jsxImportSource: 'preact',
  alias: { '@millrace/client': client },
  charset: 'utf8',
  legalComments: 'none',
  write: false,
});
const files = new Map(outputFiles.map((file) => [file.path, Buffer.from(file.contents)]));
for (const name of ['index.html', 'icon.svg']) files.set(join(assets, name), readFileSync(join(root, 'src', name)));

if (process.argv.includes('--check')) {
  const stale = [...files].filter(([path, bytes]) => !isSame(path, bytes)).map(([path]) => path);
  if (stale.length > 0) {
    console.error(`not what \`npm run build -w @millrace/console --prefix web\` writes:\n${stale.join('\n')}`);
    process.exit(1);
  }
} else {
  mkdirSync(assets, { recursive: true });
  for (const [path, bytes] of files) writeFileSync(path, bytes);
}
const size = [...files.values()].reduce((sum, bytes) => sum + gzipSync(bytes, { level: 9 }).length, 0);
console.log(`the console is ${size} bytes, gzipped`);

function isSame(path, bytes) {
  try {
    return readFileSync(path).equals(bytes);
  } catch {
    return false;
  }
}
