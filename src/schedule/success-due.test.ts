import { expect, test } from 'vitest';
import { type Cadence, cadenceOf } from './cadence.ts';
import { successDueMs } from './success-due.ts';

const ms = (iso: string) => Date.parse(iso);

function cadence(cron: string, timeZone = 'Etc/UTC'): Cadence {
  const parsed = cadenceOf({ cron, timeZone, intervalMinutes: 720, anchorMs: 0 });
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.cadence;
}

const due = (
  schedule: Cadence,
  lastSuccess: string | undefined,
  more: { since?: string; seconds?: number } = {},
) => {
  const at = successDueMs({
    cadence: schedule,
    sinceMs: ms(more.since ?? '2026-01-01T00:00:00Z'),
    lastSuccessMs: lastSuccess === undefined ? undefined : ms(lastSuccess),
    lastDurationSeconds: more.seconds,
  });
  return at === null ? null : new Date(at).toISOString().replace(':00.000Z', 'Z');
};

const office = cadence('*/15 8-18 * * 1-5');

// Each includes the allowance of 15 minutes.
test.each([
  ['office hours, over a weekend', office, '2026-05-08T18:45:20Z', '2026-05-11T08:30Z'],
  ['office hours, over a night', office, '2026-05-06T18:45:20Z', '2026-05-07T08:30Z'],
  ['office hours, during the day', office, '2026-05-06T10:00:20Z', '2026-05-06T10:45Z'],
  [
    'office hours, if the last run of the week failed: a day later',
    office,
    '2026-05-08T18:30:20Z',
    '2026-05-09T19:00Z',
  ],
  ['daily', cadence('0 3 * * *'), '2026-05-06T03:01:00Z', '2026-05-08T03:15Z'],
  [
    'daily, the day before clocks go forward',
    cadence('30 2 * * *', 'Europe/Berlin'),
    '2026-03-28T01:31:00Z',
    '2026-03-30T00:45Z',
  ],
  [
    'daily, the day before clocks go back',
    cadence('30 2 * * *', 'Europe/Berlin'),
    '2026-10-24T00:31:00Z',
    '2026-10-26T00:45Z',
  ],
  ['weekly: a day after the missed time', cadence('0 3 * * 0'), '2026-05-03T03:01:00Z', '2026-05-11T03:15Z'],
  ['yearly: a day after the missed time', cadence('@yearly'), '2026-01-01T00:01:00Z', '2027-01-02T00:15Z'],
] as const)('%s', (_, schedule, lastSuccess, expected) => {
  expect(due(schedule, lastSuccess)).toBe(expected);
});

test('a schedule without a success counts from its creation', () => {
  expect(due(cadence('0 3 * * *'), undefined, { since: '2026-05-06T12:00:00Z' })).toBe('2026-05-08T03:15Z');
  expect(due(cadence('0 3 * * 0'), undefined, { since: '2026-05-06T12:00:00Z' })).toBe('2026-05-11T03:15Z');
});

test('an edit or a resumption starts the count again, however old the last success is', () => {
  expect(due(cadence('0 * * * *'), '2026-03-01T00:01:00Z', { since: '2026-05-06T12:30:00Z' })).toBe(
    '2026-05-06T14:15Z',
  );
});

test('a long run is given its usual time', () => {
  expect(due(cadence('0 3 * * *'), '2026-05-06T07:00:00Z', { seconds: 4 * 3600 })).toBe('2026-05-08T07:15Z');
});

test('an interval', () => {
  const hourly: Cadence = { kind: 'interval', everyMs: 3_600_000, anchorMs: ms('2026-05-06T00:20:00Z') };
  expect(due(hourly, '2026-05-06T01:21:00Z')).toBe('2026-05-06T03:35Z');
});

test('a schedule without dates has no due time', () => {
  expect(
    due(
      { ...(cadence('0 0 1 * *') as Extract<Cadence, { kind: 'cron' }>), months: [2], daysOfMonth: [31] },
      undefined,
    ),
  ).toBeNull();
});
