/** Why a KmRestore is what it is. */
import type { Explanation } from './explanation.ts';

interface RestoreExplanation extends Explanation {
  /** What the KmRestore does with this reason. */
  readonly state: 'waiting' | 'running' | 'ended';
}

/** Why a KmRestore is what it is, on top of what `km-backup` reports. */
export const RESTORE_REASONS = {
  Resolved: { state: 'running', meaning: 'The archive was found and is pinned in `status.resolved`.' },
  FindingCopy: {
    state: 'running',
    meaning: 'A Job looks for the copy in the location, and checks its packs and the identity.',
  },
  WaitingForRestore: {
    state: 'waiting',
    meaning: 'Another KmRestore goes first: one named in `spec.after`, or an older one of the same target.',
  },
  WaitingForBackup: {
    state: 'waiting',
    meaning: 'A backup that this restore needs, or that uses the target, has not ended.',
  },
  WaitingForJob: {
    state: 'waiting',
    meaning: 'Another Job of the operator uses the target claim and has not ended.',
  },
  Planning: { state: 'running', meaning: 'A Job computes what would change.' },
  PlanMade: { state: 'running', meaning: '`status.plan` says what the restore changes.' },
  Stopping: { state: 'running', meaning: 'The workloads that use the target claim are being stopped.' },
  StepsBefore: { state: 'running', meaning: 'The steps of `spec.steps.before` run.' },
  Staging: { state: 'running', meaning: 'The archive is verified and unpacked beside the live data.' },
  Staged: { state: 'running', meaning: 'The tree is unpacked and compared. The live data is unchanged.' },
  Swapping: { state: 'running', meaning: 'The restored tree is put in place.' },
  Swapped: { state: 'running', meaning: 'The restored tree is live; the old state is kept.' },
  StepsAfter: { state: 'running', meaning: 'The steps of `spec.steps.after` run.' },
  Verifying: { state: 'running', meaning: 'The steps of `spec.verify` run.' },
  RollingBack: { state: 'running', meaning: 'The old state is being put back.' },
  Discarding: { state: 'running', meaning: 'What was unpacked and not swapped in is being removed.' },
  Restored: { state: 'ended', meaning: 'The archive is restored, verified and live.' },
  OldStateKept: {
    state: 'waiting',
    meaning: 'An earlier KmRestore of the same claim still keeps the state from before it.',
    kubectl:
      'Give it up (`kubectl annotate kmr NAME km.duskmantle.io/old-state=commit`) or go back to it (`…=rollback`).',
  },
  RollbackRequested: {
    state: 'ended',
    meaning:
      'The old state was put back because the annotation `km.duskmantle.io/old-state: rollback` asked for it.',
  },
  BackupNotFound: {
    state: 'ended',
    meaning: 'There is no KmBackup of the name in `spec.source.backupName`.',
    kubectl: 'Choose one: `kubectl get kmb`.',
  },
  NoArchive: {
    state: 'ended',
    meaning: 'The backup or schedule has no archive that fits. Nothing was changed.',
    kubectl: 'Choose another: `kubectl get kmb`.',
  },
  LocationNotFound: {
    state: 'ended',
    meaning: 'There is no KmBackupLocation of the name in `spec.source.location.name`. Nothing was changed.',
    kubectl: 'Choose one: `kubectl get kmbl`. On a new cluster, apply its manifest first.',
  },
  ArchiveTooOld: {
    state: 'ended',
    meaning:
      'The newest complete archive was made before `spec.source.notBefore`: newer backups are missing, failed or incomplete. A drill fails with this reason if the archive is older than `spec.drill.maxArchiveAge`, or is that of the drill before though a newer one was due. Nothing was restored.',
    kubectl: 'Look why there is no newer archive: `kubectl get kmb`.',
  },
  PrerequisiteFailed: {
    state: 'ended',
    meaning: 'A KmRestore named in `spec.after` did not succeed.',
    kubectl: 'Look at that KmRestore first.',
  },
  NoPlanReported: {
    state: 'ended',
    meaning: 'The Job that computes the plan ended without one.',
    kubectl: "Look at the pod's log.",
  },
  NoRestoreReported: {
    state: 'ended',
    meaning: 'The Job ended without error, but reported nothing that it restored.',
    kubectl: "Look at the pod's log.",
  },
  CannotQuiesce: {
    state: 'ended',
    meaning:
      'Something uses the target claim that the operator cannot, or must not, stop. Nothing was changed.',
    kubectl: 'Do what the message says, and create the restore again.',
  },
  ClaimRefused: {
    state: 'waiting',
    meaning: 'The API server refuses the new claim: a quota or an admission webhook.',
    kubectl: 'Free quota, or do what the message says.',
  },
  VolumeNotMade: {
    state: 'ended',
    meaning:
      'The volume to restore into was not made in time: a StorageClass that does not exist, a quota, or a provisioner that failed. The message says which. Nothing was changed.',
    kubectl: 'Correct `storageClassName` or `size`, or free quota.',
  },
  ScratchScriptFailed: {
    state: 'ended',
    meaning:
      'The script of `spec.target.scratch.script` found something wrong with the restored files. The message has its last words.',
    kubectl: 'Look at what the script says.',
  },
  StepFailed: { state: 'ended', meaning: 'A step failed. The message says which, and what is live.' },
  RestoredWithLosses: {
    state: 'ended',
    meaning: 'The archive is live, but owners, modes or attributes could not be restored.',
    kubectl:
      'See `status.warnings`. Restore with rights to set them (`spec.podTemplate`), or accept it: nothing more will happen.',
  },
  RollbackFailed: {
    state: 'ended',
    meaning: 'The restore failed, and so did going back. The message says what lies where.',
    kubectl: 'Run the command in the message.',
  },
} as const satisfies Record<string, RestoreExplanation>;

export type RestoreReason = keyof typeof RESTORE_REASONS;
