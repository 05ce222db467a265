/** When the drills of a KmBackupSchedule are due, and by when one should have ended. Pure. */
import { type Cadence, type CadenceResult, cadenceOf as cadenceOfSpec, nextTime } from '../schedule/index.ts';
import type { KmBackupSchedule } from './backup-schedule.ts';
import type { Drill } from './drill.ts';
import { msOf } from './schedule-cadence.ts';

/** A schedule that has drills. */
export type Drilled = KmBackupSchedule & { readonly spec: { readonly drill: Drill } };

export const isDrilled = (schedule: KmBackupSchedule): schedule is Drilled =>
  schedule.spec.drill !== undefined;

/** The cron of the drills; undefined where they follow the number of archives. */
export function drillCadence({ spec, metadata }: Drilled): CadenceResult<Cadence> | undefined {
  const { cron, timeZone } = spec.drill;
  if (cron === undefined) return undefined;
  return cadenceOfSpec({
    cron,
    timeZone: timeZone ?? spec.timeZone,
    // Not the minute of the backup.
    hashSeed: `${metadata.uid}/drill`,
    intervalMinutes: 1,
    anchorMs: 0,
  });
}

/** For the start of a pod and whatever else a drill waits for. */
const ALLOWANCE_MS = 60 * 60_000;

/** By when a drill should have ended; epoch ms. Undefined while none is due or scheduled. */
export function drillDueMs(schedule: KmBackupSchedule): number | undefined {
  if (!isDrilled(schedule) || schedule.spec.suspend) return undefined;
  const startMs = startOfNext(schedule);
  if (startMs === undefined) return undefined;
  const deadlineMs = schedule.spec.drill.deadlineSeconds * 1000;
  const took = schedule.status?.drill?.lastSuccessful?.recoverySeconds;
  return startMs + ALLOWANCE_MS + (took === undefined ? deadlineMs : Math.min(deadlineMs, took * 2000));
}

function startOfNext(schedule: Drilled): number | undefined {
  const { drill, lastDrillTime } = schedule.status ?? {};
  if (!drill) return undefined;
  if (drill.dueSince !== undefined) return msOf(drill.dueSince);
  const parsed = drillCadence(schedule);
  const afterMs = Math.max(msOf(drill.since) ?? 0, msOf(lastDrillTime) ?? 0);
  return parsed?.ok ? (nextTime(parsed.cadence, afterMs) ?? undefined) : undefined;
}
