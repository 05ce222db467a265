import { CronExpressionParser } from 'cron-parser';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Cadence, nextTime, previousTime } from './cadence.ts';
import { parseCron } from './cron.ts';

const ms = (iso: string) => Date.parse(iso);
const iso = (at: number | null) => (at === null ? null : new Date(at).toISOString().replace('.000Z', 'Z'));

function cron(expression: string, timeZone = 'Etc/UTC'): Cadence {
  const parsed = parseCron(expression, { timeZone, hashSeed: 'x' });
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.cadence;
}

function slots(cadence: Cadence, fromIso: string, count: number): (string | null)[] {
  const found: (string | null)[] = [];
  let at: number | null = ms(fromIso);
  for (let index = 0; index < count && at !== null; index += 1) {
    at = nextTime(cadence, at);
    found.push(iso(at));
  }
  return found;
}

describe('daylight saving', () => {
  test.each([
    {
      name: 'Berlin gap: a fixed time runs at the first instant after it, once',
      expression: '30 2 * * *',
      zone: 'Europe/Berlin',
      from: '2026-03-28T00:00:00Z',
      expected: ['2026-03-28T01:30:00Z', '2026-03-29T01:00:00Z', '2026-03-30T00:30:00Z'],
    },
    {
      name: 'Berlin gap: several fixed times in it run once together',
      expression: '0,20,40 2 * * *',
      zone: 'Europe/Berlin',
      from: '2026-03-28T01:40:00Z',
      expected: ['2026-03-29T01:00:00Z', '2026-03-30T00:00:00Z'],
    },
    {
      name: 'Berlin gap: the scheduled time of the gap and one right after it are one',
      expression: '0 1-4 * * *',
      zone: 'Europe/Berlin',
      from: '2026-03-28T23:30:00Z',
      expected: ['2026-03-29T00:00:00Z', '2026-03-29T01:00:00Z', '2026-03-29T02:00:00Z'],
    },
    {
      name: 'Berlin gap: every hour goes on in elapsed time',
      expression: '30 * * * *',
      zone: 'Europe/Berlin',
      from: '2026-03-29T00:00:00Z',
      expected: ['2026-03-29T00:30:00Z', '2026-03-29T01:30:00Z', '2026-03-29T02:30:00Z'],
    },
    {
      name: 'Berlin overlap: a fixed time runs once, the first time',
      expression: '30 2 * * *',
      zone: 'Europe/Berlin',
      from: '2026-10-24T12:00:00Z',
      expected: ['2026-10-25T00:30:00Z', '2026-10-26T01:30:00Z'],
    },
    {
      name: 'Berlin overlap: from inside its second pass',
      expression: '*/30 2 * * *',
      zone: 'Europe/Berlin',
      from: '2026-10-25T01:10:00Z',
      expected: ['2026-10-26T01:00:00Z'],
    },
    {
      name: 'Berlin overlap: every hour goes on in elapsed time',
      expression: '30 * * * *',
      zone: 'Europe/Berlin',
      from: '2026-10-25T00:00:00Z',
      expected: ['2026-10-25T00:30:00Z', '2026-10-25T01:30:00Z', '2026-10-25T02:30:00Z'],
    },
    {
      name: 'New York gap',
      expression: '15 2 * * *',
      zone: 'America/New_York',
      from: '2026-03-07T08:00:00Z',
      expected: ['2026-03-08T07:00:00Z', '2026-03-09T06:15:00Z'],
    },
    {
      name: 'New York overlap',
      expression: '0 1 * * *',
      zone: 'America/New_York',
      from: '2026-10-31T12:00:00Z',
      expected: ['2026-11-01T05:00:00Z', '2026-11-02T06:00:00Z'],
    },
    {
      name: 'Lord Howe gap of half an hour',
      expression: '15 2 * * *',
      zone: 'Australia/Lord_Howe',
      from: '2026-10-02T20:00:00Z',
      expected: ['2026-10-03T15:30:00Z', '2026-10-04T15:15:00Z'],
    },
    {
      name: 'Lord Howe overlap of half an hour',
      expression: '45 1 * * *',
      zone: 'Australia/Lord_Howe',
      from: '2026-04-03T20:00:00Z',
      expected: ['2026-04-04T14:45:00Z', '2026-04-05T15:15:00Z'],
    },
    {
      name: 'Apia lost 30 December 2011: its scheduled time comes at once after',
      expression: '0 12 * * *',
      zone: 'Pacific/Apia',
      from: '2011-12-29T12:00:00Z',
      expected: ['2011-12-29T22:00:00Z', '2011-12-30T10:00:00Z', '2011-12-30T22:00:00Z'],
    },
    {
      name: 'Apia: a Friday that never was',
      expression: '0 3 * * fri',
      zone: 'Pacific/Apia',
      from: '2011-12-24T00:00:00Z',
      expected: ['2011-12-30T10:00:00Z', '2012-01-05T13:00:00Z'],
    },
    {
      name: 'midnight that does not exist (Beirut)',
      expression: '@daily',
      zone: 'Asia/Beirut',
      from: '2026-03-28T00:00:00Z',
      expected: ['2026-03-28T22:00:00Z', '2026-03-29T21:00:00Z'],
    },
  ])('$name', ({ expression, zone, from, expected }) => {
    expect(slots(cron(expression, zone), from, expected.length)).toEqual(expected);
  });
});

