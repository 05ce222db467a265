import type { ConditionReason } from '../api/reasons.ts';
import type { Condition } from '../api/schema.ts';
import { toTime } from './time.ts';

export interface ConditionState {
  type: string;
  status: 'True' | 'False' | 'Unknown';
  reason: ConditionReason;
  message: string;
}

/**
 * The conditions with the given states in place; `lastTransitionTime` moves only when a status does
 * (Kubernetes API conventions).
 */
export function withConditions(
  before: readonly Condition[] | undefined,
  states: readonly ConditionState[],
  observedGeneration: number | undefined,
  nowMs: number,
): Condition[] {
  return states.map((state) => {
    const old = before?.find((condition) => condition.type === state.type);
    return {
      ...state,
      message: state.message.slice(0, 4096),
      lastTransitionTime: old?.status === state.status ? old.lastTransitionTime : toTime(nowMs),
      ...(observedGeneration !== undefined && { observedGeneration }),
    };
  });
}
