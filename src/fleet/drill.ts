/** A drill at once: as the schedule drills, apart from its times. */

import type { KmBackupSchedule } from '../api/backup-schedule.ts';
import { isDrilled } from '../api/drill-cadence.ts';
import { isRestoreFinished } from '../api/finished.ts';
import { API_VERSION, LABELS } from '../api/names.ts';
import type { KmRestore } from '../api/restore.ts';
import { controllerOf } from '../kube/object.ts';
import { drillMetadata, drillSpec } from '../operator/drill/new-drill.ts';
import type { Cluster, Place } from './cluster.ts';
import { FleetError, unlessMissing } from './errors.ts';
import { backupOf } from './find.ts';
import { generatedName } from './run-backup.ts';

/**
 * Starts a drill of the newest complete archive of a schedule, or of a backup. One of a schedule counts as its scheduled
 * ones do: in `Recoverable`, in its history limit, and no other runs beside it. One of a backup says something about this
 * archive alone, and goes with the backup.
 *
 * @param size Of the scratch space; default: that of `spec.drill` of the schedule.
 * @throws {FleetError} when the source does not exist, the size is unknown, or a drill of the schedule is running.
 */
export async function startDrill(
  cluster: Cluster,
  { namespace, name }: Place,
  size: string | undefined,
): Promise<KmRestore> {
  const { schedules, restores } = cluster.resources;
  const schedule = await unlessMissing(schedules.get(namespace, name));
  const backup = schedule ? undefined : await backupOf(cluster, { namespace, name });
  const like = schedule ?? (await unlessMissing(schedules.get(namespace, backup!.spec.scheduleName)));
  const spec = specOf(like, size);
  if (schedule) await refuseSecond(cluster, schedule);
  const { labels, ownerReferences } = like ? drillMetadata(like) : {};
  return restores.create(namespace, {
    apiVersion: API_VERSION,
    kind: 'KmRestore',
    metadata: {
      generateName: generatedName(name, 'drill'),
      ...(labels && { labels }),
      ownerReferences: backup
        ? [{ apiVersion: API_VERSION, kind: 'KmBackup', name, uid: backup.metadata.uid }]
        : ownerReferences,
    },
    spec: backup ? { ...spec, source: { backupName: name } } : { source: { scheduleName: name }, ...spec },
  });
}

/** As the schedule drills; without `spec.drill`, only the size is known. */
function specOf(schedule: KmBackupSchedule | undefined, size: string | undefined) {
  const like = schedule && isDrilled(schedule) ? drillSpec(schedule) : undefined;
  if (size === undefined && !like) {
    throw new FleetError(
      'Usage',
      'How much scratch space to use is not known: pass --size, such as 10Gi, or set spec.drill of the schedule.',
    );
  }
  const podTemplate = schedule?.spec.podTemplate;
  const scratch = { ...like?.target.scratch, ...(size !== undefined && { size }) };
  return { ...(podTemplate && { podTemplate }), ...like, target: { scratch } };
}

async function refuseSecond({ resources }: Cluster, { metadata }: KmBackupSchedule): Promise<void> {
  const labelSelector = `${LABELS.scheduleUid}=${metadata.uid}`;
  const { items } = await resources.restores.list(metadata.namespace, { labelSelector });
  const running = items.find(
    (restore) => controllerOf(restore)?.uid === metadata.uid && !isRestoreFinished(restore),
  );
  if (!running) return;
  throw new FleetError(
    'Refused',
    `A drill of ${metadata.name} is running: ${running.metadata.name}. To look at it: kubectl km why ${running.metadata.name} -n ${metadata.namespace}`,
  );
}
