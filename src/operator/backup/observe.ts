import type { KmBackup } from '../../api/backup.ts';
import type { KmBackupSchedule, KmBackupScheduleSpec, SourceIdentity } from '../../api/backup-schedule.ts';
import { isFinished, targetClaimName } from '../../api/finished.ts';
import { claimNamesOf } from '../../api/schedule-claims.ts';
import { isNotFound } from '../../kube/errors.ts';
import { type Cache, scheduleKey } from '../cache.ts';
import { claimProblem } from '../claims.ts';
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
import { sourceIdentity } from './identity.ts';
import { lacksReport, outcomeOf } from './outcome.ts';
import { type PlacementResult, placementFor } from './placement.ts';
import type { PodsOnNodes } from './pods-on-nodes.ts';
import { needsEvents } from './waits.ts';

/** Everything that `decideBackup` reads. */
export interface ObservedBackup {
  backup: KmBackup;
  /** Undefined if the schedule does not exist. */
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
  /** An unfinished KmRestore of a claim that this run uses. */
  restoring: string | undefined;
  /** A newer unfinished run of the same schedule. */
  behind: string | undefined;
  /** Whether the concurrency limit has room for this run. */
  slot: { granted: true } | { granted: false; message: string };
  /** Where the run must go. Observed only for a run that may start. */
  placement: PlacementResult | undefined;
  /** The security context of the pod that mounts the source, or of the last that did. Observed with the placement. */
  source: SourceIdentity | undefined;
  /** Why the run does not start, from the Events. Observed only if nothing else says why. */
  warning: Cause | undefined;
}

export async function podsOfJob({ metadata }: Job, { pods }: Resources): Promise<Pod[]> {
  const labelSelector = `batch.kubernetes.io/controller-uid=${metadata.uid}`;
  return (await pods.list(metadata.namespace, { labelSelector })).items.map(trimPod);
}

async function observeJob(
  backup: KmBackup,
  cache: Cache,
  resources: Resources,
): Promise<ObservedBackup['job']> {
  const job = cache.jobOf(backup);
  if (job) {
    const pods = cache.podsOf(job);
    // The watch of pods can lag behind the watch of Jobs: only the API server can say that no pod reported.
    if (isFinished(backup) || !lacksReport(job, pods)) return { state: 'exists', job, pods };
    return { state: 'exists', job, pods: await podsOfJob(job, resources) };
  }
  const known = cache.recordedJobOf(backup);
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
/** The claim that is being restored must not be read, nor written, meanwhile. */
function restoreOf({ metadata, spec }: KmBackupSchedule, cache: Cache): string | undefined {
  const claims = claimNamesOf(spec);
  return cache
    .unfinishedRestoresOf(metadata.namespace)
    .find((restore) => claims.includes(targetClaimName(restore) ?? ''))?.metadata.name;
}

function queueOf(backup: KmBackup, cache: Cache): { ahead: string | undefined; behind: string | undefined } {
  const order = (run: KmBackup) =>
    `${cache.jobOf(run) ? 0 : 1} ${run.metadata.creationTimestamp} ${run.metadata.name}`;
  const mine = order(backup);
  const others = cache
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

/** Asks the API server if the cache has no such claim: the cache can lag behind. */
export async function claimOf(
  namespace: string,
  name: string,
  cache: Cache,
  { claims }: Resources,
): Promise<PersistentVolumeClaim | undefined> {
  const seen = cache.claims.get(`${namespace}/${name}`);
  if (seen) return seen;
  try {
    return await claims.get(namespace, name);
  } catch (error) {
    if (!isNotFound(error)) throw error;
    return undefined;
  }
}

/** Asks the API server once for each run, so that the operator need not watch every pod of the cluster. */
async function observePlacement(
  namespace: string,
  spec: KmBackupScheduleSpec,
  cache: Cache,
  resources: Resources,
  podsOnNodes: PodsOnNodes,
): Promise<PlacementResult & { source?: SourceIdentity | undefined }> {
  const claims: PersistentVolumeClaim[] = [];
  for (const name of claimNamesOf(spec)) {
    const claim = await claimOf(namespace, name, cache, resources);
    const problem = claimProblem(namespace, name, claim);
    if (problem) return { ok: false, ...problem };
    if (claim) claims.push(claim);
  }
  const pods = await podsOnNodes(namespace);
  return {
    ...placementFor(claims, pods),
    source: sourceIdentity(spec.source.persistentVolumeClaim.claimName, pods),
  };
}

/** The identity of an earlier run's source, unless the schedule names another claim since. */
function rememberedSource({ spec, status }: KmBackupSchedule): SourceIdentity | undefined {
  const { sourceIdentity: remembered } = status ?? {};
  return remembered?.claimName === spec.source.persistentVolumeClaim.claimName ? remembered : undefined;
}

async function observeSchedule(
  backup: KmBackup,
  cache: Cache,
  resources: Resources,
): Promise<KmBackupSchedule | undefined> {
  const { namespace } = backup.metadata;
  const { scheduleName } = backup.spec;
  const seen = cache.schedules.get(`${namespace}/${scheduleName}`);
  // Of a finished run only the Job is left to decide on.
  if (seen || (isFinished(backup) && !cache.jobOf(backup))) return seen;
  // The cache can lag behind: only the API server can say that there is none.
  try {
    return await resources.schedules.get(namespace, scheduleName);
  } catch (error) {
    if (!isNotFound(error)) throw error;
    return undefined;
  }
}

/** Observes a run. Also counts it toward the concurrency limit, or no longer once it is over. */
export async function observeBackup(
  backup: KmBackup,
  cache: Cache,
  resources: Resources,
  limiter: ConcurrencyLimiter,
  podsOnNodes: PodsOnNodes,
  nowMs: number,
): Promise<ObservedBackup> {
  const { namespace, name } = backup.metadata;
  const key = `${namespace}/${name}`;
  const schedule = await observeSchedule(backup, cache, resources);
  const job = await observeJob(backup, cache, resources);
  const { ahead, behind } = queueOf(backup, cache);
  const restoring = schedule && restoreOf(schedule, cache);

  let slot: ObservedBackup['slot'] = { granted: false, message: 'Waits for its turn.' };
  let placement: PlacementResult | undefined;
  let source: SourceIdentity | undefined;
  if (isFinished(backup) || backup.metadata.deletionTimestamp || job.state === 'gone') {
    limiter.release(key, namespace);
  } else if (job.state === 'exists') {
    limiter.hold(key, namespace);
  } else if (
    schedule &&
    ahead === undefined &&
    restoring === undefined &&
    backup.spec.archiveName === undefined
  ) {
    slot = limiter.request(key, namespace);
    if (slot.granted) {
      try {
        const { source: live, ...found } = await observePlacement(
          namespace,
          schedule.spec,
          cache,
          resources,
          podsOnNodes,
        );
        placement = found;
        source = live ?? rememberedSource(schedule);
      } catch (error) {
        limiter.release(key, namespace);
        throw error;
      }
    }
  } else {
    // A run that waits for another must not take up the concurrency that the other one needs.
    limiter.release(key, namespace);
  }
  const warning =
    job.state === 'exists' && needsEvents(backup, outcomeOf(job.job, job.pods), nowMs)
      ? await newestWarning([job.job, ...job.pods], resources.events)
      : undefined;
  return { backup, schedule, job, ahead, restoring, behind, slot, placement, source, warning };
}
