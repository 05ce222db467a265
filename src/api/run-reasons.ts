import { ExitCode } from './exit-codes.ts';
import type { Explanation } from './explanation.ts';

interface RunExplanation extends Explanation {
  readonly exit: keyof typeof ExitCode;
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
    meaning: 'The restored tree is unpacked and verified next to the live one, which is unchanged.',
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
  CopyFound: {
    exit: 'ok',
    meaning:
      'The location has that copy with all of its packs, and the identity reads it. Nothing was changed.',
  },
  RestorePlanned: { exit: 'ok', meaning: 'The plan says what the restore would do. Nothing was changed.' },
  RestoreChecked: { exit: 'ok', meaning: 'The archive can be restored to that target. Nothing was changed.' },
  CopyConfirmed: { exit: 'ok', meaning: 'The location has confirmed a copy of the newest complete archive.' },
  LocationChecked: {
    exit: 'ok',
    meaning: 'Writing, reading and listing work in the location, and it is the one it was.',
  },
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
    exit: 'final',
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
    meaning: 'No archive has this name or path.',
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
    exit: 'final',
    meaning: 'The archive holds no entry of that name.',
    shell: 'Look for the name with `km-backup ls`.',
  },
  RestoreRefused: {
    exit: 'final',
    meaning: 'The archive, or the state of the target, does not allow a safe restore. Nothing was changed.',
    kubectl: 'Do what the message says, and run the restore again.',
    shell: 'Do what the message says, and run the restore again.',
  },
  TargetUnavailable: {
    exit: 'failure',
    meaning:
      'The target is in use, has just been changed by another program, or cannot be reached at the moment. Nothing was changed.',
    kubectl: 'Nothing, unless the last attempt ends so too: then do what the message says.',
    shell: 'Stop what uses the target, or wait for it. Then run the restore again.',
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
  PlanChanged: {
    exit: 'final',
    meaning:
      'The restore, or the removal of archives, would now do something else than in the plan that was approved. Nothing was changed.',
    kubectl: 'Look at `status.plan`, then create the restore again with its digest.',
    shell: 'Look at the plan again (`--plan`), then pass its digest.',
  },
  ApprovalUnavailable: {
    exit: 'failure',
    meaning:
      'A tool of `km-backup mcp` that destroys data needs the approval of a person, and the client cannot ask for it. Nothing was changed.',
    shell:
      'Use a client with form elicitation, run the command in a shell, or start the server with `--allow-destructive`.',
  },
  ApprovalDeclined: {
    exit: 'failure',
    meaning: 'The person who was asked did not approve. Nothing was changed.',
    shell: 'Look at the plan; call the tool again to be asked again.',
  },
  ApprovalNotValid: {
    exit: 'failure',
    meaning: 'The approval was given for another call, was used already, or is too old. Nothing was changed.',
    shell: 'Call the tool again without it, to be asked again.',
  },
  Cancelled: {
    exit: 'interrupted',
    meaning: 'The client of `km-backup mcp` cancelled the call, or the server ended. It cleaned up.',
    shell: 'Call the tool again.',
  },
  ContentCheckFailed: {
    exit: 'final',
    meaning:
      'The archive is intact, but files in it are damaged, or a check found no file. Nothing was changed.',
    kubectl: 'Restore an earlier archive, or correct `spec.checks`.',
    shell: 'Restore an earlier archive, or correct `--check-sqlite`, `--check-json` and `--check-gzip`.',
  },
  ArchiveReplaced: {
    exit: 'final',
    meaning:
      'The archive or its manifest is not the one that was pinned when the restore was asked for. Nothing was changed.',
    kubectl: 'Create the restore again: it pins the archive that is there now.',
    shell:
      'Check the archive, then pass its present digest, or no `--expect-manifest` and `--expect-sha256`.',
  },
  AlreadyRolledBack: {
    exit: 'final',
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
    meaning: 'Another run holds the lock of the destination, or of what a restore writes to.',
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
    kubectl:
      'Correct bucket and prefix of the KmBackupLocation. To accept the location that is there now, set its `spec.expectedId`.',
    shell: 'Correct the address, or make a location there with `km-backup location init`.',
  },
  CopyMissing: {
    exit: 'final',
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
    exit: 'final',
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
