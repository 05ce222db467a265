import { expect, test } from 'vitest';
import type { WorkerPool } from '../pool/worker-pool.ts';
import type { Compared } from './compare-entries.ts';
import type { RestoreJobs } from './jobs.ts';
import { SharedWork } from './shared-work.ts';

const job = (root: string) => ({
  root,
  lines: [],
  leftOut: new Set<never>(),
  policy: { preserveSetid: false, skipDevices: false },
});
const named = (path: string) => [{ path, found: undefined }] as unknown as Compared[];

/** One thread that answers when it is told to. */
function scene(signal?: AbortSignal) {
  const waiting: { root: string; answer: () => void; fail: (error: Error) => void }[] = [];
  const run = (_: string, { root }: { root: string }) =>
    new Promise((resolve, reject) => {
      waiting.push({ root, answer: () => resolve(named(`there ${root}`)), fail: reject });
    });
  const pool = { size: 1, run } as unknown as WorkerPool<RestoreJobs>;
  const here = ({ root }: { root: string }) => named(`here ${root}`);
  const shared = new SharedWork({ kind: 'compare', here, pool, signal });
  const results: string[] = [];
  const send = (root: string) =>
    shared.send(job(root), (compared) => void results.push(...compared.map(({ path }) => path)));
  return { shared, waiting, results, send };
}

test('a thread gets three jobs ahead, and what is more is done here', async () => {
  const { shared, waiting, results, send } = scene();
  for (const name of ['1', '2', '3', '4']) await send(name);
  expect([waiting.map(({ root }) => root), results]).toEqual([['1', '2', '3'], ['here 4']]);
  for (const { answer } of waiting) answer();
  await shared.settle();
  expect(results).toEqual(['here 4', 'there 1', 'there 2', 'there 3']);
});

test('the first failure of a thread ends the work once all have stopped', async () => {
  const { shared, waiting, results, send } = scene();
  for (const name of ['1', '2']) await send(name);
  waiting[0]?.fail(new Error('damaged'));
  waiting[1]?.answer();
  await expect(shared.settle()).rejects.toThrow('damaged');
  expect(results).toEqual(['there 2']);
  await expect(send('3')).rejects.toThrow('damaged');
});

test('after an abort nothing more is begun', async () => {
  const { waiting, send } = scene(AbortSignal.abort(new Error('stopped')));
  await expect(send('1')).rejects.toThrow('stopped');
  expect(waiting).toEqual([]);
});
