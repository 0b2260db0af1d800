import { defineConfig } from 'vitest/config';

/** The browser tests of all packages, one file at a time. Each has a server and a browser of its own. */
export default defineConfig({
  test: {
    projects: [
      project('client', ['test/browser/*.test.ts']),
      project('console', ['test/*.test.ts']),
      project('demo', ['test/*.test.ts']),
    ],
  },
});

function project(name: string, include: string[]) {
  return {
    test: {
      name,
      root: `packages/${name}`,
      include,
      globalSetup: `${import.meta.dirname}/test-programs.ts`,
      fileParallelism: false,
      testTimeout: 150_000,
      hookTimeout: 120_000,
      expect: { poll: { timeout: 60_000, interval: 20 } },
    },
  };
}
