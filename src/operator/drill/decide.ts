/** What the drills of one schedule need next. Pure. */

import type { DrillStatus } from '../../api/drill.ts';
import { isDrilled } from '../../api/drill-cadence.ts';
import { isRestoreFinished } from '../../api/finished.ts';
import type { KmRestore } from '../../api/restore.ts';
import type { ObservedSchedule } from '../backupschedule/observe.ts';
import type { ConditionState } from '../conditions.ts';
import type { EventText, Step } from '../plan.ts';
import { drillsDue } from './due.ts';
import { newDrill } from './new-drill.ts';
import { drillSentence, drillStatus, type Ended, finishedDrills, newlyEnded, recoverable } from './status.ts';

export interface DrillDecision {
  readonly status: DrillStatus;
  readonly conditions: readonly ConditionState[];
  /** Belong to the write of the status, which records that they were said. */
  readonly events: readonly EventText[];
  readonly steps: readonly Step[];
  /** The next time of the cron; epoch ms. */
  readonly requeueAtMs?: number | undefined;
}

const NO_DRILLS: DrillDecision = { status: {}, conditions: [], events: [], steps: [] };

export function decideDrills({ schedule, drills }: ObservedSchedule, nowMs: number): DrillDecision {
  if (!isDrilled(schedule)) return NO_DRILLS;
  const finished = finishedDrills(drills);
  const active = drills.find((drill) => !isRestoreFinished(drill));
  const ended = newlyEnded(schedule, finished.at(-1), nowMs);
  const due = drillsDue(schedule, drills, nowMs);
  const key = due.ok && !active ? due.due : undefined;
  const status = drillStatus(schedule, due, active, ended, nowMs);
  const steps = expired(finished, schedule.spec.drill.historyLimit);
  if (key) {
    const restore = newDrill(schedule, key, nowMs);
    steps.push({ kind: 'createRestore', restore, scheduleUid: schedule.metadata.uid });
    const note = `Created KmRestore ${restore.metadata.name}.`;
    steps.push({
      kind: 'recordEvent',
      regarding: schedule,
      event: { type: 'Normal', reason: 'DrillCreated', action: 'Drill', note },
    });
  }
  return {
    status,
    conditions: [recoverable(schedule, due, key !== undefined, status)],
    events: ended ? [eventOf(ended)] : [],
    steps,
    requeueAtMs: due.ok && !schedule.spec.suspend ? due.nextMs : undefined,
  };
}

function eventOf({ result, record }: Ended): EventText {
  const good = result === 'Succeeded';
  return {
    type: good ? 'Normal' : 'Warning',
    reason: good ? 'DrillSucceeded' : 'DrillFailed',
    action: 'Drill',
    note: drillSentence(result, record),
  };
}

/** Finished drills beyond the history limit. One that is still held is waited for. */
function expired(finished: readonly KmRestore[], limit: number): Step[] {
  return finished
    .slice(0, -limit)
    .filter(({ metadata }) => !metadata.deletionTimestamp && !metadata.finalizers?.length)
    .map(({ metadata }) => ({ kind: 'deleteRestore', target: metadata }));
}
