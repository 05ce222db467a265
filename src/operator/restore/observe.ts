/** Reads everything that `decideRestore` may look at. */

import type { KmBackup } from '../../api/backup.ts';
import { isFinished, isRestoreFinished, targetClaimName } from '../../api/finished.ts';
import type { KmBackupLocation } from '../../api/location.ts';
import { FIELD_MANAGER, LABELS } from '../../api/names.ts';
import type { KmRestore, RestoreIdentity } from '../../api/restore.ts';
import { isNotFound } from '../../kube/errors.ts';
import { newestWarning } from '../backup/events.ts';
import { sourceIdentity } from '../backup/identity.ts';
import { placementFor } from '../backup/placement.ts';
import { USUAL_START_MS } from '../backup/waits.ts';
import type { Cache } from '../cache.ts';
import type { Run } from '../finished-run.ts';
import { claimOfLocation } from '../location/access.ts';
import type { Resources } from '../resources.ts';
import { workloadKey } from '../steps/advance.ts';
import { namedWorkload, ownerOf, workloadNow } from '../steps/observe.ts';
import { probe } from '../steps/probe.ts';
import { annotatedDestination, type Job, type PersistentVolumeClaim, type Pod } from '../workloads.ts';
import { RESTORE_FINALIZER } from './decide.ts';
import { stateOfRestoreJob } from './job-state.ts';
import { ephemeralClaim } from './jobs.ts';
import type { ChainedStop, MountingPod, ObservedRestore, ProbeAnswer, RestoreJobState } from './observed.ts';
import { resolve } from './resolve.ts';

const ACTIVE_PODS = 'status.phase!=Succeeded,status.phase!=Failed';

