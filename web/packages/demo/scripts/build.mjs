/**
 * Builds the site into demo/site, which the Go program embeds. With `--check` it changes nothing, and fails when what is
 * committed there is not what this would build.
 */
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const here = dirname(dirname(fileURLToPath(import.meta.url)));
const root = resolve(here, '../../..');
const site = join(root, 'demo/site');
/** What all of the site may weigh, compressed. */
const budget = 150 * 1024;

/** `import text from './x.tsx?source'`: a file as a text, to be shown. */
const sources = {
  name: 'sources',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /\?source$/ }, ({ path, resolveDir }) => ({
      path: resolve(resolveDir, path.replace(/\?source$/, '')),
      namespace: 'source',
    }));
    onLoad({ filter: /./, namespace: 'source' }, async ({ path }) => ({
      contents: await readFile(path, 'utf8'),
      loader: 'text',
      watchFiles: [path],
    }));
  },
};

/** The client of this workspace, from its sources: nothing has to be built first. */
const client = {
  name: 'client',
  setup({ onResolve }) {
    onResolve({ filter: /^@millrace\/client(\/|$)/ }, ({ path }) => ({
      path: join(here, '../client/src', path.slice('@millrace/client'.length), 'index.ts'),
    }));
  },
};

async function bundle() {
  const { outputFiles } = await build({
    entryPoints: { app: join(here, 'src/main.tsx') },
    outdir: site,
    absWorkingDir: root,
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    jsx: 'automatic',
    define: { 'process.env.NODE_ENV': '"production"' },
    legalComments: 'linked',
    charset: 'utf8',
    plugins: [sources, client],
    write: false,
    logLevel: 'warning',
  });
  const files = new Map(outputFiles.map(({ path, text }) => [relative(site, path), text]));
  files.set('index.html', await readFile(join(here, 'src/index.html'), 'utf8'));
  files.set('icon.svg', await readFile(join(here, 'src/icon.svg'), 'utf8'));
  return files;
}

async function committed() {
  const names = await readdir(site).catch(() => []);
  return new Map(await Promise.all(names.map(async (name) => [name, await readFile(join(site, name), 'utf8')])));
}

const files = await bundle();
const before = await committed();
const stale = [...new Set([...files.keys(), ...before.keys()])].filter((name) => files.get(name) !== before.get(name));
const weight = [...files.values()].reduce((sum, text) => sum + gzipSync(text, { level: 9 }).length, 0);
console.log(`demo/site: ${files.size} files, ${(weight / 1024).toFixed(1)} KiB compressed`);
if (weight > budget) throw new Error(`that is more than ${budget / 1024} KiB`);
if (process.argv.includes('--check')) {
  if (stale.length > 0) {
    console.error(`demo/site is stale (${stale.join(', ')}): run \`make demo-site\` and commit it`);
    process.exitCode = 1;
  }
} else {
  for (const name of stale) {
    const text = files.get(name);
    await (text === undefined ? rm(join(site, name)) : writeFile(join(site, name), text));
  }
}
