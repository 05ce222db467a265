/** Whether a schedule can run at all, and which of its scheduled times is due. Pure. */
import type { KmBackup } from '../../api/backup.ts';
import { LABELS } from '../../api/names.ts';
import type { ScheduleReason } from '../../api/reasons.ts';
import { type Cadence, latestDueSlot, nextSlot } from '../../schedule/index.ts';
import { fromTime } from '../time.ts';
import { cadenceOf, describeCadence } from './cadence.ts';
import type { ObservedSchedule } from './observe.ts';

export type Validity =
  | { ok: true; cadence: Cadence; nextMs: number }
  | { ok: false; reason: ScheduleReason; message: string };

export function validate({ schedule, allowScripts }: ObservedSchedule, nowMs: number): Validity {
  if (schedule.spec.script && !allowScripts) {
    return {
      ok: false,
      reason: 'ScriptsNotAllowed',
      message:
        'spec.script is set, but this operator does not run scripts. Install it with jobs.allowScripts=true or remove spec.script.',
    };
  }
  const parsed = cadenceOf(schedule);
  if (!parsed.ok) return { ok: false, reason: 'InvalidSchedule', message: parsed.message };
  const nextMs = nextSlot(parsed.cadence, nowMs);
  if (nextMs === null) {
    return {
      ok: false,
      reason: 'NeverDue',
      message: `spec.cron "${schedule.spec.cron}" names no date that ever comes.`,
    };
  }
  return { ok: true, cadence: parsed.cadence, nextMs };
}

/** The scheduled time that the run serves (epoch ms); undefined for a run made by hand. */
export function slotOf(backup: KmBackup): number | undefined {
  const slot = backup.spec.scheduledTime;
  return slot === undefined ? undefined : fromTime(slot);
}

export interface Due {
  /** Slot to run now. */
  slot: number | undefined;
  /** Slots newly found to have passed without a run. */
  missed: number;
  lastMissedMs: number | undefined;
  /** Every slot up to here has had its run or was counted; epoch ms. */
  settledUntilMs: number;
}

/**
 * The slots between what is settled and now. A change of cadence, and a suspension, settle everything
 * before the moment they are seen, so that no edit or resume fires a slot of the past.
 */
export function dueSlots(
  observed: ObservedSchedule,
  cadence: Cadence,
  mayStart: boolean,
  nowMs: number,
): Due {
  const { schedule, backups } = observed;
  const { status, spec, metadata } = schedule;
  const changed = status?.cadence !== undefined && status.cadence !== describeCadence(schedule);
  const recorded =
    status?.settledUntil === undefined ? fromTime(metadata.creationTimestamp) : fromTime(status.settledUntil);
  let settledUntilMs = changed ? nowMs : recorded;
  for (const backup of backups) {
    const slot = slotOf(backup);
    // A run whose slot was not written down yet: the operator was stopped in between.
    if (slot !== undefined && backup.metadata.labels?.[LABELS.scheduleUid] === metadata.uid)
      settledUntilMs = Math.max(settledUntilMs, slot);
  }
  if (spec.suspend) return { slot: undefined, missed: 0, lastMissedMs: undefined, settledUntilMs };

  const found = latestDueSlot({
    cadence,
    afterMs: settledUntilMs,
    nowMs,
    ...(spec.startingDeadlineSeconds !== undefined && {
      startingDeadlineMs: spec.startingDeadlineSeconds * 1000,
    }),
  });
  const lastMissedMs = found.lastMissedMs ?? undefined;
  const settled = Math.max(settledUntilMs, lastMissedMs ?? 0);
  // Misses are written down before the slot after them is run: its run would settle them uncounted.
  if (found.slotMs === null || found.missed > 0 || !mayStart)
    return { slot: undefined, missed: found.missed, lastMissedMs, settledUntilMs: settled };
  return { slot: found.slotMs, missed: 0, lastMissedMs, settledUntilMs: found.slotMs };
}
