import type { KmBackupSchedule } from '../../api/backup-schedule.ts';
import { isFinished } from '../../api/finished.ts';
import { LABELS } from '../../api/names.ts';
import { SCHEDULE_REASONS, type ScheduleReason } from '../../api/reasons.ts';
import { CLOCK_TOLERANCE_MS } from '../../schedule/index.ts';
import { withCondition } from '../conditions.ts';
import { decideDrills } from '../drill/decide.ts';
import type { Run } from '../finished-run.ts';
import type { CopiesDecision } from '../location/decide-copies.ts';
import { type EventText, NOTHING, type Plan, type Step } from '../plan.ts';
import type { Refusal } from '../refusal.ts';
import { fromTime, toTime } from '../time.ts';
import { expiredBackups, expiredJobs } from './cleanup.ts';
import { type Due, dueSlots, slotOf, validate } from './due.ts';
import { byCompletion, Inventory } from './inventory.ts';
import { foundBackups, slotBackup } from './new-backup.ts';
import type { ObservedSchedule } from './observe.ts';
import { latestSourceIdentity } from './source-identity.ts';
import { type Runs, statusOf } from './status.ts';

/**
 * Whether it is a run of this schedule, not of a deleted one of the same name. A run made by hand may have been
 * created before its schedule.
 */
function isOwn(schedule: KmBackupSchedule, { metadata, status }: Run): boolean {
  const uid = metadata.labels?.[LABELS.scheduleUid];
  if (uid !== undefined) return uid === schedule.metadata.uid;
  return (status?.completionTime ?? metadata.creationTimestamp) >= schedule.metadata.creationTimestamp;
}

/**
 * What one schedule needs next. Pure; `nowMs` is epoch milliseconds.
 * @param copies what its copies need; undefined where it has none
 */
export function decideSchedule(observed: ObservedSchedule, nowMs: number, copies?: CopiesDecision): Plan {
  const { schedule, backups } = observed;
  const before = schedule.status;
  if (schedule.metadata.deletionTimestamp) return NOTHING;

  const own = new Set(backups.filter((backup) => isOwn(schedule, backup)));
  // A schedule that was deleted and created again adopts the records of its series.
  const records = backups.filter(isFinished).sort(byCompletion(nowMs));
  const inventory = new Inventory(records);
  const unfinished = backups.filter((backup) => !isFinished(backup) && !backup.metadata.deletionTimestamp);
  const validity = validate(observed, nowMs);
  const mayStart = schedule.spec.concurrencyPolicy === 'Replace' || unfinished.length === 0;
  const due: Due = validity.ok
    ? dueSlots(observed, validity.cadence, mayStart, nowMs)
    : {
        slot: undefined,
        pending: false,
        missed: 0,
        lastMissedMs: undefined,
        settledUntilMs: before?.settledUntil ? fromTime(before.settledUntil) : nowMs,
      };

  const drills = decideDrills(observed, nowMs);
  const found = foundBackups(schedule, inventory);
  const steps: Step[] = [];
  const recordEvent = (event: EventText) => steps.push({ kind: 'recordEvent', regarding: schedule, event });
  if (due.slot !== undefined) {
    // Once the run is seen, the status follows from it: the Jobs of a busy minute go before its status writes.
    const backup = slotBackup(schedule, due.slot);
    steps.push({ kind: 'createBackup', backup, scheduleUid: schedule.metadata.uid });
    recordEvent({
      type: 'Normal',
      reason: 'BackupCreated',
      action: 'Schedule',
      note: `Created KmBackup ${backup.metadata.name}.`,
    });
  } else {
    const slots = [...own]
      .map(slotOf)
      .filter((slot) => slot !== undefined)
      .filter((slot) => slot <= nowMs + CLOCK_TOLERANCE_MS);
    const runs: Runs = {
      creating: due.pending || found.length > 0,
      records,
      inventory,
      counted: records.filter((backup) => own.has(backup)),
      latestSlotMs: slots.length > 0 ? Math.max(...slots) : undefined,
      active: unfinished.map((backup) => backup.metadata.name).sort(),
      claimProblem: observed.claimProblem,
      sourceIdentity: latestSourceIdentity(schedule, observed.jobs),
      drills,
      copies,
    };
    const status = statusOf(schedule, runs, validity, due, nowMs);
    steps.push(...(copies?.records ?? []), { kind: 'writeScheduleStatus', schedule, status });
    for (const event of drills.events) recordEvent(event);
  }
  if (due.missed > 0 && due.lastMissedMs !== undefined) {
    recordEvent({
      type: 'Warning',
      reason: 'MissedSchedule',
      action: 'Schedule',
      note: `${due.missed} scheduled ${due.missed === 1 ? 'time' : 'times'} passed without a run, the last at ${toTime(due.lastMissedMs)}.`,
    });
  }
  if (due.clockWasAheadMs !== undefined) {
    recordEvent({
      type: 'Warning',
      reason: 'ClockCorrected',
      action: 'Schedule',
      note: `status.settledUntil was ${before?.settledUntil ?? schedule.metadata.creationTimestamp}, ahead of the clock: it was wrong then and has been corrected. The schedule continues from now.`,
    });
  }
  const wasReady = before?.conditions?.find((condition) => condition.type === 'Ready')?.reason;
  if (!validity.ok && wasReady !== validity.reason) {
    recordEvent({ type: 'Warning', reason: validity.reason, action: 'Validate', note: validity.message });
  }
  steps.push(
    ...found,
    ...expiredBackups(observed, records, inventory, (backup) => own.has(backup)),
    ...expiredJobs(observed),
    // A step that the API server refuses ends the plan: copies go before drills, for which nothing waits.
    ...(due.slot === undefined ? (copies?.steps ?? []) : []),
    ...drills.steps,
  );
  return {
    steps,
    mayWait: due.slot === undefined && due.missed === 0,
    ...earliest(
      validity.ok && !schedule.spec.suspend ? validity.nextMs : undefined,
      drills.requeueAtMs,
      copies?.requeueAtMs,
    ),
  };
}

function earliest(...times: readonly (number | undefined)[]): { requeueAtMs?: number } {
  const known = times.filter((time) => time !== undefined);
  return known.length === 0 ? {} : { requeueAtMs: Math.min(...known) };
}

/** The API server refused to create a run or drill. The operator tries again; until then a condition says so. */
export function decideScheduleRefused(
  { schedule }: ObservedSchedule,
  { reason, message }: Refusal<ScheduleReason>,
  nowMs: number,
): Plan {
  const { status, metadata } = schedule;
  const type = SCHEDULE_REASONS[reason].condition;
  const before = status?.conditions?.find((condition) => condition.type === type);
  const refused = { type, status: 'False' as const, reason, message };
  const conditions = withCondition(status?.conditions, refused, metadata.generation, nowMs);
  const next = { ...status, conditions };
  const event: EventText = { type: 'Warning', reason, action: 'Schedule', note: message };
  return {
    steps: [
      { kind: 'writeScheduleStatus', schedule, status: next },
      ...(before?.reason === reason ? [] : [{ kind: 'recordEvent' as const, regarding: schedule, event }]),
    ],
  };
}
