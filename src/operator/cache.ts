import { isFinished, type KmBackup } from '../api/backup.ts';
import type { KmBackupSchedule } from '../api/backup-schedule.ts';
import type { ObjectMeta } from '../api/metadata.ts';
import { MANAGED_SELECTOR } from '../api/names.ts';
import type { Clock } from '../clock/index.ts';
import { type Change, type KubeLogger, Reflector, type ReflectorMetrics } from '../kube/reflector.ts';
import type { KubeObject, ResourceClient } from '../kube/resources.ts';
import { keyOf, Store } from '../kube/store.ts';
import { claimKeysOf } from './claims.ts';
import { backupPacking } from './packed-backup.ts';
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

function controllerOf(object: Job | Pod) {
  return object.metadata.ownerReferences?.find((owner) => owner.controller);
}

/** Of the schedule that a run names. */
export const scheduleKey = (backup: KmBackup) => `${backup.metadata.namespace}/${backup.spec.scheduleName}`;

/** Stands for every schedule; no key is empty. */
const ANY = '';

function withTrimmedMeta<T extends { metadata: ObjectMeta }>(object: T): T {
  return { ...object, metadata: trimmedMeta(object.metadata) };
}

type ChangeType = Change<KubeObject>['type'];

export interface ChangeHandlers {
  /** A schedule must be looked at. */
  schedule(key: string): void;
  /** Runs of the schedule with this key changed. */
  runs(key: string): void;
  /** The Job or a pod of the run with this key changed. */
  job(key: string): void;
  /** A run must be looked at. */
  backup(key: string): void;
}

export interface CacheOptions {
  resources: Resources;
  /** Empty: all namespaces. */
  namespaces: readonly string[];
  logger: KubeLogger;
  clock: Clock;
  metrics?: ReflectorMetrics;
}

