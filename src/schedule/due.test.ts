import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Cadence, nextTime } from './cadence.ts';
import { parseCron } from './cron.ts';
import { expectedIntervalSeconds, latestDue, MISSED_COUNT_CAP } from './due.ts';

const ms = (iso: string) => Date.parse(iso);
const HOUR = 3_600_000;

function cron(expression: string, timeZone = 'Etc/UTC'): Cadence {
  const parsed = parseCron(expression, { timeZone, hashSeed: 'x' });
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.cadence;
}

const hourly = cron('@hourly');
const minutely: Cadence = { kind: 'interval', everyMs: 60_000, anchorMs: ms('2026-01-01T00:00:30Z') };

describe('what is due', () => {
  test.each([
    { name: 'nothing yet', after: '10:00', now: '10:59:59', due: null, missed: 0, last: null },
    { name: 'on the second', after: '10:00', now: '11:00', due: '11:00', missed: 0, last: null },
    { name: 'late', after: '10:00', now: '11:59', due: '11:00', missed: 0, last: null },
    { name: 'a scheduled time is due once', after: '11:00', now: '11:00', due: null, missed: 0, last: null },
    { name: 'only the latest of many', after: '10:00', now: '14:10', due: '14:00', missed: 3, last: '13:00' },
    {
      name: 'within its deadline',
      after: '10:00',
      now: '11:05',
      deadline: 300,
      due: '11:00',
      missed: 0,
      last: null,
    },
    {
      name: 'past its deadline',
      after: '10:00',
      now: '11:05:01',
      deadline: 300,
      due: null,
      missed: 1,
      last: '11:00',
    },
    { name: 'all past it', after: '10:00', now: '14:30', deadline: 60, due: null, missed: 4, last: '14:00' },
    { name: 'the clock went back', after: '10:00', now: '08:30', due: null, missed: 0, last: null },
  ])('$name', ({ after, now, deadline, due, missed, last }) => {
    const at = (time: string) => ms(`2026-05-05T${time.length === 5 ? `${time}:00` : time}Z`);
    expect(
      latestDue({
        cadence: hourly,
        afterMs: at(after),
        nowMs: at(now),
        startingDeadlineMs: deadline === undefined ? undefined : deadline * 1000,
      }),
    ).toEqual({
      dueMs: due === null ? null : at(due),
      missed,
      missedAtLeast: false,
      lastMissedMs: last === null ? null : at(last),
    });
  });

  test('ten years of downtime are counted in bounded time', () => {
    const afterMs = ms('2016-01-01T00:00:00Z');
    const nowMs = ms('2026-01-01T12:00:00Z');
    const started = process.threadCpuUsage();
    expect(latestDue({ cadence: cron('* * * * *', 'Europe/Berlin'), afterMs, nowMs })).toEqual({
      dueMs: nowMs,
      missed: MISSED_COUNT_CAP,
      missedAtLeast: true,
      lastMissedMs: nowMs - 60_000,
    });
    expect(process.threadCpuUsage(started).user / 1000).toBeLessThan(1000);
    const exact = latestDue({
      cadence: { kind: 'interval', everyMs: 60_000, anchorMs: afterMs },
      afterMs,
      nowMs,
    });
    expect(exact).toMatchObject({ missed: (nowMs - afterMs) / 60_000 - 1, missedAtLeast: false });
  });

  test('exactly as many as the cap are counted exactly', () => {
    const afterMs = ms('2026-01-01T00:00:00Z');
    const due = latestDue({
      cadence: cron('* * * * *'),
      afterMs,
      nowMs: afterMs + MISSED_COUNT_CAP * 60_000,
    });
    expect(due).toMatchObject({ missed: MISSED_COUNT_CAP - 1, missedAtLeast: false });
  });
});

describe('any sequence of evaluations', () => {
  const cadences = fc.constantFrom(
    hourly,
    minutely,
    cron('*/7 1-3 * * *', 'Europe/Berlin'),
    cron('30 2 * * *', 'America/New_York'),
    cron('15,45 * * * *', 'Australia/Lord_Howe'),
  );
  test('each scheduled time runs once or is counted missed once, in order', () => {
    fc.assert(
      fc.property(
        cadences,
        fc.constantFrom(
          '2026-03-07T00:00:00Z',
          '2026-03-28T12:00:00Z',
          '2026-10-24T20:00:00Z',
          '2026-11-01T00:00:00Z',
        ),
        fc.array(fc.integer({ min: -2 * HOUR, max: 30 * HOUR }), { maxLength: 30 }),
        fc.option(fc.integer({ min: 0, max: 3 * HOUR }), { nil: undefined }),
        (cadence, start, steps, startingDeadlineMs) => {
          const beginMs = ms(start);
          let settledMs = beginMs;
          let nowMs = beginMs;
          let accounted = 0;
          for (const step of steps) {
            nowMs += step;
            const due = latestDue({ cadence, afterMs: settledMs, nowMs, startingDeadlineMs });
            accounted += due.missed;
            if (due.dueMs !== null) {
              accounted += 1;
              expect(due.dueMs).toBeGreaterThan(settledMs);
              expect(due.dueMs).toBeLessThanOrEqual(nowMs);
              expect(nowMs - due.dueMs).toBeLessThanOrEqual(startingDeadlineMs ?? Number.POSITIVE_INFINITY);
            }
            expect(due.lastMissedMs === null).toBe(due.missed === 0);
            settledMs = Math.max(settledMs, due.dueMs ?? 0, due.lastMissedMs ?? 0);
          }
          let passed = 0;
          for (let at = nextTime(cadence, beginMs)!; at <= settledMs; at = nextTime(cadence, at)!)
            passed += 1;
          expect(accounted).toBe(passed);
          expect(nextTime(cadence, settledMs)!).toBeGreaterThan(nowMs);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('expected interval', () => {
  test.each([
    ['@hourly', 3600],
    ['*/5 * * * *', 300],
    ['@daily', 86_400],
    ['0 9 * * 1-5', 3 * 86_400],
    ['0 9-17 * * 1-5', 64 * 3600],
    ['0 0 29 2 *', 8 * 365.25 * 86_400 - 86_400],
  ])('%s', (expression, seconds) => {
    expect(expectedIntervalSeconds(cron(expression), ms('2096-01-02T00:00:00Z'))).toBe(seconds);
  });
  test('of an interval', () => {
    expect(expectedIntervalSeconds(minutely, 0)).toBe(60);
  });
});
