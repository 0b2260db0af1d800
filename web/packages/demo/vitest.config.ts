import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/*.test.ts'],
    globalSetup: 'test/setup.ts',
    fileParallelism: false,
    testTimeout: 150_000,
    expect: { poll: { timeout: 60_000, interval: 50 } },
    hookTimeout: 120_000,
  },
});