describe('dates', () => {
  test.each([
    ['0 0 29 2 *', '2096-03-01T00:00:00Z', '2104-02-29T00:00:00Z'],
    ['0 0 29 2 *', '2026-01-01T00:00:00Z', '2028-02-29T00:00:00Z'],
    ['0 0 31 * *', '2026-01-31T00:00:00Z', '2026-03-31T00:00:00Z'],
    ['0 0 13 * fri', '2026-11-13T00:00:00Z', '2026-11-20T00:00:00Z'],
    ['59 23 31 12 *', '2026-12-31T23:58:59Z', '2026-12-31T23:59:00Z'],
    ['* * * * *', '2026-01-01T00:00:00Z', '2026-01-01T00:01:00Z'],
    ['* * * * *', '2026-01-01T00:00:00.001Z', '2026-01-01T00:01:00Z'],
    ['* * * * *', '2025-12-31T23:59:59.999Z', '2026-01-01T00:00:00Z'],
  ])('%s after %s', (expression, after, expected) => {
    expect(iso(nextTime(cron(expression), ms(after)))).toBe(expected);
  });
});

describe('intervals', () => {
  const every = (minutes: number): Cadence => ({
    kind: 'interval',
    everyMs: minutes * 60_000,
    anchorMs: ms('2026-01-01T00:00:07Z'),
  });
  test.each([
    [1, '2025-06-01T00:00:00Z', '2025-06-01T00:00:07Z'],
    [720, '2026-01-01T00:00:07Z', '2026-01-01T12:00:07Z'],
    [720, '2026-01-01T12:00:07Z', '2026-01-02T00:00:07Z'],
    [720, '2026-01-01T12:00:06.999Z', '2026-01-01T12:00:07Z'],
    [5_256_000, '2026-01-01T00:00:07Z', '2035-12-30T00:00:07Z'],
  ])('every %i minutes after %s', (minutes, after, expected) => {
    expect(iso(nextTime(every(minutes), ms(after)))).toBe(expected);
  });
});

