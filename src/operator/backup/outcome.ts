/** What the Job and the pods of a run say about it. Pure. */
import type { BackupPhase } from '../../api/backup.ts';
import { type ConditionReason, quoteReason } from '../../api/reasons.ts';
import { RunResult } from '../../api/run-result.ts';
import { CONTAINER } from '../naming.ts';
import type { Job, Pod } from '../workloads.ts';

export interface Finished {
  state: 'finished';
  phase: Extract<BackupPhase, 'Succeeded' | 'Incomplete' | 'Failed' | 'Skipped'>;
  reason: ConditionReason;
  message: string;
  result?: RunResult;
}

export interface Waiting {
  state: 'waiting';
  event: 'PodCreated' | 'PodStarted';
  /** Name of the pod, once there is one. */
  pod?: string;
  reason: ConditionReason;
  message: string;
  /** Whether neither the pod nor the Job says why, so that only their Events can. */
  unexplained: boolean;
}

/** The container has ended and the Job has not: another container runs on, or the Job is about to try again. */
export interface Ended {
  state: 'ended';
  pod: string;
  /** How the run ends if nothing else follows. */
  verdict: Finished;
  podEnded: boolean;
  /** Names of the containers that keep the pod from ending. */
  stillRunning: string[];
}

export type Outcome = Waiting | { state: 'running'; pod: string } | Ended | Finished;

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

const hasEnded = (pod: Pod) => pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';

function newestFirst(pods: readonly Pod[]): Pod[] {
  return [...pods].sort((a, b) => b.metadata.creationTimestamp.localeCompare(a.metadata.creationTimestamp));
}

/** The pod's report, if it made an archive. */
function archiveReport(pod: Pod): RunResult | undefined {
  const ended = container(pod)?.terminated;
  const result = parseResult(ended?.message);
  if (!result?.archive) return undefined;
  const matchesExit =
    result.outcome === 'Succeeded' ? ended?.exitCode === 0 : result.outcome === 'Incomplete';
  return matchesExit ? result : undefined;
}

/** The report of an archive. The Job controller may start two pods: one makes the archive, the other finds the lock held. */
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

function withoutArchive(pod: Pod): Finished {
  return failed(
    'NoArchiveReported',
    `km-backup in pod ${pod.metadata.name} ended without error but reported no verified archive. Its log may say why. Earlier archives are unchanged.`,
  );
}

/** How a run ends whose last pod ended like this and reported no archive. */
function verdictOf(pod: Pod): Finished {
  const ended = container(pod)?.terminated;
  const result = parseResult(ended?.message);
  if (result && result.outcome !== 'Succeeded') return fromResult(result);
  if (ended?.exitCode === 0) return withoutArchive(pod);
  const why = whyPodEnded(pod);
  return failed(
    why?.reason ?? 'JobFailed',
    why?.message ?? `Pod ${pod.metadata.name} failed without a reason.`,
  );
}

/** The first container, before km-backup itself, that has not started or keeps failing. */
function initContainerWaiting(pod: Pod): { reason: string; message: string } | undefined {
  for (const { name, state } of pod.status?.initContainerStatuses ?? []) {
    const { waiting, terminated } = state ?? {};
    if (waiting?.reason && waiting.reason !== 'PodInitializing')
      return {
        reason: waiting.reason,
        message: `Init container ${name}: ${waiting.message ?? waiting.reason}`,
      };
    if (terminated && terminated.exitCode !== 0)
      return {
        reason: terminated.reason ?? 'Error',
        message: `Init container ${name} exited with ${terminated.exitCode}.`,
      };
  }
  return undefined;
}

/** Reasons that the kubelet gives for every pod while it starts. */
const STARTING = new Set(['ContainerCreating', 'PodInitializing']);

