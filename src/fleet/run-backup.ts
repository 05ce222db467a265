import type { KmBackup } from '../api/backup.ts';
import type { KmBackupSchedule } from '../api/backup-schedule.ts';
import { ExitCode } from '../api/exit-codes.ts';
import { isFinished } from '../api/finished.ts';
import { API_VERSION } from '../api/names.ts';
import type { Cluster, Place, Waiting } from './cluster.ts';
import { scheduleOf } from './find.ts';
import { until } from './wait.ts';

/** Names of objects and labels have at most 63 characters; the API server adds five to a generated name. */
const MAX_PREFIX = 57 - 5;

/** The prefix of a generated name, with as much of `name` as fits. */
export function generatedName(name: string, purpose: string): string {
  const suffix = `-${purpose}-`;
  return `${name.slice(0, MAX_PREFIX - suffix.length).replace(/[-.]+$/, '')}${suffix}`;
}

/**
 * Starts a run of a schedule now, as `kubectl create` of a KmBackup does. Also while the schedule is suspended.
 * @throws {FleetError} when the schedule does not exist.
 */
export async function runBackup(cluster: Cluster, place: Place): Promise<KmBackup> {
  const { metadata }: KmBackupSchedule = await scheduleOf(cluster, place);
  return cluster.resources.backups.create(metadata.namespace, {
    apiVersion: API_VERSION,
    kind: 'KmBackup',
    metadata: { generateName: generatedName(metadata.name, 'now') },
    spec: { scheduleName: metadata.name },
  });
}

/** Waits until a run has ended, whatever its phase. */
export function awaitBackup(cluster: Cluster, place: Place, waiting?: Waiting<KmBackup>): Promise<KmBackup> {
  return until(cluster, cluster.resources.backups, place, isFinished, waiting);
}

/** The exit code for how a run ended: that of the `km-backup` that it ran. */
export function exitCodeOfBackup({ status }: KmBackup): ExitCode {
  switch (status?.phase) {
    case 'Succeeded':
    case 'Found':
      return ExitCode.ok;
    case 'Incomplete':
      return ExitCode.incomplete;
    case 'Skipped':
      return ExitCode.locked;
    default:
      return ExitCode.failure;
  }
}
