/** What a Job of a restore came to, from its pods' reports. Pure. */
import { quoteReason } from '../../api/reasons.ts';
import { RestoreResult } from '../../api/restore-result.ts';
import { outcomeOf } from '../backup/outcome.ts';
import { fromTime } from '../time.ts';
import type { Job, Pod } from '../workloads.ts';
import type { RestoreJobState } from './observed.ts';
import { restoreContainer, scriptOf } from './scratch.ts';

function reportOf(pod: Pod): { readonly result: RestoreResult; readonly exitCode: number } | undefined {
  const ended = restoreContainer(pod)?.terminated;
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
  const newestFirst = pods.toSorted((a, b) =>
    b.metadata.creationTimestamp.localeCompare(a.metadata.creationTimestamp),
  );
  const reports = newestFirst.flatMap((pod) => {
    const report = reportOf(pod);
    return report ? [{ ...report, script: scriptOf(pod) }] : [];
  });
  const good = reports.find(
    ({ result, exitCode, script }) =>
      result.outcome === 'Succeeded' && exitCode === 0 && (script === undefined || script === 'succeeded'),
  );
  if (good) return { state: 'succeeded', result: good.result, target };
  for (const { script } of reports) {
    if (typeof script === 'object')
      return { state: 'failed', reason: 'ScratchScriptFailed', message: script.failed, target };
  }
  if (has(job, 'Complete')) return { state: 'succeeded', result: undefined, target };
  if (has(job, 'Failed')) {
    const [last] = reports;
    if (last?.result.outcome === 'Failed') {
      const { reason, message } = last.result;
      return { state: 'failed', reason: quoteReason(reason, 'ProgramFailed'), message, target };
    }
    const outcome = outcomeOf(job, pods);
    return outcome.state === 'finished'
      ? { state: 'failed', reason: outcome.reason, message: outcome.message, target }
      : { state: 'failed', reason: 'JobFailed', message: 'The Job failed and left no pod to ask.', target };
  }
  const outcome = outcomeOf(job, pods);
  const begun = newestFirst.some(
    (pod) => restoreContainer(pod)?.running ?? restoreContainer(pod)?.terminated,
  );
  if (outcome.state !== 'waiting' || begun) return { state: 'active', message: '', target };
  const created = [job, ...pods].map(({ metadata }) => fromTime(metadata.creationTimestamp));
  const start = { sinceMs: Math.max(...created), unexplained: outcome.unexplained };
  return { state: 'active', message: outcome.message, target, start };
}
