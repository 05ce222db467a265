import type { KmBackupSchedule } from '../api/backup-schedule.ts';
import { drillDueMs } from '../api/drill-cadence.ts';
import type { KmBackupLocation } from '../api/location.ts';
import type { KmRestore } from '../api/restore.ts';
import { cadenceOf, successDueOf } from '../api/schedule-cadence.ts';
import type { BackupState } from '../health/index.ts';
import type { BackupSnapshot, CopySnapshot } from '../metrics/index.ts';
import { type Cadence, expectedIntervalSeconds } from '../schedule/index.ts';
import { fromTime } from './time.ts';

const toMs = (time: string | undefined) => (time === undefined ? undefined : fromTime(time));

const DAY_MS = 86_400_000;
const REMEMBERED = 50_000;
const intervals = new Map<string, number | null>();

/** Cached per day: it computes dozens of scheduled times, which takes milliseconds for a yearly schedule. */
function expectedInterval({ metadata, spec }: KmBackupSchedule, cadence: Cadence, fromMs: number) {
  const day = Math.floor(fromMs / DAY_MS);
  const seed = spec.cron?.includes('H') ? metadata.uid : '';
  const key = `${spec.cron ?? spec.intervalMinutes} ${spec.timeZone} ${seed} ${day}`;
  const known = intervals.get(key);
  if (known !== undefined) return known;
  if (intervals.size >= REMEMBERED) intervals.clear();
  const seconds = expectedIntervalSeconds(cadence, fromMs);
  intervals.set(key, seconds);
  return seconds;
}

/** What the metrics show of a schedule. Taken from its status alone. */
export function snapshotOf(schedule: KmBackupSchedule): BackupSnapshot {
  const { spec, status } = schedule;
  const runs = status?.runs ?? { succeeded: 0, incomplete: 0, failed: 0, skipped: 0 };
  const last = status?.lastBackup;
  const cadence = cadenceOf(schedule);
  const from = toMs(status?.settledUntil) ?? fromTime(schedule.metadata.creationTimestamp);
  return {
    runs: {
      success: runs.succeeded,
      incomplete: runs.incomplete,
      failure: runs.failed,
      skipped_lock: runs.skipped,
    },
    retentionDeletes: status?.retentionDeletes ?? 0,
    missedSlots: status?.missedSlots ?? 0,
    suspended: spec.suspend,
    ...(last && { lastRun: { ...last, success: last.phase === 'Succeeded' } }),
    lastSuccessMs: toMs(status?.lastSuccessfulTime),
    ...(status?.archives && {
      archives: { ...status.archives, suspicious: status.suspicions?.backups.length ?? 0 },
    }),
    nextSlotMs: toMs(status?.nextScheduleTime),
    missedCountedMs: toMs(status?.missedCountedTime),
    successDueMs: cadence.ok && !spec.suspend ? successDueOf(schedule, cadence.cadence) : undefined,
    lastDrill:
      status?.lastDrillTime === undefined
        ? undefined
        : {
            atMs: fromTime(status.lastDrillTime),
            success: status.lastDrillResult === 'Succeeded',
            archiveAgeSeconds: status.drill?.last?.archiveAgeSeconds,
          },
    lastRecoverySeconds: status?.drill?.lastSuccessful?.recoverySeconds,
    drillDueMs: drillDueMs(schedule),
    expectedIntervalSeconds: cadence.ok ? expectedInterval(schedule, cadence.cadence, from) : undefined,
  };
}

function restoredBy({ status }: KmRestore): BackupState['restored'] {
  const { resolved, swapTime } = status ?? {};
  if (!resolved || swapTime === undefined) return undefined;
  return {
    atMs: fromTime(swapTime),
    archive: resolved.archive.name,
    archiveAtMs: toMs(resolved.archiveTime),
    sizeBytes: resolved.archive.sizeBytes,
  };
}

/**
 * What `/healthz` shows of a schedule.
 * @param restore The last restore over its source.
 */
export function backupStateOf(
  { spec, status }: KmBackupSchedule,
  restore: KmRestore | undefined,
): BackupState {
  const { lastSuccessfulTime, lastFailureTime, lastSuccessfulBackup: success, lastBackup } = status ?? {};
  return {
    enabled: !spec.suspend,
    known: status !== undefined,
    // Not derived from the times below: one that was recorded while the clock was ahead would count as the latest.
    ...(lastBackup && { lastRunFailed: lastBackup.phase !== 'Succeeded' }),
    ...(lastSuccessfulTime && {
      lastSuccess: {
        atMs: fromTime(lastSuccessfulTime),
        archive: success?.archive ?? '',
        deleted: success?.pruned ?? 0,
        sizeBytes: success?.sizeBytes ?? 0,
      },
    }),
    restored: restore && restoredBy(restore),
    ...(lastFailureTime && {
      lastFailure: {
        atMs: fromTime(lastFailureTime),
        error: lastBackup?.phase === 'Succeeded' ? 'an earlier run failed' : (lastBackup?.message ?? ''),
      },
    }),
  };
}

/** What the metrics show of the copies of a schedule, by location. Taken from its status alone. */
export function copySnapshotsOf({ status }: KmBackupSchedule): Map<string, CopySnapshot> {
  const at = (time: string | undefined) => (time === undefined ? undefined : { atMs: fromTime(time) });
  return new Map(
    (status?.copies ?? []).map((copy) => [
      copy.location,
      {
        success: copy.copied ?? 0,
        failure: copy.failed ?? 0,
        uploadedBytes: copy.uploadedBytes ?? 0,
        reusedBytes: copy.reusedBytes ?? 0,
        lastSuccess: at(copy.lastSuccessfulTime),
        lastFailure: at(copy.lastFailureTime),
        waitingSinceMs: toMs(copy.waitingSince),
      },
    ]),
  );
}

/** Whether a location is available; undefined if nobody knows. */
export function isAvailable(location: KmBackupLocation): boolean | undefined {
  const status = location.status?.conditions?.find(({ type }) => type === 'Available')?.status;
  return status === 'True' ? true : status === 'False' ? false : undefined;
}
