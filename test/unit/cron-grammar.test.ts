import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CRON_PATTERN } from '../../src/api/cron-pattern.ts';
import { parseCron } from '../../src/schedule/index.ts';

/** The API server checks `spec.cron` by a pattern, the operator parses it: they must agree. */
const pattern = new RegExp(CRON_PATTERN);
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
        if (parses(text)) expect(text).toMatch(pattern);
      }),
      { numRuns: 2000 },
    );
  });
});
