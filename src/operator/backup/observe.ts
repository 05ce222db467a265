import { isFinished, type KmBackup } from '../../api/backup.ts';
import type { KmBackupSchedule, KmBackupScheduleSpec } from '../../api/backup-schedule.ts';
import { isNotFound } from '../../kube/errors.ts';
import { type Cache, scheduleKey } from '../cache.ts';
import type { ConcurrencyLimiter } from '../concurrency-limiter.ts';
import type { Resources } from '../resources.ts';
import {
  type Job,
  type JobReference,
  type PersistentVolumeClaim,
  type Pod,
  trimJob,
  trimPod,
} from '../workloads.ts';
import { type Cause, newestWarning } from './events.ts';
import { destinationOf } from './job.ts';
import { lacksReport, outcomeOf } from './outcome.ts';
import { type PlacementResult, placementFor } from './placement.ts';
import type { PodsOnNodes } from './pods-on-nodes.ts';
import { needsEvents } from './waits.ts';

/** Everything that `decideBackup` reads. */
export interface ObservedBackup {
  backup: KmBackup;
  /** Undefined: there is no such schedule. */
  schedule: KmBackupSchedule | undefined;
  /**
   * - `none`: no Job was ever recorded.
   * - `gone`: one was recorded, and the API server says that it no longer exists.
   */
  job:
    | { state: 'none' }
    | { state: 'gone'; job: JobReference }
    | { state: 'exists'; job: Job; pods: readonly Pod[] };
  /** An older unfinished run of the same schedule, which goes first. */
  ahead: string | undefined;
  /** A newer unfinished run of the same schedule. */
  behind: string | undefined;
  /** Whether the concurrency limit has room for this run. */
  slot: { granted: true } | { granted: false; message: string };
  /** Where the run must go. Observed only for a run that may start. */
  placement: PlacementResult | undefined;
  /** Why the run does not start, from the Events. Observed only where nothing else says why. */
  warning: Cause | undefined;
}

async function podsOfJob({ metadata }: Job, { pods }: Resources): Promise<Pod[]> {
  const labelSelector = `batch.kubernetes.io/controller-uid=${metadata.uid}`;
  return (await pods.list(metadata.namespace, { labelSelector })).items.map(trimPod);
}

async function observeJob(
  backup: KmBackup,
  view: Cache,
  resources: Resources,
): Promise<ObservedBackup['job']> {
  const job = view.jobOf(backup);
  if (job) {
    const pods = view.podsOf(job);
    // The watch of pods can lag behind the watch of Jobs: only the API server can say that no pod reported.
    if (isFinished(backup) || !lacksReport(job, pods)) return { state: 'exists', job, pods };
    return { state: 'exists', job, pods: await podsOfJob(job, resources) };
  }
  const known = view.recordedJobOf(backup);
  if (known === undefined || isFinished(backup)) return { state: 'none' };
  // The cache can lag behind: only the API server can say that a Job is gone.
  try {
    const found = await resources.jobs.get(backup.metadata.namespace, known.name);
    if (found.metadata.uid === known.uid)
      return { state: 'exists', job: trimJob(found), pods: await podsOfJob(found, resources) };
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
  return { state: 'gone', job: known };
}

/** First come, first served, but a run with a Job goes before runs without one. */
function queueOf(backup: KmBackup, view: Cache): { ahead: string | undefined; behind: string | undefined } {
  const order = (run: KmBackup) =>
    `${view.jobOf(run) ? 0 : 1} ${run.metadata.creationTimestamp} ${run.metadata.name}`;
  const mine = order(backup);
  const others = view
    .unfinishedRunsOf(scheduleKey(backup))
    .filter(
      (run) =>
        run.metadata.uid !== backup.metadata.uid &&
        !run.metadata.deletionTimestamp &&
        run.spec.archiveName === undefined,
    );
  return {
    ahead: others.find((run) => order(run) < mine)?.metadata.name,
    behind: others.find((run) => order(run) > mine)?.metadata.name,
  };
}

/**
 * Read from the API server's cache, at a fraction of the cost, because the fields read here never change. A claim that
 * this cache does not know may be new.
 */
async function claimOf(
  namespace: string,
  name: string,
  { claims }: Resources,
): Promise<PersistentVolumeClaim> {
  try {
    return await claims.get(namespace, name, { resourceVersion: '0' });
  } catch (error) {
    if (!isNotFound(error)) throw error;
    return claims.get(namespace, name);
  }
}

/** Asks the API server once for each run, so that the operator need not watch every pod of the cluster. */
async function observePlacement(
  namespace: string,
  spec: KmBackupScheduleSpec,
  resources: Resources,
  podsOnNodes: PodsOnNodes,
): Promise<PlacementResult> {
  const names = [...new Set([spec.source.persistentVolumeClaim.claimName, destinationOf(spec).claimName])];
  const claims: PersistentVolumeClaim[] = [];
  for (const name of names) {
    try {
      claims.push(await claimOf(namespace, name, resources));
    } catch (error) {
      if (!isNotFound(error)) throw error;
      return {
        ok: false,
        reason: 'ClaimNotFound',
        message: `There is no PersistentVolumeClaim ${name} in namespace ${namespace}. Create it, or name another in the schedule.`,
      };
    }
  }
  const singleNode = claims.some((claim) => !claim.spec.accessModes?.some((mode) => mode.endsWith('Many')));
  if (!singleNode) return placementFor(claims, []);
  return placementFor(claims, await podsOnNodes(namespace));
}

async function observeSchedule(
  backup: KmBackup,
  view: Cache,
  resources: Resources,
): Promise<KmBackupSchedule | undefined> {
  const { namespace } = backup.metadata;
  const { scheduleName } = backup.spec;
  const seen = view.schedules.get(`${namespace}/${scheduleName}`);
  if (seen || isFinished(backup)) return seen;
  // The cache can lag behind: only the API server can say that there is none.
  try {
    return await resources.schedules.get(namespace, scheduleName);
  } catch (error) {
    if (!isNotFound(error)) throw error;
    return undefined;
  }
}

/** Observes a run. Also takes its place under the concurrency limit, or gives it back once the run is over. */
export async function observeBackup(
  backup: KmBackup,
  view: Cache,
  resources: Resources,
  slots: ConcurrencyLimiter,
  podsOnNodes: PodsOnNodes,
  nowMs: number,
): Promise<ObservedBackup> {
  const { namespace, name } = backup.metadata;
  const key = `${namespace}/${name}`;
  const schedule = await observeSchedule(backup, view, resources);
  const job = await observeJob(backup, view, resources);
  const { ahead, behind } = queueOf(backup, view);

  let slot: ObservedBackup['slot'] = { granted: false, message: 'Waits for its turn.' };
  let placement: PlacementResult | undefined;
  if (isFinished(backup) || backup.metadata.deletionTimestamp || job.state === 'gone') {
    slots.release(key, namespace);
  } else if (job.state === 'exists') {
    slots.hold(key, namespace);
  } else if (schedule && ahead === undefined && backup.spec.archiveName === undefined) {
    slot = slots.request(key, namespace);
    if (slot.granted) placement = await observePlacement(namespace, schedule.spec, resources, podsOnNodes);
  }
  const warning =
    job.state === 'exists' && needsEvents(backup, outcomeOf(job.job, job.pods), nowMs)
      ? await newestWarning([job.job, ...job.pods], resources.events)
      : undefined;
  return { backup, schedule, job, ahead, behind, slot, placement, warning };
}
