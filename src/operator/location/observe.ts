/** Reads everything that decisions on locations and copies may look at. */

import type { KmBackupSchedule, SourceIdentity } from '../../api/backup-schedule.ts';
import { isFinished, targetClaimName } from '../../api/finished.ts';
import type { KmBackupLocation } from '../../api/location.ts';
import { CheckResult, CopyResult } from '../../api/location-result.ts';
import { ANNOTATIONS, LABELS } from '../../api/names.ts';
import type { ConditionReason } from '../../api/reasons.ts';
import { destinationOf } from '../../api/schedule-claims.ts';
import { isNotFound } from '../../kube/errors.ts';
import { keyOf } from '../../kube/object.ts';
import { sourceIdentity } from '../backup/identity.ts';
import { claimOf, podsOfJob } from '../backup/observe.ts';
import { lacksReport } from '../backup/outcome.ts';
import { type PlacementResult, placementFor } from '../backup/placement.ts';
import type { PodsOnNodes } from '../backup/pods-on-nodes.ts';
import { byCompletion } from '../backupschedule/inventory.ts';
import type { Cache } from '../cache.ts';
import { claimProblem } from '../claims.ts';
import type { ConcurrencyLimiter } from '../concurrency-limiter.ts';
import type { FinishedRun } from '../finished-run.ts';
import type { Resources } from '../resources.ts';
import {
  destinationText,
  type Job,
  type JobReference,
  type PersistentVolumeClaim,
  trimJob,
} from '../workloads.ts';
import { claimOfLocation } from './access.ts';
import { dueCopy, nameOfLocation, type ObservedCopies, type ObservedCopy } from './copies.ts';
import { nextCheckMs, type ObservedLocation } from './decide-location.ts';
import { type LocationJobState, stateOfLocationJob } from './job-state.ts';
import { CHECK, COPY } from './jobs.ts';

export interface Observing {
  readonly cache: Cache;
  readonly resources: Resources;
  readonly podsOnNodes: PodsOnNodes;
  readonly nowMs: number;
}

const attemptOf = ({ metadata }: Job) => Number(metadata.annotations?.[ANNOTATIONS.attempt] ?? 0);

/** Jobs of one owner, latest first. */
function jobsOf(uid: string, component: string, { cache }: Observing): Job[] {
  return cache
    .jobsOwnedBy(uid)
    .filter(({ metadata }) => metadata.labels?.[LABELS.component] === component)
    .sort((a, b) => attemptOf(b) - attemptOf(a));
}

