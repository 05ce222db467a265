/** Finds what a person names, and says what there is instead where there is none. */
import type { KmBackup } from '../api/backup.ts';
import type { KmBackupSchedule } from '../api/backup-schedule.ts';
import type { KmBackupLocation } from '../api/location.ts';
import type { KmRestore } from '../api/restore.ts';
import type { KubeObject } from '../kube/object.ts';
import type { ResourceClient } from '../kube/resources.ts';
import type { Cluster, Place } from './cluster.ts';
import { FleetError, unlessDenied, unlessMissing } from './errors.ts';

const MOST_NAMES = 5;

export type Subject =
  | { readonly kind: 'KmBackupSchedule'; readonly object: KmBackupSchedule }
  | { readonly kind: 'KmBackup'; readonly object: KmBackup }
  | { readonly kind: 'KmRestore'; readonly object: KmRestore };

/** @throws {FleetError} when the schedule does not exist. */
export const scheduleOf = (cluster: Cluster, place: Place): Promise<KmBackupSchedule> =>
  found(cluster.resources.schedules, place, 'schedule');

/** @throws {FleetError} when the backup does not exist. */
export const backupOf = (cluster: Cluster, place: Place): Promise<KmBackup> =>
  found(cluster.resources.backups, place, 'backup');

/** @throws {FleetError} when the restore does not exist. */
export const restoreOf = (cluster: Cluster, place: Place): Promise<KmRestore> =>
  found(cluster.resources.restores, place, 'restore');

/** @throws {FleetError} when the location does not exist. */
export const locationOf = (cluster: Cluster, place: Place): Promise<KmBackupLocation> =>
  found(cluster.resources.locations, place, 'location');

/**
 * The schedule, run or restore with this name, looked for in this order.
 * @throws {FleetError} when there is none.
 */
export async function subjectOf({ resources }: Cluster, { namespace, name }: Place): Promise<Subject> {
  const schedule = await unlessMissing(resources.schedules.get(namespace, name));
  if (schedule) return { kind: 'KmBackupSchedule', object: schedule };
  const backup = await unlessMissing(resources.backups.get(namespace, name));
  if (backup) return { kind: 'KmBackup', object: backup };
  const restore = await unlessMissing(resources.restores.get(namespace, name));
  if (restore) return { kind: 'KmRestore', object: restore };
  throw await missing(resources.schedules, { namespace, name }, 'schedule, backup or restore');
}

async function found<T extends KubeObject>(
  resource: ResourceClient<T>,
  place: Place,
  noun: string,
): Promise<T> {
  const object = await unlessMissing(resource.get(place.namespace, place.name));
  if (object) return object;
  throw await missing(resource, place, noun);
}

async function missing<T extends KubeObject>(
  resource: ResourceClient<T>,
  { namespace, name }: Place,
  noun: string,
): Promise<FleetError> {
  const list = await unlessDenied(resource.list(namespace));
  const names = list === 'denied' ? [] : list.items.map(({ metadata }) => metadata.name);
  const shown = names.sort((a, b) => distance(a, name) - distance(b, name)).slice(0, MOST_NAMES);
  const plural = resource.descriptor.plural.replace(/^km(backup)?/, '');
  const there =
    names.length === 0
      ? `There are no ${plural} here; choose another namespace with -n.`
      : `There ${names.length === 1 ? 'is' : 'are'}: ${shown.join(', ')}${names.length > shown.length ? ', …' : ''}.`;
  return new FleetError('NotFound', `There is no ${noun} ${name} in namespace ${namespace}. ${there}`);
}

/** How many letters differ at least: names that share a beginning come first. */
function distance(a: string, b: string): number {
  let same = 0;
  while (same < a.length && a[same] === b[same]) same += 1;
  return Math.max(a.length, b.length) - same;
}
