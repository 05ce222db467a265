import { isFinished, type KmBackup, type KmBackupSpec } from '../../api/backup.ts';
import type { KmBackupSchedule, KmBackupScheduleStatus, RunTotals } from '../../api/backup-schedule.ts';
import { FIELD_MANAGER, LABELS } from '../../api/names.ts';
import { type Cadence, latestDueSlot, nextSlot } from '../../schedule/index.ts';
import { type ConditionState, withConditions } from '../conditions.ts';
import { backupName, foundName, labelValue } from '../naming.ts';
import type { Announcement, NewBackup, Plan, Step } from '../plan.ts';
import { fromTime, toTime } from '../time.ts';
import type { Job } from '../workloads.ts';
import { cadenceOf, describeCadence } from './cadence.ts';
import { type ArchiveStock, archiveStock, isArchiveGone, strangers } from './stock.ts';

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
  return strangers(finished).map((archiveName) => ({
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

interface Ledger {
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
function tally(status: KmBackupScheduleStatus | undefined, finished: readonly KmBackup[]): Ledger {
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

/** The named fields, as far as they are there. */
function pick<T, K extends keyof T>(object: T, keys: readonly K[]): Pick<T, K> {
  return Object.fromEntries(
    keys.filter((key) => object[key] !== undefined).map((key) => [key, object[key]]),
  ) as Pick<T, K>;
}

function lastBackupOf(backup: KmBackup): NonNullable<KmBackupScheduleStatus['lastBackup']> {
  const { status } = backup;
  return {
    name: backup.metadata.name,
    phase: status?.phase ?? 'Failed',
    ...(status?.message !== undefined && { message: status.message.slice(0, 1024) }),
    ...(status?.archive && {
      archive: status.archive.name,
      ...pick(status.archive, ['sizeBytes', 'sha256', 'sourceBytes', 'reusedBytes']),
    }),
    ...(status?.durationSeconds !== undefined && { durationSeconds: status.durationSeconds }),
    ...(status?.warnings && { warnings: status.warnings.count }),
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
function expiredBackups(
  observed: ObservedSchedule,
  finished: readonly KmBackup[],
  stock: ArchiveStock | undefined,
): Step[] {
  const counted = new Set(observed.schedule.status?.countedBackups);
  let failures = 0;
  const steps: Step[] = [];
  for (const backup of [...finished].sort(byCompletion).reverse()) {
    const withArchive = backup.status?.archive !== undefined;
    if (!withArchive) failures += 1;
    const expired = withArchive
      ? isArchiveGone(backup, finished, stock)
      : failures > observed.schedule.spec.failedJobsHistoryLimit;
    if (expired && counted.has(backup.metadata.uid) && !backup.metadata.deletionTimestamp) {
      steps.push({ kind: 'deleteBackup', target: backup.metadata });
    }
  }
  return steps;
}

/** What one schedule needs next. Pure; `nowMs` is epoch milliseconds. */
export function decideSchedule(observed: ObservedSchedule, nowMs: number): Plan {
  const { schedule, backups } = observed;
  const before = schedule.status;
  if (schedule.metadata.deletionTimestamp) return { steps: [] };

  const own = backups.filter((backup) => isOwn(schedule, backup));
  const finished = own.filter(isFinished).sort(byCompletion);
  const active = backups.filter((backup) => !isFinished(backup) && !backup.metadata.deletionTimestamp);
  const validity = validate(observed, nowMs);
  const mayStart = schedule.spec.concurrencyPolicy === 'Replace' || active.length === 0;
  const due: Due = validity.ok
    ? dueSlots(observed, validity.cadence, mayStart, nowMs)
    : {
        slot: undefined,
        missed: 0,
        lastMissedMs: undefined,
        settledUntilMs: before?.settledUntil ? fromTime(before.settledUntil) : nowMs,
      };

  const created = due.slot === undefined ? undefined : slotBackup(schedule, due.slot);
  const next = validity.ok && !schedule.spec.suspend ? validity.nextMs : undefined;
  const activeNames = [
    ...new Set([
      ...active.map((backup) => backup.metadata.name),
      ...(created ? [created.metadata.name] : []),
    ]),
  ].sort();

  const last = finished
    .filter(({ status }) => status?.phase !== 'Skipped' && status?.phase !== 'Found')
    .at(-1);
  const success = finished.filter((backup) => backup.status?.phase === 'Succeeded').at(-1);
  const lastSuccess = success?.status?.completionTime;
  const lastFailure = finished
    .filter((backup) => backup.status?.phase === 'Failed' || backup.status?.phase === 'Incomplete')
    .at(-1)?.status?.completionTime;
  const lastSlots = own.map(slotOf).filter((slot) => slot !== undefined);
  const lastScheduleMs = Math.max(
    due.slot ?? 0,
    before?.lastScheduleTime ? fromTime(before.lastScheduleTime) : 0,
    ...lastSlots,
  );
  const stock = archiveStock(finished);
  const latest = (a: string | undefined, b: string | undefined) =>
    a === undefined || (b !== undefined && b > a) ? b : a;

  const ready: ConditionState = validity.ok
    ? {
        type: 'Ready',
        status: 'True',
        reason: schedule.spec.suspend ? 'Suspended' : 'Scheduled',
        message: schedule.spec.suspend
          ? 'Suspended: no runs are started.'
          : `Runs ${describeCadence(schedule)}.`,
      }
    : { type: 'Ready', status: 'False', reason: validity.reason, message: validity.message };
  const progressing: ConditionState =
    activeNames.length > 0
      ? {
          type: 'Progressing',
          status: 'True',
          reason: 'Running',
          message: `Active: ${activeNames.slice(0, 5).join(', ')}.`,
        }
      : { type: 'Progressing', status: 'False', reason: 'Idle', message: 'No run is active.' };

  const optional = <K extends keyof KmBackupScheduleStatus>(
    key: K,
    value: KmBackupScheduleStatus[K] | undefined,
  ) => (value === undefined ? {} : { [key]: value }) as Partial<KmBackupScheduleStatus>;

  const status: KmBackupScheduleStatus = {
    ...optional('observedGeneration', schedule.metadata.generation),
    conditions: withConditions(
      before?.conditions,
      [ready, progressing, health(last, before)],
      schedule.metadata.generation,
      nowMs,
    ),
    active: activeNames,
    ...optional('lastScheduleTime', lastScheduleMs > 0 ? toTime(lastScheduleMs) : undefined),
    ...optional('lastSuccessfulTime', latest(before?.lastSuccessfulTime, lastSuccess)),
    ...optional('lastFailureTime', latest(before?.lastFailureTime, lastFailure)),
    ...optional(
      'lastMissedTime',
      due.lastMissedMs === undefined ? before?.lastMissedTime : toTime(due.lastMissedMs),
    ),
    missedSlots: (before?.missedSlots ?? 0) + due.missed,
    ...optional('nextScheduleTime', next === undefined ? undefined : toTime(next)),
    settledUntil: toTime(due.settledUntilMs),
    cadence: describeCadence(schedule),
    schedule: describeCadence({ ...schedule, spec: { ...schedule.spec, suspend: false } }),
    ...optional('lastBackup', last ? lastBackupOf(last) : before?.lastBackup),
    ...optional('lastSuccessfulBackup', success ? lastSuccessOf(success) : before?.lastSuccessfulBackup),
    ...optional('archives', stock ? { count: stock.count, bytes: stock.bytes } : before?.archives),
    ...tally(before, finished),
  };

  const steps: Step[] = [];
  const announce = (event: Announcement) => steps.push({ kind: 'announce', regarding: schedule, event });
  if (created) steps.push({ kind: 'createBackup', backup: created, scheduleUid: schedule.metadata.uid });
  // Once the run is seen, the status follows from it: the Jobs of a busy minute go before its status writes.
  else steps.push({ kind: 'writeScheduleStatus', schedule, status });
  if (created)
    announce({
      type: 'Normal',
      reason: 'BackupCreated',
      action: 'Schedule',
      note: `Created KmBackup ${created.metadata.name}.`,
    });
  if (due.missed > 0 && due.lastMissedMs !== undefined) {
    announce({
      type: 'Warning',
      reason: 'MissedSchedule',
      action: 'Schedule',
      note: `${due.missed} ${due.missed === 1 ? 'slot' : 'slots'} passed without a run, the last at ${toTime(due.lastMissedMs)}.`,
    });
  }
  const wasReady = before?.conditions?.find((condition) => condition.type === 'Ready')?.reason;
  if (!validity.ok && wasReady !== validity.reason) {
    announce({ type: 'Warning', reason: validity.reason, action: 'Validate', note: validity.message });
  }
  steps.push(
    ...foundBackups(schedule, finished),
    ...expiredBackups(observed, finished, stock),
    ...expiredJobs(observed),
  );
  const mayWait = !created && due.missed === 0;
  return { steps, mayWait, ...(next !== undefined && { requeueAtMs: next }) };
}
