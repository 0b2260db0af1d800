import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Builds the program, with the site that is committed. */
export default function setup(): () => void {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-demo-'));
  const program = join(folder, 'millrace');
  execFileSync('go', ['build', '-o', program, './cmd/millrace'], {
    cwd: join(import.meta.dirname, '../../../..'),
    stdio: 'inherit',
  });
  process.env.MILLRACE_PROGRAM = program;
  return () => rmSync(folder, { recursive: true });
}
