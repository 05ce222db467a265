/** When a KmBackupSchedule is due: its cadence, that in words, and by when a success is due. Pure. */
import {
  type Cadence,
  type CadenceResult,
  cadenceOf as cadenceOfSpec,
  successDueMs,
} from '../schedule/index.ts';
import type { KmBackupSchedule } from './backup-schedule.ts';

/** When a schedule is due. Intervals count from its creation. */
export function cadenceOf({ spec, metadata }: KmBackupSchedule): CadenceResult<Cadence> {
  return cadenceOfSpec({
    cron: spec.cron,
    timeZone: spec.timeZone,
    hashSeed: metadata.uid,
    intervalMinutes: spec.intervalMinutes,
    anchorMs: Date.parse(metadata.creationTimestamp),
  });
}

/** The cadence in words, the same for equal cadences; `suspended` while suspended. */
export function describeCadence({ spec }: KmBackupSchedule): string {
  if (spec.suspend) return 'suspended';
  if (spec.cron === undefined) return `every ${spec.intervalMinutes}m`;
  return spec.timeZone === 'Etc/UTC' ? spec.cron : `${spec.cron} ${spec.timeZone}`;
}

const LATEST_MS = Date.UTC(9999, 0);

/** Epoch milliseconds of a time; undefined for a text that is none, or is of another age. */
export function msOf(time: string | undefined): number | undefined {
  const ms = typeof time === 'string' ? Date.parse(time) : Number.NaN;
  return ms >= 0 && ms < LATEST_MS ? ms : undefined;
}

/** By when a complete archive is due; epoch ms. Null if the schedule names no more dates. */
export function successDueOf({ metadata, status }: KmBackupSchedule, cadence: Cadence): number | null {
  return successDueMs({
    cadence,
    sinceMs: msOf(status?.cadenceSince) ?? msOf(metadata.creationTimestamp) ?? 0,
    lastSuccessMs: msOf(status?.lastSuccessfulTime),
    lastDurationSeconds: status?.lastSuccessfulBackup?.durationSeconds,
  });
}
