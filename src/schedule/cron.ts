import { CronExpressionParser } from 'cron-parser';
import { whyDateNeverComes } from './calendar.ts';
import type { CronCadence } from './cron-cadence.ts';
import { expandHashed } from './hashed-field.ts';
import { isTimeZone } from './time-zone.ts';

/** `NeverDue`: it can be read, but names a date that never comes. */
export type CadenceProblem = 'Invalid' | 'NeverDue';

/** Either a cadence or, as a sentence for the reader, why there is none. */
export type CadenceResult<T> =
  | { ok: true; cadence: T }
  | { ok: false; reason: CadenceProblem; message: string };

const macros: Readonly<Record<string, string>> = {
  '@hourly': '0 * * * *',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@weekly': '0 0 * * 0',
  '@monthly': '0 0 1 * *',
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
};

// The upper bound of day-of-month applies to `H` only: every month has a day 28.
const fields = [
  { name: 'minute', min: 0, max: 59 },
  { name: 'hour', min: 0, max: 23 },
  { name: 'day-of-month', min: 1, max: 28 },
  { name: 'month', min: 1, max: 12 },
  { name: 'day-of-week', min: 0, max: 6 },
] as const;

const shape = 'minute hour day-of-month month day-of-week, as in "15 3 * * *"';
const allowed = /^[0-9A-Za-z*,/()-]+$/;
const item =
  /^(?:\*|H(?:\(\d{1,2}-\d{1,2}\))?|(?:\d{1,2}|[A-Za-z]{3})(?:-(?:\d{1,2}|[A-Za-z]{3}))?)(?:\/[1-9]\d?)?$/;

function refuseUnsupported(expression: string): string | undefined {
  if (expression === '') return `is empty; write 5 fields: ${shape}`;
  if (expression.startsWith('@')) {
    if (Object.hasOwn(macros, expression)) return undefined;
    if (/^@every\b/.test(expression))
      return 'uses @every, which drifts; give the interval in minutes instead of a cron expression';
    if (expression === '@reboot') return 'uses @reboot, which has no meaning here';
    return `is not one of ${Object.keys(macros).join(' ')}`;
  }
  const parts = expression.split(/ +/);
  if (parts.length === 6 || parts.length === 7)
    return `has ${parts.length} fields; there is no field for seconds or years, write 5: ${shape}`;
  if (parts.length !== 5)
    return `has ${parts.length === 1 ? '1 field' : `${parts.length} fields`}; write 5: ${shape}`;
  for (const [index, text] of parts.entries()) {
    const name = fields[index]!.name;
    if (/[?#]|\d[LW]|\bL\b|\bLW?\b/.test(text))
      return `uses "${text}" in its ${name} field; L, W, # and ? are not supported`;
    if (!allowed.test(text) || !text.split(',').every((part) => item.test(part)))
      return `has "${text}" as its ${name} field; use *, numbers, a-b, */n, H, or a list of them with commas`;
  }
  return undefined;
}

function isStar(text: string): boolean {
  return text === '*' || text === '*/1';
}

const MAX_REMEMBERED = 4096;
const remembered = new Map<string, readonly number[]>();

/** One item of a list in one field. Cached: the library takes a millisecond, and the same few items recur. */
function valuesOfItem(part: string, index: number): readonly number[] {
  const key = `${index} ${part}`;
  const known = remembered.get(key);
  if (known) return known;
  const alone = fields.map((_, position) => (position === index ? part : '*')).join(' ');
  const parsed = CronExpressionParser.parse(alone, { tz: 'UTC' }).fields;
  const list = [parsed.minute, parsed.hour, parsed.dayOfMonth, parsed.month, parsed.dayOfWeek][index]!.values;
  const values = list.map((value) => (index === 4 ? Number(value) % 7 : Number(value)));
  if (remembered.size >= MAX_REMEMBERED) remembered.clear();
  remembered.set(key, values);
  return values;
}

/** Item by item, because the library rejects repeated values (`0,7`, `1-5,3`). */
function valuesOf(text: string, index: number): number[] {
  const values = text.split(',').flatMap((part) => valuesOfItem(part, index));
  return [...new Set(values)].sort((a, b) => a - b);
}

/**
 * Parses 5 fields or one of `@hourly @daily @midnight @weekly @monthly @yearly @annually`.
 *
 * @param options.timeZone IANA name of the zone in which the expression is read.
 * @param options.hashSeed What `H` is hashed from (the UID of a schedule); without it, `H` is refused.
 * @returns The cadence, or a sentence that names the expression and what is wrong.
 */
export function parseCron(
  expression: string,
  options: { timeZone: string; hashSeed?: string | undefined },
): CadenceResult<CronCadence> {
  const fail = (why: string, reason: CadenceProblem = 'Invalid'): CadenceResult<CronCadence> => ({
    ok: false,
    reason,
    message: `cron expression ${JSON.stringify(expression.slice(0, 100))} ${why}`,
  });
  if (!isTimeZone(options.timeZone)) {
    return {
      ok: false,
      reason: 'Invalid',
      message: `time zone ${JSON.stringify(options.timeZone.slice(0, 100))} is not in the IANA database; write for example "Europe/Berlin" or "Etc/UTC"`,
    };
  }
  const trimmed = expression.replaceAll(/^[ \t]+|[ \t]+$/g, '').replaceAll('\t', ' ');
  const unsupported = refuseUnsupported(trimmed);
  if (unsupported !== undefined) return fail(unsupported);

  const parts = (macros[trimmed] ?? trimmed).split(/ +/);
  const { hashSeed } = options;
  if (hashSeed === undefined && parts.some((part) => /(?:^|,)H/.test(part)))
    return fail('uses H, but there is no identity to hash it from');
  const plain: string[] = [];
  for (const [index, text] of parts.entries()) {
    try {
      plain.push(hashSeed === undefined ? text : expandHashed(text, fields[index]!, hashSeed));
    } catch (error) {
      return fail(`has a bad ${fields[index]!.name} field: ${(error as Error).message}`);
    }
  }
  let expanded: number[][];
  try {
    expanded = plain.map((text, index) => valuesOf(text, index));
  } catch (error) {
    return fail(`is not valid: ${(error as Error).message}`);
  }
  const [minutes, hours, daysOfMonth, months, daysOfWeek] = expanded as [
    number[],
    number[],
    number[],
    number[],
    number[],
  ];
  const cadence: CronCadence = {
    kind: 'cron',
    expression: trimmed,
    timeZone: options.timeZone,
    minutes,
    hours,
    daysOfMonth,
    months,
    daysOfWeek,
    eitherDay: !isStar(plain[2]!) && !isStar(plain[4]!),
  };
  const never = cadence.eitherDay ? undefined : whyDateNeverComes(months, daysOfMonth);
  if (never !== undefined) return fail(`names a date that never comes: ${never}`, 'NeverDue');
  return { ok: true, cadence };
}
