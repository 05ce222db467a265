/** The statuses of a run: while it waits, and how it ended. Pure. */
import type { KmBackupStatus } from '../../api/backup.ts';
import { ANNOTATIONS } from '../../api/names.ts';
import type { BackupReason, ConditionReason, EventReason, ScheduleReason } from '../../api/reasons.ts';
import { destinationOf } from '../../api/schedule-claims.ts';
import { type ConditionState, withConditions } from '../conditions.ts';
import type { EventText, Plan, Step } from '../plan.ts';
import { isApproved, suspicionCondition, suspicionNote } from '../suspicions.ts';
import { fromTime, toTime } from '../time.ts';
import { annotatedDestination } from '../workloads.ts';
import { identityOfJob, withIdentity } from './identity.ts';
import type { ObservedBackup } from './observe.ts';
import type { Finished } from './outcome.ts';

/** The status with these fields in place. A wait that they do not name is over. */
function withFields(
  { backup }: ObservedBackup,
  nowMs: number,
  fields: KmBackupStatus,
  conditions: readonly ConditionState[],
): KmBackupStatus {
  const { awaiting: _, ...kept } = backup.status ?? {};
  return {
    ...kept,
    ...fields,
    conditions: withConditions(backup.status?.conditions, conditions, backup.metadata.generation, nowMs),
  };
}

export function write(observed: ObservedBackup, next: KmBackupStatus): Step {
  return { kind: 'writeBackupStatus', backup: observed.backup, status: next };
}

export function unfinished(
  observed: ObservedBackup,
  nowMs: number,
  reason: ConditionReason,
  message: string,
  fields: KmBackupStatus = {},
): KmBackupStatus {
  return withFields(observed, nowMs, { phase: 'Pending', ...fields, reason, message }, [
    { type: 'Progressing', status: 'True', reason, message },
    { type: 'Succeeded', status: 'Unknown', reason, message },
    // kstatus, and so GitOps tools, know "under way" by this name, and "failed" as Stalled.
    { type: 'Reconciling', status: 'True', reason, message },
  ]);
}

/** In seconds. */
function durationOf({ result }: Finished, startTime: string | undefined, nowMs: number): number | undefined {
  if (result) return (Date.parse(result.finishedAt) - Date.parse(result.startedAt)) / 1000;
  return startTime === undefined ? undefined : (nowMs - fromTime(startTime)) / 1000;
}

const EVENT_OF = {
  Succeeded: 'BackupSucceeded',
  Incomplete: 'BackupIncomplete',
  Failed: 'BackupFailed',
  Skipped: 'BackupSkipped',
} as const satisfies Record<Finished['phase'], EventReason>;

function eventText(outcome: Finished): EventText {
  return {
    type: outcome.phase === 'Succeeded' ? 'Normal' : 'Warning',
    reason: EVENT_OF[outcome.phase],
    action: 'Backup',
    note: outcome.message,
  };
}

export function finish(observed: ObservedBackup, nowMs: number, said: Finished): Plan {
  const { backup, schedule, job } = observed;
  const known = job.state === 'exists' ? job.job : undefined;
  const outcome = withIdentity(said, known && identityOfJob(known));
  const { phase, reason, message, result } = outcome;
  const duration = durationOf(outcome, backup.status?.startTime, nowMs);
  const destination = (known && annotatedDestination(known)) ?? backup.status?.destination;
  const next = withFields(
    observed,
    nowMs,
    {
      phase,
      reason,
      message,
      completionTime: toTime(nowMs),
      // A run may end before any other status was written.
      ...(known && {
        job: { name: known.metadata.name, uid: known.metadata.uid },
        startTime: backup.status?.startTime ?? known.metadata.creationTimestamp,
      }),
      ...(job.state === 'gone' && { job: job.job }),
      ...(destination && { destination }),
      ...(duration !== undefined && { durationSeconds: duration }),
      ...(result?.archive && {
        archive: {
          name: result.archive.name,
          claimName: destination?.claimName ?? '',
          path: destination?.path ?? '',
          sizeBytes: result.archive.sizeBytes,
          sha256: result.archive.sha256,
          manifestSha256: result.archive.manifestSha256,
          entries: result.archive.entries,
          files: result.archive.files,
          sourceBytes: result.archive.sourceBytes,
          reusedBytes: result.archive.reusedBytes,
        },
      }),
      ...(result && { warnings: result.warnings }),
      ...(result?.suspicious && { suspicious: result.suspicious }),
      // Without an archive the destination was not listed: absence from the report proves nothing.
      ...(result?.archive && { pruned: result.pruned, present: result.present }),
    },
    [
      { type: 'Progressing', status: 'False', reason, message },
      { type: 'Succeeded', status: phase === 'Succeeded' ? 'True' : 'False', reason, message },
      ...suspicionCondition({ suspicious: result?.suspicious }, isApproved(backup)),
      ...(phase === 'Failed' || phase === 'Incomplete'
        ? [{ type: 'Stalled', status: 'True', reason, message } as const]
        : []),
    ],
  );
  const note = result && suspicionNote(result, backup.metadata.name);
  const suspicious: EventText | undefined =
    note === undefined ? undefined : { type: 'Warning', reason: 'BackupSuspicious', action: 'Guard', note };
  const steps: Step[] = [write(observed, next)];
  for (const regarding of schedule ? [backup, schedule] : [backup])
    for (const event of suspicious ? [eventText(outcome), suspicious] : [eventText(outcome)])
      steps.push({ kind: 'recordEvent', regarding, event });
  return { steps };
}

export const failure = (reason: BackupReason | ScheduleReason, message: string): Finished => ({
  state: 'finished',
  phase: 'Failed',
  reason,
  message,
});

const FOUND_AS: Readonly<Record<string, string>> = {
  complete: 'Its manifest says that it is complete and belongs to this schedule.',
  incomplete:
    'Its manifest says that it belongs to this schedule, and that some files changed while read or could not be read.',
  corrupt: 'It is corrupt: it does not match its manifest, or is not an archive.',
  unverified: 'It has no manifest: it was made by hand or by another program, and nobody verified it.',
};

/** The record of an archive that a run found on the destination. Nothing runs for it. */
export function recordFound(observed: ObservedBackup, archiveName: string, nowMs: number): Plan {
  const { backup, schedule } = observed;
  const destination = annotatedDestination(backup) ?? (schedule && destinationOf(schedule.spec));
  const { claimName, path } = destination ?? { claimName: '', path: '' };
  const known = FOUND_AS[backup.metadata.annotations?.[ANNOTATIONS.archiveClass] ?? ''];
  const message = [
    `A run found ${archiveName} in folder ${path} of claim ${claimName}. It had no KmBackup.`,
    ...(known ? [known] : []),
  ].join(' ');
  const reason = 'FoundOnDestination';
  const next = withFields(
    observed,
    nowMs,
    {
      phase: 'Found',
      reason,
      message,
      completionTime: toTime(nowMs),
      archive: { name: archiveName, claimName, path },
    },
    [
      { type: 'Progressing', status: 'False', reason, message },
      { type: 'Succeeded', status: 'Unknown', reason, message },
    ],
  );
  return { steps: [write(observed, next)] };
}
