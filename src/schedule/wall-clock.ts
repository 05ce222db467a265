import type { CronCadence } from './cron-cadence.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

function dayMatches(cron: CronCadence, day: number): boolean {
  const date = new Date(day * DAY_MS);
  if (!cron.months.includes(date.getUTCMonth() + 1)) return false;
  const ofMonth = cron.daysOfMonth.includes(date.getUTCDate());
  const ofWeek = cron.daysOfWeek.includes(date.getUTCDay());
  return cron.eitherDay ? ofMonth || ofWeek : ofMonth && ofWeek;
}

/** The day before the next month that may match; a day before `day` if its own month may match. */
function lastDayBefore(cron: CronCadence, day: number): number {
  const date = new Date(day * DAY_MS);
  const month = date.getUTCMonth();
  const next = cron.months.find((value) => value > month) ?? cron.months[0]! + 12;
  return Date.UTC(date.getUTCFullYear(), next - 1, 1) / DAY_MS - 1;
}

function firstMinute(cron: CronCadence, from: number): number | undefined {
  for (const hour of cron.hours) {
    if (hour * 60 + 59 < from) continue;
    const minute = cron.minutes.find((value) => hour * 60 + value >= from);
    if (minute !== undefined) return hour * 60 + minute;
  }
  return undefined;
}

function lastMinute(cron: CronCadence, to: number): number | undefined {
  const hour = cron.hours.findLast((value) => value * 60 + cron.minutes[0]! <= to);
  if (hour === undefined) return undefined;
  return hour * 60 + cron.minutes.findLast((value) => hour * 60 + value <= to)!;
}

/** The first reading in `[fromMs, endMs)` that the expression names, on a clock without daylight saving. */
export function firstReading(cron: CronCadence, fromMs: number, endMs: number): number | undefined {
  let minute = Math.ceil((fromMs - Math.floor(fromMs / DAY_MS) * DAY_MS) / MINUTE_MS);
  for (let day = Math.floor(fromMs / DAY_MS); day * DAY_MS < endMs; day += 1, minute = 0) {
    if (!dayMatches(cron, day)) {
      day = Math.max(day, lastDayBefore(cron, day));
      continue;
    }
    const found = firstMinute(cron, minute);
    if (found === undefined) continue;
    const at = day * DAY_MS + found * MINUTE_MS;
    return at < endMs ? at : undefined;
  }
  return undefined;
}

/** The last reading in `[startMs, toMs]` that the expression names. */
export function lastReading(cron: CronCadence, startMs: number, toMs: number): number | undefined {
  let minute = Math.floor((toMs - Math.floor(toMs / DAY_MS) * DAY_MS) / MINUTE_MS);
  for (let day = Math.floor(toMs / DAY_MS); (day + 1) * DAY_MS > startMs; day -= 1, minute = 1439) {
    if (!dayMatches(cron, day)) continue;
    const found = lastMinute(cron, minute);
    if (found === undefined) continue;
    const at = day * DAY_MS + found * MINUTE_MS;
    return at >= startMs ? at : undefined;
  }
  return undefined;
}
