import { type CadenceResult, parseCron } from './cron.ts';
import type { CronCadence } from './cron-cadence.ts';
import { nextCronSlot, previousCronSlot } from './cron-slots.ts';

/** Slots at `anchorMs + k * everyMs` for k >= 1: they never drift, whatever the length of a run. */
export interface IntervalCadence {
  readonly kind: 'interval';
  readonly everyMs: number;
  readonly anchorMs: number;
}

export type Cadence = CronCadence | IntervalCadence;

/** A cron expression wins over the interval, as in the playbook. Times are epoch milliseconds. */
export function parseCadence(spec: {
  cron?: string | undefined;
  timeZone: string;
  hashSeed?: string | undefined;
  intervalMinutes: number;
  anchorMs: number;
}): CadenceResult<Cadence> {
  if (spec.cron !== undefined) {
    return parseCron(spec.cron, { timeZone: spec.timeZone, hashSeed: spec.hashSeed });
  }
  if (!Number.isSafeInteger(spec.intervalMinutes) || spec.intervalMinutes < 1)
    return {
      ok: false,
      message: `interval of ${spec.intervalMinutes} minutes: must be a whole number from 1`,
    };
  return {
    ok: true,
    cadence: { kind: 'interval', everyMs: spec.intervalMinutes * 60_000, anchorMs: spec.anchorMs },
  };
}

/** The first slot strictly after the instant (epoch ms), or null for an expression that names no coming date. */
export function nextSlot(cadence: Cadence, afterMs: number): number | null {
  if (cadence.kind === 'cron') return nextCronSlot(cadence, afterMs);
  const passed = Math.floor((afterMs - cadence.anchorMs) / cadence.everyMs);
  return cadence.anchorMs + Math.max(1, passed + 1) * cadence.everyMs;
}

/** The last slot in `(afterMs, atMs]`, or null. */
export function previousSlot(cadence: Cadence, afterMs: number, atMs: number): number | null {
  if (atMs <= afterMs) return null;
  if (cadence.kind === 'cron') return previousCronSlot(cadence, atMs, afterMs);
  const index = Math.floor((atMs - cadence.anchorMs) / cadence.everyMs);
  const slotMs = cadence.anchorMs + index * cadence.everyMs;
  return index >= 1 && slotMs > afterMs ? slotMs : null;
}
