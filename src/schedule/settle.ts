import type { Cadence } from './cadence.ts';
import { latestDue } from './due.ts';

/**
 * A schedule is never settled beyond the clock by more than this, unless the clock was ahead at the time and was
 * corrected since. The tolerance covers small corrections and clocks of several nodes that differ.
 */
export const CLOCK_TOLERANCE_MS = 60_000;

/** What a schedule remembers, and what was seen since. */
export interface SettleInput {
  readonly cadence: Cadence;
  /** Epoch ms. */
  readonly nowMs: number;
  /** Every scheduled time up to here has had its run or was counted as missed; epoch ms. */
  readonly settledUntilMs: number;
  /** Scheduled times (epoch ms) of runs that exist. A crash may have kept the latest out of `settledUntilMs`. */
  readonly runsMs?: Iterable<number>;
  /** The schedule was edited or resumed since it was last settled: the past counts as settled, nothing as missed. */
  readonly changed?: boolean;
  /** Nothing is due, and nothing is missed. */
  readonly suspended?: boolean;
  /** A scheduled time that could not start within this time is missed. */
  readonly startingDeadlineMs?: number | undefined;
}

export interface Settlement {
  /** The scheduled time (epoch ms) to run now. It is settled once its run exists. */
  readonly dueMs: number | null;
  /** Scheduled times newly found to have passed without a run. */
  readonly missed: number;
  /** `missed` is only a lower bound. */
  readonly missedAtLeast: boolean;
  readonly lastMissedMs: number | null;
  /** The new `settledUntilMs`: it covers the misses, not `dueMs`. */
  readonly settledUntilMs: number;
  /**
   * How far beyond the clock the schedule was settled: a clock was ahead and has been corrected. The schedule
   * continues from now. Undefined: the clock was fine.
   */
  readonly clockWasAheadMs: number | undefined;
}

/**
 * Decides which scheduled time is due, and which were missed. Pure; the operator and the standalone scheduler
 * both use it. No edit, resume or corrected clock starts a run for a time that has passed.
 */
export function settle(input: SettleInput): Settlement {
  const { cadence, nowMs, startingDeadlineMs } = input;
  const aheadMs = input.settledUntilMs - nowMs;
  const clockWasAheadMs = aheadMs > CLOCK_TOLERANCE_MS ? aheadMs : undefined;
  let settledUntilMs = input.changed || clockWasAheadMs !== undefined ? nowMs : input.settledUntilMs;
  for (const runMs of input.runsMs ?? []) {
    // Runs from the time of a wrong clock do not hold up the schedule.
    if (runMs <= nowMs + CLOCK_TOLERANCE_MS) settledUntilMs = Math.max(settledUntilMs, runMs);
  }
  if (input.suspended)
    return {
      dueMs: null,
      missed: 0,
      missedAtLeast: false,
      lastMissedMs: null,
      settledUntilMs,
      clockWasAheadMs,
    };
  const { dueMs, ...missed } = latestDue({
    cadence,
    afterMs: settledUntilMs,
    nowMs,
    startingDeadlineMs,
  });
  return {
    dueMs,
    ...missed,
    settledUntilMs: Math.max(settledUntilMs, missed.lastMissedMs ?? settledUntilMs),
    clockWasAheadMs,
  };
}
