/** The waits of a run. Each has a deadline that counts from its own beginning. Pure. */
import type { KmBackup, KmBackupStatus } from '../../api/backup.ts';
import type { KmBackupSchedule } from '../../api/backup-schedule.ts';
import { fromTime, toTime } from '../time.ts';
import { type Deadlines, deadlinesOfJob, type Job } from '../workloads.ts';
import type { Outcome } from './outcome.ts';

export type Awaited = NonNullable<KmBackupStatus['awaiting']>;

/** A pod that starts within this time costs no status write for each of its steps. */
export const USUAL_START_MS = 10_000;
/** An unexplained wait is looked at again after as long as it has lasted, within these bounds. */
const LOOK_AGAIN_MS = { least: USUAL_START_MS, most: 60_000 };
/** A pod ends within 30 s of its main container unless a sidecar keeps it. */
const POD_END_MS = 60_000;
/** The Job controller waits at most this long between two tries. */
export const LONGEST_BACKOFF_SECONDS = 600;
/** For a run whose schedule was deleted or does not exist yet. */
const DEFAULT_DEADLINES: Deadlines = { startSeconds: 600, activeSeconds: 86_400 };

export function deadlinesOf(schedule: KmBackupSchedule | undefined, job?: Job): Deadlines {
  const written = job && deadlinesOfJob(job);
  if (written) return written;
  if (!schedule) return DEFAULT_DEADLINES;
  const { startDeadlineSeconds, activeDeadlineSeconds } = schedule.spec;
  return { startSeconds: startDeadlineSeconds, activeSeconds: activeDeadlineSeconds };
}

/**
 * The wait for an event, since it was first seen by this operator's clock: the API server's and the nodes' may
 * differ. Another pod is another wait.
 */
export function awaited(
  before: Awaited | undefined,
  event: Awaited['event'],
  pod: string | undefined,
  nowMs: number,
): Awaited {
  if (before?.event === event && before.pod === pod) return before;
  return { event, ...(pod !== undefined && { pod }), since: toTime(nowMs) };
}

export const deadlineMs = ({ since }: Awaited, seconds: number): number => fromTime(since) + seconds * 1000;

/** Until when to wait for a pod to end by itself; epoch ms. */
export const podEndMs = (since: string): number => fromTime(since) + POD_END_MS;

/** The wait for the pod's creation or start, if the run is at that point. */
export function startUnderWay({ status }: KmBackup): Awaited | undefined {
  const { awaiting } = status ?? {};
  return awaiting?.event === 'PodCreated' || awaiting?.event === 'PodStarted' ? awaiting : undefined;
}

/** Until when a start is as fast as usual, so that one status covers all of its steps; epoch ms. */
export const usualUntilMs = ({ since }: Awaited): number => fromTime(since) + USUAL_START_MS;

/** Whether the start takes longer than usual and only an Event can say why. */
export function needsEvents(backup: KmBackup, outcome: Outcome, nowMs: number): boolean {
  const start = startUnderWay(backup);
  const unexplained = outcome.state === 'waiting' ? outcome.unexplained : outcome.state === 'ended';
  return unexplained && start !== undefined && nowMs >= usualUntilMs(start);
}

export function lookAgainMs({ since }: Awaited, nowMs: number): number {
  const { least, most } = LOOK_AGAIN_MS;
  return nowMs + Math.min(most, Math.max(least, nowMs - fromTime(since)));
}
