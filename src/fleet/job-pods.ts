import type { KmBackup } from '../api/backup.ts';
import { LABELS } from '../api/names.ts';
import type { Pod } from '../operator/workloads.ts';
import type { Cluster, Place } from './cluster.ts';
import { FleetError } from './errors.ts';
import { subjectOf } from './find.ts';
import { newestFirst } from './observe.ts';

/**
 * The newest pod of a run, of a restore, or of the newest run of a schedule.
 * @throws {FleetError} when there is none: finished Jobs are deleted after a while.
 */
export async function newestPod(cluster: Cluster, place: Place): Promise<Pod> {
  const { namespace, name } = place;
  const subject = await subjectOf(cluster, place);
  const { uid } = subject.object.metadata;
  const labelSelector =
    subject.kind === 'KmBackupSchedule'
      ? `${LABELS.scheduleUid}=${uid}`
      : subject.kind === 'KmRestore'
        ? `${LABELS.restoreUid}=${uid}`
        : jobSelector(subject.object);
  const { items } = labelSelector
    ? await cluster.resources.pods.list(namespace, { labelSelector })
    : { items: [] };
  const [newest] = items.sort(newestFirst);
  if (newest) return newest;
  throw new FleetError(
    'NotFound',
    `There is no pod of ${name} in namespace ${namespace}: none was started, or its Job was deleted. kubectl km why ${name} says what is known.`,
  );
}

const jobSelector = ({ status }: KmBackup): string | undefined =>
  status?.job && `batch.kubernetes.io/job-name=${status.job.name}`;
