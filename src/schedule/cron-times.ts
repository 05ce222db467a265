import type { CronCadence } from './cron-cadence.ts';
import { type OffsetSpan, offsetSpanAt } from './time-zone.ts';
import { firstReading, lastReading } from './wall-clock.ts';

/*
 * Daylight saving, as in cron(8). A reading is what a wall clock shows.
 * An expression whose hour field allows all 24 hours follows elapsed time: readings that the clock skips never run,
 * readings that it shows twice run twice.
 * Any other expression names times of the day. If the clock skips them, they run once, together, at the first
 * instant after the gap; if it shows them twice, the first one counts.
 */

/** The rarest valid date, 29 February, is at most eight years away. */
const HORIZON_MS = 12 * 366 * 86_400_000;

function followsElapsedTime(cron: CronCadence): boolean {
  return cron.hours.length === 24;
}

/** Earlier readings were already shown during the previous span. */
function firstNewReading(cron: CronCadence, span: OffsetSpan): number {
  const offset = followsElapsedTime(cron) ? span.offsetMs : Math.max(span.offsetMs, span.previousOffsetMs);
  return span.startMs + offset;
}

function fallsInGapBefore(cron: CronCadence, span: OffsetSpan): boolean {
  if (followsElapsedTime(cron) || span.offsetMs <= span.previousOffsetMs) return false;
  return firstReading(cron, span.startMs + span.previousOffsetMs, span.startMs + span.offsetMs) !== undefined;
}

/** The first scheduled time strictly after the instant, or null if none comes within twelve years. */
export function nextCronTime(cron: CronCadence, afterMs: number): number | null {
  const horizonMs = afterMs + HORIZON_MS;
  let span = offsetSpanAt(afterMs, cron.timeZone);
  for (;;) {
    if (span.startMs > afterMs && fallsInGapBefore(cron, span)) return span.startMs;
    const fromMs = Math.max(afterMs + 1 + span.offsetMs, firstNewReading(cron, span));
    const endMs = Math.min(span.endMs, horizonMs) + span.offsetMs;
    const reading = firstReading(cron, fromMs, endMs);
    if (reading !== undefined) return reading - span.offsetMs;
    if (span.endMs >= horizonMs) return null;
    span = offsetSpanAt(span.endMs, cron.timeZone);
  }
}

/** The last scheduled time at or before the instant and after `floorMs`, or null. */
export function previousCronTime(cron: CronCadence, atMs: number, floorMs: number): number | null {
  const earliestMs = Math.max(floorMs + 1, atMs - HORIZON_MS);
  let span = offsetSpanAt(atMs, cron.timeZone);
  for (;;) {
    const toMs = Math.min(atMs, span.endMs - 1) + span.offsetMs;
    const startMs = Math.max(earliestMs + span.offsetMs, firstNewReading(cron, span));
    const reading = lastReading(cron, startMs, toMs);
    if (reading !== undefined) return reading - span.offsetMs;
    if (span.startMs < earliestMs) return null;
    if (fallsInGapBefore(cron, span)) return span.startMs;
    span = offsetSpanAt(span.startMs - 1, cron.timeZone);
  }
}
