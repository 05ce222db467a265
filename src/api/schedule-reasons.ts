import type { Explanation } from './explanation.ts';

interface ScheduleExplanation extends Explanation {
  readonly condition: 'Ready' | 'Progressing' | 'Healthy' | 'Recoverable' | 'Suspicious';
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
    environment: 'To start them: `KM_BACKUP_ENABLED=true`.',
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
  ElevatedNotAllowed: {
    condition: 'Ready',
    status: 'False',
    meaning:
      '`spec.podTemplate.elevated` is set, and the operator runs no elevated Jobs in this namespace. A KmRestore ends with it before anything is changed.',
    kubectl:
      'Have an administrator add the namespace to `elevated.namespaces` of the chart, or take the field out. In a KmRestore of an elevated schedule, `spec.podTemplate.elevated: false` restores without owners.',
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
  SuspiciousArchives: {
    condition: 'Suspicious',
    status: 'True',
    meaning: 'The archive of a run is suspicious, and nobody approved it. No archive is removed.',
    kubectl: 'See `Suspicious`; the message names the KmBackup.',
  },
  NothingSuspicious: {
    condition: 'Suspicious',
    status: 'False',
    meaning: 'The guard found no archive suspicious, or all that are were approved.',
  },
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
  NoDrillYet: { condition: 'Recoverable', status: 'Unknown', meaning: 'No drill has ended yet.' },
  DrillSucceeded: {
    condition: 'Recoverable',
    status: 'True',
    meaning: 'The last drill restored the newest complete archive, and every check passed. Also an Event.',
  },
  DrillFailed: {
    condition: 'Recoverable',
    status: 'False',
    meaning: 'The last drill failed; the message says why. Also an Event.',
    kubectl: 'Look up the reason in the message on this page: it is that of the KmRestore.',
  },
  InvalidDrill: {
    condition: 'Recoverable',
    status: 'False',
    meaning: '`spec.drill.cron` cannot be read, or names a date that never comes. Backups go on.',
    kubectl: 'Correct the field.',
  },
  DrillRefused: {
    condition: 'Recoverable',
    status: 'False',
    meaning:
      'The API server refused to create the KmRestore of a drill: a quota, an admission rule, or a KmRestore of the same name. Backups go on.',
    kubectl: 'Change what the message names. The operator tries again, for the latest drill that is due.',
  },
} as const satisfies Record<string, ScheduleExplanation>;

export type ScheduleReason = keyof typeof SCHEDULE_REASONS;

/** Events, on top of the reasons of schedules. */
export const EVENT_REASONS = {
  BackupCreated: { meaning: 'A run was created for a scheduled time.' },
  BackupSucceeded: { meaning: 'A run made a complete archive.' },
  BackupIncomplete: { meaning: 'A run made a verified archive, but not of every file.' },
  BackupFailed: { meaning: 'A run failed; the note says why.' },
  BackupSuspicious: { meaning: 'The guard found the archive of a run suspicious; the note says why.' },
  BackupSkipped: { meaning: 'A run found the destination in use by another.' },
  MissedSchedule: {
    meaning:
      'Scheduled times passed without a run: the operator was down, or an earlier run had not ended by then. At most one run catches up.',
  },
  DrillCreated: { meaning: 'A drill was created: a KmRestore into scratch space.' },
  PlanReady: { meaning: 'A dry run computed its plan.' },
  RestoreSucceeded: { meaning: 'A restore succeeded.' },
  RestoreRolledBack: { meaning: 'A restore failed its verification, and the old state is live again.' },
  RestoreUnsuccessful: { meaning: 'A restore failed; the note says what is live.' },
  OldStateNotDeleted: { meaning: 'The state before a restore could not be deleted; the note says why.' },
  CopySucceeded: { meaning: 'A location confirmed the copy of an archive.' },
  CopyFailed: { meaning: 'A copy failed and is tried again; the note says why. The archive itself is good.' },
  ForeignCopies: {
    meaning:
      'A location holds copies of the same series that another writer made. Two clusters may copy to one place.',
    kubectl: 'Give each cluster its own `spec.s3.prefix`.',
  },
  LocationFound: { meaning: 'A check of a location succeeded, for the first time or again.' },
  LocationLost: { meaning: 'A check of a location failed; the note says why.' },
  ClockCorrected: {
    meaning:
      'A clock was ahead when the schedule was last settled, and has been corrected. The schedule continues from now.',
    kubectl: 'Check the time synchronization of the nodes.',
  },
} as const satisfies Record<string, Explanation>;

export type EventReason = keyof typeof EVENT_REASONS | ScheduleReason;
