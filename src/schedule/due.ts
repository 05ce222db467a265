import { type Cadence, nextTime, previousTime } from './cadence.ts';

/** Counting the missed times of a cron schedule stops here. */
export const MISSED_COUNT_CAP = 10_000;

export interface Due {
  /** The scheduled time to run now (epoch ms). */
  dueMs: number | null;
  /** Scheduled times that passed without a run and will get none. */
  missed: number;
  /** True when `missed` is only a lower bound: counting stopped at `MISSED_COUNT_CAP`. */
  missedAtLeast: boolean;
  lastMissedMs: number | null;
}

function countTimes(cadence: Cadence, afterMs: number, lastMs: number): { count: number; capped: boolean } {
  if (cadence.kind === 'interval') {
    const first = nextTime(cadence, afterMs)!;
    return { count: lastMs < first ? 0 : (lastMs - first) / cadence.everyMs + 1, capped: false };
  }
  let count = 0;
  for (
    let atMs = nextTime(cadence, afterMs);
    atMs !== null && atMs <= lastMs;
    atMs = nextTime(cadence, atMs)
  ) {
    if (count === MISSED_COUNT_CAP) return { count, capped: true };
    count += 1;
  }
  return { count, capped: false };
}

/**
 * Of the scheduled times in `(afterMs, nowMs]`, the latest is due if its starting deadline has not passed. All
 * others are missed. A clock that was set back makes nothing due.
 *
 * @param input.afterMs Every time up to here has been run or counted. Once the caller has acted on the answer, that
 *   is the later of `dueMs` and `lastMissedMs`.
 */
export function latestDue(input: {
  cadence: Cadence;
  afterMs: number;
  nowMs: number;
  startingDeadlineMs?: number | undefined;
}): Due {
  const { cadence, afterMs, nowMs } = input;
  const latestMs = previousTime(cadence, afterMs, nowMs);
  if (latestMs === null) return { dueMs: null, missed: 0, missedAtLeast: false, lastMissedMs: null };
  const { count, capped } = countTimes(cadence, afterMs, latestMs);
  const inTime = input.startingDeadlineMs === undefined || nowMs - latestMs <= input.startingDeadlineMs;
  if (!inTime) return { dueMs: null, missed: count, missedAtLeast: capped, lastMissedMs: latestMs };
  return {
    dueMs: latestMs,
    missed: capped ? count : count - 1,
    missedAtLeast: capped,
    lastMissedMs: previousTime(cadence, afterMs, latestMs - 1),
  };
}

/** Enough to see the weekend of a schedule for working days. */
const SAMPLED_TIMES = 64;

/** The longest pause between the next scheduled times, in seconds; null if fewer than two come. */
export function expectedIntervalSeconds(cadence: Cadence, nowMs: number): number | null {
  if (cadence.kind === 'interval') return cadence.everyMs / 1000;
  let longestMs: number | null = null;
  let atMs = nextTime(cadence, nowMs);
  for (let index = 0; index < SAMPLED_TIMES && atMs !== null; index += 1) {
    const following = nextTime(cadence, atMs);
    if (following !== null) longestMs = Math.max(longestMs ?? 0, following - atMs);
    atMs = following;
  }
  return longestMs === null ? null : longestMs / 1000;
}