async function claimOrNothing(
  namespace: string,
  name: string | undefined,
  { claims }: Resources,
): Promise<PersistentVolumeClaim | undefined> {
  if (name === undefined) return undefined;
  try {
    return await claims.get(namespace, name);
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

const mounts = (pod: Pod, claimName: string | undefined) =>
  claimName !== undefined &&
  (pod.spec.volumes ?? []).some(
    ({ persistentVolumeClaim }) => persistentVolumeClaim?.claimName === claimName,
  );

/** Of two unfinished restores of one claim, the older goes first. */
function aheadOf(restore: KmRestore, cache: Cache): string | undefined {
  const claim = targetClaimName(restore);
  if (claim === undefined) return undefined;
  const order = ({ metadata }: KmRestore) => `${metadata.creationTimestamp} ${metadata.name}`;
  return cache
    .unfinishedRestoresOf(restore.metadata.namespace)
    .find(
      (other) =>
        other.metadata.uid !== restore.metadata.uid &&
        targetClaimName(other) === claim &&
        order(other) < order(restore),
    )?.metadata.name;
}

/** What the restores before and after this one keep stopped. One that is finished holds nothing. */
function chainedStops(restore: KmRestore, cache: Cache): Map<string, ChainedStop> {
  const { name, namespace, uid } = restore.metadata;
  const all = cache.unfinishedRestoresOf(namespace).flatMap((other): ChainedStop[] => {
    if (other.metadata.uid === uid || !other.metadata.finalizers?.includes(RESTORE_FINALIZER)) return [];
    const earlier = restore.spec.after?.includes(other.metadata.name) === true;
    if (!earlier && !other.spec.after?.includes(name)) return [];
    const stopped = (other.status?.stopped ?? []).filter(({ restored }) => !restored);
    const turn = earlier ? 'earlier' : 'later';
    return stopped.map((workload) => ({ workload, by: other.metadata.name, turn }));
  });
  return new Map(all.map((one) => [workloadKey(one.workload), one]));
}

function runningBackupsOn(claim: string | undefined, namespace: string, cache: Cache): string[] {
  if (claim === undefined) return [];
  return cache
    .unfinishedRuns()
    .filter((backup) => backup.metadata.namespace === namespace && usesClaim(backup, claim, cache))
    .map(({ metadata }) => metadata.name);
}

function usesClaim(backup: KmBackup, claim: string, cache: Cache): boolean {
  const job = cache.jobOf(backup);
  if (!job || isFinished(backup)) return false;
  const schedule = cache.schedules.get(`${backup.metadata.namespace}/${backup.spec.scheduleName}`);
  const source = schedule?.spec.source.persistentVolumeClaim.claimName;
  return source === claim || annotatedDestination(job)?.claimName === claim;
}

/** The records among which the archive is chosen; none once it is pinned. */
async function backupsFor(restore: KmRestore, cache: Cache, { backups }: Resources): Promise<Run[]> {
  const { metadata, spec, status } = restore;
  if (status?.resolved || spec.source.location) return [];
  const { namespace } = metadata;
  const { backupName, scheduleName } = spec.source;
  const named = backupName === undefined ? undefined : cache.backups.get(`${namespace}/${backupName}`);
  const runs =
    scheduleName === undefined ? (named ? [named] : []) : cache.runsOf(`${namespace}/${scheduleName}`);
  const resolution = resolve(restore, runs, true);
  const chosen = resolution.state === 'resolved' ? resolution.resolved.backupName : undefined;
  if (chosen === undefined) return runs;
  // The cache keeps only what every decision reads of a finished run: the digests to pin are asked for once.
  try {
    return [await backups.get(namespace, chosen)];
  } catch (error) {
    if (isNotFound(error)) return runs.filter((run) => run.metadata.name !== chosen);
    throw error;
  }
}

/** What the source's schedule says, then what the pod that mounts the target says, then what the schedule remembers. */
function identityFor(
  { metadata, spec, status }: KmRestore,
  cache: Cache,
  pods: readonly Pod[],
): RestoreIdentity | undefined {
  const claimName = spec.target.persistentVolumeClaim?.claimName;
  const { backupName, scheduleName } = spec.source;
  const backup =
    backupName === undefined ? undefined : cache.backups.get(`${metadata.namespace}/${backupName}`);
  const schedule = cache.schedules.get(`${metadata.namespace}/${scheduleName ?? backup?.spec.scheduleName}`);
  if (status?.identity) return status.identity;
  const found =
    (claimName === undefined ? undefined : sourceIdentity(claimName, pods)) ??
    schedule?.status?.sourceIdentity;
  const { runAsUser, runAsGroup, fsGroup, supplementalGroups, elevated } = schedule?.spec.podTemplate ?? {};
  if (!found && runAsUser === undefined && fsGroup === undefined && !elevated) return undefined;
  return {
    claimName: claimName ?? '',
    pod: '',
    ...found,
    ...(runAsUser !== undefined && { runAsUser, runAsGroup: runAsGroup ?? runAsUser }),
    ...(fsGroup !== undefined && { fsGroup }),
    ...(supplementalGroups && { supplementalGroups }),
    ...(elevated && { elevated }),
  };
}

/** Everything that `decideRestore` reads. Asks the step's Service where one is under way. */
export async function observeRestore(
  restore: KmRestore,
  cache: Cache,
  resources: Resources,
  nowMs: number,
): Promise<ObservedRestore> {
  const { namespace } = restore.metadata;
  const { spec, status } = restore;
  const claimName = targetClaimName(restore);
  const location = await locationOf(restore, resources);
  const sourceName = status?.resolved?.archive.claimName ?? (location && claimOfLocation(location));
  const [sourceClaim, targetClaim] = await Promise.all([
    claimOrNothing(namespace, sourceName, resources),
    claimOrNothing(namespace, claimName, resources),
  ]);
  const needsPods = !isRestoreFinished(restore);
  const pods = needsPods ? (await resources.pods.list(namespace, { fieldSelector: ACTIVE_PODS })).items : [];
  const ours = (pod: Pod) => pod.metadata.labels?.[LABELS.restoreUid] === restore.metadata.uid;
  const mounting: MountingPod[] = [];
  for (const pod of pods.filter((candidate) => mounts(candidate, claimName) && !ours(candidate))) {
    const isOurs = pod.metadata.labels?.[LABELS.managedBy] === FIELD_MANAGER;
    const owner = isOurs ? ({ kind: 'operator' } as const) : await ownerOf(pod, resources.workloads);
    mounting.push({ name: pod.metadata.name, owner });
  }
  const scaled = [
    ...(spec.steps?.before ?? []),
    ...(spec.steps?.after ?? []),
    ...(spec.verify ?? []),
  ].flatMap(({ scale }) => scale ?? []);
  const workloads = new Map(
    await Promise.all(
      [...(status?.stopped ?? []), ...scaled].map(
        async (one) => [workloadKey(one), await workloadNow(one, namespace, resources.workloads)] as const,
      ),
    ),
  );
  const jobs = new Map(
    await Promise.all(
      cache.jobsOfRestore(restore.metadata.uid).map(async (job) => {
        const kind = job.metadata.labels?.[LABELS.component] ?? '';
        return [kind, await explained(restore, job, cache.podsOf(job), resources, nowMs)] as const;
      }),
    ),
  );
  const claims = [sourceClaim, targetClaim].filter((claim) => claim !== undefined);
  const others = pods.filter((pod) => !ours(pod));
  return {
    restore,
    backups: await backupsFor(restore, cache, resources),
    scheduleExists:
      spec.source.scheduleName !== undefined &&
      cache.schedules.get(`${namespace}/${spec.source.scheduleName}`) !== undefined,
    identity: identityFor(restore, cache, others),
    placement: placementFor(claims, others),
    location,
    missingSourceClaim: sourceClaim ? undefined : sourceName,
    targetClaim:
      claimName === undefined
        ? undefined
        : targetClaim
          ? {
              state: 'exists',
              ours: targetClaim.metadata.labels?.[LABELS.restoreUid] === restore.metadata.uid,
              target: targetClaim.metadata,
            }
          : { state: 'missing' },
    prerequisites: new Map(
      (spec.after ?? []).map((name) => [name, cache.restores.get(`${namespace}/${name}`)] as const),
    ),
    chained: chainedStops(restore, cache),
    ahead: aheadOf(restore, cache),
    keeper: claimName === undefined ? undefined : cache.keeperOf(namespace, claimName)?.metadata.name,
    runningBackups: runningBackupsOn(claimName, namespace, cache),
    jobs,
    mounting,
    named: await Promise.all(
      (spec.quiesce?.workloads ?? []).map((one) => namedWorkload(one, namespace, resources.workloads)),
    ),
    workloads,
    probe: await probeOf(restore, resources),
  };
}

/** Of the scheduler, which says the same in the condition of the pod. */
const KNOWN_OTHERWISE: ReadonlySet<string> = new Set(['FailedScheduling']);
/** Of the controllers that make volumes. */
const VOLUME_EVENTS: ReadonlySet<string> = new Set(['FailedBinding', 'ProvisioningFailed']);

/** With the newest Warning about a pod that does not start, such as a forbidden pod or a volume that cannot be mounted. */
async function explained(
  { spec }: KmRestore,
  job: Job,
  pods: readonly Pod[],
  resources: Resources,
  nowMs: number,
): Promise<RestoreJobState> {
  const state = stateOfRestoreJob(job, pods);
  if (state.state !== 'active' || !state.start) return state;
  const { target, startDeadlineSeconds } = spec;
  const { scratch } = target;
  // The scheduler says that the scratch volume is missing, not why.
  if (!state.start.unexplained && !scratch) return state;
  const neededAfterMs = Math.min(USUAL_START_MS, startDeadlineSeconds * 1000);
  if (nowMs < state.start.sinceMs + neededAfterMs) return state;
  const { namespace } = job.metadata;
  const volumes = await Promise.all(
    (scratch ? pods : []).map(({ metadata }) =>
      claimOrNothing(namespace, ephemeralClaim(metadata.name), resources),
    ),
  );
  const objects = [job, ...pods, ...volumes.filter((claim) => claim !== undefined)];
  const warning = await newestWarning(objects, resources.events, KNOWN_OTHERWISE);
  if (!warning) return state;
  const cause = VOLUME_EVENTS.has(warning.reason) ? ({ cause: 'VolumeNotMade' } as const) : {};
  return { ...state, message: `${state.message} ${warning.message}`, start: { ...state.start, ...cause } };
}

async function locationOf(
  { metadata, spec }: KmRestore,
  { locations }: Resources,
): Promise<KmBackupLocation | undefined> {
  const { name } = spec.source.location ?? {};
  if (name === undefined) return undefined;
  try {
    return await locations.get(metadata.namespace, name);
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

async function probeOf(
  { metadata, spec, status }: KmRestore,
  resources: Resources,
): Promise<ProbeAnswer | undefined> {
  const running = status?.steps?.find(({ phase }) => phase === 'Running')?.name;
  if (running === undefined) return undefined;
  const all = [...(spec.steps?.before ?? []), ...(spec.steps?.after ?? []), ...(spec.verify ?? [])];
  const http = all.find(({ name }) => name === running)?.http;
  return http && { step: running, ...(await probe(http, metadata.namespace, resources.services)) };
}
