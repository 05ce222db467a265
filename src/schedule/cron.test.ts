import { describe, expect, test } from 'vitest';
import { parseCron } from './cron.ts';

function parse(expression: string, hashSeed: string | undefined = 'uid-1', timeZone = 'Etc/UTC') {
  return parseCron(expression, { timeZone, hashSeed });
}

function fieldsOf(expression: string, seed?: string) {
  const parsed = parse(expression, seed);
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.cadence;
}

describe('what is accepted', () => {
  test.each([
    ['15 3 * * *', { minutes: [15], hours: [3], eitherDay: false }],
    ['*/20 * * * *', { minutes: [0, 20, 40] }],
    ['5/20 * * * *', { minutes: [5, 25, 45] }],
    ['0 9-17/4 * * mon-FRI', { hours: [9, 13, 17], daysOfWeek: [1, 2, 3, 4, 5], eitherDay: false }],
    ['0 0 1,15 * 7', { daysOfMonth: [1, 15], daysOfWeek: [0], eitherDay: true }],
    ['0 0 * jan,12 *', { months: [1, 12] }],
    ['0 0 * * 0,7', { daysOfWeek: [0], eitherDay: false }],
    ['0 1-5,3,*/12 * * 5-7', { hours: [0, 1, 2, 3, 4, 5, 12], daysOfWeek: [0, 5, 6] }],
    ['0 0 31 2 1', { eitherDay: true }],
    ['@daily', { minutes: [0], hours: [0] }],
    ['@midnight', { minutes: [0], hours: [0] }],
    ['@hourly', { minutes: [0] }],
    ['@weekly', { minutes: [0], hours: [0], daysOfWeek: [0], eitherDay: false }],
    ['@monthly', { daysOfMonth: [1], eitherDay: false }],
    ['@yearly', { daysOfMonth: [1], months: [1] }],
    ['@annually', { daysOfMonth: [1], months: [1] }],
    ['  15   3 * * *  ', { minutes: [15], hours: [3] }],
  ])('%s', (expression, expected) => {
    expect(fieldsOf(expression)).toMatchObject(expected);
  });
});

describe('what is refused, and how', () => {
  test.each([
    ['', /empty.*5 fields/],
    ['* * * *', /has 4 fields; write 5/],
    ['0 15 3 * * *', /6 fields; there is no field for seconds/],
    ['0 0 3 * * * 2026', /7 fields/],
    ['@every 1h', /interval in minutes/],
    ['@reboot', /no meaning/],
    ['@minutely', /is not one of @hourly/],
    ['@Daily', /is not one of/],
    ['0 0 L * *', /L, W, # and \? are not supported/],
    ['0 0 15W * *', /"15W" in its day-of-month field/],
    ['0 0 * * 5#3', /"5#3" in its day-of-week field/],
    ['0 0 * * 5L', /not supported/],
    ['0 0 ? * *', /not supported/],
    ['60 0 * * *', /not valid.*60/],
    ['0 24 * * *', /not valid/],
    ['0 0 32 * *', /not valid/],
    ['0 0 0 * *', /not valid/],
    ['0 0 * 13 *', /not valid/],
    ['0 0 * * 8', /not valid/],
    ['5-1 * * * *', /not valid/],
    ['*/0 * * * *', /"\*\/0" as its minute field/],
    ['1,,2 * * * *', /"1,,2" as its minute field/],
    ['0 0 * foo *', /not valid|foo/],
    ['0 0 31 2 *', /never comes: February has no day 31$/],
    ['0 0 30,31 feb *', /never comes: February has no day 30$/],
    ['0 0 31 4,6,9,11 *', /never comes: none of the months it names has a day 31$/],
    ['* * 30-31 2 *', /never comes/],
    ['0 0 31 2-4/2 *', /never comes/],
    ['H(50-70) * * * *', /bad minute field: H\(50-70\) must lie within 0-59/],
    ['H(30-10) * * * *', /must lie within/],
    ['0 0 H(1-31) * *', /must lie within 1-28/],
    ['$(id) * * * *', /as its minute field/],
    ['0 0 * * *\n', /as its day-of-week field/],
  ])('%j', (expression, message) => {
    const parsed = parse(expression);
    expect(parsed).toMatchObject({ ok: false, message: expect.stringMatching(message) });
    expect(parsed).toMatchObject({ message: expect.stringContaining(JSON.stringify(expression)) });
  });

  test.each(['', 'Local', 'Mars/Olympus', '+01:00', 'Europe/Berlin ', '../etc/passwd', 'CEST'])(
    'time zone %j',
    (timeZone) => {
      expect(parse('@daily', 'x', timeZone)).toMatchObject({
        ok: false,
        message: expect.stringMatching(/time zone .* IANA/),
      });
    },
  );

  test('a long expression is cut in the message', () => {
    const parsed = parse('9'.repeat(100_000));
    expect(parsed.ok ? '' : parsed.message.length).toBeLessThan(400);
  });

  test('H without a seed', () => {
    expect(parseCron('H 3 * * *', { timeZone: 'Etc/UTC' })).toMatchObject({ ok: false });
    expect(parseCron('0 3 * * THU', { timeZone: 'Etc/UTC' })).toMatchObject({ ok: true });
  });
});

describe('hashed scheduled times', () => {
  test('never change between releases', () => {
    expect(fieldsOf('H H * * *', 'd5b9e9f0-7a3c-4b43-9a51-0c1f5c3e0001')).toMatchObject({
      minutes: [30],
      hours: [14],
    });
    expect(fieldsOf('H/15 H(0-5) H * H', 'd5b9e9f0-7a3c-4b43-9a51-0c1f5c3e0001')).toMatchObject({
      minutes: [0, 15, 30, 45],
      hours: [2],
      daysOfMonth: [12],
      daysOfWeek: [4],
      eitherDay: true,
    });
  });

  test('different seeds spread over the whole range', () => {
    const minutes = new Map<number, number>();
    for (let index = 0; index < 3000; index += 1) {
      const [minute] = fieldsOf('H * * * *', `uid-${index}`).minutes;
      minutes.set(minute!, (minutes.get(minute!) ?? 0) + 1);
    }
    expect(minutes.size).toBe(60);
    expect(Math.max(...minutes.values())).toBeLessThan(90);
    expect(Math.min(...minutes.values())).toBeGreaterThan(20);
  });

  test('H/n keeps its step, and a range its bounds', () => {
    for (let index = 0; index < 200; index += 1) {
      const { minutes, hours, daysOfMonth } = fieldsOf('H(10-40)/7 H/8 H * *', `uid-${index}`);
      expect(minutes[0]).toBeGreaterThanOrEqual(10);
      expect(minutes[0]).toBeLessThan(17);
      expect(minutes.at(-1)).toBeLessThanOrEqual(40);
      expect(minutes.slice(1).every((value, at) => value - minutes[at]! === 7)).toBe(true);
      expect(hours).toHaveLength(3);
      expect(daysOfMonth[0]).toBeLessThanOrEqual(28);
    }
  });

  test('a step wider than its range leaves one scheduled time', () => {
    expect(fieldsOf('H(0-5)/30 * * * *').minutes).toHaveLength(1);
  });
});
