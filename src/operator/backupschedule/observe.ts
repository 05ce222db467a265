import type { KmBackupSchedule } from '../../api/backup-schedule.ts';
import type { KmRestore } from '../../api/restore.ts';
import { claimNamesOf } from '../../api/schedule-claims.ts';
import type { Cache } from '../cache.ts';
import { type ClaimProblem, claimProblem } from '../claims.ts';
import type { Run } from '../finished-run.ts';
import type { Job } from '../workloads.ts';

export interface ObservedSchedule {
  schedule: KmBackupSchedule;
  /** Every KmBackup in the namespace that names this schedule. */
  backups: readonly Run[];
  /** The Jobs of those runs. */
  jobs: readonly Job[];
  /** The restores that this schedule made. */
  drills: readonly KmRestore[];
  allowScripts: boolean;
  /** Namespaces whose Jobs may be elevated. */
  elevatedNamespaces?: readonly string[] | undefined;
  /** Why no run can use one of the claims that the schedule names. */
  claimProblem?: ClaimProblem | undefined;
}

/** Everything that `decideSchedule` reads; undefined when there is no schedule with this key. */
export function observeSchedule(
  key: string,
  cache: Cache,
  { allowScripts, elevatedNamespaces }: { allowScripts: boolean; elevatedNamespaces?: readonly string[] },
): ObservedSchedule | undefined {
  const schedule = cache.schedules.get(key);
  if (!schedule) return undefined;
  const backups = cache.runsOf(key);
  const jobs = backups.flatMap((backup) => cache.jobOf(backup) ?? []);
  const { namespace } = schedule.metadata;
  const [problem] = claimNamesOf(schedule.spec).flatMap(
    (name) => claimProblem(namespace, name, cache.claims.get(`${namespace}/${name}`)) ?? [],
  );
  const drills = cache.restoresOwnedBy(schedule.metadata.uid);
  return { schedule, backups, jobs, drills, allowScripts, elevatedNamespaces, claimProblem: problem };
}
