import type { KmBackupSchedule } from '../../api/backup-schedule.ts';
import { nextTime } from '../../schedule/index.ts';
import { fromTime } from '../time.ts';
import { type Drilled, drillCadence, isDrilled } from './due.ts';

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
  if (drill.dueSince !== undefined) return fromTime(drill.dueSince);
  const parsed = drillCadence(schedule);
  const afterMs = Math.max(fromTime(drill.since), lastDrillTime === undefined ? 0 : fromTime(lastDrillTime));
  return parsed?.ok ? (nextTime(parsed.cadence, afterMs) ?? undefined) : undefined;
}
