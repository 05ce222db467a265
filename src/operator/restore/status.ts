/** What a KmRestore says of itself: phase, reason, message and conditions. Pure. */
import type { ConditionReason, EventReason } from '../../api/reasons.ts';
import type { KmRestore, KmRestoreStatus, RestorePhase } from '../../api/restore.ts';
import { type ConditionState, withConditions } from '../conditions.ts';
import type { Plan, Step } from '../plan.ts';
import { toTime } from '../time.ts';

/** Conditions that `kubectl wait` and kstatus read: Succeeded, and Ready, Reconciling and Stalled. */
function conditionsOf(phase: RestorePhase, reason: ConditionReason, message: string): ConditionState[] {
  const condition = (type: string, status: ConditionState['status']) => ({ type, status, reason, message });
  switch (phase) {
    case 'Succeeded':
    case 'Planned':
      return [
        condition('Succeeded', phase === 'Succeeded' ? 'True' : 'Unknown'),
        condition('Ready', 'True'),
        condition('Reconciling', 'False'),
        condition('Stalled', 'False'),
      ];
    case 'Failed':
    case 'RolledBack':
      return [
        condition('Succeeded', 'False'),
        condition('Ready', 'False'),
        condition('Reconciling', 'False'),
        condition('Stalled', 'True'),
      ];
    default:
      return [
        condition('Succeeded', 'Unknown'),
        condition('Ready', 'False'),
        condition('Reconciling', 'True'),
        condition('Stalled', 'False'),
      ];
  }
}

/** Fields to set; undefined takes one out. */
export type StatusFields = { readonly [K in keyof KmRestoreStatus]?: KmRestoreStatus[K] | undefined };

export interface Said {
  readonly phase: RestorePhase;
  readonly reason: ConditionReason;
  readonly message: string;
}

/** The first of these warnings and their number, after a space; empty without any. */
export function quoted(warnings: KmRestoreStatus['warnings']): string {
  const { count = 0, samples = [] } = warnings ?? {};
  if (count === 0) return '';
  const shown = samples.slice(0, 3).map((sample) => sample.replace(/\.$/, ''));
  const more = count > shown.length ? `; and ${count - shown.length} more` : '';
  return ` ${count} ${count === 1 ? 'warning' : 'warnings'}: ${shown.join('; ')}${more}.`;
}

/** The write that puts `fields` and what is said into the status. */
export function writeStatus(
  restore: KmRestore,
  nowMs: number,
  { phase, reason, message }: Said,
  fields: StatusFields = {},
): Step {
  const { generation } = restore.metadata;
  const kept = Object.entries({ ...restore.status, ...fields }).filter(([, value]) => value !== undefined);
  const status: KmRestoreStatus = {
    ...(Object.fromEntries(kept) as KmRestoreStatus),
    phase,
    reason,
    message: message.slice(0, 4096),
    startTime: restore.status?.startTime ?? toTime(nowMs),
    ...(generation !== undefined && { observedGeneration: generation }),
    conditions: withConditions(
      restore.status?.conditions,
      conditionsOf(phase, reason, message),
      generation,
      nowMs,
    ),
  };
  return { kind: 'writeRestoreStatus', restore, status };
}

/** The restore goes on waiting; `requeueAtMs`: look again then though nothing changed. */
export function wait(
  restore: KmRestore,
  nowMs: number,
  said: Said,
  fields: StatusFields = {},
  requeueAtMs?: number,
): Plan {
  return {
    steps: [writeStatus(restore, nowMs, said, fields)],
    ...(requeueAtMs !== undefined && { requeueAtMs }),
  };
}

/** Writes down what the restore will end as; what has to be undone is undone before it does. */
export function fail(
  restore: KmRestore,
  nowMs: number,
  reason: ConditionReason,
  message: string,
  fields: StatusFields = {},
): Plan {
  const swapped = restore.status?.swapTime !== undefined;
  const goesBack = swapped && restore.spec.rollback === 'OnFailure' && restore.status?.oldState !== undefined;
  const phase = restore.status?.phase ?? 'Pending';
  return wait(
    restore,
    nowMs,
    { phase, reason, message },
    {
      ...fields,
      failure: { phase: goesBack ? 'RolledBack' : 'Failed', reason, message },
    },
  );
}

const EVENT_OF = {
  Planned: 'PlanReady',
  Succeeded: 'RestoreSucceeded',
  RolledBack: 'RestoreRolledBack',
  Failed: 'RestoreUnsuccessful',
} as const satisfies Record<string, EventReason>;

/** The last status of all, with its Event. */
export function finish(
  restore: KmRestore,
  nowMs: number,
  said: Said & { readonly phase: 'Planned' | 'Succeeded' | 'RolledBack' | 'Failed' },
  fields: StatusFields = {},
): Plan {
  const good = said.phase === 'Planned' || said.phase === 'Succeeded';
  const reason = EVENT_OF[said.phase];
  return {
    steps: [
      writeStatus(restore, nowMs, said, { ...fields, completionTime: toTime(nowMs) }),
      {
        kind: 'recordEvent',
        regarding: restore,
        event: { type: good ? 'Normal' : 'Warning', reason, action: 'Restore', note: said.message },
      },
    ],
  };
}
