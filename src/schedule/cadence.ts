import { type CadenceResult, parseCron } from './cron.ts';
import type { CronCadence } from './cron-cadence.ts';
import { nextCronTime, previousCronTime } from './cron-times.ts';

/**
 * Scheduled times at `anchorMs + k * everyMs`: they never drift, whatever the length of a run. A schedule is
 * settled until its anchor at first, so that the first run comes one interval later. Times before the anchor
 * matter only if a clock that was ahead set it.
 */
export interface IntervalCadence {
  readonly kind: 'interval';
  readonly everyMs: number;
  readonly anchorMs: number;
}

export type Cadence = CronCadence | IntervalCadence;

/**
 * The cadence of a schedule, for the operator and the standalone scheduler alike. A cron expression takes
 * precedence over the interval, as in the playbook.
 */
export function cadenceOf(spec: {
  cron?: string | undefined;
  timeZone: string;
  /** Where `H` in the expression gets its values from; without it, `H` is refused. */
  hashSeed?: string | undefined;
  intervalMinutes: number;
  /** Intervals count from here; epoch ms. */
  anchorMs: number;
}): CadenceResult<Cadence> {
  if (spec.cron !== undefined) {
    return parseCron(spec.cron, { timeZone: spec.timeZone, hashSeed: spec.hashSeed });
  }
  if (!Number.isSafeInteger(spec.intervalMinutes) || spec.intervalMinutes < 1)
    return {
      ok: false,
      reason: 'Invalid',
      message: `interval of ${spec.intervalMinutes} minutes: must be a whole number of at least 1`,
    };
  return {
    ok: true,
    cadence: { kind: 'interval', everyMs: spec.intervalMinutes * 60_000, anchorMs: spec.anchorMs },
  };
}

/** The first scheduled time strictly after the instant (epoch ms), or null if the expression names no future date. */
export function nextTime(cadence: Cadence, afterMs: number): number | null {
  if (cadence.kind === 'cron') return nextCronTime(cadence, afterMs);
  const passed = Math.floor((afterMs - cadence.anchorMs) / cadence.everyMs);
  return cadence.anchorMs + (passed + 1) * cadence.everyMs;
}

/** The last scheduled time in `(afterMs, atMs]`, or null. */
export function previousTime(cadence: Cadence, afterMs: number, atMs: number): number | null {
  if (atMs <= afterMs) return null;
  if (cadence.kind === 'cron') return previousCronTime(cadence, atMs, afterMs);
  const index = Math.floor((atMs - cadence.anchorMs) / cadence.everyMs);
  const timeMs = cadence.anchorMs + index * cadence.everyMs;
  return timeMs > afterMs ? timeMs : null;
}
