import { isFinished } from '../../api/finished.ts';
import { LABELS } from '../../api/names.ts';
import type { BackupReason } from '../../api/reasons.ts';
import { labelValue } from '../naming.ts';
import { NOTHING, type Plan, type Step } from '../plan.ts';
import { isApproved } from '../suspicions.ts';
import { toTime } from '../time.ts';
import { annotatedDestination, type Job, type Pod } from '../workloads.ts';
import { elevatedProblem } from './elevated.ts';
import { buildJob, type JobSettings } from './job.ts';
import type { ObservedBackup } from './observe.ts';
import { type Ended, isJobOver, type Outcome, outcomeOf, type Waiting } from './outcome.ts';
import { failure, finish, recordFound, unfinished, write } from './status.ts';
import {
  awaited,
  deadlineMs,
  deadlinesOf,
  LONGEST_BACKOFF_SECONDS,
  lookAgainMs,
  podEndMs,
  startUnderWay,
  usualUntilMs,
} from './waits.ts';

/** Reported for all steps of a start that is as fast as usual, so that they cost a single status write. */
const STARTING = { reason: 'Starting' as const, message: 'The pod is starting.' };

/** A run can be applied before its schedule. One whose schedule was deleted waits for nothing. */
function decideWithoutSchedule(observed: ObservedBackup, nowMs: number): Plan {
  const { backup } = observed;
  const { scheduleName, scheduledTime } = backup.spec;
  const missing = `There is no KmBackupSchedule ${scheduleName} in namespace ${backup.metadata.namespace}`;
  const { startSeconds } = deadlinesOf(undefined);
  const awaiting = awaited(backup.status?.awaiting, 'ScheduleCreated', undefined, nowMs);
  const deadline = deadlineMs(awaiting, startSeconds);
  if (scheduledTime !== undefined)
    return finish(observed, nowMs, failure('ScheduleNotFound', `${missing}: it was deleted.`));
  if (nowMs >= deadline)
    return finish(
      observed,
      nowMs,
      failure(
        'ScheduleNotFound',
        `${missing}, and none was created within ${startSeconds} s. Create another KmBackup with the name of a schedule.`,
      ),
    );
  const message = `${missing} yet. The run fails if none is created by ${toTime(deadline)}.`;
  return {
    steps: [write(observed, unfinished(observed, nowMs, 'ScheduleNotFound', message, { awaiting }))],
    mayWait: true,
    requeueAtMs: deadline,
  };
}

function decideUnstarted(observed: ObservedBackup, settings: JobSettings, nowMs: number): Plan {
  const { backup, schedule, ahead, restoring, behind, slot, placement, source } = observed;
  if (!schedule) return decideWithoutSchedule(observed, nowMs);
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
  const { namespace } = backup.metadata;
  const refused = schedule.spec.podTemplate?.elevated && elevatedProblem(namespace, settings);
  if (refused) return finish(observed, nowMs, failure(refused.reason, refused.message));
  if (behind && schedule.spec.concurrencyPolicy === 'Replace') {
    return finish(
      observed,
      nowMs,
      failure('Replaced', `Run ${behind} took its place (concurrencyPolicy Replace).`),
    );
  }
  const hold = (reason: BackupReason | 'WaitingForRestore', message: string): Plan => {
    const { awaiting } = backup.status ?? {};
    // A Job that was refused stays refused while its run waits for another try.
    const fields = awaiting?.event === 'JobAccepted' ? { awaiting } : {};
    return { steps: [write(observed, unfinished(observed, nowMs, reason, message, fields))], mayWait: true };
  };
  if (restoring)
    return hold('WaitingForRestore', `Waits for KmRestore ${restoring}, which restores a claim of this run.`);
  if (ahead) return hold('WaitingForRun', `Waits for run ${ahead} of the same schedule to end.`);
  if (!slot.granted) return hold('WaitingForCapacity', slot.message);
  if (!placement) return NOTHING;
  if (!placement.ok) return finish(observed, nowMs, failure(placement.reason, placement.message));

  const job = buildJob(backup, schedule, settings, placement.placement, source);
  // The status is written when the Job is seen: in a busy minute, Jobs go before status writes.
  return { steps: [{ kind: 'createJob', owner: backup, job }] };
}