/** What the operator sees of the cluster: of Jobs and pods only its own, and of each object only what it reads. */
export class Cache {
  readonly schedules: Store<KmBackupSchedule>;
  readonly backups: Store<KmBackup>;
  readonly jobs: Store<Job>;
  readonly pods: Store<Pod>;
  readonly claims: Store<PersistentVolumeClaim>;
  /** Jobs this process made, by the UID of their run, until that run's status tells of them. */
  readonly #made = new Map<string, JobReference>();
  readonly #reflectors: {
    kind: string;
    namespace: string | undefined;
    reflector: Pick<Reflector<KubeObject>, 'run' | 'synced' | 'expect'>;
  }[] = [];

  constructor(options: CacheOptions, handlers: ChangeHandlers) {
    this.schedules = new Store<KmBackupSchedule>({ claim: claimKeysOf });
    this.claims = new Store<PersistentVolumeClaim>();
    this.backups = new Store<KmBackup>(
      {
        schedule: (backup) => [scheduleKey(backup)],
        unfinished: (backup) => (isFinished(backup) ? [] : [ANY, scheduleKey(backup)]),
      },
      backupPacking,
    );
    this.jobs = new Store<Job>({
      uid: (job) => [job.metadata.uid],
      backup: (job) => [controllerOf(job)?.uid ?? ''],
    });
    this.pods = new Store<Pod>({ job: (pod) => [controllerOf(pod)?.uid ?? ''] });

    const { resources } = options;
    this.#watch(
      options,
      resources.schedules,
      this.schedules,
      (schedule, type) => {
        handlers.schedule(keyOf(schedule));
        // Its runs may have been created before it.
        if (type === 'added')
          for (const run of this.unfinishedRunsOf(keyOf(schedule))) handlers.backup(keyOf(run));
      },
      { transform: withTrimmedMeta },
    );
    const backupChanged = (backup: KmBackup, type: ChangeType) => {
      if (backup.status?.job?.uid !== undefined || isFinished(backup) || !this.backups.get(keyOf(backup)))
        this.#made.delete(backup.metadata.uid);
      // A run that is over when first seen asks for nothing; should its Job not be over, that is told by the Job.
      if (type !== 'added' || !isFinished(backup) || this.jobOf(backup)) handlers.backup(keyOf(backup));
      handlers.runs(scheduleKey(backup));
      // Runs of the same schedule wait for one another.
      for (const other of this.unfinishedRunsOf(scheduleKey(backup))) {
        if (other.metadata.uid !== backup.metadata.uid) handlers.backup(keyOf(other));
      }
    };
    this.#watch(options, resources.backups, this.backups, backupChanged, { transform: withTrimmedMeta });
    const jobChanged = (job: Job) => {
      const owner = controllerOf(job);
      if (owner?.kind === 'KmBackup') handlers.job(`${job.metadata.namespace}/${owner.name}`);
    };
    this.#watch(options, resources.jobs, this.jobs, jobChanged, {
      labelSelector: MANAGED_SELECTOR,
      transform: trimJob,
    });
    this.#watch(
      options,
      resources.pods,
      this.pods,
      (pod) => {
        for (const job of this.jobs.byIndex('uid', controllerOf(pod)?.uid ?? '')) jobChanged(job);
      },
      { labelSelector: MANAGED_SELECTOR, transform: trimPod },
    );
    const claimChanged = (claim: PersistentVolumeClaim, type: ChangeType) => {
      // What is read of a claim never changes.
      if (type !== 'updated')
        for (const schedule of this.schedules.byIndex('claim', keyOf(claim)))
          handlers.schedule(keyOf(schedule));
    };
    this.#watch(options, resources.claims, this.claims, claimChanged, { transform: trimClaim });
  }

  #watch<T extends KubeObject>(
    { namespaces, logger, clock, metrics }: CacheOptions,
    resource: ResourceClient<T>,
    store: Store<T>,
    changed: (object: T, type: ChangeType) => void,
    more: { labelSelector?: string; transform?: (object: T) => T } = {},
  ): void {
    for (const namespace of namespaces.length > 0 ? namespaces : [undefined]) {
      const onEvent = ({ object, type }: Change<T>) => changed(object, type);
      this.#reflectors.push({
        kind: resource.descriptor.kind,
        namespace,
        reflector: new Reflector<T>({ resource, store, namespace, logger, clock, metrics, onEvent, ...more }),
      });
    }
  }

  /** Keeps the view current until the signal; never fails. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#reflectors.map(({ reflector }) => reflector.run(signal)));
  }

  /** Resolves once every kind was listed. */
  async synced(): Promise<void> {
    await Promise.all(this.#reflectors.map(({ reflector }) => reflector.synced));
  }

  /** This process wrote an object, as it is now: a watch that does not tell of it is dead. */
  wrote(kind: string, { namespace, resourceVersion }: ObjectMeta): void {
    for (const one of this.#reflectors) {
      if (one.kind !== kind || (one.namespace !== undefined && one.namespace !== namespace)) continue;
      one.reflector.expect(resourceVersion);
    }
  }

  /** Takes in a run that this process made, which the watch tells later. */
  madeBackup(backup: KmBackup): void {
    this.wrote('KmBackup', backup.metadata);
    if (!this.backups.get(keyOf(backup))) this.backups.set(backup);
  }

  /** Takes in a Job that this process made, which the watch tells later. */
  madeJob(job: Job): void {
    this.wrote('Job', job.metadata);
    if (!this.jobs.get(keyOf(job))) this.jobs.set(trimJob(job));
    const { name, uid } = job.metadata;
    this.#made.set(controllerOf(job)?.uid ?? '', { name, uid });
  }

  /** Runs that name the schedule with this key. */
  runsOf(key: string): KmBackup[] {
    return this.backups.byIndex('schedule', key);
  }

  /** Those of them that are not over. */
  unfinishedRunsOf(key: string): KmBackup[] {
    return this.backups.byIndex('unfinished', key);
  }

  /** Every run that is not over. */
  unfinishedRuns(): KmBackup[] {
    return this.backups.byIndex('unfinished', ANY);
  }

  jobOf(backup: KmBackup): Job | undefined {
    return this.jobs.byIndex('backup', backup.metadata.uid)[0];
  }

  /** The Job that the run has had, whether or not it is still there, as far as anybody wrote it down. */
  recordedJobOf({ metadata, status }: KmBackup): JobReference | undefined {
    const { name, uid } = status?.job ?? {};
    return name !== undefined && uid !== undefined ? { name, uid } : this.#made.get(metadata.uid);
  }

  podsOf(job: Job): Pod[] {
    return this.pods.byIndex('job', job.metadata.uid);
  }
}
