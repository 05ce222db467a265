import type { KmBackupSchedule } from '../../api/backup-schedule.ts';
import { type Cadence, type CadenceResult, cadenceOf as cadenceOfSpec } from '../../schedule/index.ts';
import { fromTime } from '../time.ts';

/** When a schedule is due. Intervals count from its creation. */
export function cadenceOf({ spec, metadata }: KmBackupSchedule): CadenceResult<Cadence> {
  return cadenceOfSpec({
    cron: spec.cron,
    timeZone: spec.timeZone,
    hashSeed: metadata.uid,
    intervalMinutes: spec.intervalMinutes,
    anchorMs: fromTime(metadata.creationTimestamp),
  });
}

/** The cadence in words, the same for equal cadences; `suspended` while suspended. */
export function describeCadence({ spec }: KmBackupSchedule): string {
  if (spec.suspend) return 'suspended';
  if (spec.cron === undefined) return `every ${spec.intervalMinutes}m`;
  return spec.timeZone === 'Etc/UTC' ? spec.cron : `${spec.cron} ${spec.timeZone}`;
}