const anyField = (min: number, max: number) =>
  fc.oneof(
    { weight: 3, arbitrary: fc.constant('*') },
    fc.integer({ min, max }).map(String),
    fc.integer({ min: 2, max: 20 }).map((step) => `*/${step}`),
    fc
      .tuple(fc.integer({ min, max }), fc.integer({ min, max }))
      .map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`),
    fc
      .uniqueArray(fc.integer({ min, max: Math.min(max, 28) }), { minLength: 1, maxLength: 3 })
      .map((list) => list.join(',')),
  );
const anyExpression = fc
  .tuple(anyField(0, 59), anyField(0, 23), anyField(1, 28), anyField(1, 12), anyField(0, 6))
  .map((parts) => parts.join(' '));
const anyZone = fc.constantFrom(
  'Etc/UTC',
  'Europe/Berlin',
  'America/New_York',
  'Australia/Lord_Howe',
  'Pacific/Apia',
  'Asia/Kathmandu',
  'America/Sao_Paulo',
  'Africa/Casablanca',
  'Antarctica/Troll',
);
const anyInstant = fc.integer({ min: ms('2009-01-01T00:00:00Z'), max: ms('2029-01-01T00:00:00Z') });

describe('properties', () => {
  test('in UTC the scheduled times are those of cron-parser', () => {
    fc.assert(
      fc.property(anyExpression, anyInstant, (expression, after) => {
        const peer = CronExpressionParser.parse(expression, { tz: 'UTC', currentDate: new Date(after) });
        let at: number | null = after;
        for (let index = 0; index < 4; index += 1) {
          at = nextTime(cron(expression), at!);
          expect(iso(at)).toBe(iso(peer.next().getTime()));
        }
      }),
      { numRuns: 150 },
    );
  });

  test('next and previous agree: strictly later, none lost between, none twice', () => {
    fc.assert(
      fc.property(anyExpression, anyZone, anyInstant, (expression, zone, after) => {
        const cadence = cron(expression, zone);
        const next = nextTime(cadence, after)!;
        expect(next).toBeGreaterThan(after);
        expect(previousTime(cadence, after, next)).toBe(next);
        expect(previousTime(cadence, after, next - 1)).toBe(null);
        expect(previousTime(cadence, after, next + 30_000)).toBeGreaterThanOrEqual(next);
      }),
      { numRuns: 500 },
    );
  });

  test('around each change of offset the scheduled times are those of a clock watched minute by minute', () => {
    const changes = [
      ['Europe/Berlin', '2026-03-29T01:00:00Z'],
      ['Europe/Berlin', '2026-10-25T01:00:00Z'],
      ['America/New_York', '2026-03-08T07:00:00Z'],
      ['America/New_York', '2026-11-01T06:00:00Z'],
      ['Australia/Lord_Howe', '2026-10-03T15:30:00Z'],
      ['Australia/Lord_Howe', '2026-04-04T15:00:00Z'],
      ['Pacific/Apia', '2011-12-30T10:00:00Z'],
    ] as const;
    fc.assert(
      fc.property(
        fc.constantFrom(...changes),
        anyField(0, 59),
        anyField(0, 23),
        ([zone, change], minute, hour) => {
          const cadence = cron(`${minute} ${hour} * * *`, zone);
          if (cadence.kind !== 'cron') throw new Error('not cron');
          const from = ms(change) - 26 * 3_600_000;
          const to = ms(change) + 26 * 3_600_000;
          expect(all(cadence, from, to).map(iso)).toEqual(watched(cadence, from, to).map(iso));
        },
      ),
      { numRuns: 25 },
    );
  });
});

function all(cadence: Cadence, from: number, to: number): number[] {
  const found: number[] = [];
  for (let at = nextTime(cadence, from)!; at <= to; at = nextTime(cadence, at)!) found.push(at);
  return found;
}

/** Watches a wall clock minute by minute with Intl alone, by the rule as it is stated for the reader. */
function watched(cadence: Cadence & { kind: 'cron' }, from: number, to: number): number[] {
  const format = new Intl.DateTimeFormat('en-CA', {
    timeZone: cadence.timeZone,
    dateStyle: 'short',
    timeStyle: 'short',
    hourCycle: 'h23',
  });
  const reading = (at: number) => Date.parse(`${format.format(at).replace(', ', 'T')}:00Z`);
  const named = (wall: number) =>
    cadence.hours.includes(new Date(wall).getUTCHours()) &&
    cadence.minutes.includes(new Date(wall).getUTCMinutes());
  const elapsed = cadence.hours.length === 24;
  const found: number[] = [];
  let shown = reading(from - 25 * 3_600_000);
  for (let at = from - 25 * 3_600_000 + 60_000; at <= to; at += 60_000) {
    const wall = reading(at);
    let runs = false;
    if (elapsed) runs = named(wall);
    else for (let each = shown + 60_000; each <= wall; each += 60_000) runs ||= named(each);
    shown = Math.max(shown, wall);
    if (runs && at > from) found.push(at);
  }
  return found;
}
