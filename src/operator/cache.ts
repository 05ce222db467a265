import type { KmBackup } from '../api/backup.ts';
import type { KmBackupSchedule } from '../api/backup-schedule.ts';
import { isFinished, isRestoreFinished, targetClaimName } from '../api/finished.ts';
import type { KmBackupLocation } from '../api/location.ts';
import type { ObjectMeta } from '../api/metadata.ts';
import { LABELS, MANAGED_SELECTOR } from '../api/names.ts';
import { isLive, type KmRestore } from '../api/restore.ts';
import { whole } from '../api/whole.ts';
import type { Clock } from '../clock/index.ts';
import { controllerOf, type KubeObject, keyOf } from '../kube/object.ts';
import { type KubeLogger, Reflector, type ReflectorMetrics } from '../kube/reflector.ts';
import type { ResourceClient } from '../kube/resources.ts';
import { type Change, Store } from '../kube/store.ts';
import { claimKeysOf } from './claims.ts';
import { finishedRunPacking, type Run } from './finished-run.ts';
import type { Resources } from './resources.ts';
import {
  type Job,
  type JobReference,
  type PersistentVolumeClaim,
  type Pod,
  trimClaim,
  trimJob,
  trimmedMeta,
  trimPod,
} from './workloads.ts';

/** Key of the schedule that a run names. */
export const scheduleKey = (backup: Run) => `${backup.metadata.namespace}/${backup.spec.scheduleName}`;

/** Index value of the runs of all schedules; no key is empty. */
const ANY = '';

function trimmed<T extends { kind: string; metadata: ObjectMeta }>(kind: T['kind']): (object: T) => T {
  return (object) => ({ ...whole(kind, object), metadata: trimmedMeta(object.metadata) });
}

const locationKeysOf = ({ metadata, spec }: KmBackupSchedule): string[] =>
  (spec.copies ?? []).map(({ locationRef }) => `${metadata.namespace}/${locationRef.name}`);

export interface ChangeHandlers {
  /** The schedule with this key changed. */
  schedule(key: string): void;
  /** Runs or drills of the schedule with this key changed. */
  runs(key: string): void;
  /** The Job or a pod of the run with this key changed. */
  job(key: string): void;
  /** The restore with this key changed, its Job did, or something that it waits for. */
  restore(key: string): void;
  /** The location with this key changed, or its Job, or a copy to it. */
  location(key: string): void;
  /** The run with this key changed, or another that it waits for. */
  backup(key: string): void;
  /** The run changed or was deleted. Finished ones are kept without the fields that only this needs. */
  run?(backup: KmBackup, type: Change<KmBackup>['type']): void;
}

export interface CacheOptions {
  resources: Resources;
  /** Empty: all namespaces. */
  namespaces: readonly string[];
  logger: KubeLogger;
  clock: Clock;
  metrics?: ReflectorMetrics;
}

/** What the operator knows of the cluster: only its own Jobs and pods, and only the fields that it reads. */
export class Cache {
  readonly schedules: Store<KmBackupSchedule>;
  readonly backups: Store<KmBackup>;
  readonly restores: Store<KmRestore>;
  readonly locations: Store<KmBackupLocation>;
  readonly jobs: Store<Job>;
  readonly pods: Store<Pod>;
  readonly claims: Store<PersistentVolumeClaim>;
  readonly #handlers: ChangeHandlers;
  /** Jobs that disappeared before their run's status named them, by the UID of the run: not to be created again. */
  readonly #lostJobs = new Map<string, JobReference>();
  readonly #reflectors: Pick<Reflector<KubeObject>, 'run' | 'synced'>[] = [];

