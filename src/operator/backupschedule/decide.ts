import { type BackupPhase, isFinished, type KmBackup, type KmBackupSpec } from '../../api/backup.ts';
import type { KmBackupSchedule, KmBackupScheduleStatus, RunTotals } from '../../api/backup-schedule.ts';
import { FIELD_MANAGER, LABELS } from '../../api/names.ts';
import { type Cadence, latestDueSlot, nextSlot } from '../../schedule/index.ts';
import { type ConditionState, withConditions } from '../conditions.ts';
import { backupName, foundName, labelValue } from '../naming.ts';
import { type EventText, type NewBackup, NOTHING, type Plan, type Step } from '../plan.ts';
import { fromTime, toTime } from '../time.ts';
import type { Job } from '../workloads.ts';
import { cadenceOf, describeCadence } from './cadence.ts';
import { archiveInventory, isArchiveGone, untrackedArchives } from './inventory.ts';

export interface ObservedSchedule {
  schedule: KmBackupSchedule;
  /** Every KmBackup in the namespace that names this schedule. */
  backups: readonly KmBackup[];
  /** The Jobs of those runs. */
  jobs: readonly Job[];
  allowScripts: boolean;
}

type Validity =
  | { ok: true; cadence: Cadence; nextMs: number }
  | { ok: false; reason: string; message: string };

