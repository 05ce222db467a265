import type { ConditionReason } from '../api/reasons.ts';
import type { Condition } from '../api/schema.ts';
import { toTime } from './time.ts';

export interface ConditionState {
  type: string;
  status: 'True' | 'False' | 'Unknown';
  reason: ConditionReason;
  message: string;
}

/** Builds conditions from states. As the API conventions ask, `lastTransitionTime` changes only with `status`. */
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

/** The conditions with one of them replaced or added; the others are unchanged. */
export function withCondition(
  before: readonly Condition[] | undefined,
  state: ConditionState,
  observedGeneration: number | undefined,
  nowMs: number,
): Condition[] {
  const others = (before ?? []).filter(({ type }) => type !== state.type);
  return [...withConditions(before, [state], observedGeneration, nowMs), ...others];
}
