import { InvalidArgumentError } from 'commander';
import type { RetentionPolicy } from '../../retention/index.ts';

/** Parses a whole number, 0 or more. */
export function wholeNumber(value: string): number {
  const number = Number(value);
  if (!/^\d+$/.test(value) || !Number.isSafeInteger(number)) {
    throw new InvalidArgumentError('a whole number is needed.');
  }
  return number;
}

/** Parses a whole number from 1 to 100. */
export function percent(value: string): number {
  const number = Number(value);
  if (!/^\d{1,3}$/.test(value) || number < 1 || number > 100) {
    throw new InvalidArgumentError('a whole number from 1 to 100 is needed.');
  }
  return number;
}

/** Parses a whole number. Retention treats a negative one as 0. */
export function integer(value: string): number {
  const number = Number(value);
  if (!/^-?\d+$/.test(value) || !Number.isSafeInteger(number)) {
    throw new InvalidArgumentError('a whole number is needed.');
  }
  return number;
}

const unitMs: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 7 * 86_400_000,
};

/** Parses a duration such as `90d`, `12h` or `1d12h` into milliseconds. */
export function durationMs(value: string): number {
  const parts = [...value.matchAll(/(\d+)([smhdw])/g)];
  const total = parts.reduce((sum, [, count, unit]) => sum + Number(count) * unitMs[unit!]!, 0);
  if (!/^(?:\d+[smhdw])+$/.test(value) || !Number.isSafeInteger(total)) {
    throw new InvalidArgumentError('a duration is needed, such as 90d, 12h or 1d12h (units s, m, h, d, w).');
  }
  return total;
}

/** Parses a SHA-256 in hex, and returns it in lower case. */
export function digest(value: string): string {
  if (!/^[0-9a-f]{64}$/i.test(value)) throw new InvalidArgumentError('a SHA-256 of 64 hex digits is needed.');
  return value.toLowerCase();
}

/** Parses `2026-11-20` or `2026-11-20T03:00:00Z`; a time without an offset is in UTC. */
export function pointInTime(value: string): Date {
  const isDate = /^\d{4}-\d\d-\d\d$/.test(value);
  const match = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?$/.exec(value);
  const time = new Date(isDate || match?.[3] ? value : `${value}Z`);
  if ((!isDate && !match) || Number.isNaN(time.getTime())) {
    throw new InvalidArgumentError('a time is needed, such as 2026-11-20T03:00:00Z.');
  }
  return time;
}

export function collect(value: string, previous: readonly string[]): string[] {
  return [...previous, value];
}

export interface RetentionFlags {
  retentionLimit?: number;
  keepDaily?: number;
  keepWeekly?: number;
  keepMonthly?: number;
  keepYearly?: number;
  maxAge?: number;
}

/** The policy that the flags ask for; undefined if there are none. */
export function retentionOf(flags: RetentionFlags): RetentionPolicy | undefined {
  const { retentionLimit, keepDaily, keepWeekly, keepMonthly, keepYearly, maxAge } = flags;
  const rules = [retentionLimit, keepDaily, keepWeekly, keepMonthly, keepYearly, maxAge];
  if (rules.every((rule) => rule === undefined)) return undefined;
  return { limit: retentionLimit ?? 0, keepDaily, keepWeekly, keepMonthly, keepYearly, maxAgeMs: maxAge };
}
