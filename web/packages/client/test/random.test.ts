/**
 * Programs that chance writes: a client is asked this and that while its links open late, break and drain, against a server that does what
 * docs/PROTOCOL.md says. Then everything settles, and what was promised must be so. `SEED=n PROGRAMS=1` runs one that failed again.
 */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { run } from './random/program.ts';

const first = Number(process.env.SEED ?? 1);
const programs = Number(process.env.PROGRAMS ?? 1000);

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

it.each([
  ['a client', 1],
  ['each of several tabs that share a connection', 3],
])('%s keeps its promises, in whatever order things happen', { timeout: 120_000 }, async (_, tabs) => {
  let seed = first;
  while (seed < first + programs) await run(seed++, tabs);
  expect(seed).toBe(first + programs);
});
