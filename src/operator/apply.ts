import { isDeepStrictEqual } from 'node:util';
import type { KmBackup, KmBackupStatus } from '../api/backup.ts';
import type { KmBackupSchedule, KmBackupScheduleStatus } from '../api/backup-schedule.ts';
import { API_VERSION, FIELD_MANAGER, LABELS } from '../api/names.ts';
import { isAlreadyExists, isNotFound } from '../kube/errors.ts';
import type { EventDetails } from '../kube/events.ts';
import type { Doomed, NewJob, Plan, Step } from './plan.ts';
import type { Resources } from './resources.ts';
import type { Job } from './workloads.ts';

/** A name this operator needs is taken by an object that is not its own. */
export class NameTakenError extends Error {
  override name = 'NameTakenError';
}

export interface Applier {
  /** Carries out the steps in order; the first error ends the plan and is thrown. */
  apply(plan: Plan): Promise<void>;
}

export interface ApplierOptions {
  resources: Resources;
  /** Writes an Event when there is time. */
  recordEvent: (event: EventDetails) => void;
  /** Throws when this process may no longer lead; asked before every write. */
  assertLeading: () => void;
  /** Told of every object created. */
  onBackupMade?: (backup: KmBackup) => void;
  onJobMade?: (job: Job) => void;
  /** Told of every status written, as the API server then holds the object. */
  onWritten?: (kind: 'KmBackupSchedule' | 'KmBackup', object: KmBackup | KmBackupSchedule) => void;
}

/** Whether the object already says what would be written. */
function isDone(step: Step): boolean {
  if (step.kind === 'writeScheduleStatus') return isDeepStrictEqual(step.schedule.status, step.status);
  if (step.kind === 'writeBackupStatus') return isDeepStrictEqual(step.backup.status, step.status);
  return false;
}

/** So many deletions are remembered; each only until the watch tells of it. */
const REMEMBERED_DELETIONS = 1_000;

/** The only writer of the operator. */
export function createApplier({
  resources,
  recordEvent,
  assertLeading,
  onWritten: written = () => {},
  onBackupMade: backupMade = () => {},
  onJobMade: jobMade = () => {},
}: ApplierOptions): Applier {
  const { schedules, backups, jobs } = resources;

  /** The object's `resourceVersion` goes along, so that a decision on an outdated view is refused with 409. */
  function statusObject(
    kind: 'KmBackupSchedule' | 'KmBackup',
    object: KmBackup | KmBackupSchedule,
    status: KmBackupStatus | KmBackupScheduleStatus,
  ) {
    const { name, namespace, uid, resourceVersion } = object.metadata;
    return { apiVersion: API_VERSION, kind, metadata: { name, namespace, uid, resourceVersion }, status };
  }
  const deleted = new Set<string>();

  /** Once for what was seen: the watch may tell of it later than the next decision is made. */
  async function deleteAsSeen(resource: Resources['backups' | 'jobs'], target: Doomed): Promise<void> {
    const { namespace, name, uid, resourceVersion } = target;
    const seen = `${uid} ${resourceVersion}`;
    if (deleted.has(seen)) return;
    const preconditions = { uid, resourceVersion };
    try {
      await resource.delete(namespace, name, { preconditions, propagationPolicy: 'Background' });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    deleted.add(seen);
    const [oldest] = deleted;
    if (oldest !== undefined && deleted.size > REMEMBERED_DELETIONS) deleted.delete(oldest);
  }

  async function writeBackupStatus(backup: KmBackup, status: KmBackupStatus): Promise<void> {
    const { namespace, name } = backup.metadata;
    written(
      'KmBackup',
      await backups.replaceStatus(namespace, name, statusObject('KmBackup', backup, status), FIELD_MANAGER),
    );
  }

  async function createOrAdopt(backup: KmBackup, job: NewJob): Promise<void> {
    const { namespace, name } = job.metadata;
    const { uid } = backup.metadata;
    try {
      jobMade(await jobs.create(namespace, { apiVersion: 'batch/v1', kind: 'Job', ...job }));
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      const present = await jobs.get(namespace, name);
      if (present.metadata.ownerReferences?.some((owner) => owner.controller && owner.uid === uid))
        return jobMade(present);
      throw new NameTakenError(
        `Job ${namespace}/${name} exists and does not belong to this KmBackup. Delete or rename it.`,
      );
    }
  }

  async function run(step: Step): Promise<void> {
    switch (step.kind) {
      case 'writeScheduleStatus': {
        const { schedule, status } = step;
        const { namespace, name } = schedule.metadata;
        written(
          'KmBackupSchedule',
          await schedules.replaceStatus(
            namespace,
            name,
            statusObject('KmBackupSchedule', schedule, status),
            FIELD_MANAGER,
          ),
        );
        return;
      }
      case 'writeBackupStatus': {
        return writeBackupStatus(step.backup, step.status);
      }
      case 'createBackup': {
        const { namespace, name } = step.backup.metadata;
        try {
          backupMade(
            await backups.create(namespace, { apiVersion: API_VERSION, kind: 'KmBackup', ...step.backup }),
          );
        } catch (error) {
          if (!isAlreadyExists(error)) throw error;
          const present = await backups.get(namespace, name);
          if (present.metadata.labels?.[LABELS.scheduleUid] === step.scheduleUid) return;
          throw new NameTakenError(
            `KmBackup ${namespace}/${name} exists and belongs to no run of this schedule. Delete or rename it.`,
          );
        }
        return;
      }
      case 'createJob': {
        await createOrAdopt(step.backup, step.job);
        return;
      }
      case 'labelBackup': {
        const { namespace, name, uid } = step.backup.metadata;
        const patch = { metadata: { uid, labels: step.labels } };
        written('KmBackup', await backups.mergePatch(namespace, name, patch));
        return;
      }
      case 'deleteBackup':
        return deleteAsSeen(backups, step.target);
      case 'deleteJob':
        return deleteAsSeen(jobs, step.target);
      case 'recordEvent': {
        const { kind, apiVersion, metadata } = step.regarding;
        recordEvent({
          regarding: {
            apiVersion,
            kind,
            namespace: metadata.namespace,
            name: metadata.name,
            uid: metadata.uid,
          },
          ...step.event,
        });
        return;
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
