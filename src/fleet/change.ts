/** Small changes of one object. Each returns the object as it is afterwards. */
import type { KmBackup } from '../api/backup.ts';
import type { KmBackupSchedule } from '../api/backup-schedule.ts';
import { ANNOTATIONS } from '../api/names.ts';
import type { Cluster, Place } from './cluster.ts';
import { backupOf, scheduleOf } from './find.ts';

/**
 * Suspends or resumes a schedule. A time that passed meanwhile starts no run.
 * @throws {FleetError} when the schedule does not exist.
 */
export async function suspend(cluster: Cluster, place: Place, on: boolean): Promise<KmBackupSchedule> {
  const schedule = await scheduleOf(cluster, place);
  if (schedule.spec.suspend === on) return schedule;
  return cluster.resources.schedules.mergePatch(place.namespace, place.name, { spec: { suspend: on } });
}

/**
 * Approves a backup that the guard calls suspicious.
 * @throws {FleetError} when the backup does not exist.
 */
export async function approve(cluster: Cluster, place: Place): Promise<KmBackup> {
  await backupOf(cluster, place);
  const patch = { metadata: { annotations: { [ANNOTATIONS.approved]: 'true' } } };
  return cluster.resources.backups.mergePatch(place.namespace, place.name, patch);
}
