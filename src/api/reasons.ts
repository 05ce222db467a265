/**
 * Every reason and exit code of both programs: what it means and what to do about it. Conditions, run results and
 * errors take their reasons from here; docs/troubleshooting.md is generated from here.
 */

export const ExitCode = {
  ok: 0,
  failure: 1,
  usage: 2,
  incomplete: 3,
  locked: 4,
  verification: 5,
  interrupted: 130,
  terminated: 143,
} as const;
type ExitName = keyof typeof ExitCode;
export type ExitCode = (typeof ExitCode)[ExitName];

interface ExitExplanation {
  readonly meaning: string;
  /** Phase of a KmBackup whose container ended with this code; absent where no run ends with it. */
  readonly phase?: string;
  /** Whether the Job starts another pod, up to `spec.backoffLimit`. */
  readonly retried: boolean;
}

export const EXIT_CODES: Readonly<Record<ExitName, ExitExplanation>> = {
  ok: { meaning: 'Success.', phase: 'Succeeded', retried: false },
  failure: {
    meaning: 'Failure. The message says what happened; earlier archives are unchanged.',
    phase: 'Failed',
    retried: true,
  },
  usage: {
    meaning: 'Wrong arguments or configuration. Nothing was started.',
    phase: 'Failed',
    retried: false,
  },
  incomplete: {
    meaning:
      'The archive is written and verified, but some files changed while read or could not be read. They are named.',
    phase: 'Incomplete',
    retried: false,
  },
  locked: { meaning: 'Another run holds the destination.', phase: 'Skipped', retried: false },
  verification: {
    meaning: 'An archive is corrupt or does not match its manifest.',
    phase: 'Failed',
    retried: true,
  },
  interrupted: { meaning: 'Ended by SIGINT (Ctrl-C), after cleaning up.', retried: true },
  terminated: { meaning: 'Ended by SIGTERM, after cleaning up.', phase: 'Failed', retried: true },
};

/** Exit codes after which another try would end the same way: the Job gives up at once. */
export const NOT_RETRIED: readonly ExitCode[] = (Object.keys(ExitCode) as ExitName[])
  .filter((name) => name !== 'ok' && !EXIT_CODES[name].retried)
  .map((name) => ExitCode[name]);

export interface Explanation {
  readonly meaning: string;
  /** What a user of the resources does about it, in terms of spec fields; absent where nothing needs doing. */
  readonly kubectl?: string;
  /** What a user of the command line does about it, in terms of flags. */
  readonly shell?: string;
  /** The same for a user of the `KM_BACKUP_*` variables, where it differs. */
  readonly environment?: string;
}

interface RunExplanation extends Explanation {
  readonly exit: ExitName;
}

