import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ArchiveError } from '../archive/index.ts';
import { Calls, type ProgressParams, progressSender } from './calls.ts';

describe('progress', () => {
  test('rises whatever the run reports, and never passes its total', () => {
    const update = fc.record({
      done: fc.nat(1000),
      total: fc.option(fc.nat(1000), { nil: undefined }),
      message: fc.constantFrom('one', 'two'),
    });
    fc.assert(
      fc.property(fc.array(fc.tuple(update, fc.nat(300))), (updates) => {
        const sent: ProgressParams[] = [];
        let now = 0;
        const send = progressSender(
          (params) => void sent.push(params),
          () => now,
        );
        for (const [progress, passed] of updates) {
          now += passed;
          send(progress);
        }
        for (const [index, { progress, total }] of sent.entries()) {
          if (index > 0) expect(progress).toBeGreaterThan(sent[index - 1]!.progress);
          if (total !== undefined) expect(total).toBeGreaterThanOrEqual(progress);
        }
      }),
    );
  });

  test('is sent at most five times a second, and when a phase begins', () => {
    const sent: ProgressParams[] = [];
    let now = 0;
    const send = progressSender(
      (params) => void sent.push(params),
      () => now,
    );
    const report = (done: number, message: string, at: number) => {
      now = at;
      send({ done, message });
    };
    report(1, 'validating', 0);
    report(2, 'validating', 100);
    report(3, 'validating', 200);
    report(1, 'unpacking', 210);
    report(2, 'unpacking', 300);
    expect(sent).toEqual([
      { progress: 1, message: 'validating' },
      { progress: 3, message: 'validating' },
      { progress: 4, message: 'unpacking' },
    ]);
  });
});

describe('calls', () => {
  const untilAborted = (signal: AbortSignal) =>
    new Promise<never>((_, reject) => {
      if (signal.aborted) reject(signal.reason);
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    });
  const cancelled = expect.objectContaining({ name: 'ArchiveError', reason: 'Cancelled' });

  test('hear of a cancellation in the words of km-backup', async () => {
    const calls = new Calls();
    const controller = new AbortController();
    const call = calls.run(controller.signal, untilAborted);
    controller.abort(new Error('what the SDK gives'));
    await expect(call).rejects.toEqual(cancelled);
    await expect(calls.run(controller.signal, untilAborted)).rejects.toEqual(cancelled);
  });

  test('the end cancels all and waits until they have cleaned up', async () => {
    const calls = new Calls();
    const cleanup = Promise.withResolvers<void>();
    let cleaned = false;
    const call = calls.run(new AbortController().signal, async (signal) => {
      await untilAborted(signal).catch(() => {});
      await cleanup.promise;
      cleaned = true;
      throw new ArchiveError('Cancelled', 'cleaned');
    });
    call.catch(() => {});
    const end = calls.end();
    cleanup.resolve();
    await end;
    expect(cleaned).toBe(true);
    await expect(calls.run(new AbortController().signal, untilAborted)).rejects.toEqual(cancelled);
  });
});
