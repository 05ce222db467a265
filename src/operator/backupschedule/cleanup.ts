/** Jobs and KmBackups that a schedule no longer needs. Pure. */
import { isFinished } from '../../api/finished.ts';
import { controllerOf } from '../../kube/object.ts';
import type { FinishedRun } from '../finished-run.ts';
import type { Step } from '../plan.ts';
import type { Inventory } from './inventory.ts';
import type { ObservedSchedule } from './observe.ts';

/** The oldest Jobs beyond the history limits. Only Jobs of runs whose end is recorded. */
export function expiredJobs({ schedule, jobs, backups }: ObservedSchedule): Step[] {
  const phaseOf = new Map(
    backups.filter(isFinished).map((backup) => [backup.metadata.uid, backup.status?.phase]),
  );
  const newestFirst = jobs
    .filter((job) => !job.metadata.deletionTimestamp)
    .sort((a, b) => b.metadata.creationTimestamp.localeCompare(a.metadata.creationTimestamp));
  const seen = { good: 0, bad: 0 };
  const steps: Step[] = [];
  for (const job of newestFirst) {
    const phase = phaseOf.get(controllerOf(job)?.uid ?? '');
    if (phase === undefined) continue;
    const kind = phase === 'Succeeded' ? 'good' : 'bad';
    seen[kind] += 1;
    const limit =
      kind === 'good' ? schedule.spec.successfulJobsHistoryLimit : schedule.spec.failedJobsHistoryLimit;
    if (seen[kind] > limit) steps.push({ kind: 'deleteJob', target: job.metadata });
  }
  return steps;
}

/**
 * KmBackups whose archive is gone, and failed ones beyond the history limit.
 * @param records Finished runs in the order of completion.
 * @param mustCount Whether the run must be counted in the status before its record may go.
 */
export function expiredBackups(
  { schedule }: ObservedSchedule,
  records: readonly FinishedRun[],
  inventory: Inventory,
  mustCount: (backup: FinishedRun) => boolean,
): Step[] {
  const counted = new Set(schedule.status?.countedBackups);
  let failures = 0;
  const steps: Step[] = [];
  for (const backup of records.toReversed()) {
    const withArchive = backup.status?.archive !== undefined;
    if (!withArchive) failures += 1;
    const expired = withArchive ? inventory.isGone(backup) : failures > schedule.spec.failedJobsHistoryLimit;
    const mayGo = counted.has(backup.metadata.uid) || !mustCount(backup);
    if (expired && mayGo && !backup.metadata.deletionTimestamp)
      steps.push({ kind: 'deleteBackup', target: backup.metadata });
  }
  return steps;
}