  constructor(options: CacheOptions, handlers: ChangeHandlers) {
    this.#handlers = handlers;
    this.schedules = new Store<KmBackupSchedule>({
      indexers: { claim: claimKeysOf, location: locationKeysOf },
      trim: trimmed('KmBackupSchedule'),
      onChange: (change) => this.#scheduleChanged(change),
    });
    this.claims = new Store<PersistentVolumeClaim>({
      trim: trimClaim,
      onChange: (change) => this.#claimChanged(change),
    });
    this.backups = new Store<KmBackup>({
      indexers: {
        schedule: (backup) => [scheduleKey(backup)],
        unfinished: (backup) => (isFinished(backup) ? [] : [ANY, scheduleKey(backup)]),
      },
      packing: finishedRunPacking,
      trim: trimmed('KmBackup'),
      onChange: (change) => this.#backupChanged(change),
    });
    this.restores = new Store<KmRestore>({
      indexers: {
        keeps: (restore) =>
          restore.status?.oldState ? [`${restore.metadata.namespace}/${targetClaimName(restore)}`] : [],
        live: (restore) =>
          restore.status?.swapTime ? [`${restore.metadata.namespace}/${targetClaimName(restore)}`] : [],
        owner: (restore) => [controllerOf(restore)?.uid ?? ''],
        unfinished: (restore) => (isRestoreFinished(restore) ? [] : [restore.metadata.namespace]),
      },
      trim: trimmed('KmRestore'),
      onChange: (change) => this.#restoreChanged(change),
    });
    this.locations = new Store<KmBackupLocation>({
      trim: trimmed('KmBackupLocation'),
      onChange: (change) => this.#locationChanged(change),
    });
    this.jobs = new Store<Job>({
      indexers: {
        restore: ({ metadata }) => [metadata.labels?.[LABELS.restoreUid] ?? ''],
        uid: (job) => [job.metadata.uid],
        backup: (job) => [controllerOf(job)?.uid ?? ''],
      },
      trim: trimJob,
      onChange: (change) => this.#jobChanged(change),
    });
    this.pods = new Store<Pod>({
      indexers: { job: (pod) => [controllerOf(pod)?.uid ?? ''] },
      trim: trimPod,
      onChange: ({ object }) => this.#podChanged(object),
    });
    const { schedules, backups, restores, locations, jobs, pods, claims } = options.resources;
    this.#watch(options, schedules, this.schedules);
    this.#watch(options, backups, this.backups);
    this.#watch(options, restores, this.restores);
    this.#watch(options, locations, this.locations);
    this.#watch(options, jobs, this.jobs, MANAGED_SELECTOR);
    this.#watch(options, pods, this.pods, MANAGED_SELECTOR);
    this.#watch(options, claims, this.claims);
  }

