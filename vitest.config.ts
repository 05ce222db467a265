import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['src/**/*.test.ts', 'test/unit/**/*.test.ts'],
          // Some tests sync a file system, which takes long on a busy disk.
          testTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'integration',
          // Most of these wait for a control plane. vitest's default on two cores, one at a time, takes twice as long.
          maxWorkers: 3,
          // Processes that run the sources (with a fake clock or a failpoint) spend half their start-up compiling.
          env: { NODE_COMPILE_CACHE: join(import.meta.dirname, 'node_modules/.cache/compiled') },
          include: ['test/integration/**/*.test.ts', 'test/contract/**/*.test.ts'],
          globalSetup: [
            'test/support/build-programs.ts',
            'test/integration/install.ts',
            'test/integration/control-plane.ts',
          ],
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