/** What `km-backup` reports: `reason` of its result, and so of the KmBackup whose run it was. */
export const RUN_REASONS = {
  ArchiveVerified: { exit: 'ok', meaning: 'A complete archive was written, verified and named.' },
  ScriptArchiveSound: {
    exit: 'ok',
    meaning:
      "The script's archive reads without error from end to end. It has no manifest to compare its content with.",
  },
  TreeStaged: {
    exit: 'ok',
    meaning: 'The restored tree is unpacked and verified beside the live one, which is unchanged.',
  },
  TreeRestored: { exit: 'ok', meaning: 'The restored tree is live.' },
  AlreadyRestored: {
    exit: 'ok',
    meaning: 'This request was restored by an earlier run. It was not done a second time.',
  },
  OldStateRemoved: { exit: 'ok', meaning: 'The restored tree is final; the state before it was deleted.' },
  OldStateBack: { exit: 'ok', meaning: 'The state before the restore is live again.' },
  RestoreResumed: {
    exit: 'ok',
    meaning: 'What an interrupted restore, commit or rollback began was completed.',
  },
  RestoreDescribed: { exit: 'ok', meaning: 'The message says what is unfinished or kept.' },
  RestoreChecked: { exit: 'ok', meaning: 'The archive can be restored to that target. Nothing was changed.' },
  StagingDiscarded: { exit: 'ok', meaning: 'Nothing is staged any longer; the target is unchanged.' },
  FilesNotCaptured: {
    exit: 'incomplete',
    meaning: 'Some files changed while read in every attempt, or could not be read. The warnings name them.',
    kubectl:
      'Stop the application during the run, exclude scratch files (`spec.source.exclude`), or run as a user that may read the files (`spec.podTemplate.runAsUser`).',
    shell: 'Stop the application during the run, pass `--exclude`, or run as a user that may read the files.',
  },
  Usage: {
    exit: 'usage',
    meaning: 'Arguments or environment variables are wrong; the message names them.',
    kubectl: "Check the schedule's spec and the operator's version.",
    shell: 'Correct what the message names; `--help` lists the options.',
  },
  SourceMissing: {
    exit: 'failure',
    meaning: 'The folder to back up does not exist.',
    kubectl: 'Correct `spec.source.persistentVolumeClaim.subPath`.',
    shell: 'Correct `--source`, or mount the volume.',
  },
  SourceEmpty: {
    exit: 'failure',
    meaning: 'The source holds no files. An unmounted volume looks the same, so this is a failure.',
    kubectl: 'If the source may be empty, set `spec.source.allowEmpty: true`.',
    shell: 'If the source may be empty, pass `--allow-empty` or set `KM_BACKUP_ALLOW_EMPTY=true`.',
    environment: 'If the source may be empty, set `KM_BACKUP_ALLOW_EMPTY=true`.',
  },
  DestinationUnusable: {
    exit: 'failure',
    meaning: 'The folder for the archives cannot be created or written.',
    kubectl: 'Run as a user that may write it (`spec.podTemplate`), or make the claim writable.',
    shell: 'Check the mount, its owner and its permissions, or choose another `--destination`.',
  },
  NoSpace: {
    exit: 'failure',
    meaning: 'The destination is full. No archive was removed to make room.',
    kubectl: 'Enlarge the claim, or lower `spec.retention.limit` and run `km-backup prune`.',
    shell: 'Free space, or remove archives with `km-backup prune`.',
  },
  WriteFailed: {
    exit: 'failure',
    meaning: 'The file system refused a write for a reason other than space or permission.',
    kubectl: "Look at the node's kernel log and the volume's health.",
    shell: "Look at the kernel log and the volume's health.",
  },
  OutputExists: {
    exit: 'failure',
    meaning: 'The named output file exists already, and nothing is overwritten.',
    shell: 'Choose another OUTPUT.',
  },
  ArchiveMissing: {
    exit: 'failure',
    meaning: 'There is no archive of that name or path.',
    kubectl: 'Check the name with `kubectl get kmb`.',
    shell: 'Check the path with `km-backup list`.',
  },
  ArchiveUnreadable: {
    exit: 'failure',
    meaning:
      'The system refused to read an archive, its manifest or its folder. Nothing is known about its content, so it is neither called corrupt nor removed.',
    kubectl: 'Run as a user that may read it (`spec.podTemplate.runAsUser`), or check the volume.',
    shell: 'Run as a user that may read it, or check the volume: the message names owner, mode and cause.',
  },
  EntryMissing: {
    exit: 'failure',
    meaning: 'The archive holds no entry of that name.',
    shell: 'Look for the name with `km-backup ls`.',
  },
  RestoreRefused: {
    exit: 'failure',
    meaning: 'The archive, or the state of the target, does not allow a safe restore. Nothing was changed.',
    kubectl: 'Do what the message says, and run the restore again.',
    shell: 'Do what the message says, and run the restore again.',
  },
  RestoreFailed: {
    exit: 'failure',
    meaning: 'A restore stopped before its end. The message says which state the target is in.',
    kubectl: 'Run the Job again: it resumes or undoes the restore first.',
    shell: 'Run `km-backup restore --status TARGET`, then `--resume` or `--rollback`.',
  },
  OutOfResources: {
    exit: 'failure',
    meaning: 'A worker thread ended early, or the system had no memory or file descriptors left.',
    kubectl: 'Raise the memory limit (`spec.podTemplate.resources`).',
    shell: 'Give the process more memory, or raise `ulimit -n`.',
  },
  ArchiveReplaced: {
    exit: 'failure',
    meaning:
      'The archive or its manifest is not the one that was pinned when the restore was asked for. Nothing was changed.',
    kubectl: 'Create the restore again: it pins the archive that is there now.',
    shell:
      'Check the archive, then pass its present digest, or no `--expect-manifest` and `--expect-sha256`.',
  },
  AlreadyRolledBack: {
    exit: 'failure',
    meaning: 'A request of this id was restored and rolled back before. It is not done a second time.',
    kubectl: 'Create another KmRestore.',
    shell: 'To restore again, pass another `--id`.',
  },
  Internal: {
    exit: 'failure',
    meaning: 'A fault of km-backup itself.',
    kubectl: "Report it, with the pod's log.",
    shell: 'Report it, with the whole message.',
  },
  Locked: {
    exit: 'locked',
    meaning: 'Another run holds the lock of the destination.',
    kubectl:
      'Nothing, unless it recurs: then move one of the schedules, or give it a folder of its own (`spec.destination.path`).',
    shell: 'Wait for the other run, or pass `--lock-wait`.',
    environment: 'Wait for the other run.',
  },
  ArchiveCorrupt: {
    exit: 'verification',
    meaning: 'An archive is damaged, or does not match its manifest.',
    kubectl: 'Restore from another archive, and check the volume. The next run writes a fresh archive.',
    shell: 'Use another archive, and check the volume.',
  },
  ManifestInvalid: {
    exit: 'verification',
    meaning: 'A manifest is damaged or contradicts its archive.',
    kubectl: 'Restore from another archive, and check the volume.',
    shell:
      'Use another archive, and check the volume. Without its manifest file, the archive can still be restored as unverified.',
  },
  Terminated: {
    exit: 'terminated',
    meaning: 'The run was ended by SIGTERM: a node drain, a deadline, or a deletion.',
    kubectl: 'Nothing: the Job tries again, up to `spec.backoffLimit`.',
    shell: 'Run it again.',
  },
  Interrupted: {
    exit: 'interrupted',
    meaning: 'The run was ended by SIGINT.',
    shell: 'Run it again.',
  },
  LocationUnavailable: {
    exit: 'failure',
    meaning:
      'The location of the copies cannot be reached, or answered with errors until the time for retries was over.',
    kubectl: 'Look at `status.conditions` of the KmBackupLocation. The next run tries again.',
    shell:
      'Check the endpoint and the network, and run the command again: nothing confirmed is uploaded twice.',
  },
  LocationDenied: {
    exit: 'failure',
    meaning: 'The location refused the credentials, or does not allow what was asked.',
    kubectl: "Correct the Secret that the KmBackupLocation names, or the bucket's policy.",
    shell: "Correct the credentials (`AWS_*`), or the bucket's policy.",
  },
  LocationUnsuitable: {
    exit: 'failure',
    meaning: 'What is at that address is not the location it was, or is not a location of km-backup.',
    kubectl: 'Correct bucket and prefix of the KmBackupLocation.',
    shell: 'Correct the address, or make a location there with `km-backup location init`.',
  },
  CopyMissing: {
    exit: 'failure',
    meaning: 'The location has no copy of that archive.',
    kubectl: 'Look at `status.copies` of the KmBackups.',
    shell: 'Look with `km-backup list LOCATION`.',
  },
  PackMissing: {
    exit: 'verification',
    meaning: 'A list names a pack that the location does not have, or that has another length.',
    kubectl: 'Restore another copy. The next copy uploads again what is missing.',
    shell: 'Use another copy. The next `km-backup copy` uploads again what is missing.',
  },
  IdentityMismatch: {
    exit: 'failure',
    meaning: 'The copy is encrypted for other recipients than the given identities.',
    kubectl: 'Name the Secret with the identity that was valid when the copy was made.',
    shell: 'Pass the identity that was valid when the copy was made (`--identity`).',
  },
  ScriptFailed: {
    exit: 'failure',
    meaning: 'The script failed, or did not name an archive in its last line.',
    kubectl: "Look at the script's output in the pod's log.",
    shell: "Look at the script's output.",
  },
  ArchiveNotManaged: {
    exit: 'failure',
    meaning:
      'The script named a file outside the destination, or with a name that retention does not manage.',
    kubectl: 'Have the script write `km-backup-*.tgz`, `.tar.gz` or `.tar.zst` into `$KM_BACKUP_DEST`.',
    shell: 'Have the script write `km-backup-*.tgz`, `.tar.gz` or `.tar.zst` into `$KM_BACKUP_DEST`.',
  },
} as const satisfies Record<string, RunExplanation>;

