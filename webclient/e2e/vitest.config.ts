import { defineConfig } from 'vitest/config';

// Real browsers against a real server. Each step waits for its condition; the limits below only
// end a run in which one never comes, and are wide because a build machine may be slow.
export default defineConfig({
  cacheDir: '../node_modules/.vite-e2e',
  test: {
    root: import.meta.dirname,
    include: [process.env['SOAK'] ? '**/*.soak.ts' : '**/*.e2e.ts'],
    fileParallelism: false,
    testTimeout: 300_000, // ms
    hookTimeout: 300_000, // ms
    reporters: ['verbose'],
  },
});
