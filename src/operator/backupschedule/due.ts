/** Whether a schedule can run at all, and which of its scheduled times is due. Pure. */

import { LABELS } from '../../api/names.ts';
import type { ScheduleReason } from '../../api/reasons.ts';
import { cadenceOf, describeCadence } from '../../api/schedule-cadence.ts';
import { type Cadence, nextTime, settle } from '../../schedule/index.ts';
import { elevatedProblem } from '../backup/elevated.ts';
import type { Run } from '../finished-run.ts';
import { fromTime } from '../time.ts';
import type { ObservedSchedule } from './observe.ts';

export type Validity =
  | { ok: true; cadence: Cadence; nextMs: number }
  | { ok: false; reason: ScheduleReason; message: string };

export function validate(
  { schedule, allowScripts, elevatedNamespaces = [] }: ObservedSchedule,
  nowMs: number,
): Validity {
  if (schedule.spec.script && !allowScripts) {
    return {
      ok: false,
      reason: 'ScriptsNotAllowed',
      message:
        'spec.script is set, but this operator does not run scripts. Install it with jobs.allowScripts=true or remove spec.script.',
    };
  }
  const { namespace } = schedule.metadata;
  const refused = schedule.spec.podTemplate?.elevated && elevatedProblem(namespace, { elevatedNamespaces });
  if (refused) return { ok: false, ...refused };
  const parsed = cadenceOf(schedule);
  if (!parsed.ok) {
    const reason = parsed.reason === 'NeverDue' ? 'NeverDue' : 'InvalidSchedule';
    return { ok: false, reason, message: parsed.message };
  }
  const nextMs = nextTime(parsed.cadence, nowMs);
  if (nextMs === null) {
    return {
      ok: false,
      reason: 'NeverDue',
      message: `spec.cron "${schedule.spec.cron}" names no date in the next twelve years.`,
    };
  }
  return { ok: true, cadence: parsed.cadence, nextMs };
}

/** The scheduled time that the run serves (epoch ms); undefined for a run made by hand. */
export function slotOf(backup: Run): number | undefined {
  const slot = backup.spec.scheduledTime;
  return slot === undefined ? undefined : fromTime(slot);
}

export interface Due {
  /** Scheduled time (epoch ms) to run now. */
  slot: number | undefined;
  /** A scheduled time waits for its run: due now, or once missed times are recorded and the earlier run has ended. */
  pending: boolean;
  /** Scheduled times newly found to have passed without a run. */
  missed: number;
  lastMissedMs: number | undefined;
  /** Every scheduled time up to here has had its run or was counted; epoch ms. */
  settledUntilMs: number;
  /** A clock was ahead by this much when the schedule was last settled, and was corrected. */
  clockWasAheadMs?: number | undefined;
}

/** What is due, missed and settled. Suspending and resuming are changes of cadence too. */
export function dueSlots(
  { schedule, backups }: ObservedSchedule,
  cadence: Cadence,
  mayStart: boolean,
  nowMs: number,
): Due {
  const { status, spec, metadata } = schedule;
  const runs = backups.filter((backup) => backup.metadata.labels?.[LABELS.scheduleUid] === metadata.uid);
  const { dueMs, missed, lastMissedMs, settledUntilMs, clockWasAheadMs } = settle({
    cadence,
    nowMs,
    settledUntilMs: fromTime(status?.settledUntil ?? metadata.creationTimestamp),
    runsMs: runs.map(slotOf).filter((slot) => slot !== undefined),
    changed: status?.cadence !== undefined && status.cadence !== describeCadence(schedule),
    suspended: spec.suspend,
    startingDeadlineMs:
      spec.startingDeadlineSeconds === undefined ? undefined : spec.startingDeadlineSeconds * 1000,
  });
  // Misses are written down before the scheduled time after them is run: its run would settle them uncounted.
  const slot = missed === 0 && mayStart ? (dueMs ?? undefined) : undefined;
  return {
    slot,
    pending: dueMs !== null,
    missed,
    lastMissedMs: lastMissedMs ?? undefined,
    settledUntilMs: slot ?? settledUntilMs,
    clockWasAheadMs,
  };
}
