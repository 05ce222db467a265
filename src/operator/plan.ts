import type { V1JobSpec } from '@kubernetes/client-node';
import type { KmBackup, KmBackupSpec, KmBackupStatus } from '../api/backup.ts';
import type { KmBackupSchedule, KmBackupScheduleStatus } from '../api/backup-schedule.ts';
import type { BackupCopyStatus } from '../api/copy.ts';
import type { KmBackupLocation, KmBackupLocationStatus } from '../api/location.ts';
import type { OwnerReference } from '../api/metadata.ts';
import type { EventReason } from '../api/reasons.ts';
import type { KmRestore, KmRestoreSpec, KmRestoreStatus } from '../api/restore.ts';
import type { StoppedWorkload } from '../api/step.ts';
import type { DeleteTarget } from '../kube/store.ts';
import type { Run } from './finished-run.ts';

interface NewMetadata {
  name: string;
  namespace: string;
  labels: Record<string, string>;
  annotations?: Record<string, string>;
}

export interface NewBackup {
  metadata: NewMetadata;
  spec: KmBackupSpec;
}

/** Made by a schedule, for a drill. */
export interface NewRestore {
  metadata: NewMetadata & { ownerReferences: [OwnerReference] };
  spec: Pick<KmRestoreSpec, 'source' | 'target'> & Partial<KmRestoreSpec>;
}

export interface NewJob {
  metadata: NewMetadata & { ownerReferences: [OwnerReference] };
  spec: V1JobSpec;
}

/** A workload as it was seen: a namesake, and one that has changed since, are left alone. */
export interface WorkloadReference {
  namespace: string;
  kind: StoppedWorkload['kind'];
  name: string;
  uid: string;
  resourceVersion: string;
}

export interface EventText {
  type: 'Normal' | 'Warning';
  reason: EventReason;
  action: string;
  note: string;
}

/**
 * One write to the cluster. Steps run in order and the first that fails ends the plan; the next
 * reconcile starts from what the cluster then holds.
 */
export type Step =
  | { kind: 'writeScheduleStatus'; schedule: KmBackupSchedule; status: KmBackupScheduleStatus }
  | { kind: 'writeBackupStatus'; backup: KmBackup; status: KmBackupStatus }
  /** Idempotent: a namesake of the same schedule is adopted, any other is an error. */
  | { kind: 'createBackup'; backup: NewBackup; scheduleUid: string }
  /** Idempotent: a namesake of the same schedule is adopted, any other is an error. */
  | { kind: 'createRestore'; restore: NewRestore; scheduleUid: string }
  /** Sets the condition of a run whose suspicious archive was approved. Idempotent. */
  | { kind: 'noteApproval'; target: DeleteTarget }
  /** Idempotent: a namesake controlled by the same owner is adopted, any other is an error. */
  | { kind: 'createJob'; owner: KmBackup | KmRestore | KmBackupSchedule | KmBackupLocation; job: NewJob }
  /** Adds labels to a run that a person created. */
  | { kind: 'labelBackup'; backup: KmBackup; labels: Record<string, string> }
  | { kind: 'writeLocationStatus'; location: KmBackupLocation; status: KmBackupLocationStatus }
  /** One entry of `status.copies` of a run that is finished; undefined removes it. */
  | { kind: 'writeBackupCopy'; backup: Run; location: string; copy: BackupCopyStatus | undefined }
  | { kind: 'writeRestoreStatus'; restore: KmRestore; status: KmRestoreStatus }
  | { kind: 'setFinalizer'; restore: KmRestore; finalizer: string; present: boolean }
  /** Idempotent: a namesake made for the same KmRestore is adopted, any other is an error. */
  | { kind: 'createClaim'; restore: KmRestore; claim: NonNullable<KmRestoreSpec['target']['newClaim']> }
  | { kind: 'deleteClaim'; target: DeleteTarget }
  | { kind: 'scale'; target: WorkloadReference; replicas: number }
  | { kind: 'suspend'; target: WorkloadReference; suspend: boolean }
  | { kind: 'deleteBackup'; target: DeleteTarget }
  | { kind: 'deleteJob'; target: DeleteTarget }
  | { kind: 'deleteRestore'; target: DeleteTarget }
  | {
      kind: 'recordEvent';
      regarding: KmBackup | KmBackupSchedule | KmRestore | KmBackupLocation;
      event: EventText;
    };

export interface Plan {
  steps: Step[];
  /** When to decide again even if nothing changes; epoch ms. */
  requeueAtMs?: number;
  /** Reporting only: may be delayed while runs and Jobs are being created. A later decision yields it again. */
  mayWait?: boolean;
}

export const NOTHING: Plan = { steps: [] };
