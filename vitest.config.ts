import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['src/**/*.test.ts', 'test/unit/**/*.test.ts'],
          // Some sync a file system, whose disk may be busy with other things.
          testTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'integration',
          // Most of these wait for a control plane; one at a time, as vitest would have it on two cores, takes twice as long.
          maxWorkers: 3,
          // Processes that run the sources, with a clock or a kill of the test's own, spend half their start compiling.
          env: { NODE_COMPILE_CACHE: join(import.meta.dirname, 'node_modules/.cache/compiled') },
          include: ['test/integration/**/*.test.ts', 'test/contract/**/*.test.ts'],
          globalSetup: ['test/support/build-programs.ts', 'test/integration/control-plane.ts'],
          testTimeout: 300_000,
          hookTimeout: 900_000,
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          globalSetup: ['test/e2e/setup.ts'],
          testTimeout: 300_000,
          hookTimeout: 1_800_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
