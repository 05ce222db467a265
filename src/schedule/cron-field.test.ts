import { CronExpressionParser } from 'cron-parser';
import { describe, expect, test } from 'vitest';
import { valuesOfItem } from './cron-field.ts';

const NAMES = ['minute', 'hour', 'dayOfMonth', 'month', 'dayOfWeek'] as const;
const LIMITS = [60, 24, 32, 13, 8];
const STEPS = ['', '/1', '/2', '/3', '/5', '/7', '/10', '/15', '/40', '/99'];

/** What cron-parser makes of an item that stands alone; undefined if it refuses it. */
function foreign(item: string, index: number): number[] | undefined {
  const fields = NAMES.map((_, at) => (at === index ? item : '*')).join(' ');
  try {
    const { values } = CronExpressionParser.parse(fields, { tz: 'UTC' }).fields[NAMES[index]!];
    return [...new Set(values.map((value) => (index === 4 ? Number(value) % 7 : Number(value))))];
  } catch {
    return undefined;
  }
}

function ours(item: string, index: number): number[] | undefined {
  try {
    return [...new Set(valuesOfItem(item, index))].sort((a, b) => a - b);
  } catch {
    return undefined;
  }
}

function itemsOf(index: number): string[] {
  const limit = LIMITS[index]!;
  const words =
    index === 3 ? ['jan', 'MAR', 'Dec', 'foo'] : index === 4 ? ['sun', 'WED', 'Sat', 'jan'] : ['jan'];
  // Of the long fields every seventh value and both ends; of days and months all.
  const values = Array.from({ length: limit + 2 }, (_, value) => value)
    .filter((value) => limit < 20 || value % 7 === 0 || value < 2 || value > limit - 3)
    .map(String);
  const ends = [...values, ...words];
  const plain = ['*', ...ends, ...ends.flatMap((from) => ends.map((to) => `${from}-${to}`))];
  return plain.flatMap((item) => STEPS.map((step) => item + step));
}

describe('an item stands for the values that cron-parser finds', () => {
  test.each(NAMES.map((name, index) => [name, index] as const))('%s', (_, index) => {
    const different = itemsOf(index).filter(
      (item) => JSON.stringify(ours(item, index)) !== JSON.stringify(foreign(item, index)),
    );
    expect(different).toEqual([]);
  });
});

test.each([
  ['60', 0, 'has "60" in its minute field, which holds 0-59'],
  ['5-3', 1, 'has "5-3" in its hour field; a range must run upwards'],
  ['*/0', 2, 'has "*/0" in its day-of-month field; a step must be at least 1'],
  ['foo', 3, 'has "foo" in its month field, which holds 1-12'],
  ['1#2', 4, 'has "1#2" in its day-of-week field'],
])('%s is refused in words', (item, index, message) => {
  expect(() => valuesOfItem(item, index)).toThrow(new RangeError(message));
});
