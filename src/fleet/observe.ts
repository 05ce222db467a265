/** Reads what `why` explains from: the object, its run, Job, pods, Events and last words. */
import type { KmBackup } from '../api/backup.ts';
import { LABELS } from '../api/names.ts';
import type { KubeObject } from '../kube/object.ts';
import type { Job, Pod } from '../operator/workloads.ts';
import { overviewOfResources, type ScheduleOverview } from '../overview/index.ts';
import type { Cluster, Place } from './cluster.ts';
import { unlessDenied, unlessMissing } from './errors.ts';
import { type Subject, subjectOf } from './find.ts';
import { logOf } from './logs.ts';
import { type OperatorState, operatorState } from './operator-state.ts';

export interface KubeEvent extends KubeObject {
  readonly type?: string;
  readonly reason?: string;
  readonly note?: string;
  readonly eventTime?: string | null;
  readonly series?: { lastObservedTime?: string; count?: number };
  readonly deprecatedLastTimestamp?: string | null;
}

/** A Job with its pods, and what is said about them. */
export interface ObservedJob {
  /** Undefined if it was deleted, as finished Jobs are after a while. */
  readonly job?: Job | undefined;
  readonly pods: readonly Pod[];
  /** Newest first. */
  readonly events: readonly KubeEvent[];
  /** The last lines of the newest pod. */
  readonly log: readonly string[];
}

export interface ObservedRun extends ObservedJob {
  readonly backup: KmBackup;
}

export interface Observed {
  readonly subject: Subject;
  readonly nowMs: number;
  readonly operator: OperatorState;
  /** Of the object itself, newest first. */
  readonly events: readonly KubeEvent[];
  /** The run: of a schedule, the newest that is not skipped. */
  readonly run?: ObservedRun | undefined;
  /** The Job of a restore. */
  readonly job?: ObservedJob | undefined;
  /** What is known about a schedule, with what is wrong first. */
  readonly overview?: ScheduleOverview | undefined;
}

const LOG_LINES = 15;
const FEW_EVENTS = 8;

/** @throws {FleetError} when the namespace has nothing of that name. */
export async function observe(cluster: Cluster, place: Place): Promise<Observed> {
  const subject = await subjectOf(cluster, place);
  const [operator, events, rest] = await Promise.all([
    operatorState(cluster),
    eventsOf(cluster, [subject.object]),
    around(cluster, subject),
  ]);
  return { subject, nowMs: cluster.clock.now(), operator, events, ...rest };
}

async function around(cluster: Cluster, subject: Subject): Promise<Partial<Observed>> {
  const { resources } = cluster;
  const { namespace } = subject.object.metadata;
  switch (subject.kind) {
    case 'KmBackup': {
      return { run: await observedRun(cluster, subject.object) };
    }
    case 'KmBackupSchedule': {
      const schedule = subject.object;
      const { name } = schedule.metadata;
      const [runs, restores] = await Promise.all([
        unlessDenied(resources.backups.list(namespace, { fieldSelector: `spec.scheduleName=${name}` })),
        unlessDenied(resources.restores.list(namespace)),
      ]);
      const records = {
        schedules: [schedule],
        backups: runs === 'denied' ? [] : runs.items,
        restores: restores === 'denied' ? [] : restores.items,
      };
      const [overview] = overviewOfResources(records, cluster.clock.now()).schedules;
      const newest = records.backups.filter(counts).sort(newestFirst)[0];
      return { overview, ...(newest && { run: await observedRun(cluster, newest) }) };
    }
    case 'KmRestore': {
      const labelSelector = `${LABELS.restoreUid}=${subject.object.metadata.uid}`;
      const jobs = await unlessDenied(resources.jobs.list(namespace, { labelSelector }));
      const newest = jobs === 'denied' ? undefined : jobs.items.sort(newestFirst)[0];
      return newest ? { job: await observedJob(cluster, newest) } : {};
    }
  }
}

/** Whether it is a run, and one that did not find another at work. */
const counts = ({ spec, status }: KmBackup): boolean =>
  spec.archiveName === undefined && status?.phase !== 'Skipped';

async function observedRun(cluster: Cluster, backup: KmBackup): Promise<ObservedRun> {
  const { namespace } = backup.metadata;
  const { job: known } = backup.status ?? {};
  const job = known && (await unlessDenied(unlessMissing(cluster.resources.jobs.get(namespace, known.name))));
  const isOurs = job && job !== 'denied' && (known?.uid === undefined || job.metadata.uid === known.uid);
  return { backup, ...(isOurs ? await observedJob(cluster, job) : { pods: [], events: [], log: [] }) };
}

/** A Job with its pods, their Events and last words. */
export async function observedJob(cluster: Cluster, job: Job): Promise<ObservedJob> {
  const { namespace, uid } = job.metadata;
  const labelSelector = `batch.kubernetes.io/controller-uid=${uid}`;
  const list = await unlessDenied(cluster.resources.pods.list(namespace, { labelSelector }));
  const pods = list === 'denied' ? [] : list.items.sort(newestFirst);
  const [events, log] = await Promise.all([
    eventsOf(cluster, [job, ...pods]),
    pods[0] ? tail(cluster, pods[0]) : [],
  ]);
  return { job, pods, events, log };
}

async function tail(cluster: Cluster, { metadata, status }: Pod): Promise<string[]> {
  const started = status?.containerStatuses?.some(({ state }) => state?.running ?? state?.terminated);
  if (!started) return [];
  try {
    return await logOf(cluster, metadata, { tailLines: LOG_LINES });
  } catch {
    // The node may be gone, or the caller may lack the right: the rest of the explanation still helps.
    return [];
  }
}

async function eventsOf(
  { resources }: Cluster,
  objects: readonly { metadata: { namespace: string; uid: string } }[],
): Promise<KubeEvent[]> {
  const lists = await Promise.all(
    objects.map(({ metadata: { namespace, uid } }) =>
      unlessDenied(resources.events.list(namespace, { fieldSelector: `regarding.uid=${uid}` })),
    ),
  );
  return lists
    .flatMap((list) => (list === 'denied' ? [] : (list.items as KubeEvent[])))
    .sort((a, b) => lastSeen(b).localeCompare(lastSeen(a)))
    .slice(0, FEW_EVENTS);
}

/** When an Event was last seen: components of Kubernetes write one of four times. */
export function lastSeen({ metadata, eventTime, series, deprecatedLastTimestamp }: KubeEvent): string {
  return series?.lastObservedTime ?? deprecatedLastTimestamp ?? eventTime ?? metadata.creationTimestamp;
}

export function newestFirst(a: KubeObject, b: KubeObject): number {
  return b.metadata.creationTimestamp.localeCompare(a.metadata.creationTimestamp);
}
