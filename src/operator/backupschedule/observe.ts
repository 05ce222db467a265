import type { KmBackup } from '../../api/backup.ts';
import type { KmBackupSchedule } from '../../api/backup-schedule.ts';
import type { Cache } from '../cache.ts';
import type { Job } from '../workloads.ts';

export interface ObservedSchedule {
  schedule: KmBackupSchedule;
  /** Every KmBackup in the namespace that names this schedule. */
  backups: readonly KmBackup[];
  /** The Jobs of those runs. */
  jobs: readonly Job[];
  allowScripts: boolean;
}

/** Everything that `decideSchedule` reads; undefined when there is no schedule with this key. */
export function observeSchedule(
  key: string,
  cache: Cache,
  settings: { allowScripts: boolean },
): ObservedSchedule | undefined {
  const schedule = cache.schedules.get(key);
  if (!schedule) return undefined;
  const backups = cache.runsOf(key);
  const jobs = backups.flatMap((backup) => cache.jobOf(backup) ?? []);
  return { schedule, backups, jobs, allowScripts: settings.allowScripts };
}
