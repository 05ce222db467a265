import { type Cadence, nextSlot, previousSlot } from './cadence.ts';

/** Counting a longer outage of a cron schedule stops here. */
export const MISSED_COUNT_CAP = 10_000;

export interface Due {
  /** The slot to run now (epoch ms), if any. */
  slotMs: number | null;
  /** Slots that passed without a run and will get none. */
  missed: number;
  /** True when `missed` is only a lower bound: counting stopped at `MISSED_COUNT_CAP`. */
  missedAtLeast: boolean;
  lastMissedMs: number | null;
}

function countSlots(cadence: Cadence, afterMs: number, lastMs: number): { count: number; capped: boolean } {
  if (cadence.kind === 'interval') {
    const first = nextSlot(cadence, afterMs)!;
    return { count: lastMs < first ? 0 : (lastMs - first) / cadence.everyMs + 1, capped: false };
  }
  let count = 0;
  for (
    let slot = nextSlot(cadence, afterMs);
    slot !== null && slot <= lastMs;
    slot = nextSlot(cadence, slot)
  ) {
    if (count === MISSED_COUNT_CAP) return { count, capped: true };
    count += 1;
  }
  return { count, capped: false };
}

/**
 * Of the slots in `(afterMs, nowMs]` the latest one is due while `nowMs` is within its starting deadline; all
 * others are missed. `afterMs` is the instant up to which every slot has been run or counted; once the caller
 * has acted on the answer that is the later of `slotMs` and `lastMissedMs`. A clock set back makes nothing due.
 */
export function latestDueSlot(input: {
  cadence: Cadence;
  afterMs: number;
  nowMs: number;
  startingDeadlineMs?: number | undefined;
}): Due {
  const { cadence, afterMs, nowMs } = input;
  const latestMs = previousSlot(cadence, afterMs, nowMs);
  if (latestMs === null) return { slotMs: null, missed: 0, missedAtLeast: false, lastMissedMs: null };
  const { count, capped } = countSlots(cadence, afterMs, latestMs);
  const inTime = input.startingDeadlineMs === undefined || nowMs - latestMs <= input.startingDeadlineMs;
  if (!inTime) return { slotMs: null, missed: count, missedAtLeast: capped, lastMissedMs: latestMs };
  return {
    slotMs: latestMs,
    missed: capped ? count : count - 1,
    missedAtLeast: capped,
    lastMissedMs: previousSlot(cadence, afterMs, latestMs - 1),
  };
}

/** Enough slots to see the weekend of a schedule for working days. */
const SAMPLED_SLOTS = 64;

/** The longest pause between neighbouring slots to come, in seconds; null where fewer than two come. */
export function expectedIntervalSeconds(cadence: Cadence, nowMs: number): number | null {
  if (cadence.kind === 'interval') return cadence.everyMs / 1000;
  let longestMs: number | null = null;
  let slot = nextSlot(cadence, nowMs);
  for (let index = 0; index < SAMPLED_SLOTS && slot !== null; index += 1) {
    const following = nextSlot(cadence, slot);
    if (following !== null) longestMs = Math.max(longestMs ?? 0, following - slot);
    slot = following;
  }
  return longestMs === null ? null : longestMs / 1000;
}
