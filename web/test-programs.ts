import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Builds the real server, with the site that is committed, and the NATS server that several share channels in: once for all browser tests. */
export default function setup(): (() => void) | undefined {
  if (process.env.MILLRACE_PROGRAM) return undefined;
  const folder = mkdtempSync(join(tmpdir(), 'millrace-web-'));
  const programs = { MILLRACE_PROGRAM: './cmd/millrace', NATS_PROGRAM: 'github.com/nats-io/nats-server/v2' };
  for (const [name, path] of Object.entries(programs)) {
    const program = join(folder, name);
    execFileSync('go', ['build', '-o', program, path], { cwd: join(import.meta.dirname, '..'), stdio: 'inherit' });
    process.env[name] = program;
  }
  return () => rmSync(folder, { recursive: true });
}