/** @param recorded The Job that the status names. */
async function stateOf<R extends CheckResult | CopyResult>(
  namespace: string,
  job: Job | undefined,
  recorded: { name: string; uid?: string | undefined } | undefined,
  schema: { safeParse(value: unknown): { data?: R | undefined } },
  silent: ConditionReason,
  { cache, resources }: Observing,
): Promise<LocationJobState<R>> {
  if (job) {
    const known = cache.podsOf(job);
    // The watch of pods can lag behind the watch of Jobs: only the API server can say that no pod reported.
    const pods = lacksReport(job, known) ? await podsOfJob(job, resources) : known;
    return stateOfLocationJob(job, pods, schema, silent);
  }
  if (recorded?.uid === undefined) return { state: 'none' };
  const reference: JobReference = { name: recorded.name, uid: recorded.uid };
  try {
    const found = await resources.jobs.get(namespace, reference.name);
    if (found.metadata.uid === reference.uid)
      return stateOfLocationJob(trimJob(found), await podsOfJob(found, resources), schema, silent);
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
  return { state: 'gone', job: reference };
}

/** Where a Job with these claims must run, and the pods that say so. */
async function placementOf(
  namespace: string,
  claimNames: readonly (string | undefined)[],
  observing: Observing,
): Promise<{ placement: PlacementResult; pods: Awaited<ReturnType<PodsOnNodes>> }> {
  const claims: PersistentVolumeClaim[] = [];
  for (const name of new Set(claimNames)) {
    if (name === undefined) continue;
    const claim = await claimOf(namespace, name, observing.cache, observing.resources);
    const problem = claimProblem(namespace, name, claim);
    if (problem) return { placement: { ok: false, ...problem }, pods: [] };
    if (claim) claims.push(claim);
  }
  const pods = claims.length > 0 ? await observing.podsOnNodes(namespace) : [];
  return { placement: placementFor(claims, pods), pods };
}

/** Reasons of a copy that say more about the location than about the copy. */
const OF_LOCATION: ReadonlySet<string> = new Set([
  'LocationUnavailable',
  'LocationDenied',
  'LocationUnsuitable',
]);

const latest = (times: readonly (string | undefined)[]): string | undefined =>
  times
    .filter((time) => time !== undefined)
    .sort()
    .at(-1);

export async function observeLocation(
  location: KmBackupLocation,
  observing: Observing,
): Promise<ObservedLocation> {
  const { namespace, name, uid } = location.metadata;
  const { status } = location;
  const jobs = jobsOf(uid, CHECK, observing);
  const current = jobs.find((job) => attemptOf(job) === (status?.checks ?? 0) + 1);
  const copies = observing.cache
    .schedulesWithLocation(keyOf(location))
    .flatMap((schedule) => schedule.status?.copies?.filter((copy) => copy.location === name) ?? []);
  const observed = {
    location,
    check: await stateOf(namespace, current, status?.job, CheckResult, 'NoCheckReported', observing),
    earlier: jobs.filter((job) => job !== current),
    lastCopyTime: latest([status?.lastCopyTime, ...copies.map((copy) => copy.lastSuccessfulTime)]),
    lastCopyFailure: latest(
      copies.flatMap(({ reason, lastFailureTime }) => (OF_LOCATION.has(reason ?? '') ? lastFailureTime : [])),
    ),
  };
  const isDue = observed.check.state === 'none' && observing.nowMs >= nextCheckMs(observed);
  const placement = isDue
    ? (await placementOf(namespace, [claimOfLocation(location)], observing)).placement
    : undefined;
  return { ...observed, placement };
}

function archivesOf(schedule: KmBackupSchedule, { cache, nowMs }: Observing): FinishedRun[] {
  const here = destinationText(destinationOf(schedule.spec));
  return cache
    .runsOf(keyOf(schedule))
    .filter(isFinished)
    .filter(({ status }) => status?.archive && destinationText(status.archive) === here)
    .sort(byCompletion(nowMs));
}

function rememberedSource({ spec, status }: KmBackupSchedule): SourceIdentity | undefined {
  const remembered = status?.sourceIdentity;
  return remembered?.claimName === spec.source.persistentVolumeClaim.claimName ? remembered : undefined;
}

/** Undefined for a schedule without copies. Also counts its copy toward the concurrency limit. */
export async function observeCopies(
  schedule: KmBackupSchedule,
  limiter: ConcurrencyLimiter,
  observing: Observing,
): Promise<ObservedCopies | undefined> {
  const { cache, nowMs } = observing;
  const { namespace, uid } = schedule.metadata;
  const key = keyOf(schedule);
  const wanted = schedule.spec.copies ?? [];
  const jobs = jobsOf(uid, COPY, observing);
  if (wanted.length === 0 && jobs.length === 0 && !schedule.status?.copies?.length) {
    limiter.release(key, namespace);
    return undefined;
  }
  const currents = new Set<Job>();
  const copies: ObservedCopy[] = [];
  for (const spec of wanted) {
    const { name } = spec.locationRef;
    const before = schedule.status?.copies?.find((copy) => copy.location === name);
    const current = jobs.find(
      (job) => nameOfLocation(job) === name && attemptOf(job) === (before?.attempts ?? 0) + 1,
    );
    if (current) currents.add(current);
    const job = await stateOf(namespace, current, before?.job, CopyResult, 'NoCopyReported', observing);
    copies.push({ spec, before, location: cache.locations.get(`${namespace}/${name}`), job });
  }
  const destination = destinationOf(schedule.spec).claimName;
  const observed = {
    schedule,
    copies,
    archives: archivesOf(schedule, observing),
    restoring: cache
      .unfinishedRestoresOf(namespace)
      .find((restore) => targetClaimName(restore) === destination)?.metadata.name,
    earlier: jobs.filter((job) => !currents.has(job)),
  };
  const due = dueCopy(observed, nowMs);
  if (!due) {
    if (copies.some(({ job }) => job.state === 'active')) limiter.hold(key, namespace);
    else limiter.release(key, namespace);
    return { ...observed, start: undefined };
  }
  const slot = limiter.request(key, namespace);
  if (!slot.granted) return { ...observed, start: { slot, placement: undefined, source: undefined } };
  try {
    const claims = [destination, claimOfLocation(due.location!)];
    const { placement, pods } = await placementOf(namespace, claims, observing);
    const source =
      sourceIdentity(schedule.spec.source.persistentVolumeClaim.claimName, pods) ??
      rememberedSource(schedule);
    return { ...observed, start: { slot, placement, source } };
  } catch (error) {
    limiter.release(key, namespace);
    throw error;
  }
}
