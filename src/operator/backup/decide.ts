import { isFinished, type KmBackup, type KmBackupStatus } from '../../api/backup.ts';
import type { KmBackupSchedule } from '../../api/backup-schedule.ts';
import type { BackupReason, ConditionReason, EventReason, ScheduleReason } from '../../api/reasons.ts';
import { type ConditionState, withConditions } from '../conditions.ts';
import { type EventText, NOTHING, type Plan, type Step } from '../plan.ts';
import { fromTime, toTime } from '../time.ts';
import { destinationOfJob, type Job, type JobReference, type Pod } from '../workloads.ts';
import { buildJob, destinationOf, type JobSettings } from './job.ts';
import { type Outcome, outcomeOf } from './outcome.ts';
import type { PlacementResult } from './placement.ts';

export interface ObservedBackup {
  backup: KmBackup;
  /** Undefined: no such schedule. */
  schedule: KmBackupSchedule | undefined;
  /**
   * - `none`: never seen to exist.
   * - `gone`: it was made, as the status or this process recorded, and the API server says it does not exist.
   */
  job:
    | { state: 'none' }
    | { state: 'gone'; job: JobReference }
    | { state: 'exists'; job: Job; pods: readonly Pod[] };
  /** An older unfinished run of the same schedule, which goes first. */
  ahead: string | undefined;
  /** A newer unfinished run of the same schedule. */
  behind: string | undefined;
  /** Whether the cap on concurrent runs has room for this one. */
  slot: { granted: true } | { granted: false; message: string };
  /** Where the run must go; asked only for a run that may start. */
  placement: PlacementResult | undefined;
}

type Finished = Extract<Outcome, { state: 'finished' }>;

function status(
  observed: ObservedBackup,
  nowMs: number,
  fields: KmBackupStatus,
  conditions: readonly ConditionState[],
): KmBackupStatus {
  const { backup } = observed;
  return {
    ...backup.status,
    ...fields,
    conditions: withConditions(backup.status?.conditions, conditions, backup.metadata.generation, nowMs),
  };
}

function write(observed: ObservedBackup, next: KmBackupStatus): Step {
  return { kind: 'writeBackupStatus', backup: observed.backup, status: next };
}

function waiting(
  observed: ObservedBackup,
  nowMs: number,
  reason: ConditionReason,
  message: string,
  fields: KmBackupStatus = {},
): KmBackupStatus {
  return status(observed, nowMs, { phase: 'Pending', ...fields, reason, message }, [
    { type: 'Progressing', status: 'True', reason, message },
    { type: 'Succeeded', status: 'Unknown', reason, message },
  ]);
}

/** Seconds, to the millisecond. */
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

function finish(observed: ObservedBackup, nowMs: number, outcome: Finished): Plan {
  const { backup, schedule, job } = observed;
  const { phase, reason, message, result } = outcome;
  const duration = durationOf(outcome, backup.status?.startTime, nowMs);
  const known = job.state === 'exists' ? job.job : undefined;
  const destination = (known && destinationOfJob(known)) ?? backup.status?.destination;
  const next = status(
    observed,
    nowMs,
    {
      phase,
      reason,
      message,
      completionTime: toTime(nowMs),
      // A run may end before anything else was written of it.
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
      // Without an archive nothing was looked at: absence from such a report proves nothing.
      ...(result?.archive && { pruned: result.pruned, present: result.present }),
    },
    [
      { type: 'Progressing', status: 'False', reason, message },
      { type: 'Succeeded', status: phase === 'Succeeded' ? 'True' : 'False', reason, message },
    ],
  );
  const steps: Step[] = [
    write(observed, next),
    { kind: 'recordEvent', regarding: backup, event: eventText(outcome) },
  ];
  if (schedule) steps.push({ kind: 'recordEvent', regarding: schedule, event: eventText(outcome) });
  return { steps };
}

const failure = (reason: BackupReason | ScheduleReason, message: string): Finished => ({
  state: 'finished',
  phase: 'Failed',
  reason,
  message,
});

/** What is said of a pod that needs no longer than pods do, so that its steps cost no writes. */
const STARTING = { reason: 'Starting' as const, message: 'The pod is starting.' };
const USUAL_START_MS = 10_000;

/** A run whose schedule is gone meanwhile keeps the default. */
function startDeadlineSeconds(schedule: KmBackupSchedule | undefined): number {
  return schedule?.spec.startDeadlineSeconds ?? 600;
}

/** An archive that a run found on the destination: nothing is run for it. */
function recordFound(observed: ObservedBackup, archiveName: string, nowMs: number): Plan {
  const message = `${archiveName} was found on the destination; no run of this schedule made it, and nobody verified it.`;
  const destination = observed.schedule && destinationOf(observed.schedule.spec);
  const next = status(
    observed,
    nowMs,
    {
      phase: 'Found',
      reason: 'FoundOnDestination',
      message,
      completionTime: toTime(nowMs),
      archive: { name: archiveName, claimName: destination?.claimName ?? '', path: destination?.path ?? '' },
    },
    [
      { type: 'Progressing', status: 'False', reason: 'FoundOnDestination', message },
      { type: 'Succeeded', status: 'Unknown', reason: 'FoundOnDestination', message },
    ],
  );
  return { steps: [write(observed, next)] };
}