export type RunReason = keyof typeof RUN_REASONS;

/** Reasons of a run or command that ended without doing what was asked. */
export type FailureReason = {
  [K in RunReason]: (typeof RUN_REASONS)[K]['exit'] extends 'ok' | 'incomplete' ? never : K;
}[RunReason];

export function exitCodeOf(reason: RunReason): ExitCode {
  return ExitCode[RUN_REASONS[reason].exit];
}

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
  StartDeadlineExceeded: {
    state: 'ended',
    meaning:
      'The Job did not create a pod, or its pod did not start, within `spec.startDeadlineSeconds`. The message says what it waited for.',
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
      'A run found this archive on the destination, and it had no KmBackup. The message says what its manifest tells.',
  },
} as const satisfies Record<string, BackupExplanation>;

export type BackupReason = keyof typeof BACKUP_REASONS;

interface ScheduleExplanation extends Explanation {
  readonly condition: 'Ready' | 'Progressing' | 'Healthy';
  readonly status: 'True' | 'False' | 'Unknown';
}

/** Conditions of a KmBackupSchedule. */
export const SCHEDULE_REASONS = {
  Scheduled: { condition: 'Ready', status: 'True', meaning: 'Runs start as the message says.' },
  Suspended: {
    condition: 'Ready',
    status: 'True',
    meaning: 'No runs are started, and missed times are not caught up.',
    kubectl: `To resume: \`kubectl patch kmbs NAME --type=merge -p '{"spec":{"suspend":false}}'\`.`,
  },
  InvalidSchedule: {
    condition: 'Ready',
    status: 'False',
    meaning: '`spec.cron` or `spec.timeZone` cannot be read; the message says why.',
    kubectl: 'Correct the field.',
  },
  NeverDue: {
    condition: 'Ready',
    status: 'False',
    meaning: '`spec.cron` names a date that never comes, such as February 30.',
    kubectl: 'Correct `spec.cron`.',
  },
  ScriptsNotAllowed: {
    condition: 'Ready',
    status: 'False',
    meaning: '`spec.script` is set, but this operator does not run scripts.',
    kubectl: 'Install the operator with `jobs.allowScripts=true`, or remove `spec.script`.',
  },
  BackupRefused: {
    condition: 'Ready',
    status: 'False',
    meaning:
      'The API server refused to create the KmBackup of a run: a quota, an admission rule, or a KmBackup of the same name.',
    kubectl: 'Change what the message names. The operator tries again, for the latest scheduled time.',
  },
  Idle: { condition: 'Progressing', status: 'False', meaning: 'No run is active.' },
  NoRunYet: { condition: 'Healthy', status: 'Unknown', meaning: 'No run has finished yet.' },
  Succeeded: { condition: 'Healthy', status: 'True', meaning: 'The last run made a complete archive.' },
  Incomplete: {
    condition: 'Healthy',
    status: 'False',
    meaning: 'The last run made a verified archive, but not of every file.',
    kubectl: 'See `FilesNotCaptured`; `status.warnings` of the KmBackup names the files.',
  },
  Failed: {
    condition: 'Healthy',
    status: 'False',
    meaning: 'The last run failed; the message says why.',
    kubectl: 'Look up the reason of that KmBackup on this page.',
  },
} as const satisfies Record<string, ScheduleExplanation>;

