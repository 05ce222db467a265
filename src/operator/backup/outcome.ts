import type { BackupPhase } from '../../api/backup.ts';
import { type ConditionReason, quoteReason } from '../../api/reasons.ts';
import { RunResult } from '../../api/run-result.ts';
import type { Job, Pod } from '../workloads.ts';
import { CONTAINER } from './job.ts';

export type Outcome =
  /** The pod is not running yet; `reason` and `message` say what it waits for. */
  | { state: 'waiting'; reason: ConditionReason; message: string }
  | { state: 'running'; startedAt?: string }
  | {
      state: 'finished';
      phase: Extract<BackupPhase, 'Succeeded' | 'Incomplete' | 'Failed' | 'Skipped'>;
      reason: ConditionReason;
      message: string;
      result?: RunResult;
    };

type Finished = Extract<Outcome, { state: 'finished' }>;

const failed = (reason: ConditionReason, message: string): Finished => ({
  state: 'finished',
  phase: 'Failed',
  reason,
  message,
});

function parseResult(message: string | undefined): RunResult | undefined {
  if (message === undefined) return undefined;
  try {
    return RunResult.safeParse(JSON.parse(message.trim().split('\n').at(-1) ?? '')).data;
  } catch {
    return undefined;
  }
}

function container(pod: Pod) {
  return pod.status?.containerStatuses?.find((status) => status.name === CONTAINER)?.state;
}

function newestFirst(pods: readonly Pod[]): Pod[] {
  return [...pods].sort((a, b) => b.metadata.creationTimestamp.localeCompare(a.metadata.creationTimestamp));
}

/** What a pod said of an archive that it made. */
function archiveReport(pod: Pod): RunResult | undefined {
  const ended = container(pod)?.terminated;
  const result = parseResult(ended?.message);
  if (!result?.archive) return undefined;
  const asItEnded = result.outcome === 'Succeeded' ? ended?.exitCode === 0 : result.outcome === 'Incomplete';
  return asItEnded ? result : undefined;
}

/** The Job controller may start a program twice: then one pod makes an archive, and the other finds its lock. */
function archiveReported(pods: readonly Pod[]): RunResult | undefined {
  const reports = pods.map(archiveReport).filter((report) => report !== undefined);
  return reports.find(({ outcome }) => outcome === 'Succeeded') ?? reports[0];
}

/** Why a pod ended without a result of its own: evicted, out of memory, node lost… */
function whyPodEnded(pod: Pod | undefined): { reason: ConditionReason; message: string } | undefined {
  if (!pod) return undefined;
  const where = `pod ${pod.metadata.name}${pod.spec.nodeName ? ` on node ${pod.spec.nodeName}` : ''}`;
  const disrupted = pod.status?.conditions?.find(
    (condition) => condition.type === 'DisruptionTarget' && condition.status === 'True',
  );
  const ended = container(pod)?.terminated;
  if (ended?.reason === 'OOMKilled') {
    return {
      reason: 'OutOfMemory',
      message: `The ${where} was killed for using more memory than its limit. Raise spec.podTemplate.resources.limits.memory.`,
    };
  }
  if (pod.status?.reason)
    return {
      reason: quoteReason(pod.status.reason, 'JobFailed'),
      message: `The ${where}: ${pod.status.message ?? pod.status.reason}`,
    };
  if (disrupted)
    return {
      reason: quoteReason(disrupted.reason, 'Disrupted'),
      message: `The ${where} was disrupted: ${disrupted.message ?? disrupted.reason ?? ''}`,
    };
  if (ended) {
    const said = ended.message?.trim().slice(-1000);
    return {
      reason: 'ProgramFailed',
      message: `km-backup in ${where} exited with ${ended.exitCode}${said ? `: ${said}` : ' and said nothing.'}`,
    };
  }
  return undefined;
}

function fromResult(result: RunResult): Finished {
  return {
    state: 'finished',
    phase: result.outcome,
    reason: quoteReason(result.reason, 'ProgramFailed'),
    message: result.message,
    result,
  };
}

/** Why a pod that is not running waits, in the words of the scheduler or the kubelet. */
function waitingFor(pod: Pod | undefined): { reason: ConditionReason; message: string } {
  if (!pod) return { reason: 'WaitingForPod', message: 'The Job has made no pod yet.' };
  const waiting = container(pod)?.waiting;
  if (waiting?.reason)
    return {
      reason: quoteReason(waiting.reason, 'PodStarting'),
      message: waiting.message ?? `The container waits: ${waiting.reason}`,
    };
  const condition = pod.status?.conditions?.find(
    (candidate) => candidate.type === 'PodScheduled' && candidate.status === 'False',
  );
  if (condition)
    return {
      reason: quoteReason(condition.reason, 'Unschedulable'),
      message: condition.message ?? 'The pod cannot be scheduled.',
    };
  return { reason: 'PodStarting', message: `Pod ${pod.metadata.name} is starting.` };
}

const hasCondition = (job: Job, type: string) =>
  job.status?.conditions?.find((condition) => condition.type === type && condition.status === 'True');

/** Whether a Job is over and none of these pods is the one that ended it. */
export function lacksReport(job: Job, pods: readonly Pod[]): boolean {
  const ended = pods.map((pod) => container(pod)?.terminated);
  if (hasCondition(job, 'Complete')) return !ended.some((one) => one?.exitCode === 0);
  return hasCondition(job, 'Failed') !== undefined && !ended.some((one) => one !== undefined);
}

/** What a run's Job and pods say about it. Without a report that names a verified archive no Job has succeeded. */
export function outcomeOf(job: Job, pods: readonly Pod[]): Outcome {
  const ordered = newestFirst(pods);
  const last = ordered[0];
  const complete = hasCondition(job, 'Complete');
  const jobFailed = hasCondition(job, 'Failed');

  if (complete || jobFailed) {
    const report = archiveReported(ordered);
    if (report) return fromResult(report);
  }
  if (complete) {
    const silent = ordered.find((pod) => container(pod)?.terminated?.exitCode === 0);
    return failed(
      'NoArchiveReported',
      silent
        ? `The Job succeeded, but pod ${silent.metadata.name} reported no verified archive. Its logs may tell more; the archives are as they were before.`
        : 'The Job succeeded, but its pod was removed before it could report an archive.',
    );
  }
  if (jobFailed) {
    if (jobFailed.reason === 'DeadlineExceeded') {
      return failed(
        'DeadlineExceeded',
        `The run took longer than spec.activeDeadlineSeconds. ${whyPodEnded(last)?.message ?? jobFailed.message ?? ''}`.trim(),
      );
    }
    const result = last && parseResult(container(last)?.terminated?.message);
    if (result && result.outcome !== 'Succeeded') return fromResult(result);
    const why = whyPodEnded(last);
    return failed(
      why?.reason ?? quoteReason(jobFailed.reason, 'JobFailed'),
      why?.message ?? jobFailed.message ?? 'The Job failed and left no pod to ask.',
    );
  }

  const state = last && container(last);
  if (state?.running) {
    return { state: 'running', ...(state.running.startedAt && { startedAt: state.running.startedAt }) };
  }
  if (state?.terminated)
    return { state: 'running', ...(state.terminated.startedAt && { startedAt: state.terminated.startedAt }) };
  return { state: 'waiting', ...waitingFor(last) };
}
