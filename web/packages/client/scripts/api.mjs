// Writes API.md from the declarations in dist/: every exported name of every entry point, with its comment. With --check it fails
// where that is not what is committed.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const { exports: entries } = JSON.parse(readFileSync('package.json', 'utf8'));
const text = (path) => readFileSync(path, 'utf8');

/** Where each exported name of a file is declared. */
function exportsOf(path) {
  const found = new Map();
  const at = (from) => join(dirname(path), from.replace(/\.[jt]s$/, '.d.ts'));
  for (const [, list, from] of text(path).matchAll(/^export (?:type )?\{([^}]*)\} from '([^']+)';/gms))
    for (const item of list.split(',').map((name) => name.trim().replace(/^type /, '')))
      if (item) found.set(item, declaringFile(at(from), item));
  for (const [, from] of text(path).matchAll(/^export \* from '([^']+)';/gm))
    for (const [name, file] of exportsOf(at(from))) found.set(name, file);
  for (const [, name] of text(path).matchAll(
    /^export (?:declare )?(?:abstract )?(?:async )?(?:function\*?|class|interface|type|const) (\w+)/gm,
  ))
    found.set(name, path);
  return found;
}

function declaringFile(path, name) {
  return exportsOf(path).get(name) ?? path;
}

/** The declarations of a name, with their comments. */
function declarations(path, name) {
  const pattern = new RegExp(
    `((?:^/\\*\\*(?:(?!\\*/)[\\s\\S])*\\*/\\n)?)^export (?:declare )?((?:abstract )?(?:function\\*?|class|interface|type|const) ${name}\\b[\\s\\S]*?)(?=^(?:/\\*\\*|export |declare |interface |type |import |//)|(?![\\s\\S]))`,
    'gm',
  );
  return [...text(path).matchAll(pattern)].map(([, comment, code]) => ({ comment: plain(comment), code: code.trim() }));
}

/** A comment without its stars, and without what only tools read. */
function plain(comment) {
  return comment
    .replace(/^\/\*\*|\*\/\s*$/g, '')
    .split('\n')
    .map((line) => line.replace(/^\s*\* ?/, ''))
    .join('\n')
    .replace(/\{@link (\w+)\}/g, '`$1`')
    .replace(/^@module\s*$/m, '')
    .trim();
}

const out = ['# API of `@millrace/client`', '', 'Written by `npm run api` from the declarations.', ''];
for (const [entry, target] of Object.entries(entries)) {
  if (typeof target === 'string') continue;
  const path = target.types;
  out.push(
    `## \`@millrace/client${entry.slice(1)}\``,
    '',
    plain(/^\/\*\*[\s\S]*?\*\//.exec(text(path))?.[0] ?? ''),
    '',
  );
  if (entry === './connect') {
    out.push('The generated messages, enums and services of `proto/millrace/v1`, and:', '');
  }
  const names = [...exportsOf(path)].filter(([, file]) => !file.includes('/gen/'));
  for (const [name, file] of names.toSorted(([a], [b]) => a.localeCompare(b))) {
    const found = declarations(file, name);
    if (found.length === 0) throw new Error(`no declaration of ${name} in ${file}`);
    out.push(`### ${name}`, '');
    for (const { comment, code } of found) {
      if (comment) out.push(comment, '');
      out.push('```ts', code, '```', '');
    }
  }
}
const reference = `${out
  .join('\n')
  .replace(/\n{3,}/g, '\n\n')
  .trim()}\n`;
if (!process.argv.includes('--check')) writeFileSync('API.md', reference);
else if (!existsSync('API.md') || text('API.md') !== reference) {
  console.error('API.md is not what the declarations say: run `npm run api --workspace @millrace/client`');
  process.exitCode = 1;
}
