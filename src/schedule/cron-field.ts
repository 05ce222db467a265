/** One item of the list in a cron field: a star, a value or a range, each with or without a step. */

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];

interface Field {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  /** Three letters each; the first stands for `min`. */
  readonly names?: readonly string[];
}

/** In the order of an expression. */
const FIELDS: readonly Field[] = [
  { name: 'minute', min: 0, max: 59 },
  { name: 'hour', min: 0, max: 23 },
  { name: 'day-of-month', min: 1, max: 31 },
  { name: 'month', min: 1, max: 12, names: MONTHS },
  // Both 0 and 7 are Sunday.
  { name: 'day-of-week', min: 0, max: 7, names: DAYS },
];
const DAY_OF_WEEK = 4;

const shape = /^(?:\*|(\d+|[a-z]{3})(?:-(\d+|[a-z]{3}))?)(?:\/(\d+))?$/i;

/**
 * The values that an item stands for, in no order. A value with a step is the start of a range.
 * @param index Which field it stands in.
 * @throws {RangeError} when it stands for none; the message follows "cron expression ...".
 */
export function valuesOfItem(item: string, index: number): number[] {
  const field = FIELDS[index]!;
  const parts = shape.exec(item);
  if (!parts) throw new RangeError(`has "${item}" in its ${field.name} field`);
  const [, first, last, stepText] = parts;
  const step = stepText === undefined ? 1 : Number(stepText);
  if (step < 1) throw new RangeError(`has "${item}" in its ${field.name} field; a step must be at least 1`);
  const from = first === undefined ? field.min : numberOf(first, item, field);
  const whole = first === undefined || (last === undefined && stepText !== undefined);
  const to = whole ? field.max : last === undefined ? from : numberOf(last, item, field);
  if (from > to) throw new RangeError(`has "${item}" in its ${field.name} field; a range must run upwards`);
  const values = Array.from(
    { length: Math.floor((to - from) / step) + 1 },
    (_, count) => from + count * step,
  );
  return index === DAY_OF_WEEK ? values.map((value) => value % 7) : values;
}

function numberOf(text: string, item: string, { name, min, max, names = [] }: Field): number {
  const value = /^\d/.test(text) ? Number(text) : min + names.indexOf(text.toLowerCase());
  if (value >= min && value <= max) return value;
  throw new RangeError(`has "${item}" in its ${name} field, which holds ${min}-${max}`);
}
