import { expect, test } from 'vitest';
import { WorkerPool } from './worker-pool.ts';

type Jobs = {
  readonly echo: (input: { how: string }) => { how: string };
  readonly die: (input: { how: string }) => never;
};
const entry = new URL('testing/dying-worker.ts', import.meta.url);

test.each([
  ['exit', /^A worker thread ended before its work was done \(it exited with status 3\)/],
  ['throw', /^A worker thread ended before its work was done \(a fault\)/],
  ['memory', /^A worker thread ran out of memory/],
])('a thread that dies (%s) fails all jobs in words, also those that come later', async (how, message) => {
  await using pool = new WorkerPool<Jobs>(2, entry, {
    maxOldGenerationSizeMb: 16,
    maxYoungGenerationSizeMb: 2,
  });
  expect(await pool.run('echo', { how })).toEqual({ how });
  const jobs = Array.from({ length: 8 }, () => pool.run('die', { how }));
  const expected = {
    name: 'ArchiveError',
    reason: 'OutOfResources',
    message: expect.stringMatching(message),
  };
  for (const job of jobs) await expect(job).rejects.toMatchObject(expected);
  await expect(pool.run('echo', { how })).rejects.toMatchObject(expected);
  expect(pool.pending).toBe(0);
});
