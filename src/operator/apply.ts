import { isDeepStrictEqual } from 'node:util';
import type { KmBackup } from '../api/backup.ts';
import type { KmBackupSchedule } from '../api/backup-schedule.ts';
import type { BackupCopyStatus } from '../api/copy.ts';
import type { KmBackupLocation } from '../api/location.ts';
import { API_VERSION, FIELD_MANAGER, LABELS } from '../api/names.ts';
import type { KmRestore } from '../api/restore.ts';
import type { Clock } from '../clock/index.ts';
import { isAlreadyExists, isConflict, isNotFound, KubeError } from '../kube/errors.ts';
import type { EventDetails } from '../kube/events.ts';
import { controllerOf, type KubeObject } from '../kube/object.ts';
import type { ResourceClient } from '../kube/resources.ts';
import type { DeleteTarget, Store } from '../kube/store.ts';
import { withCondition } from './conditions.ts';
import { labelValue } from './naming.ts';
import type { Plan, Step } from './plan.ts';
import type { Resources } from './resources.ts';
import { isApproved, suspicionCondition } from './suspicions.ts';
import { toTime } from './time.ts';
import type { Job } from './workloads.ts';

/** Steps whose refusal only a person can resolve: a quota, an admission rule, a name that is taken. */
type RefusableStep = Extract<
  Step,
  { kind: 'createBackup' | 'createRestore' | 'createJob' | 'createClaim' | 'scale' | 'suspend' }
>;

/** The API server answered a step with a refusal. A request without an answer is a plain KubeError. */
export class StepRefusedError extends Error {
  override name = 'StepRefusedError';
  readonly step: RefusableStep;
  /** The API server's own: `Forbidden`, `Invalid`, `AlreadyExists`… */
  readonly reason: string;

  constructor(step: RefusableStep, reason: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.step = step;
    this.reason = reason;
  }
}

export interface Applier {
  /**
   * Carries out the steps in order. The first error ends the plan.
   * @throws {StepRefusedError} when the API server refuses to create an object, or to stop or start a workload.
   * @throws {KubeError} when any other write fails.
   */
  apply(plan: Plan): Promise<void>;
}

export interface ApplierOptions {
  resources: Resources;
  /** Where the answers to writes go. */
  stores: {
    schedules: Store<KmBackupSchedule>;
    backups: Store<KmBackup>;
    restores: Store<KmRestore>;
    locations: Store<KmBackupLocation>;
    jobs: Store<Job>;
  };
  clock: Clock;
  /** Writes an Event when there is time. */
  recordEvent: (event: EventDetails) => void;
  /** Throws when this process may no longer lead. Called before every write. */
  assertLeading: () => void;
}

/** Whether the object already says what would be written. */
function isDone(step: Step): boolean {
  if (step.kind === 'writeScheduleStatus') return isDeepStrictEqual(step.schedule.status, step.status);
  if (step.kind === 'writeBackupStatus') return isDeepStrictEqual(step.backup.status, step.status);
  if (step.kind === 'writeLocationStatus') return isDeepStrictEqual(step.location.status, step.status);
  if (step.kind === 'writeRestoreStatus') return isDeepStrictEqual(step.restore.status, step.status);
  return false;
}

