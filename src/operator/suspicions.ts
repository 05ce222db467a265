/** Suspicious archives: what a run, a schedule and their conditions say of them, and what a person approved. Pure. */
import type { KmBackupStatus } from '../api/backup.ts';
import type { ScheduleSuspicions } from '../api/guard.ts';
import { ANNOTATIONS } from '../api/names.ts';
import type { RunResult } from '../api/run-result.ts';
import type { Inventory } from './backupschedule/inventory.ts';
import type { ConditionState } from './conditions.ts';
import type { FinishedRun, Run } from './finished-run.ts';

/** Whether a person approved the archive of a run. */
export const isApproved = ({ metadata }: Run): boolean =>
  metadata.annotations?.[ANNOTATIONS.approved] === 'true';

/** The condition of a run whose archive is suspicious. */
export function suspicionCondition(
  status: Pick<KmBackupStatus, 'suspicious'>,
  approved: boolean,
): ConditionState[] {
  if (!status.suspicious) return [];
  const { message } = status.suspicious;
  return [
    approved
      ? { type: 'Suspicious', status: 'False', reason: 'Approved', message: `Approved. ${message}` }
      : { type: 'Suspicious', status: 'True', reason: 'Suspicious', message },
  ];
}

/** What the Event of a suspicious run says. */
export function suspicionNote({ suspicious }: RunResult, backup: string): string | undefined {
  return (
    suspicious &&
    `${suspicious.message} The archive is kept, and none is removed until it is approved: kubectl annotate kmb ${backup} ${ANNOTATIONS.approved}=true`
  );
}

/**
 * The suspicious archives of a schedule. One that was approved on the destination, or that is gone, is no longer among
 * them: the latest report there says so.
 */
export function suspicionsOf(
  records: readonly FinishedRun[],
  inventory: Inventory,
): ScheduleSuspicions | undefined {
  const backups: string[] = [];
  const approvedArchives: string[] = [];
  for (const run of records) {
    const { archive } = run.status ?? {};
    if (!archive || !inventory.isSuspicious(run) || inventory.isGone(run)) continue;
    if (isApproved(run)) approvedArchives.push(archive.name);
    else backups.push(run.metadata.name);
  }
  return backups.length + approvedArchives.length > 0 ? { backups, approvedArchives } : undefined;
}

/** The condition of a schedule that has a guard, or suspicious archives of the time when it had one. */
export function scheduleSuspicion(
  hasGuard: boolean,
  found: ScheduleSuspicions | undefined,
): ConditionState[] {
  const [first, ...others] = found?.backups ?? [];
  if (first === undefined) {
    return hasGuard
      ? [
          {
            type: 'Suspicious',
            status: 'False',
            reason: 'NothingSuspicious',
            message: 'No archive is suspicious, or all that are were approved.',
          },
        ]
      : [];
  }
  const more = others.length > 0 ? ` and ${others.length} more` : '';
  return [
    {
      type: 'Suspicious',
      status: 'True',
      reason: 'SuspiciousArchives',
      message: `The archive of ${first}${more} is suspicious, so no archive is removed. Look at it, then approve it: kubectl annotate kmb ${first} ${ANNOTATIONS.approved}=true`,
    },
  ];
}