function decideUnstarted(observed: ObservedBackup, settings: JobSettings, nowMs: number): Plan {
  const { backup, schedule, ahead, behind, slot, placement } = observed;
  const name = backup.spec.scheduleName;
  if (!schedule) {
    return finish(
      observed,
      nowMs,
      failure(
        'ScheduleNotFound',
        `There is no KmBackupSchedule ${name} in namespace ${backup.metadata.namespace}.`,
      ),
    );
  }
  if (schedule.spec.script && !settings.allowScripts) {
    return finish(
      observed,
      nowMs,
      failure(
        'ScriptsNotAllowed',
        'spec.script is set, but this operator does not run scripts. Install it with jobs.allowScripts=true or remove spec.script.',
      ),
    );
  }
  if (behind && schedule.spec.concurrencyPolicy === 'Replace') {
    return finish(
      observed,
      nowMs,
      failure('Replaced', `Run ${behind} took its place (concurrencyPolicy Replace).`),
    );
  }
  const hold = (reason: BackupReason, message: string): Plan => ({
    steps: [write(observed, waiting(observed, nowMs, reason, message))],
    mayWait: true,
  });
  if (ahead) return hold('WaitingForRun', `Waits for run ${ahead} of the same schedule to end.`);
  if (!slot.granted) return hold('WaitingForCapacity', slot.message);
  if (!placement) return NOTHING;
  if (!placement.ok) return finish(observed, nowMs, failure(placement.reason, placement.message));

  const job = buildJob(backup, schedule, settings, placement.placement);
  // Its status follows once the Job is seen: the Jobs of a busy minute go before their status writes.
  return { steps: [{ kind: 'createJob', backup, job }] };
}

function decideStarted(observed: ObservedBackup, job: Job, pods: readonly Pod[], nowMs: number): Plan {
  const { backup, schedule, behind } = observed;
  const outcome = outcomeOf(job, pods);
  if (outcome.state === 'finished') return finish(observed, nowMs, outcome);

  if (behind && schedule?.spec.concurrencyPolicy === 'Replace') {
    return finish(
      observed,
      nowMs,
      failure('Replaced', `Run ${behind} took its place (concurrencyPolicy Replace).`),
    );
  }
  const destination = destinationOfJob(job);
  const known = {
    job: { name: job.metadata.name, uid: job.metadata.uid },
    startTime: backup.status?.startTime ?? toTime(nowMs),
    ...(destination && { destination }),
  };
  if (outcome.state === 'running') {
    const message = 'km-backup is running.';
    const next = status(observed, nowMs, { ...known, phase: 'Running', reason: 'Running', message }, [
      { type: 'Progressing', status: 'True', reason: 'Running', message },
      { type: 'Succeeded', status: 'Unknown', reason: 'Running', message },
    ]);
    return { steps: [write(observed, next)], mayWait: true };
  }

  const deadlineSeconds = startDeadlineSeconds(schedule);
  // By this operator's own clock: the API server's may differ.
  const deadlineMs = fromTime(known.startTime) + deadlineSeconds * 1000;
  if (nowMs >= deadlineMs) {
    return finish(
      observed,
      nowMs,
      failure(
        'StartDeadlineExceeded',
        `The pod did not start within ${deadlineSeconds} s. ${outcome.reason}: ${outcome.message}`,
      ),
    );
  }
  const usualMs = fromTime(known.startTime) + USUAL_START_MS;
  const usual = nowMs < usualMs && (outcome.reason === 'WaitingForPod' || outcome.reason === 'PodStarting');
  const { reason, message } = usual ? STARTING : outcome;
  return {
    steps: [write(observed, waiting(observed, nowMs, reason, message, known))],
    mayWait: true,
    requeueAtMs: usual ? Math.min(usualMs, deadlineMs) : deadlineMs,
  };
}

/**
 * The API server refused to make the Job (quota, admission, a name that is taken). Tried again until the
 * start deadline, since a quota may free; `final` once that has passed.
 */
export function decideRefused(
  observed: ObservedBackup,
  refusal: { reason: BackupReason; message: string },
  nowMs: number,
): { plan: Plan; final: boolean } {
  const { backup, schedule } = observed;
  const deadlineMs =
    fromTime(backup.status?.startTime ?? toTime(nowMs)) + startDeadlineSeconds(schedule) * 1000;
  if (nowMs >= deadlineMs) {
    return {
      plan: finish(observed, nowMs, failure(refusal.reason, `The Job could not be made. ${refusal.message}`)),
      final: true,
    };
  }
  return {
    plan: {
      steps: [
        write(
          observed,
          waiting(observed, nowMs, refusal.reason, refusal.message, {
            startTime: backup.status?.startTime ?? toTime(nowMs),
          }),
        ),
      ],
    },
    final: false,
  };
}

/** What one run needs next. Pure; `nowMs` is epoch milliseconds. */
export function decideBackup(observed: ObservedBackup, settings: JobSettings, nowMs: number): Plan {
  const { backup, job } = observed;
  if (backup.metadata.deletionTimestamp) return NOTHING;
  if (isFinished(backup)) {
    const stray =
      job.state === 'exists' &&
      !job.job.metadata.deletionTimestamp &&
      outcomeOf(job.job, job.pods).state !== 'finished';
    return stray ? { steps: [{ kind: 'deleteJob', target: job.job.metadata }] } : NOTHING;
  }
  if (backup.spec.archiveName !== undefined) return recordFound(observed, backup.spec.archiveName, nowMs);
  switch (job.state) {
    case 'none':
      return decideUnstarted(observed, settings, nowMs);
    case 'gone':
      return finish(
        observed,
        nowMs,
        failure(
          'JobDeleted',
          `Job ${job.job.name} was deleted before it ended. An archive that was complete by then is kept.`,
        ),
      );
    case 'exists':
      return decideStarted(observed, job.job, job.pods, nowMs);
  }
}