/** The only writer of the operator. */
export function createApplier(options: ApplierOptions): Applier {
  const { resources, stores, clock, recordEvent, assertLeading } = options;

  /** The cache keeps only a part of finished runs, so the condition is set in what the API server has. */
  async function noteApproval({ target }: Extract<Step, { kind: 'noteApproval' }>): Promise<void> {
    const backup = await resources.backups.get(target.namespace, target.name);
    const [state] = suspicionCondition(backup.status ?? {}, isApproved(backup));
    const { conditions } = backup.status ?? {};
    const before = conditions?.find(({ type }) => type === state?.type);
    if (backup.metadata.uid !== target.uid || !state || before?.reason === state.reason) return;
    const next = withCondition(conditions, state, backup.metadata.generation, clock.now());
    await writeStatus(resources.backups, stores.backups, backup, { ...backup.status, conditions: next });
  }

  /** The `resourceVersion` makes the API server refuse, with 409, a decision that started from an old state. */
  async function writeStatus<
    T extends (KmBackup | KmBackupSchedule | KmRestore | KmBackupLocation) & KubeObject,
  >(resource: ResourceClient<T>, store: Store<T>, { kind, metadata }: T, status: T['status']): Promise<void> {
    const { name, namespace, uid, resourceVersion } = metadata;
    const object = {
      apiVersion: API_VERSION,
      kind,
      metadata: { name, namespace, uid, resourceVersion },
      status,
    };
    store.wrote(await resource.replaceStatus(namespace, name, object, FIELD_MANAGER));
  }

  /** The cache keeps only a part of a finished run: the whole of it is asked for. */
  async function writeBackupCopy({ backup, location, copy }: Extract<Step, { kind: 'writeBackupCopy' }>) {
    const { namespace, name, uid } = backup.metadata;
    const whole = await ignoreMissing(resources.backups.get(namespace, name));
    if (whole?.metadata.uid !== uid) return;
    const before: readonly BackupCopyStatus[] = whole.status?.copies ?? [];
    const others = before.filter((one) => one.location !== location);
    const known = before.find((one) => one.location === location);
    const copies = copy ? [...others, { ...known, ...copy }] : others;
    const { copies: _, ...rest } = whole.status ?? {};
    const status = copies.length > 0 ? { ...rest, copies } : rest;
    if (isDeepStrictEqual(before, copies)) stores.backups.wrote(whole);
    else await writeStatus(resources.backups, stores.backups, whole, status);
  }

  /** Creates the object, or adopts the one of this name if `isOurs`: an earlier try may have created it. */
  async function createOrAdopt<T extends KubeObject>(
    step: RefusableStep,
    resource: ResourceClient<T>,
    store: Store<T>,
    object: { kind: string; metadata: { namespace: string; name: string } },
    isOurs: (present: T) => boolean,
  ): Promise<void> {
    const { namespace, name } = object.metadata;
    try {
      store.wrote(await resource.create(namespace, object));
    } catch (error) {
      if (!isAlreadyExists(error)) throw asRefusal(step, error);
      const present = await resource.get(namespace, name);
      if (!isOurs(present)) {
        const message = `${object.kind} ${namespace}/${name} exists and does not belong to ${ownerOf(step)}. Delete or rename it.`;
        throw new StepRefusedError(step, 'AlreadyExists', message, { cause: error });
      }
      store.wrote(present);
    }
  }

  async function deleteAsSeen<T extends KubeObject>(
    resource: ResourceClient<T>,
    store: Store<T>,
    target: DeleteTarget,
  ): Promise<void> {
    const { namespace, name, uid, resourceVersion } = target;
    const preconditions = { uid, resourceVersion };
    try {
      await resource.delete(namespace, name, { preconditions, propagationPolicy: 'Background' });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    store.wroteDeletion(target, toTime(clock.now()));
  }

  async function setFinalizer({ restore, finalizer, present }: Extract<Step, { kind: 'setFinalizer' }>) {
    const { namespace, name, uid, resourceVersion, finalizers = [] } = restore.metadata;
    const others = finalizers.filter((one) => one !== finalizer);
    const metadata = { uid, resourceVersion, finalizers: present ? [...others, finalizer] : others };
    const written = await ignoreMissing(resources.restores.mergePatch(namespace, name, { metadata }));
    if (written && !written.metadata.deletionTimestamp) stores.restores.wrote(written);
  }

  /** The claim of a restore: known again by its label, so that only ours is ever adopted or deleted. */
  async function createClaim(step: Extract<Step, { kind: 'createClaim' }>): Promise<void> {
    const { restore, claim } = step;
    const { namespace, name, uid } = restore.metadata;
    const { storageClassName, accessModes, size } = claim;
    const object = {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: {
        name: claim.name,
        namespace,
        labels: {
          [LABELS.managedBy]: FIELD_MANAGER,
          [LABELS.restore]: labelValue(name),
          [LABELS.restoreUid]: uid,
        },
      },
      spec: {
        accessModes,
        ...(storageClassName !== undefined && { storageClassName }),
        resources: { requests: { storage: size } },
      },
    };
    try {
      await resources.claims.create(namespace, object);
    } catch (error) {
      // The next look tells whose it is.
      if (!isAlreadyExists(error)) throw asRefusal(step, error);
    }
  }

  /** A workload that is gone, or another one of its name (409), is left alone. */
  async function patchWorkload(
    step: Extract<Step, { kind: 'scale' | 'suspend' }>,
    spec: { replicas?: number; suspend?: boolean },
    subresource?: 'scale',
  ): Promise<void> {
    const { namespace, kind, name, uid, resourceVersion } = step.target;
    const client = resources.workloads[kind];
    if (!client) throw new Error(`no client for ${kind}`);
    const body = { metadata: { uid, resourceVersion }, spec };
    try {
      await ignoreMissing(client.mergePatch(namespace, name, body, subresource));
    } catch (error) {
      throw isConflict(error) ? error : asRefusal(step, error);
    }
  }

  async function run(step: Step): Promise<void> {
    switch (step.kind) {
      case 'writeScheduleStatus':
        return writeStatus(resources.schedules, stores.schedules, step.schedule, step.status);
      case 'writeBackupStatus':
        return writeStatus(resources.backups, stores.backups, step.backup, step.status);
      case 'writeLocationStatus':
        return writeStatus(resources.locations, stores.locations, step.location, step.status);
      case 'writeBackupCopy':
        return writeBackupCopy(step);
      case 'writeRestoreStatus':
        return writeStatus(resources.restores, stores.restores, step.restore, step.status);
      case 'createBackup': {
        const backup = { apiVersion: API_VERSION, kind: 'KmBackup', ...step.backup };
        return createOrAdopt(
          step,
          resources.backups,
          stores.backups,
          backup,
          ({ metadata }) => metadata.labels?.[LABELS.scheduleUid] === step.scheduleUid,
        );
      }
      case 'createRestore': {
        const restore = { apiVersion: API_VERSION, kind: 'KmRestore', ...step.restore };
        return createOrAdopt(
          step,
          resources.restores,
          stores.restores,
          restore,
          (present) => controllerOf(present)?.uid === step.scheduleUid,
        );
      }
      case 'createJob': {
        const job = { apiVersion: 'batch/v1', kind: 'Job', ...step.job };
        return createOrAdopt(
          step,
          resources.jobs,
          stores.jobs,
          job,
          (present) => controllerOf(present)?.uid === step.owner.metadata.uid,
        );
      }
      case 'labelBackup': {
        const { namespace, name, uid } = step.backup.metadata;
        const patch = { metadata: { uid, labels: step.labels } };
        stores.backups.wrote(await resources.backups.mergePatch(namespace, name, patch));
        return;
      }
      case 'noteApproval':
        return noteApproval(step);
      case 'deleteBackup':
        return deleteAsSeen(resources.backups, stores.backups, step.target);
      case 'deleteJob':
        return deleteAsSeen(resources.jobs, stores.jobs, step.target);
      case 'deleteRestore':
        return deleteAsSeen(resources.restores, stores.restores, step.target);
      case 'setFinalizer':
        return setFinalizer(step);
      case 'createClaim':
        return createClaim(step);
      case 'deleteClaim': {
        const { namespace, name, uid, resourceVersion } = step.target;
        return ignoreMissing(
          resources.claims.delete(namespace, name, { preconditions: { uid, resourceVersion } }),
        );
      }
      case 'scale':
        return patchWorkload(step, { replicas: step.replicas }, 'scale');
      case 'suspend':
        return patchWorkload(step, { suspend: step.suspend });
      case 'recordEvent': {
        const { kind, apiVersion, metadata } = step.regarding;
        const { namespace, name, uid } = metadata;
        return recordEvent({ regarding: { apiVersion, kind, namespace, name, uid }, ...step.event });
      }
    }
  }

  return {
    async apply(plan) {
      for (const step of plan.steps) {
        if (isDone(step)) continue;
        assertLeading();
        await run(step);
      }
    },
  };
}

async function ignoreMissing<T>(request: Promise<T>): Promise<T | undefined> {
  try {
    return await request;
  } catch (error) {
    if (!isNotFound(error)) throw error;
    return undefined;
  }
}

function ownerOf(step: RefusableStep): string {
  return step.kind === 'createJob' ? `${step.owner.kind} ${step.owner.metadata.name}` : 'this schedule';
}

function asRefusal(step: RefusableStep, error: unknown): unknown {
  if (!(error instanceof KubeError) || error.status === 0) return error;
  return new StepRefusedError(step, error.reason, error.message, { cause: error });
}