  #scheduleChanged({ object: schedule, type }: Change<KmBackupSchedule>): void {
    this.#handlers.schedule(keyOf(schedule));
    for (const key of locationKeysOf(schedule)) this.#handlers.location(key);
    // Its runs may have been created before it.
    if (type === 'added')
      for (const run of this.unfinishedRunsOf(keyOf(schedule))) this.#handlers.backup(keyOf(run));
    // Nothing else cleans up the Jobs of its runs.
    if (type === 'deleted')
      for (const run of this.runsOf(keyOf(schedule))) if (this.jobOf(run)) this.#handlers.backup(keyOf(run));
  }

  #locationChanged({ object: location }: Change<KmBackupLocation>): void {
    this.#handlers.location(keyOf(location));
    for (const schedule of this.schedulesWithLocation(keyOf(location))) this.#handlers.runs(keyOf(schedule));
  }

  #backupChanged({ object: backup, type }: Change<KmBackup>): void {
    if (type === 'deleted' || isFinished(backup) || backup.status?.job?.uid !== undefined)
      this.#lostJobs.delete(backup.metadata.uid);
    // A run that is finished when first seen needs nothing. If its Job has not ended, the Job's change adds the key.
    if (type !== 'added' || !isFinished(backup) || this.jobOf(backup)) this.#handlers.backup(keyOf(backup));
    this.#handlers.run?.(backup, type);
    this.#handlers.runs(scheduleKey(backup));
    // Runs of the same schedule wait for one another.
    for (const other of this.unfinishedRunsOf(scheduleKey(backup))) {
      if (other.metadata.uid !== backup.metadata.uid) this.#handlers.backup(keyOf(other));
    }
  }

  #restoreChanged({ object: restore }: Change<KmRestore>): void {
    const { namespace } = restore.metadata;
    this.#handlers.restore(keyOf(restore));
    const owner = controllerOf(restore);
    if (owner?.kind === 'KmBackupSchedule') this.#handlers.runs(`${namespace}/${owner.name}`);
    // Others wait for it: restores of the same claim or with `after`, and backups of the claim.
    for (const other of this.unfinishedRestoresOf(namespace))
      if (other.metadata.uid !== restore.metadata.uid) this.#handlers.restore(keyOf(other));
    // Copies from that claim stop for it, and go on after it.
    for (const schedule of this.schedules.byIndex('claim', `${namespace}/${targetClaimName(restore)}`))
      if (schedule.spec.copies) this.#handlers.runs(keyOf(schedule));
    if (!isRestoreFinished(restore)) return;
    for (const backup of this.unfinishedRuns())
      if (backup.metadata.namespace === namespace) this.#handlers.backup(keyOf(backup));
  }

  #jobChanged({ object: job, type }: Change<Job>): void {
    const owner = controllerOf(job);
    if (owner?.kind === 'KmRestore') this.#handlers.restore(`${job.metadata.namespace}/${owner.name}`);
    if (owner?.kind === 'KmBackupLocation')
      this.#handlers.location(`${job.metadata.namespace}/${owner.name}`);
    if (owner?.kind === 'KmBackupSchedule') this.#handlers.runs(`${job.metadata.namespace}/${owner.name}`);
    if (owner?.kind !== 'KmBackup') return;
    const key = `${job.metadata.namespace}/${owner.name}`;
    if (type === 'deleted') {
      const backup = this.backups.get(key);
      const isNamed = backup?.status?.job?.uid !== undefined;
      if (backup?.metadata.uid === owner.uid && !isFinished(backup) && !isNamed)
        this.#lostJobs.set(owner.uid, { name: job.metadata.name, uid: job.metadata.uid });
    }
    this.#handlers.job(key);
  }

  #claimChanged({ object: claim, type }: Change<PersistentVolumeClaim>): void {
    // The fields of a claim that the operator reads never change.
    if (type === 'updated') return;
    for (const schedule of this.schedules.byIndex('claim', keyOf(claim)))
      this.#handlers.schedule(keyOf(schedule));
  }

  #podChanged(pod: Pod): void {
    for (const job of this.jobs.byIndex('uid', controllerOf(pod)?.uid ?? ''))
      this.#jobChanged({ object: job, type: 'updated' });
  }

  #watch<T extends KubeObject>(
    { namespaces, logger, clock, metrics }: CacheOptions,
    resource: ResourceClient<T>,
    store: Store<T>,
    labelSelector?: string,
  ): void {
    for (const namespace of namespaces.length > 0 ? namespaces : [undefined])
      this.#reflectors.push(
        new Reflector<T>({ resource, store, namespace, labelSelector, logger, clock, metrics }),
      );
  }

  /** Keeps the cache current until the signal; never fails. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#reflectors.map((reflector) => reflector.run(signal)));
  }

  /** Resolves once every kind was listed. */
  async synced(): Promise<void> {
    await Promise.all(this.#reflectors.map(({ synced }) => synced));
  }

  /** Runs that name the schedule with this key. */
  runsOf(key: string): Run[] {
    return this.backups.byIndex('schedule', key);
  }

  /** Unfinished runs that name the schedule with this key. */
  unfinishedRunsOf(key: string): KmBackup[] {
    return this.backups.byIndex('unfinished', key);
  }

  /** Unfinished runs of all schedules. */
  unfinishedRuns(): KmBackup[] {
    return this.backups.byIndex('unfinished', ANY);
  }

  jobOf(backup: Run): Job | undefined {
    return this.jobs.byIndex('backup', backup.metadata.uid)[0];
  }

  /** The Job that the run is known to have had. It may no longer exist. */
  recordedJobOf({ metadata, status }: KmBackup): JobReference | undefined {
    const { name, uid } = status?.job ?? {};
    return name !== undefined && uid !== undefined ? { name, uid } : this.#lostJobs.get(metadata.uid);
  }

  /** Unfinished restores of a namespace. */
  unfinishedRestoresOf(namespace: string): KmRestore[] {
    return this.restores.byIndex('unfinished', namespace);
  }

  /** The drills of the schedule with this UID. */
  restoresOwnedBy(scheduleUid: string): KmRestore[] {
    return this.restores.byIndex('owner', scheduleUid);
  }

  /** The last restore of the whole source of the schedule that is live. */
  restoreOver({ metadata, spec }: KmBackupSchedule): KmRestore | undefined {
    const { claimName, subPath } = spec.source.persistentVolumeClaim;
    return this.restores
      .byIndex('live', `${metadata.namespace}/${claimName}`)
      .filter(
        (restore) =>
          isLive(restore) &&
          !restore.spec.paths &&
          restore.spec.target.persistentVolumeClaim?.subPath === subPath,
      )
      .sort((a, b) => a.status!.swapTime!.localeCompare(b.status!.swapTime!))
      .at(-1);
  }

  /** A finished restore of the claim that still keeps the state from before it. */
  keeperOf(namespace: string, claimName: string): KmRestore | undefined {
    return this.restores
      .byIndex('keeps', `${namespace}/${claimName}`)
      .find((restore) => isRestoreFinished(restore));
  }

  /** Schedules that copy to the location with this key. */
  schedulesWithLocation(key: string): KmBackupSchedule[] {
    return this.schedules.byIndex('location', key);
  }

  /** Jobs whose controller has this UID. */
  jobsOwnedBy(uid: string): Job[] {
    return this.jobs.byIndex('backup', uid);
  }

  /** Schedules with a copy under way: key and namespace. */
  activeCopies(): [key: string, namespace: string][] {
    return this.jobs.list().flatMap((job): [string, string][] => {
      const owner = controllerOf(job);
      if (owner?.kind !== 'KmBackupSchedule' || job.status?.conditions?.length) return [];
      return [[`${job.metadata.namespace}/${owner.name}`, job.metadata.namespace]];
    });
  }

  jobsOfRestore(uid: string): Job[] {
    return this.jobs.byIndex('restore', uid);
  }

  podsOf(job: Job): Pod[] {
    return this.pods.byIndex('job', job.metadata.uid);
  }
}
