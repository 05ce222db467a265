/**
 * The grammar of `spec.cron` in RE2 and CEL, so that the API server refuses what the operator could not run.
 * JavaScript runs the same patterns (inline `(?i:…)` groups need Node 23 or later), and tests compare both with the parser.
 */
import type { ValidationRule } from './schema.ts';

/** @param hashed The values allowed in `H(a-b)`, if fewer than `value` allows. */
function field(value: string, hashed = value): string {
  const range = `(?:${value})(?:-(?:${value}))?`;
  const hash = `H(?:\\((?:${hashed})-(?:${hashed})\\))?`;
  const item = `(?:\\*|${hash}|${range})(?:/[1-9][0-9]?)?`;
  return `${item}(?:,${item})*`;
}

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const MONTH_NUMBER = '0?[1-9]|1[0-2]';

const MINUTE = field('[0-5]?[0-9]');
const HOUR = field('[01]?[0-9]|2[0-3]');
// A hashed day stays below 29, so that every month has it.
const DAY_OF_MONTH = field('0?[1-9]|[12][0-9]|3[01]', '0?[1-9]|1[0-9]|2[0-8]');
const MONTH = field(`${MONTH_NUMBER}|(?i:${MONTHS.join('|')})`, MONTH_NUMBER);
const DAY_OF_WEEK = field(`0?[0-7]|(?i:${DAYS.join('|')})`, '0?[0-6]');

const MACRO = '@(?:hourly|daily|midnight|weekly|monthly|yearly|annually)';
export const CRON_PATTERN = `^(?:${MACRO}|${[MINUTE, HOUR, DAY_OF_MONTH, MONTH, DAY_OF_WEEK].join(' +')})$`;

/** A range of names that runs backwards: `fri-mon`, `nov-feb`. */
export const BACKWARD_NAMES = `(?i:${[MONTHS, DAYS]
  .flatMap((names) =>
    names.slice(1).map((from, index) => `${from}-(?:${names.slice(0, index + 1).join('|')})`),
  )
  .join('|')})`;

const SHORT_MONTHS = [2, 4, 6, 9, 11];

/** Items of the month field that can only match these months, whatever `H` hashes to. */
function onlyMonths(months: readonly number[]): string {
  const name = (month: number) => `(?:0?${month}|(?i:${MONTHS[month - 1]}))`;
  const steps = Array.from({ length: 11 }, (_, index) => index + 1);
  const within = (from: number, to: number, step: number) => {
    for (let month = from; month <= to; month += step) if (!months.includes(month)) return false;
    return true;
  };
  const items: string[] = [];
  for (const from of months) {
    items.push(
      name(from),
      `${name(from)}-${name(from)}(?:/[0-9]+)?`,
      `H\\(0?${from}-0?${from}\\)(?:/[0-9]+)?`,
    );
    for (let to = from + 1; to <= 12; to += 1) {
      const good = steps.filter((step) => within(from, to, step));
      // Steps above 11 leave nothing but the first month.
      const step = `/(?:${[...good, '1[2-9]', '[2-9][0-9]'].join('|')})`;
      items.push(`${name(from)}-${name(to)}${step}`);
      if (to === 12) items.push(`${name(from)}${step}`);
    }
  }
  const item = `(?:${items.join('|')})`;
  return `${item}(?:,${item})*`;
}

function onlyDays(days: string): string {
  const item = `(?:${days})(?:-(?:${days}))?(?:/[0-9]+)?`;
  return `${item}(?:,${item})*`;
}

/** Dates that no year has: day 31 of short months only, day 30 or 31 of February only. A day of the week counts instead. */
export const NEVER_PATTERN = `^[^ ]+ +[^ ]+ +(?:${onlyDays('31')} +${onlyMonths(SHORT_MONTHS)}|${onlyDays('3[01]')} +${onlyMonths([2])}) +\\*(?:/1)?$`;

const matches = (pattern: string) => `self.matches(r"""${pattern}""")`;

export const CRON_RULES: readonly ValidationRule[] = [
  {
    rule: matches(CRON_PATTERN),
    message:
      'must be 5 fields (minute hour day-of-month month day-of-week), as in "15 3 * * *", with H for a time chosen by hash, or one of @hourly @daily @weekly @monthly @yearly',
  },
  {
    rule: `self.findAll('[0-9]+-[0-9]+').all(range, int(range.split('-')[0]) <= int(range.split('-')[1])) && !${matches(BACKWARD_NAMES)}`,
    message:
      'a range must run upwards: write "22-23,0-5" instead of "22-5", and "fri,sat,sun" instead of "fri-sun"',
  },
  {
    rule: `!${matches(NEVER_PATTERN)}`,
    message: 'names a date that never comes, such as 31 February',
  },
];
