import type { Explanation } from './explanation.ts';

interface BackupExplanation extends Explanation {
  /** `waiting` ends by itself or at a deadline; `ended` is final: the next scheduled run is the next try. */
  readonly state: 'waiting' | 'running' | 'ended';
}

/** What the operator itself says of a KmBackup. */
export const BACKUP_REASONS = {
  WaitingForRun: {
    state: 'waiting',
    meaning: 'An earlier run of the schedule has not ended (`spec.concurrencyPolicy: Forbid`).',
    kubectl: 'Wait, or find out why that run takes so long.',
  },
  WaitingForCapacity: {
    state: 'waiting',
    meaning: 'The concurrency limit of the operator or of the namespace is reached.',
    kubectl:
      'Raise `maxConcurrentRuns` or `maxConcurrentRunsPerNamespace` of the chart, or spread schedules with `H` in `spec.cron`.',
  },
  WaitingForPod: {
    state: 'waiting',
    meaning: 'The Job has not created a pod.',
    kubectl: 'If it lasts, the message quotes the newest warning about the Job, such as an exceeded quota.',
  },
  PodStarting: { state: 'waiting', meaning: 'The pod is scheduled, and its container has not started.' },
  Starting: { state: 'waiting', meaning: 'The pod was created a moment ago.' },
  Unschedulable: {
    state: 'waiting',
    meaning: 'No node can take the pod; the message is from the scheduler.',
    kubectl: 'Check `spec.podTemplate` (resources, node selector, tolerations) and where the claims are.',
  },
  JobForbidden: {
    state: 'waiting',
    meaning: 'The API server refused to create the Job: a quota or an admission rule.',
    kubectl: 'Change what the message names. The operator tries again until `spec.startDeadlineSeconds`.',
  },
  JobInvalid: {
    state: 'waiting',
    meaning: 'The API server found the Job invalid; the message names the field.',
    kubectl: 'Correct `spec.podTemplate`.',
  },
  JobRefused: {
    state: 'waiting',
    meaning: 'The API server, or an admission webhook, answered the creation of the Job with an error.',
    kubectl: 'Correct what the message names. The operator tries again until `spec.startDeadlineSeconds`.',
  },
  NameTaken: {
    state: 'waiting',
    meaning: 'A Job of the same name exists that the operator does not own.',
    kubectl: 'Rename or delete the other Job.',
  },
  Running: { state: 'running', meaning: 'km-backup is running.' },
  Suspicious: {
    state: 'ended',
    meaning:
      'Condition `Suspicious`: the guard (`spec.guard`) compared the archive with the one before it. The source shrank or changed beyond a limit, or content that used to compress no longer does. The archive is kept, and none of the schedule is removed.',
    kubectl:
      'Look at what changed. If it is as it should be: `kubectl annotate kmb NAME km.duskmantle.io/approved=true`.',
    shell: 'Look at it with `km-backup diff`, then `km-backup approve ARCHIVE`.',
  },
  Approved: {
    state: 'ended',
    meaning:
      'Condition `Suspicious`: the archive was suspicious and was approved. The next run applies retention.',
  },
  StartDeadlineExceeded: {
    state: 'ended',
    meaning:
      'The Job did not create a pod, or its pod did not start, within `spec.startDeadlineSeconds` (of a KmRestore: 10 minutes). The message says what it waited for.',
    kubectl: 'Correct the cause; the next scheduled run tries again.',
  },
  DeadlineExceeded: {
    state: 'ended',
    meaning: 'km-backup ran for longer than `spec.activeDeadlineSeconds`.',
    kubectl: 'Raise the deadline, or find out why the run takes so long.',
  },
  ScheduleNotFound: {
    state: 'waiting',
    meaning:
      'No KmBackupSchedule of this namespace has the name in `spec.scheduleName`. A run that was applied before its schedule waits 10 minutes for it, then fails.',
    kubectl: 'Create the schedule, or create another KmBackup with the right name.',
  },
  ClaimNotFound: {
    state: 'ended',
    meaning:
      'A claim that the schedule names does not exist. The schedule is `Ready=False` for the same reason.',
    kubectl: 'Create the claim, or name another in the schedule.',
  },
  ClaimIsBlock: {
    state: 'ended',
    meaning:
      'A claim that the schedule names is a raw block device, which holds no files. The schedule is `Ready=False` for the same reason.',
    kubectl: 'Name a claim with `volumeMode: Filesystem`.',
  },
  ClaimInUse: {
    state: 'ended',
    meaning: 'A `ReadWriteOncePod` claim is held by another pod.',
    kubectl: 'Stop that pod for the backup, or use `ReadWriteOnce`.',
  },
  ClaimsOnDifferentNodes: {
    state: 'ended',
    meaning: 'Source and destination are mounted on two nodes, and neither can be mounted on both.',
    kubectl: 'Put the archives on a `ReadWriteMany` claim, or on one that nothing else mounts.',
  },
  JobDeleted: {
    state: 'ended',
    meaning: 'The Job was deleted before it ended. An archive that was complete by then is kept.',
    kubectl: 'Create another KmBackup.',
  },
  Replaced: {
    state: 'ended',
    meaning: 'A later run of the schedule took its place (`spec.concurrencyPolicy: Replace`).',
  },
  OutOfMemory: {
    state: 'ended',
    meaning: 'The container used more memory than its limit.',
    kubectl: 'Raise `spec.podTemplate.resources.limits.memory`.',
  },
  Disrupted: {
    state: 'ended',
    meaning: 'The pod was evicted, preempted or lost with its node in every attempt.',
    kubectl: 'Raise `spec.backoffLimit`, or set `spec.podTemplate.priorityClassName`.',
  },
  ProgramFailed: {
    state: 'ended',
    meaning: 'km-backup ended without a result. The message has its exit code and last words.',
    kubectl: "Look at the pod's log.",
  },
  JobFailed: {
    state: 'ended',
    meaning: 'The Job failed and left no pod that could say why.',
    kubectl: 'Look at the Events of the Job.',
  },
  NoArchiveReported: {
    state: 'ended',
    meaning: 'The Job ended without error, but no verified archive was reported.',
    kubectl: "Look at the pod's log. Earlier archives are unchanged.",
  },
  FoundOnDestination: {
    state: 'ended',
    meaning:
      'A run found this archive on the destination, and it had no KmBackup. The message says what its manifest records.',
  },
} as const satisfies Record<string, BackupExplanation>;

export type BackupReason = keyof typeof BACKUP_REASONS;