function validate({ schedule, allowScripts }: ObservedSchedule, nowMs: number): Validity {
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

/** Runs of this very schedule, not of a namesake that was deleted. */
function isOwn(schedule: KmBackupSchedule, backup: KmBackup): boolean {
  const uid = backup.metadata.labels?.[LABELS.scheduleUid];
  if (uid !== undefined) return uid === schedule.metadata.uid;
  return backup.metadata.creationTimestamp >= schedule.metadata.creationTimestamp;
}

function slotOf(backup: KmBackup): number | undefined {
  const slot = backup.spec.scheduledTime;
  return slot === undefined ? undefined : fromTime(slot);
}

interface Due {
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
function dueSlots(observed: ObservedSchedule, cadence: Cadence, mayStart: boolean, nowMs: number): Due {
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

function newBackup(
  schedule: KmBackupSchedule,
  name: string,
  spec: Omit<KmBackupSpec, 'scheduleName'>,
): NewBackup {
  const { name: scheduleName, namespace, uid } = schedule.metadata;
  return {
    metadata: {
      name,
      namespace,
      labels: {
        [LABELS.managedBy]: FIELD_MANAGER,
        [LABELS.schedule]: labelValue(scheduleName),
        [LABELS.scheduleUid]: uid,
      },
    },
    spec: { scheduleName, ...spec },
  };
}

function slotBackup(schedule: KmBackupSchedule, slotMs: number): NewBackup {
  const { name, uid } = schedule.metadata;
  return newBackup(schedule, backupName(name, uid, slotMs), { scheduledTime: toTime(slotMs) });
}

/** KmBackups for archives made by hand or by the original script, so that they are seen and can be restored. */
function foundBackups(schedule: KmBackupSchedule, finished: readonly KmBackup[]): Step[] {
  const { name, uid } = schedule.metadata;
  return untrackedArchives(finished).map((archiveName) => ({
    kind: 'createBackup',
    backup: newBackup(schedule, foundName(name, uid, archiveName), { archiveName }),
    scheduleUid: uid,
  }));
}

function byCompletion(a: KmBackup, b: KmBackup): number {
  return (
    (a.status?.completionTime ?? '').localeCompare(b.status?.completionTime ?? '') ||
    a.metadata.name.localeCompare(b.metadata.name)
  );
}

const TOTAL: Record<string, keyof RunTotals> = {
  Succeeded: 'succeeded',
  Incomplete: 'incomplete',
  Failed: 'failed',
  Skipped: 'skipped',
};

interface RunCounts {
  runs: RunTotals;
  retentionDeletes: number;
  countedBackups: string[];
}

/**
 * Counted runs that are not seen, and are remembered all the same, latest first to stay: mostly they were removed,
 * but a new leader's view of runs may also be behind its view of schedules.
 */
const UNSEEN_REMEMBERED = 8;

/** Adds every finished run once: those counted before are known by UID. */
function countRuns(status: KmBackupScheduleStatus | undefined, finished: readonly KmBackup[]): RunCounts {
  const before = status?.countedBackups ?? [];
  const counted = new Set(before);
  const runs = { ...(status?.runs ?? { succeeded: 0, incomplete: 0, failed: 0, skipped: 0 }) };
  let retentionDeletes = status?.retentionDeletes ?? 0;
  for (const backup of finished) {
    if (counted.has(backup.metadata.uid) || backup.status?.phase === 'Found') continue;
    runs[TOTAL[backup.status?.phase ?? ''] ?? 'failed'] += 1;
    retentionDeletes += backup.status?.pruned?.count ?? 0;
  }
  const seen = new Set(finished.map((backup) => backup.metadata.uid));
  const forgotten = new Set(before.filter((uid) => !seen.has(uid)).slice(0, -UNSEEN_REMEMBERED));
  const countedBackups = [...before.filter((uid) => !forgotten.has(uid)), ...seen.difference(counted)];
  return { runs, retentionDeletes, countedBackups };
}

type Known<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** The fields that have a value. */
function known<T extends object>(fields: T): Known<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Known<T>;
}

function lastBackupOf({ metadata, status }: KmBackup): NonNullable<KmBackupScheduleStatus['lastBackup']> {
  const { archive } = status ?? {};
  return {
    name: metadata.name,
    phase: status?.phase ?? 'Failed',
    ...known({
      message: status?.message?.slice(0, 1024),
      archive: archive?.name,
      sizeBytes: archive?.sizeBytes,
      sha256: archive?.sha256,
      sourceBytes: archive?.sourceBytes,
      reusedBytes: archive?.reusedBytes,
      durationSeconds: status?.durationSeconds,
      warnings: status?.warnings?.count,
    }),
  };
}

function lastSuccessOf({
  metadata,
  status,
}: KmBackup): NonNullable<KmBackupScheduleStatus['lastSuccessfulBackup']> {
  return {
    name: metadata.name,
    archive: status?.archive?.name ?? '',
    sizeBytes: status?.archive?.sizeBytes ?? 0,
    pruned: status?.pruned?.count ?? 0,
  };
}

function health(last: KmBackup | undefined, before: KmBackupScheduleStatus | undefined): ConditionState {
  if (!last) {
    const kept = before?.conditions?.find((condition) => condition.type === 'Healthy');
    if (kept && before?.lastBackup)
      return { type: 'Healthy', status: kept.status, reason: kept.reason, message: kept.message };
    return { type: 'Healthy', status: 'Unknown', reason: 'NoRunYet', message: 'No run has finished yet.' };
  }
  const phase = last.status?.phase ?? 'Failed';
  return {
    type: 'Healthy',
    status: phase === 'Succeeded' ? 'True' : 'False',
    reason: phase,
    message: `${last.metadata.name}: ${last.status?.message ?? phase}`,
  };
}

/** Finished Jobs beyond the history limits, oldest first to go; only of runs whose end is recorded. */
function expiredJobs({ schedule, jobs, backups }: ObservedSchedule): Step[] {
  const phaseOf = new Map(
    backups.filter(isFinished).map((backup) => [backup.metadata.uid, backup.status?.phase]),
  );
  const newestFirst = jobs
    .filter((job) => !job.metadata.deletionTimestamp)
    .sort((a, b) => b.metadata.creationTimestamp.localeCompare(a.metadata.creationTimestamp));
  const seen = { good: 0, bad: 0 };
  const steps: Step[] = [];
  for (const job of newestFirst) {
    const phase = phaseOf.get(job.metadata.ownerReferences?.find((owner) => owner.controller)?.uid ?? '');
    if (phase === undefined) continue;
    const kind = phase === 'Succeeded' ? 'good' : 'bad';
    seen[kind] += 1;
    const limit =
      kind === 'good' ? schedule.spec.successfulJobsHistoryLimit : schedule.spec.failedJobsHistoryLimit;
    if (seen[kind] > limit) steps.push({ kind: 'deleteJob', target: job.metadata });
  }
  return steps;
}

/** KmBackups whose archive is gone, and failed ones beyond the history limit; only after they were counted. */
function expiredBackups(observed: ObservedSchedule, finished: readonly KmBackup[]): Step[] {
  const inventory = archiveInventory(finished);
  const counted = new Set(observed.schedule.status?.countedBackups);
  let failures = 0;
  const steps: Step[] = [];
  for (const backup of [...finished].sort(byCompletion).reverse()) {
    const withArchive = backup.status?.archive !== undefined;
    if (!withArchive) failures += 1;
    const expired = withArchive
      ? isArchiveGone(backup, finished, inventory)
      : failures > observed.schedule.spec.failedJobsHistoryLimit;
    if (expired && counted.has(backup.metadata.uid) && !backup.metadata.deletionTimestamp) {
      steps.push({ kind: 'deleteBackup', target: backup.metadata });
    }
  }
  return steps;
}

function readiness(validity: Validity, schedule: KmBackupSchedule): ConditionState {
  if (!validity.ok)
    return { type: 'Ready', status: 'False', reason: validity.reason, message: validity.message };
  return schedule.spec.suspend
    ? { type: 'Ready', status: 'True', reason: 'Suspended', message: 'Suspended: no runs are started.' }
    : { type: 'Ready', status: 'True', reason: 'Scheduled', message: `Runs ${describeCadence(schedule)}.` };
}

function progress(active: readonly string[]): ConditionState {
  return active.length > 0
    ? {
        type: 'Progressing',
        status: 'True',
        reason: 'Running',
        message: `Active: ${active.slice(0, 5).join(', ')}.`,
      }
    : { type: 'Progressing', status: 'False', reason: 'Idle', message: 'No run is active.' };
}

const later = (a: string | undefined, b: string | undefined) =>
  a === undefined || (b !== undefined && b > a) ? b : a;

interface Runs {
  /** In the order of their ends. */
  finished: readonly KmBackup[];
  /** Of the latest slot that has a run; epoch ms. */
  latestSlotMs: number | undefined;
  active: readonly string[];
}

function statusOf(
  schedule: KmBackupSchedule,
  { finished, latestSlotMs, active }: Runs,
  validity: Validity,
  due: Due,
  nowMs: number,
): KmBackupScheduleStatus {
  const before = schedule.status;
  const latestOf = (...phases: readonly BackupPhase[]) =>
    finished.findLast((backup) => phases.includes(backup.status?.phase ?? 'Failed'));
  const last = latestOf('Succeeded', 'Incomplete', 'Failed');
  const success = latestOf('Succeeded');
  const failure = latestOf('Failed', 'Incomplete');
  const inventory = archiveInventory(finished);
  const time = (ms: number | undefined) => (ms === undefined ? undefined : toTime(ms));
  return {
    conditions: withConditions(
      before?.conditions,
      [readiness(validity, schedule), progress(active), health(last, before)],
      schedule.metadata.generation,
      nowMs,
    ),
    active: [...active],
    missedSlots: (before?.missedSlots ?? 0) + due.missed,
    settledUntil: toTime(due.settledUntilMs),
    cadence: describeCadence(schedule),
    schedule: describeCadence({ ...schedule, spec: { ...schedule.spec, suspend: false } }),
    ...known({
      observedGeneration: schedule.metadata.generation,
      lastScheduleTime: later(before?.lastScheduleTime, time(latestSlotMs)),
      lastSuccessfulTime: later(before?.lastSuccessfulTime, success?.status?.completionTime),
      lastFailureTime: later(before?.lastFailureTime, failure?.status?.completionTime),
      lastMissedTime: time(due.lastMissedMs) ?? before?.lastMissedTime,
      nextScheduleTime: validity.ok && !schedule.spec.suspend ? toTime(validity.nextMs) : undefined,
      lastBackup: last ? lastBackupOf(last) : before?.lastBackup,
      lastSuccessfulBackup: success ? lastSuccessOf(success) : before?.lastSuccessfulBackup,
      archives: inventory ? { count: inventory.count, bytes: inventory.bytes } : before?.archives,
    }),
    ...countRuns(before, finished),
  };
}

/** What one schedule needs next. Pure; `nowMs` is epoch milliseconds. */
export function decideSchedule(observed: ObservedSchedule, nowMs: number): Plan {
  const { schedule, backups } = observed;
  const before = schedule.status;
  if (schedule.metadata.deletionTimestamp) return NOTHING;

  const own = backups.filter((backup) => isOwn(schedule, backup));
  const finished = own.filter(isFinished).sort(byCompletion);
  const unfinished = backups.filter((backup) => !isFinished(backup) && !backup.metadata.deletionTimestamp);
  const validity = validate(observed, nowMs);
  const mayStart = schedule.spec.concurrencyPolicy === 'Replace' || unfinished.length === 0;
  const due: Due = validity.ok
    ? dueSlots(observed, validity.cadence, mayStart, nowMs)
    : {
        slot: undefined,
        missed: 0,
        lastMissedMs: undefined,
        settledUntilMs: before?.settledUntil ? fromTime(before.settledUntil) : nowMs,
      };

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
    const slots = own.map(slotOf).filter((slot) => slot !== undefined);
    const runs: Runs = {
      finished,
      latestSlotMs: slots.length > 0 ? Math.max(...slots) : undefined,
      active: unfinished.map((backup) => backup.metadata.name).sort(),
    };
    const status = statusOf(schedule, runs, validity, due, nowMs);
    steps.push({ kind: 'writeScheduleStatus', schedule, status });
  }
  if (due.missed > 0 && due.lastMissedMs !== undefined) {
    recordEvent({
      type: 'Warning',
      reason: 'MissedSchedule',
      action: 'Schedule',
      note: `${due.missed} ${due.missed === 1 ? 'slot' : 'slots'} passed without a run, the last at ${toTime(due.lastMissedMs)}.`,
    });
  }
  const wasReady = before?.conditions?.find((condition) => condition.type === 'Ready')?.reason;
  if (!validity.ok && wasReady !== validity.reason) {
    recordEvent({ type: 'Warning', reason: validity.reason, action: 'Validate', note: validity.message });
  }
  steps.push(
    ...foundBackups(schedule, finished),
    ...expiredBackups(observed, finished),
    ...expiredJobs(observed),
  );
  return {
    steps,
    mayWait: due.slot === undefined && due.missed === 0,
    ...(validity.ok && !schedule.spec.suspend && { requeueAtMs: validity.nextMs }),
  };
}
