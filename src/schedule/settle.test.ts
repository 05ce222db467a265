import { describe, expect, test } from 'vitest';
import type { Cadence } from './cadence.ts';
import { nextTime } from './cadence.ts';
import { parseCron } from './cron.ts';
import { CLOCK_TOLERANCE_MS, type SettleInput, settle } from './settle.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const at = (time: string) => Date.parse(`2026-05-05T${time}:00Z`);

function cron(expression: string): Cadence {
  const parsed = parseCron(expression, { timeZone: 'Etc/UTC' });
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.cadence;
}

const hourly = cron('@hourly');
const run = (input: Partial<SettleInput> & { settledUntilMs: number; nowMs: number }) =>
  settle({ cadence: hourly, ...input });

describe('what is due and what is settled', () => {
  test('the latest time passed is due; the misses before it are settled, it is not', () => {
    expect(run({ settledUntilMs: at('10:00'), nowMs: at('13:05') })).toEqual({
      dueMs: at('13:00'),
      missed: 2,
      missedAtLeast: false,
      lastMissedMs: at('12:00'),
      settledUntilMs: at('12:00'),
      clockWasAheadMs: undefined,
    });
  });
  test('a run that exists settles its time, even where nobody wrote that down', () => {
    expect(
      run({ settledUntilMs: at('10:00'), nowMs: at('11:05'), runsMs: [at('11:00'), at('09:00')] }),
    ).toMatchObject({ dueMs: null, missed: 0, settledUntilMs: at('11:00') });
  });
  test.each([
    ['edited', { changed: true }],
    ['suspended', { suspended: true }],
  ])('%s: nothing of the past is due or missed', (_, more) => {
    expect(run({ settledUntilMs: at('10:00'), nowMs: at('13:05'), ...more })).toMatchObject({
      dueMs: null,
      missed: 0,
    });
  });
});

describe('a clock that was ahead and was corrected', () => {
  const nowMs = at('10:20');
  test.each([
    ['an hour', HOUR],
    ['a day', DAY],
    ['a year', 365 * DAY],
    ['a century', 36_525 * DAY],
  ])('by %s: said, and the schedule continues from now', (_, aheadMs) => {
    const settled = run({ settledUntilMs: nowMs + aheadMs, nowMs });
    expect(settled).toMatchObject({
      dueMs: null,
      missed: 0,
      settledUntilMs: nowMs,
      clockWasAheadMs: aheadMs,
    });
    const next = run({ settledUntilMs: settled.settledUntilMs, nowMs: at('11:00') });
    expect(next).toMatchObject({ dueMs: at('11:00'), missed: 0, clockWasAheadMs: undefined });
  });
  test('a suspended schedule is settled to now as well', () => {
    expect(run({ settledUntilMs: nowMs + DAY, nowMs, suspended: true })).toMatchObject({
      settledUntilMs: nowMs,
      clockWasAheadMs: DAY,
    });
  });
  test('runs of that time do not hold it up', () => {
    expect(
      run({ settledUntilMs: at('10:00'), nowMs: at('11:00'), runsMs: [at('11:00') + 365 * DAY] }),
    ).toMatchObject({ dueMs: at('11:00') });
  });
  test('within the tolerance nothing is repeated: clocks of two nodes differ', () => {
    const settledUntilMs = at('11:00');
    const early = settledUntilMs - CLOCK_TOLERANCE_MS;
    expect(run({ settledUntilMs, nowMs: early })).toMatchObject({
      settledUntilMs,
      clockWasAheadMs: undefined,
    });
    expect(run({ settledUntilMs, nowMs: at('11:00') })).toMatchObject({ dueMs: null });
  });
  test('an interval that was anchored by such a clock keeps its grid', () => {
    const anchorMs = nowMs + 365 * DAY;
    const interval: Cadence = { kind: 'interval', everyMs: 30 * 60_000, anchorMs };
    const settled = run({ cadence: interval, settledUntilMs: anchorMs, nowMs });
    expect(settled).toMatchObject({ settledUntilMs: nowMs, clockWasAheadMs: 365 * DAY });
    expect(nextTime(interval, nowMs)! - nowMs).toBeLessThanOrEqual(30 * 60_000);
    expect(
      run({ cadence: interval, settledUntilMs: nowMs, nowMs: nowMs + 30 * 60_000 }).dueMs,
    ).not.toBeNull();
  });
});
