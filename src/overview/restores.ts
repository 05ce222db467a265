import { isRestoreFinished, type KmRestore, targetClaimName } from '../api/restore.ts';
import { adviceOf } from './advice.ts';
import type { DrillOverview, RestoreOverview } from './model.ts';
import { byTime, known, timeOf } from './records.ts';

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

/** What drills have shown; undefined before the first. */
export function drillOverview(restores: readonly KmRestore[]): DrillOverview | undefined {
  const ended = restores
    .filter((restore) => isDrill(restore) && isRestoreFinished(restore))
    .sort((a, b) => byTime(endOf(a), endOf(b)));
  const last = ended.at(-1);
  if (!last) return undefined;
  const succeeded = ended.filter(({ status }) => status?.phase === 'Succeeded');
  const success = succeeded.at(-1);
  return known({
    last: known({
      name: last.metadata.name,
      phase: last.status?.phase ?? 'Failed',
      time: endOf(last),
      message: last.status?.message,
      archive: last.status?.resolved?.archive?.name,
      archiveAgeSeconds: last.status?.archiveAgeSeconds,
    }),
    lastSuccess: success && endOf(success),
    succeeded: succeeded.length,
    failed: ended.length - succeeded.length,
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
