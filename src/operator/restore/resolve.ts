/** Chooses the archive that a KmRestore asks for, from the records of the namespace. Pure. */

import { archiveTimeOf } from '../../api/archive-time.ts';
import type { KmBackup } from '../../api/backup.ts';
import { isFinished } from '../../api/finished.ts';
import type { ConditionReason } from '../../api/reasons.ts';
import type { KmRestore, KmRestoreStatus } from '../../api/restore.ts';
import type { FoundCopy } from '../../api/restore-result.ts';
import type { Run } from '../finished-run.ts';
import { fromTime } from '../time.ts';

export type Resolved = NonNullable<KmRestoreStatus['resolved']>;

export type Resolution =
  | { readonly state: 'resolved'; readonly resolved: Resolved }
  | { readonly state: 'waiting'; readonly message: string }
  | {
      readonly state: 'failed';
      readonly reason: ConditionReason;
      readonly message: string;
      /** The archive that was found and is not good enough. */
      readonly resolved?: Resolved;
    };

const failed = (reason: ConditionReason, message: string) =>
  ({ state: 'failed', reason, message }) as const satisfies Resolution;

function resolvedOf(backup: Run): Resolved {
  const archive = backup.status!.archive!;
  const archiveTime = archiveTimeOf(backup);
  const { name, claimName, path, sha256, sizeBytes } = archive;
  const manifestSha256 = (archive as NonNullable<NonNullable<KmBackup['status']>['archive']>).manifestSha256;
  return {
    archive: {
      name,
      claimName,
      path,
      ...(sha256 !== undefined && { sha256 }),
      ...(manifestSha256 !== undefined && { manifestSha256 }),
      ...(sizeBytes !== undefined && { sizeBytes }),
    },
    ...(archiveTime !== undefined && { archiveTime }),
    backupName: backup.metadata.name,
    series: `${backup.metadata.namespace}/${backup.spec.scheduleName}`,
  };
}

function ofBackup(name: string, backups: readonly Run[]): Resolution {
  const backup = backups.find(({ metadata }) => metadata.name === name);
  if (!backup) return failed('BackupNotFound', `There is no KmBackup ${name} in this namespace.`);
  if (!isFinished(backup)) return { state: 'waiting', message: `Waits for KmBackup ${name} to end.` };
  if (!backup.status?.archive) {
    return failed(
      'NoArchive',
      `KmBackup ${name} ended as ${backup.status?.phase ?? 'Failed'} and has no archive. Choose another: kubectl get kmb.`,
    );
  }
  return { state: 'resolved', resolved: resolvedOf(backup) };
}

function ofSchedule(
  scheduleName: string,
  { asOf, notBefore }: Pick<KmRestore['spec']['source'], 'asOf' | 'notBefore'>,
  backups: readonly Run[],
  scheduleExists: boolean,
): Resolution {
  const complete = backups
    .filter(
      (backup) =>
        backup.spec.scheduleName === scheduleName &&
        backup.status?.phase === 'Succeeded' &&
        backup.status.archive !== undefined &&
        archiveTimeOf(backup) !== undefined,
    )
    .sort((a, b) => fromTime(archiveTimeOf(b)!) - fromTime(archiveTimeOf(a)!));
  if (complete.length === 0) {
    return scheduleExists
      ? failed('NoArchive', `KmBackupSchedule ${scheduleName} has no complete archive yet.`)
      : failed(
          'ScheduleNotFound',
          `There is no KmBackupSchedule ${scheduleName} in this namespace, nor a complete archive of one.`,
        );
  }
  const limit = asOf === undefined ? Number.POSITIVE_INFINITY : fromTime(asOf);
  const chosen = complete.find((backup) => fromTime(archiveTimeOf(backup)!) <= limit);
  if (!chosen) {
    return failed(
      'NoArchive',
      `KmBackupSchedule ${scheduleName} has no complete archive at or before ${asOf}. The oldest is of ${archiveTimeOf(complete.at(-1)!)}.`,
    );
  }
  const resolved = resolvedOf(chosen);
  if (notBefore === undefined || fromTime(archiveTimeOf(chosen)!) >= fromTime(notBefore)) {
    return { state: 'resolved', resolved };
  }
  const which = `The newest complete archive of KmBackupSchedule ${scheduleName}${asOf === undefined ? '' : ` as of ${asOf}`}, ${resolved.archive.name}`;
  return {
    ...failed(
      'ArchiveTooOld',
      `${which}, was made at ${archiveTimeOf(chosen)}: one made at or after ${notBefore} is asked for. Look why there is no newer one: kubectl get kmb.`,
    ),
    resolved,
  };
}

/** The copy that a Job has found in a location. @param url the location's address */
export function resolvedCopy({ spec }: KmRestore, found: FoundCopy, url: string): Resolved {
  const { archive: name, series, sha256, manifestSha256, sizeBytes, startedAt } = found;
  return {
    archive: { name, sha256, manifestSha256, sizeBytes },
    archiveTime: startedAt,
    location: { name: spec.source.location!.name, url },
    series,
  };
}

/** The archive to restore, if it lies on a claim; asked once, because it is pinned in the status then. */
export function resolve({ spec }: KmRestore, backups: readonly Run[], scheduleExists: boolean): Resolution {
  const { backupName, scheduleName, archive } = spec.source;
  if (backupName !== undefined) return ofBackup(backupName, backups);
  if (scheduleName !== undefined) return ofSchedule(scheduleName, spec.source, backups, scheduleExists);
  const { persistentVolumeClaim, path } = archive!;
  const cut = path.lastIndexOf('/');
  return {
    state: 'resolved',
    resolved: {
      archive: {
        name: path.slice(cut + 1),
        claimName: persistentVolumeClaim.claimName,
        path: cut < 0 ? '' : path.slice(0, cut),
      },
    },
  };
}