export type ScheduleReason = keyof typeof SCHEDULE_REASONS;

/** Events, on top of the reasons of schedules. */
export const EVENT_REASONS = {
  BackupCreated: { meaning: 'A run was created for a scheduled time.' },
  BackupSucceeded: { meaning: 'A run made a complete archive.' },
  BackupIncomplete: { meaning: 'A run made a verified archive, but not of every file.' },
  BackupFailed: { meaning: 'A run failed; the note says why.' },
  BackupSkipped: { meaning: 'A run found the destination in use by another.' },
  MissedSchedule: {
    meaning:
      'Scheduled times passed without a run: the operator was down, or an earlier run had not ended by then. At most one run catches up.',
  },
  ClockCorrected: {
    meaning:
      'A clock was ahead when the schedule was last settled, and has been corrected. The schedule continues from now.',
    kubectl: 'Check the time synchronization of the nodes.',
  },
} as const satisfies Record<string, Explanation>;

export type EventReason = keyof typeof EVENT_REASONS | ScheduleReason;

declare const quoted: unique symbol;
/** A reason that is not ours: from Kubernetes (`ImagePullBackOff`, `Evicted`) or another version of km-backup. */
export type QuotedReason = string & { readonly [quoted]: true };

/** What the API conventions allow as the reason of a condition. */
const CONDITION_REASON = /^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$/;

/** Passes on a reason that others gave, unless it is missing or not fit for a condition. */
export function quoteReason<R extends Reason>(reason: string | undefined, otherwise: R): QuotedReason | R {
  return reason !== undefined && CONDITION_REASON.test(reason) ? (reason as QuotedReason) : otherwise;
}

/** Reasons of this project. */
export type Reason = RunReason | BackupReason | ScheduleReason;
/** What the `reason` of a condition may hold. */
export type ConditionReason = Reason | QuotedReason;
