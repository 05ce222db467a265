import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BACKWARD_NAMES, CRON_PATTERN, NEVER_PATTERN } from '../../src/api/cron-pattern.ts';
import { parseCron } from '../../src/schedule/index.ts';

/** The API server checks `spec.cron` by CEL rules, the operator parses it: they must agree. */
const pattern = new RegExp(CRON_PATTERN);
const backwardNames = new RegExp(BACKWARD_NAMES);
const never = new RegExp(NEVER_PATTERN);
const runsUpwards = (text: string) =>
  !backwardNames.test(text) &&
  [...text.matchAll(/([0-9]+)-([0-9]+)/g)].every(([, a, b]) => Number(a) <= Number(b));
const admitted = (text: string) => pattern.test(text) && runsUpwards(text) && !never.test(text);
const parses = (expression: string) => parseCron(expression, { timeZone: 'Etc/UTC', hashSeed: 'uid' }).ok;

describe('what the API server lets through and the operator reads', () => {
  test.each([
    '15 3 * * *',
    'H H * * *',
    'H/15 H(0-5) * * 1-5',
    'H(0-29)/10 * * * *',
    '*/5,7,9-12 0-23/2 1,15 jan-mar,DEC sun,6',
    '0 0 * * 7',
    '05 03 01 01 *',
    '@daily',
    '@midnight',
  ])('%s', (expression) => {
    expect([pattern.test(expression), parses(expression)]).toEqual([true, true]);
  });

  test.each([
    '',
    '* * * *',
    '0 0 3 * * *',
    '@every 1h',
    '@reboot',
    '0 0 L * *',
    '60 * * * *',
    '0 24 * * *',
    '0 0 0 * *',
    '0 0 * * 8',
    '0 0 * 13 *',
    '*/0 * * * *',
    '0 0 ? * *',
    '0 0 * * 1#2',
    '1,, * * * *',
    'h * * * *',
  ])('not %j', (expression) => {
    expect([pattern.test(expression), parses(expression)]).toEqual([false, false]);
  });

  test.each([
    '5-3 * * * *',
    '0 22-5 * * *',
    '0 0 * nov-feb *',
    '0 0 * * fri-mon',
    '0 0 * * SAT-sun',
    'H(9-3) * * * *',
    'H(50-70) * * * *',
    '0 0 H(29-31) * *',
    '0 0 * * H(0-7)',
    '0 0 31 2 *',
    '0 0 31 FEB,apr *',
    '0 0 30 02 */1',
    '0 0 30-31/1 feb *',
    '0 0 31/2,31 4-7/2,9 *',
    '0 0 31 4/7 *',
    '0 0 31 9/2 *',
    '0 0 31 H(4-4)/3 *',
  ])('not %j, which has no date or runs backwards', (expression) => {
    expect([admitted(expression), parses(expression)]).toEqual([false, false]);
  });

  test.each([
    '0 0 29 2 *',
    '0 0 31 2 1',
    '0 0 30 2 0-6',
    '0 0 31,1 2 *',
    '0 0 30 2-3 *',
    '0 0 31 2/3 *',
    '0 0 31 2 H',
  ])('%j, which has a date', (expression) => {
    expect([admitted(expression), parses(expression)]).toEqual([true, true]);
  });

  const value = (max: number, names: string[]) =>
    fc.oneof(
      fc.integer({ min: 0, max }).map(String),
      ...(names.length > 0 ? [fc.constantFrom(...names)] : []),
    );
  const step = fc.integer({ min: 1, max: 14 });
  const fieldOf = (max: number, names: string[] = []) => {
    const one = value(max, names);
    const item = fc.oneof(
      one,
      fc.constantFrom('*', '*/1', 'H'),
      fc.tuple(one, one).map(([a, b]) => `${a}-${b}`),
      fc.tuple(one, step).map(([a, n]) => `${a}/${n}`),
      fc.tuple(one, one, step).map(([a, b, n]) => `${a}-${b}/${n}`),
      fc.tuple(one, one).map(([a, b]) => `H(${a}-${b})`),
    );
    return fc.array(item, { minLength: 1, maxLength: 2 }).map((items) => items.join(','));
  };
  const short = fc.constantFrom('30', '31', '31-31', '30-31/2', '31/3', '30,31', '31,5');
  const expressions = fc
    .tuple(
      fieldOf(61),
      fieldOf(25),
      fc.oneof(fieldOf(32), short),
      fc.oneof(fieldOf(13, ['jan', 'Feb', 'APR', 'dec']), fieldOf(12)),
      fc.oneof(fieldOf(8, ['sun', 'MON', 'fri']), fc.constantFrom('*', '*/1')),
    )
    .map((fields) => fields.join(' '));

  test('the API server lets through what the operator reads, and nothing else', () => {
    fc.assert(
      fc.property(expressions, (text) => {
        // The API server knows no UID to hash a month by, and does not compare numbers with names.
        fc.pre(!/H[^ ]* [^ ]+$/.test(text) && !/[0-9]-[a-z]|[a-z]-[0-9]/i.test(text));
        expect([text, admitted(text)]).toEqual([text, parses(text)]);
      }),
      { numRuns: 5000 },
    );
  });

  test('whatever the operator reads, the API server lets through', () => {
    const number = fc.integer({ min: 0, max: 70 }).map(String);
    const word = fc.constantFrom('mon', 'SAT', 'jan', 'Dec', 'H', '*', 'L', '?');
    const value = fc.oneof({ weight: 4, arbitrary: number }, word);
    const item = fc.oneof(
      value,
      fc.tuple(value, value).map(([a, b]) => `${a}-${b}`),
      fc.tuple(value, number).map(([a, b]) => `${a}/${b}`),
      fc.tuple(number, number).map(([a, b]) => `H(${a}-${b})`),
    );
    const field = fc.array(item, { minLength: 1, maxLength: 2 }).map((items) => items.join(','));
    const expression = fc.tuple(field, field, field, field, field).map((fields) => fields.join(' '));
    fc.assert(
      fc.property(expression, (text) => {
        if (parses(text)) expect(admitted(text)).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });
});
