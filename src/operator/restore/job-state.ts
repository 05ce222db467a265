/** What a Job of a restore came to, from its pods' reports. Pure. */
import { quoteReason } from '../../api/reasons.ts';
import { RestoreResult } from '../../api/restore-result.ts';
import { outcomeOf } from '../backup/outcome.ts';
import { CONTAINER } from '../naming.ts';
import { fromTime } from '../time.ts';
import type { Job, Pod } from '../workloads.ts';
import type { RestoreJobState } from './observed.ts';

function reportOf(pod: Pod): { readonly result: RestoreResult; readonly exitCode: number } | undefined {
  const ended = pod.status?.containerStatuses?.find(({ name }) => name === CONTAINER)?.state?.terminated;
  const line = ended?.message?.trim().split('\n').at(-1);
  if (!ended || line === undefined) return undefined;
  try {
    const { data } = RestoreResult.safeParse(JSON.parse(line));
    return data && { result: data, exitCode: ended.exitCode };
  } catch {
    return undefined;
  }
}

const has = (job: Job, type: string) =>
  job.status?.conditions?.some((condition) => condition.type === type && condition.status === 'True') ??
  false;

/** The report counts as soon as it is there: an injected sidecar may keep the Job from its end for ever. */
export function stateOfRestoreJob(job: Job, pods: readonly Pod[]): RestoreJobState {
  const target = job.metadata;
  const reports = pods
    .toSorted((a, b) => b.metadata.creationTimestamp.localeCompare(a.metadata.creationTimestamp))
    .flatMap((pod) => reportOf(pod) ?? []);
  const good = reports.find(({ result, exitCode }) => result.outcome === 'Succeeded' && exitCode === 0);
  if (good) return { state: 'succeeded', result: good.result, target };
  if (has(job, 'Complete')) return { state: 'succeeded', result: undefined, target };
  if (has(job, 'Failed')) {
    const [last] = reports;
    if (last) {
      const { reason, message } = last.result;
      return { state: 'failed', reason: quoteReason(reason, 'ProgramFailed'), message, target };
    }
    const outcome = outcomeOf(job, pods);
    return outcome.state === 'finished'
      ? { state: 'failed', reason: outcome.reason, message: outcome.message, target }
      : { state: 'failed', reason: 'JobFailed', message: 'The Job failed and left no pod to ask.', target };
  }
  const outcome = outcomeOf(job, pods);
  if (outcome.state !== 'waiting') return { state: 'active', message: '', target };
  const created = [job, ...pods].map(({ metadata }) => fromTime(metadata.creationTimestamp));
  const start = { sinceMs: Math.max(...created), unexplained: outcome.unexplained };
  return { state: 'active', message: outcome.message, target, start };
}
