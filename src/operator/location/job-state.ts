/** What a Job that checks or copies came to, from its pods' reports. Pure. */
import { type ConditionReason, quoteReason } from '../../api/reasons.ts';
import { isJobOver, outcomeOf } from '../backup/outcome.ts';
import { CONTAINER } from '../naming.ts';
import { fromTime } from '../time.ts';
import type { Job, JobReference, Pod } from '../workloads.ts';

export type LocationJobState<R> =
  | { readonly state: 'none' }
  /** It was recorded, and the API server says that it no longer exists. */
  | { readonly state: 'gone'; readonly job: JobReference }
  | {
      readonly state: 'active';
      readonly job: Job;
      readonly message: string;
      /** Its pod has not started. */
      readonly isWaiting: boolean;
    }
  | { readonly state: 'succeeded'; readonly job: Job; readonly result: R }
  | {
      readonly state: 'failed';
      readonly job: Job;
      readonly reason: ConditionReason;
      readonly message: string;
      /** What it had done by then; absent if it reported nothing. */
      readonly result?: R;
    };

interface Schema<R> {
  safeParse(value: unknown): { data?: R | undefined };
}

interface Report {
  readonly outcome: 'Succeeded' | 'Failed';
  readonly reason: string;
  readonly message: string;
}

function reportOf<R>(pod: Pod, schema: Schema<R>): R | undefined {
  const ended = pod.status?.containerStatuses?.find(({ name }) => name === CONTAINER)?.state?.terminated;
  const line = ended?.message?.trim().split('\n').at(-1);
  if (line === undefined) return undefined;
  try {
    return schema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}

/** The report counts as soon as it is there: an injected sidecar may keep the Job from its end for ever. */
export function stateOfLocationJob<R extends Report>(
  job: Job,
  pods: readonly Pod[],
  schema: Schema<R>,
  silent: ConditionReason,
): LocationJobState<R> {
  const reports = pods
    .toSorted((a, b) => b.metadata.creationTimestamp.localeCompare(a.metadata.creationTimestamp))
    .flatMap((pod) => reportOf(pod, schema) ?? []);
  const result = reports.find(({ outcome }) => outcome === 'Succeeded') ?? reports[0];
  if (result?.outcome === 'Succeeded') return { state: 'succeeded', job, result };
  if (result) {
    const { reason, message } = result;
    return { state: 'failed', job, reason: quoteReason(reason, 'ProgramFailed'), message, result };
  }
  const outcome = outcomeOf(job, pods);
  if (!isJobOver(job)) {
    const isWaiting = outcome.state === 'waiting';
    return { state: 'active', job, isWaiting, message: isWaiting ? outcome.message : '' };
  }
  const { reason, message } =
    outcome.state === 'finished' && outcome.reason !== 'NoArchiveReported'
      ? outcome
      : { reason: silent, message: `Job ${job.metadata.name} ended without a result. Its log may say why.` };
  return { state: 'failed', job, reason, message };
}

/** Since when an active Job waits for its pod to start is not recorded: its creation is near enough. */
export const startDeadlineMs = (job: Job, startSeconds: number): number =>
  fromTime(job.metadata.creationTimestamp) + startSeconds * 1000;

/** 1, 2, 4 … 60 minutes. */
export function backoffMs(failures: number): number {
  return Math.min(3_600_000, 60_000 * 2 ** Math.min(10, Math.max(0, failures - 1)));
}
