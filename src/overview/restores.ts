import type { KmBackupSchedule } from '../api/backup-schedule.ts';
import { drillDueMs } from '../api/drill-cadence.ts';
import { isRestoreFinished, targetClaimName } from '../api/finished.ts';
import type { KmRestore } from '../api/restore.ts';
import { adviceOf } from './advice.ts';
import type { DrillOverview, RestoreOverview } from './model.ts';
import { byTime, known, latest, timeOf, toTime } from './records.ts';

const isDrill = ({ spec }: KmRestore) => spec.target.scratch !== undefined && !spec.dryRun;

/**
 * Key of the schedule whose archive a restore brings back; undefined if none is known.
 * @param scheduleOfBackup Name of the schedule of a KmBackup.
 */
export function scheduleKeyOf(
  { metadata, spec, status }: KmRestore,
  scheduleOfBackup: (namespace: string, name: string) => string | undefined,
): string | undefined {
  const { namespace } = metadata;
  const { scheduleName, backupName } = spec.source;
  const name = scheduleName ?? (backupName && scheduleOfBackup(namespace, backupName));
  return name === undefined ? status?.resolved?.series : `${namespace}/${name}`;
}

const timeOfRestore = ({ metadata, status }: KmRestore): string =>
  timeOf(status?.startTime) ?? timeOf(metadata.creationTimestamp) ?? new Date(0).toISOString();

const endOf = (restore: KmRestore): string =>
  timeOf(restore.status?.completionTime) ?? timeOfRestore(restore);

type LastDrill = NonNullable<DrillOverview['last']>;

function lastOfRestores(restores: readonly KmRestore[]): { last?: LastDrill; lastSuccess?: string } {
  const ended = restores
    .filter((restore) => isDrill(restore) && isRestoreFinished(restore))
    .sort((a, b) => byTime(endOf(a), endOf(b)));
  const last = ended.at(-1);
  if (!last) return {};
  const { status } = last;
  const success = ended.findLast((restore) => restore.status?.phase === 'Succeeded');
  return known({
    last: known({
      name: last.metadata.name,
      phase: status?.phase ?? 'Failed',
      time: endOf(last),
      reason: status?.reason,
      message: status?.message,
      archive: status?.resolved?.archive?.name,
      archiveAgeSeconds: status?.archiveAgeSeconds,
      recoverySeconds: status?.recoverySeconds,
    }),
    lastSuccess: success && endOf(success),
  });
}

/** What the status remembers: KmRestores of drills are deleted after a while. */
function lastOfStatus({ status }: KmBackupSchedule): { last?: LastDrill; lastSuccess?: string } {
  const time = timeOf(status?.lastDrillTime);
  const record = status?.drill?.last;
  const { name, reason, message, archive, archiveAgeSeconds, recoverySeconds } = record ?? {};
  return known({
    last:
      time === undefined
        ? undefined
        : known({
            name: name ?? '',
            phase: status?.lastDrillResult ?? 'Failed',
            time,
            reason,
            message,
            archive,
            archiveAgeSeconds,
            recoverySeconds,
          }),
    lastSuccess: timeOf(status?.lastSuccessfulDrillTime),
  });
}

/** What drills of a schedule have shown; undefined if there are none. */
export function drillOverview(
  schedule: KmBackupSchedule,
  restores: readonly KmRestore[],
): DrillOverview | undefined {
  const { spec, status } = schedule;
  const [remembered, seen] = [lastOfStatus(schedule), lastOfRestores(restores)];
  const last = byTime(remembered.last?.time, seen.last?.time) >= 0 ? remembered.last : seen.last;
  if (!spec.drill && !last) return undefined;
  const { cron, every } = spec.drill ?? {};
  return known({
    schedule: cron ?? (every === undefined ? undefined : `every ${every} archives`),
    last,
    lastSuccess: latest([remembered.lastSuccess, seen.lastSuccess]),
    next: spec.suspend ? undefined : timeOf(status?.nextDrillTime),
    due: toTime(drillDueMs(schedule)),
    running: status?.drill?.active,
  });
}

function restoreOverview(restore: KmRestore, scheduleKey: string | undefined): RestoreOverview {
  const { metadata, status } = restore;
  const { namespace, name } = metadata;
  const { oldState } = status ?? {};
  return known({
    namespace,
    name,
    phase: status?.phase ?? 'Pending',
    finished: isRestoreFinished(restore),
    reason: status?.reason,
    message: status?.message,
    todo: adviceOf(status?.reason, { name }),
    schedule: scheduleKey?.slice(scheduleKey.indexOf('/') + 1),
    target: targetClaimName(restore),
    time: timeOfRestore(restore),
    completionTime: timeOf(status?.completionTime),
    archive: status?.resolved?.archive?.name,
    recoverySeconds: status?.recoverySeconds,
    oldState: oldState && known({ keptUntil: timeOf(oldState.keptUntil) }),
  });
}

/** Restores that are not drills: those that have not ended, then the newest first. */
export function restoresOverview(
  restores: readonly KmRestore[],
  keyOf: (restore: KmRestore) => string | undefined,
): RestoreOverview[] {
  return restores
    .filter((restore) => !isDrill(restore))
    .map((restore) => restoreOverview(restore, keyOf(restore)))
    .sort((a, b) => Number(a.finished) - Number(b.finished) || byTime(b.time, a.time));
}
