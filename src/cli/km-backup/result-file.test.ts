import fc from 'fast-check';
import { expect, test } from 'vitest';
import { RunResult } from '../../api/run-result.ts';
import { fitResult, RESULT_LIMIT } from './result-file.ts';

const text = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 40 }),
  fc
    .tuple(fc.constantFrom('é', '\n', '\u0000', '😀', '"'), fc.nat(3000))
    .map(([part, times]) => part.repeat(times)),
);

test('any result fits, stays valid, and keeps its counts', () => {
  fc.assert(
    fc.property(text, fc.array(text, { maxLength: 30 }), fc.nat(2000), (message, samples, count) => {
      const names = Array.from({ length: count }, (_, index) => `km-backup-2026112${index}T000000Z.tgz`);
      const line = fitResult({
        version: 1,
        outcome: 'Incomplete',
        reason: 'FilesNotCaptured',
        message,
        startedAt: '2026-11-23T00:00:00.000Z',
        finishedAt: '2026-11-23T00:00:01.000Z',
        warnings: { count: samples.length, samples },
        pruned: { count, failed: 0, names },
        present: { count, bytes: 1, names },
      });
      expect(Buffer.byteLength(line)).toBeLessThanOrEqual(RESULT_LIMIT);
      const result = RunResult.parse(JSON.parse(line));
      expect([result.warnings.count, result.pruned.count, result.present.count]).toEqual([
        samples.length,
        count,
        count,
      ]);
      expect(names.slice(0, result.present.names.length)).toEqual(result.present.names);
    }),
    { numRuns: 60 },
  );
});
