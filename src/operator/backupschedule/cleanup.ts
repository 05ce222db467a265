/** Jobs and KmBackups that a schedule no longer needs. Pure. */
import { isFinished, type KmBackup } from '../../api/backup.ts';
import type { Step } from '../plan.ts';
import { archiveInventory, isArchiveGone } from './inventory.ts';
import type { ObservedSchedule } from './observe.ts';

/** Finished Jobs beyond the history limits, oldest first to go; only of runs whose end is recorded. */
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
    const phase = phaseOf.get(job.metadata.ownerReferences?.find((owner) => owner.controller)?.uid ?? '');
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
 * KmBackups whose archive is gone, and failed ones beyond the history limit; only after they were counted.
 *
 * @param finished In the order of completion.
 */
export function expiredBackups(observed: ObservedSchedule, finished: readonly KmBackup[]): Step[] {
  const inventory = archiveInventory(finished);
  const counted = new Set(observed.schedule.status?.countedBackups);
  let failures = 0;
  const steps: Step[] = [];
  for (const backup of [...finished].reverse()) {
    const withArchive = backup.status?.archive !== undefined;
    if (!withArchive) failures += 1;
    const expired = withArchive
      ? isArchiveGone(backup, finished, inventory)
      : failures > observed.schedule.spec.failedJobsHistoryLimit;
    if (expired && counted.has(backup.metadata.uid) && !backup.metadata.deletionTimestamp) {
      steps.push({ kind: 'deleteBackup', target: backup.metadata });
    }
  }
  return steps;
}
