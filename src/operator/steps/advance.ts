/** Carries out named steps one after the other. Pure: each look gives the next thing to do. */
import { durationMs } from '../../api/duration.ts';
import type { Step, StepStatus, StoppedWorkload } from '../../api/step.ts';
import { fromTime, toTime } from '../time.ts';

/** What is known of a step that was begun. */
export type StepAnswer =
  | { readonly state: 'pending'; readonly message: string }
  | { readonly state: 'done'; readonly message: string }
  | { readonly state: 'failed'; readonly message: string };

export type StepsProgress =
  | { readonly state: 'done'; readonly statuses: readonly StepStatus[] }
  /** The step was not begun: write `statuses` first, then do it. */
  | { readonly state: 'begin'; readonly statuses: readonly StepStatus[]; readonly step: Step }
  | {
      readonly state: 'running';
      readonly statuses: readonly StepStatus[];
      readonly step: Step;
      readonly message: string;
      readonly deadlineMs: number;
    }
  | { readonly state: 'failed'; readonly statuses: readonly StepStatus[]; readonly message: string };

/** With the status of one step in place; a step not seen before goes to the end. */
function withStatus(statuses: readonly StepStatus[], next: StepStatus): StepStatus[] {
  return statuses.some(({ name }) => name === next.name)
    ? statuses.map((status) => (status.name === next.name ? next : status))
    : [...statuses, next];
}

/**
 * @param statuses of all steps begun so far, of this list or of others
 * @param answerOf what is known of a step under way
 */
export function advanceSteps(
  steps: readonly Step[],
  statuses: readonly StepStatus[],
  answerOf: (step: Step) => StepAnswer,
  nowMs: number,
): StepsProgress {
  let current = statuses;
  for (const step of steps) {
    const status = current.find(({ name }) => name === step.name);
    if (status?.phase === 'Done' || (status?.phase === 'Failed' && step.onError === 'Continue')) continue;
    if (status?.phase === 'Failed') {
      return {
        state: 'failed',
        statuses: current,
        message: `Step ${step.name}: ${status.message ?? 'failed'}`,
      };
    }
    if (!status) {
      const begun: StepStatus = { name: step.name, phase: 'Running', startTime: toTime(nowMs) };
      return { state: 'begin', statuses: withStatus(current, begun), step };
    }
    const answer = answerOf(step);
    const deadlineMs = fromTime(status.startTime ?? toTime(nowMs)) + durationMs(step.timeout);
    if (answer.state === 'pending' && nowMs < deadlineMs) {
      return { state: 'running', statuses: current, step, message: answer.message, deadlineMs };
    }
    const message =
      answer.state === 'pending' ? `not done within ${step.timeout}. ${answer.message}` : answer.message;
    const phase = answer.state === 'done' ? 'Done' : 'Failed';
    current = withStatus(current, { ...status, phase, message: message.slice(0, 1024) });
    if (phase === 'Failed' && step.onError === 'Fail') {
      return { state: 'failed', statuses: current, message: `Step ${step.name}: ${message}` };
    }
  }
  return { state: 'done', statuses: current };
}

export const workloadKey = ({ kind, name }: Pick<StoppedWorkload, 'kind' | 'name'>): string =>
  `${kind}/${name}`;