/** What is known of a run with a Job. */
function knownOf({ backup }: ObservedBackup, job: Job, nowMs: number) {
  const destination = annotatedDestination(job);
  return {
    job: { name: job.metadata.name, uid: job.metadata.uid },
    startTime: backup.status?.startTime ?? toTime(nowMs),
    ...(destination && { destination }),
  };
}

function decideRunning(
  observed: ObservedBackup,
  job: Job,
  { pod }: Extract<Outcome, { state: 'running' }>,
  nowMs: number,
): Plan {
  const { activeSeconds } = deadlinesOf(observed.schedule, job);
  const awaiting = awaited(observed.backup.status?.awaiting, 'Completed', pod, nowMs);
  const deadline = deadlineMs(awaiting, activeSeconds);
  if (nowMs >= deadline)
    return finish(
      observed,
      nowMs,
      failure(
        'DeadlineExceeded',
        `km-backup in pod ${pod} has run for ${activeSeconds} s (spec.activeDeadlineSeconds) and was ended.`,
      ),
    );
  const fields = { ...knownOf(observed, job, nowMs), phase: 'Running' as const, awaiting };
  return {
    steps: [write(observed, unfinished(observed, nowMs, 'Running', 'km-backup is running.', fields))],
    mayWait: true,
    requeueAtMs: deadline,
  };
}

/** The container has ended but the Job has not: it will retry soon, or something keeps the pod from ending. */
function decideEnded(observed: ObservedBackup, job: Job, ended: Ended, nowMs: number): Plan {
  const { pod, verdict, podEnded, stillRunning } = ended;
  const { backup, schedule, warning } = observed;
  const event = podEnded ? 'PodCreated' : 'PodEnded';
  const awaiting = awaited(backup.status?.awaiting, event, pod, nowMs);
  const nextPodSeconds = deadlinesOf(schedule, job).startSeconds + LONGEST_BACKOFF_SECONDS;
  const deadline = podEnded ? deadlineMs(awaiting, nextPodSeconds) : podEndMs(awaiting.since);
  const said = warning ? `${verdict.message} ${warning.message}` : verdict.message;
  if (nowMs >= deadline) {
    const kept =
      stillRunning.length > 0 ? `container ${stillRunning.join(', ')} runs on` : 'the pod does not end';
    const why = podEnded
      ? `The Job started no other pod within ${nextPodSeconds} s.`
      : `The Job could not try again: ${kept}.`;
    return finish(observed, nowMs, { ...verdict, message: `${said} ${why}` });
  }
  const message = `${said} Waits for the Job to end or to try again.`;
  const fields = { ...knownOf(observed, job, nowMs), phase: 'Running' as const, awaiting };
  return {
    steps: [write(observed, unfinished(observed, nowMs, verdict.reason, message, fields))],
    mayWait: true,
    requeueAtMs: podEnded ? Math.min(deadline, lookAgainMs(awaiting, nowMs)) : deadline,
  };
}

function decideStarting(observed: ObservedBackup, job: Job, outcome: Waiting, nowMs: number): Plan {
  const { backup, schedule, warning } = observed;
  const { startSeconds } = deadlinesOf(schedule, job);
  const known = knownOf(observed, job, nowMs);
  const underWay = startUnderWay(backup);
  const current = awaited(backup.status?.awaiting, outcome.event, outcome.pod, nowMs);
  const first = underWay ?? current;
  if (outcome.unexplained && nowMs < usualUntilMs(first)) {
    const { reason, message } = STARTING;
    return {
      steps: [write(observed, unfinished(observed, nowMs, reason, message, { ...known, awaiting: first }))],
      mayWait: true,
      requeueAtMs: Math.min(usualUntilMs(first), deadlineMs(first, startSeconds)),
    };
  }
  const reason = warning?.reason ?? outcome.reason;
  const message = warning ? `${outcome.message} ${warning.message}` : outcome.message;
  const deadline = deadlineMs(current, startSeconds);
  if (nowMs >= deadline) {
    const what = outcome.event === 'PodCreated' ? 'The Job did not create a pod' : 'The pod did not start';
    return finish(
      observed,
      nowMs,
      failure(
        'StartDeadlineExceeded',
        `${what} within ${startSeconds} s (spec.startDeadlineSeconds). ${reason}: ${message}`,
      ),
    );
  }
  return {
    steps: [write(observed, unfinished(observed, nowMs, reason, message, { ...known, awaiting: current }))],
    mayWait: true,
    requeueAtMs: outcome.unexplained ? Math.min(deadline, lookAgainMs(current, nowMs)) : deadline,
  };
}

