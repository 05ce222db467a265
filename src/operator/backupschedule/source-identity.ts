import type { KmBackupSchedule, SourceIdentity } from '../../api/backup-schedule.ts';
import { identityOfJob } from '../backup/identity.ts';
import type { Job } from '../workloads.ts';

/** What the latest run whose Job still exists saw of the pod that mounts the source claim. */
export function latestSourceIdentity(
  { spec, status }: KmBackupSchedule,
  jobs: readonly Job[],
): SourceIdentity | undefined {
  const { claimName } = spec.source.persistentVolumeClaim;
  const latest = jobs
    .toSorted((a, b) => b.metadata.creationTimestamp.localeCompare(a.metadata.creationTimestamp))
    .map((job) => identityOfJob(job)?.source)
    .find((source) => source?.claimName === claimName);
  const known = latest ?? status?.sourceIdentity;
  return known?.claimName === claimName ? known : undefined;
}
