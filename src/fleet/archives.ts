/** Which archives a person means by a name. */
import { archiveTimeOf } from '../api/archive-time.ts';
import type { KmBackup } from '../api/backup.ts';
import type { Cluster, Place } from './cluster.ts';
import { FleetError, unlessMissing } from './errors.ts';
import { backupOf } from './find.ts';

/** Backups of a schedule that have an archive, newest first. */
export async function archivesOf({ resources }: Cluster, { namespace, name }: Place): Promise<KmBackup[]> {
  const { items } = await resources.backups.list(namespace, { fieldSelector: `spec.scheduleName=${name}` });
  const pruned = new Set(items.flatMap(({ status }) => status?.pruned?.names ?? []));
  return items
    .filter(({ status }) => status?.archive !== undefined && !pruned.has(status.archive.name))
    .sort((a, b) => timeOf(b).localeCompare(timeOf(a)));
}

const timeOf = (backup: KmBackup): string => archiveTimeOf(backup) ?? '';

/**
 * The backup of that name, or the newest complete one of the schedule of that name.
 * @throws {FleetError} when there is neither.
 */
export async function chosenBackup(cluster: Cluster, place: Place): Promise<KmBackup> {
  const { backups, schedules } = cluster.resources;
  const backup = await unlessMissing(backups.get(place.namespace, place.name));
  if (backup) return backup;
  const archives = await archivesOf(cluster, place);
  const newest = archives.find(({ status }) => status?.phase === 'Succeeded') ?? archives[0];
  if (newest) return newest;
  // Says what there is.
  if (!(await unlessMissing(schedules.get(place.namespace, place.name)))) return backupOf(cluster, place);
  throw new FleetError(
    'NotFound',
    `Schedule ${place.name} in namespace ${place.namespace} has no archive yet.`,
  );
}

/**
 * The archive before that of a backup, in its schedule.
 * @throws {FleetError} when there is none.
 */
export async function backupBefore(cluster: Cluster, { metadata, spec }: KmBackup): Promise<KmBackup> {
  const { namespace, name } = metadata;
  const archives = await archivesOf(cluster, { namespace, name: spec.scheduleName });
  const at = archives.findIndex((one) => one.metadata.name === name);
  const before = at < 0 ? undefined : archives[at + 1];
  if (before) return before;
  throw new FleetError(
    'NotFound',
    `There is no archive before that of ${name} in schedule ${spec.scheduleName}.`,
  );
}
