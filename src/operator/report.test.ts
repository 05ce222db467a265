import { expect, test } from 'vitest';
import { snapshotOf } from './report.ts';
import { schedule } from './testing/fixtures.ts';

const due = (status: Parameters<typeof schedule>[1], spec = {}) => {
  const { successDueMs } = snapshotOf(schedule({ cron: '0 * * * *', ...spec }, status));
  return typeof successDueMs === 'number' ? new Date(successDueMs).toISOString().slice(0, 19) : successDueMs;
};

test('a success is due two scheduled times after the last one, plus its duration and 15 minutes', () => {
  const success = { name: 'a', archive: 'b', sizeBytes: 1, pruned: 0, durationSeconds: 120 };
  expect(due({ lastSuccessfulTime: '2026-03-01T04:02:00Z', lastSuccessfulBackup: success })).toBe(
    '2026-03-01T06:17:00',
  );
});

test('a schedule that was resumed since counts from then', () => {
  expect(due({ lastSuccessfulTime: '2026-03-01T04:02:00Z', cadenceSince: '2026-03-05T10:30:00Z' })).toBe(
    '2026-03-05T12:15:00',
  );
});

test('nothing is due of a suspended schedule, or of one that cannot be read', () => {
  expect(due({ lastSuccessfulTime: '2026-03-01T04:02:00Z' }, { suspend: true })).toBeUndefined();
  expect(due({}, { cron: 'never' })).toBeUndefined();
});