function decideStarted(observed: ObservedBackup, job: Job, pods: readonly Pod[], nowMs: number): Plan {
  const { schedule, behind } = observed;
  const outcome = outcomeOf(job, pods);
  if (outcome.state === 'finished') return finish(observed, nowMs, outcome);
  if (behind && schedule?.spec.concurrencyPolicy === 'Replace') {
    return finish(
      observed,
      nowMs,
      failure('Replaced', `Run ${behind} took its place (concurrencyPolicy Replace).`),
    );
  }
  switch (outcome.state) {
    case 'running':
      return decideRunning(observed, job, outcome, nowMs);
    case 'ended':
      return decideEnded(observed, job, outcome, nowMs);
    case 'waiting':
      return decideStarting(observed, job, outcome, nowMs);
  }
}

/**
 * The API server refused to create the Job: quota, admission, a name that is taken. The run is tried again until
 * its start deadline, because the cause may go away; `final` once that has passed.
 */
export function decideRefused(
  observed: ObservedBackup,
  refusal: { reason: BackupReason; message: string },
  nowMs: number,
): { plan: Plan; final: boolean } {
  const { startSeconds } = deadlinesOf(observed.schedule);
  const awaiting = awaited(observed.backup.status?.awaiting, 'JobAccepted', undefined, nowMs);
  const deadline = deadlineMs(awaiting, startSeconds);
  if (nowMs >= deadline) {
    const message = `The Job was refused for ${startSeconds} s (spec.startDeadlineSeconds). ${refusal.message}`;
    return { plan: finish(observed, nowMs, failure(refusal.reason, message)), final: true };
  }
  const next = unfinished(observed, nowMs, refusal.reason, refusal.message, { awaiting });
  const steps = [write(observed, next), ...labelSteps(observed)];
  return { plan: { steps, requeueAtMs: deadline }, final: false };
}

/** What a finished run still needs: the end of its Job, and the note of an approval. */
function decideFinished(observed: ObservedBackup, nowMs: number): Plan {
  const { backup } = observed;
  const plan = decideJobOfFinished(observed, nowMs);
  if (!backup.status?.suspicious || !isApproved(backup)) return plan;
  return { ...plan, steps: [...plan.steps, { kind: 'noteApproval', target: backup.metadata }] };
}

/** Ends the Job of a finished run if it does not end by itself, and removes it if the schedule was deleted. */
function decideJobOfFinished({ backup, schedule, job }: ObservedBackup, nowMs: number): Plan {
  if (job.state !== 'exists' || job.job.metadata.deletionTimestamp) return NOTHING;
  // Its schedule keeps the latest Jobs, and removes the others.
  if (isJobOver(job.job))
    return schedule ? NOTHING : { steps: [{ kind: 'deleteJob', target: job.job.metadata }] };
  const { archive, completionTime } = backup.status ?? {};
  // The report of an archive ends the run, and mostly the Job a moment later; then it stays for its logs.
  const endMs = archive && completionTime ? podEndMs(completionTime) : nowMs;
  return nowMs < endMs
    ? { steps: [], requeueAtMs: endMs }
    : { steps: [{ kind: 'deleteJob', target: job.job.metadata }] };
}

/** Gives a run that a person created the labels of the runs that the operator creates. */
function labelSteps({ backup, schedule }: ObservedBackup): Step[] {
  if (!schedule) return [];
  const { labels = {} } = backup.metadata;
  const name = labelValue(schedule.metadata.name);
  if (labels[LABELS.schedule] === name && labels[LABELS.scheduleUid] !== undefined) return [];
  const missing = { [LABELS.scheduleUid]: schedule.metadata.uid, ...labels, [LABELS.schedule]: name };
  return [{ kind: 'labelBackup', backup, labels: missing }];
}

/** What one run needs next. Pure; `nowMs` is epoch milliseconds. */
export function decideBackup(observed: ObservedBackup, settings: JobSettings, nowMs: number): Plan {
  const { backup } = observed;
  if (backup.metadata.deletionTimestamp) return NOTHING;
  if (isFinished(backup)) return decideFinished(observed, nowMs);
  const plan = decideUnfinished(observed, settings, nowMs);
  return { ...plan, steps: [...plan.steps, ...labelSteps(observed)] };
}

function decideUnfinished(observed: ObservedBackup, settings: JobSettings, nowMs: number): Plan {
  const { backup, job } = observed;
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
