import { expect, test } from 'vitest';
import { EarlySync } from './early-sync.ts';

const MIB = 1024 * 1024;

/** A file system that ends a sync when it is told to. */
function scene() {
  const calls: string[] = [];
  const syncs: { done: () => void; fail: (error: Error) => void }[] = [];
  const disk = new EarlySync({
    sync: () => {
      calls.push('sync');
      return new Promise((resolve, reject) => syncs.push({ done: resolve, fail: reject }));
    },
    [Symbol.dispose]: () => void calls.push('close'),
  });
  return { disk, calls, syncs };
}

test('a sync starts when there is enough to write, and one runs at a time', async () => {
  const { disk, calls, syncs } = scene();
  disk.written(31 * MIB);
  expect(calls).toEqual([]);
  disk.written(32 * MIB);
  disk.written(132 * MIB);
  expect(calls).toEqual(['sync']);
  const finished = disk.finish();
  syncs[0]?.done();
  await expect.poll(() => calls).toEqual(['sync', 'sync']);
  syncs[1]?.done();
  await finished;
  disk[Symbol.dispose]();
  expect(calls).toEqual(['sync', 'sync', 'close']);
});

test('a write that an early sync reports as lost fails the last one', async () => {
  const { disk, syncs } = scene();
  disk.written(32 * MIB);
  syncs[0]?.fail(new Error('EIO'));
  const finished = disk.finish();
  await expect.poll(() => syncs.length).toBe(2);
  syncs[1]?.done();
  await expect(finished).rejects.toThrow('EIO');
});

test('the descriptor stays open for a sync that is still running, and no other one follows', async () => {
  const { disk, calls, syncs } = scene();
  disk.written(32 * MIB);
  const finished = disk.finish();
  disk[Symbol.dispose]();
  expect(calls).toEqual(['sync']);
  syncs[0]?.done();
  await finished;
  await expect.poll(() => calls).toEqual(['sync', 'close']);
});
