import { type Cadence, nextTime } from './cadence.ts';

const DAY_MS = 86_400_000;
/** Allowance for queueing, starting a pod and everything else that a run waits for. */
const ALLOWANCE_MS = 15 * 60_000;

export interface SuccessDueInput {
  readonly cadence: Cadence;
  /** Since when this cadence applies: creation, last edit or end of a suspension; epoch ms. */
  readonly sinceMs: number;
  /** When the last complete archive was finished (epoch ms); undefined before the first. */
  readonly lastSuccessMs: number | undefined;
  /** How long that run took; undefined if unknown. */
  readonly lastDurationSeconds?: number | undefined;
}

/**
 * The time (epoch ms) by which a success is due. The first scheduled time after the last success should bring one.
 * The scheduled time after it may make up for a failure, if it comes within a day. Then the run takes as long as
 * the last one did, plus 15 minutes. Null if the schedule names no more dates.
 */
export function successDueMs(input: SuccessDueInput): number | null {
  const { cadence, sinceMs, lastSuccessMs, lastDurationSeconds } = input;
  const firstMs = nextTime(cadence, Math.max(sinceMs, lastSuccessMs ?? sinceMs));
  if (firstMs === null) return null;
  const secondMs = nextTime(cadence, firstMs) ?? Number.POSITIVE_INFINITY;
  return Math.min(secondMs, firstMs + DAY_MS) + (lastDurationSeconds ?? 0) * 1000 + ALLOWANCE_MS;
}
