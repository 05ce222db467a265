/** What the Jobs do about a pod that failed. Pure. */
import type { V1PodFailurePolicy } from '@kubernetes/client-node';
import { CONTAINER } from './naming.ts';

/**
 * The Job fails at once where another pod would end the same way. A pod that is evicted or lost with its node does not
 * count as an attempt.
 * @param notRetried exit codes of km-backup
 * @param script container of a script in the same pod: what it finds wrong, it would find again
 */
export function podFailurePolicy(notRetried: readonly number[], script?: string): V1PodFailurePolicy {
  return {
    rules: [
      ...(notRetried.length > 0 ? [failJob(CONTAINER, 'In', notRetried)] : []),
      ...(script === undefined ? [] : [failJob(script, 'NotIn', [0])]),
      { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
    ],
  };
}

const failJob = (containerName: string, operator: string, values: readonly number[]) => ({
  action: 'FailJob',
  onExitCodes: { containerName, operator, values: [...values] },
});