/** What a pod that has not started waits for, in the words of the scheduler or the kubelet. */
function waitingForStart(pod: Pod): Waiting {
  const { name } = pod.metadata;
  const wait = { state: 'waiting', event: 'PodStarted', pod: name, unexplained: false } as const;
  const waiting = container(pod)?.waiting;
  const init = initContainerWaiting(pod);
  if (init) return { ...wait, reason: quoteReason(init.reason, 'PodStarting'), message: init.message };
  if (waiting?.reason && !(STARTING.has(waiting.reason) && waiting.message === undefined))
    return {
      ...wait,
      reason: quoteReason(waiting.reason, 'PodStarting'),
      message: waiting.message ?? `The container of pod ${name} does not start: ${waiting.reason}.`,
    };
  const condition = pod.status?.conditions?.find(
    (candidate) => candidate.type === 'PodScheduled' && candidate.status === 'False',
  );
  if (condition)
    return {
      ...wait,
      reason: quoteReason(condition.reason, 'Unschedulable'),
      message: condition.message ?? `Pod ${name} cannot be scheduled.`,
    };
  return { ...wait, reason: 'PodStarting', message: `Pod ${name} is starting.`, unexplained: true };
}

function waitingForPod(job: Job): Waiting {
  const wait = { state: 'waiting', event: 'PodCreated', reason: 'WaitingForPod' } as const;
  const suspended = hasCondition(job, 'Suspended');
  return suspended
    ? {
        ...wait,
        message: `Job ${job.metadata.name} is suspended, by a queue or by hand: ${suspended.message ?? ''}`,
        unexplained: false,
      }
    : { ...wait, message: `Job ${job.metadata.name} has not created a pod.`, unexplained: true };
}

const hasCondition = (job: Job, type: string) =>
  job.status?.conditions?.find((condition) => condition.type === type && condition.status === 'True');

export const isJobOver = (job: Job): boolean =>
  hasCondition(job, 'Complete') !== undefined || hasCondition(job, 'Failed') !== undefined;

/** Whether a Job is over and none of these pods is the one that ended it. */
export function lacksReport(job: Job, pods: readonly Pod[]): boolean {
  const ended = pods.map((pod) => container(pod)?.terminated);
  if (hasCondition(job, 'Complete')) return !ended.some((one) => one?.exitCode === 0);
  return hasCondition(job, 'Failed') !== undefined && !ended.some((one) => one !== undefined);
}

/** What a run's Job and pods say about it. Only a report that names a verified archive is a success. */
export function outcomeOf(job: Job, pods: readonly Pod[]): Outcome {
  const ordered = newestFirst(pods);
  // The report ends the run: an injected sidecar can keep the Job from ending.
  const report = archiveReported(ordered);
  if (report) return fromResult(report);

  if (hasCondition(job, 'Complete')) {
    const silent = ordered.find((pod) => container(pod)?.terminated?.exitCode === 0);
    return silent
      ? withoutArchive(silent)
      : failed(
          'NoArchiveReported',
          'The Job succeeded, but its pod was removed before it could report an archive.',
        );
  }
  const jobFailed = hasCondition(job, 'Failed');
  if (jobFailed) return outcomeOfFailed(jobFailed, ordered[0]);

  const pod = ordered.find((candidate) => container(candidate)?.running) ?? ordered[0];
  if (!pod) return waitingForPod(job);
  if (hasEnded(pod) || container(pod)?.terminated) {
    const stillRunning = pod.status?.containerStatuses?.filter(({ state }) => state?.running) ?? [];
    return {
      state: 'ended',
      pod: pod.metadata.name,
      verdict: verdictOf(pod),
      podEnded: hasEnded(pod),
      stillRunning: stillRunning.map(({ name }) => name),
    };
  }
  if (container(pod)?.running) return { state: 'running', pod: pod.metadata.name };
  return waitingForStart(pod);
}

function outcomeOfFailed(condition: { reason?: string; message?: string }, last: Pod | undefined): Finished {
  if (condition.reason === 'DeadlineExceeded') {
    const why = whyPodEnded(last)?.message ?? condition.message ?? '';
    return failed('DeadlineExceeded', `The tries of this run took too long in all. ${why}`.trim());
  }
  const result = last && parseResult(container(last)?.terminated?.message);
  if (result && result.outcome !== 'Succeeded') return fromResult(result);
  const why = whyPodEnded(last);
  return failed(
    why?.reason ?? quoteReason(condition.reason, 'JobFailed'),
    why?.message ?? condition.message ?? 'The Job failed and left no pod that could say why.',
  );
}
