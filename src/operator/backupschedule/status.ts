/** What a schedule reports of its runs. Pure. */
import type { BackupPhase } from '../../api/backup.ts';
import type {
  KmBackupSchedule,
  KmBackupScheduleStatus,
  RunTotals,
  SourceIdentity,
} from '../../api/backup-schedule.ts';
import { quoteReason } from '../../api/reasons.ts';
import { describeCadence } from '../../api/schedule-cadence.ts';
import type { ClaimProblem } from '../claims.ts';
import { type ConditionState, withConditions } from '../conditions.ts';
import type { DrillDecision } from '../drill/decide.ts';
import type { FinishedRun } from '../finished-run.ts';
import type { CopiesDecision } from '../location/decide-copies.ts';
import { scheduleSuspicion, suspicionsOf } from '../suspicions.ts';
import { corrected, toTime } from '../time.ts';
import type { Due, Validity } from './due.ts';
import type { Inventory } from './inventory.ts';

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
 * How many counted runs to remember after they left the cache, latest first. Most of them were deleted, but the cache of
 * a new leader may also lack runs that the status already counts.
 */
const UNSEEN_REMEMBERED = 8;

/** Counts every finished run once. Runs that were counted before are recognized by UID. */
function countRuns(status: KmBackupScheduleStatus | undefined, finished: readonly FinishedRun[]): RunCounts {
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

function lastBackupOf({ metadata, status }: FinishedRun): NonNullable<KmBackupScheduleStatus['lastBackup']> {
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
}: FinishedRun): NonNullable<KmBackupScheduleStatus['lastSuccessfulBackup']> {
  return {
    name: metadata.name,
    archive: status?.archive?.name ?? '',
    sizeBytes: status?.archive?.sizeBytes ?? 0,
    ...known({ durationSeconds: status?.durationSeconds }),
    pruned: status?.pruned?.count ?? 0,
  };
}

function health(last: FinishedRun | undefined, before: KmBackupScheduleStatus | undefined): ConditionState {
  if (!last) {
    const kept = before?.conditions?.find((condition) => condition.type === 'Healthy');
    if (kept && before?.lastBackup)
      return {
        type: 'Healthy',
        status: kept.status,
        reason: quoteReason(kept.reason, 'NoRunYet'),
        message: kept.message,
      };
    return { type: 'Healthy', status: 'Unknown', reason: 'NoRunYet', message: 'No run has finished yet.' };
  }
  const phase = last.status?.phase;
  return {
    type: 'Healthy',
    status: phase === 'Succeeded' ? 'True' : 'False',
    reason: phase === 'Succeeded' || phase === 'Incomplete' ? phase : 'Failed',
    message: `${last.metadata.name}: ${last.status?.message ?? 'ended without a message'}`,
  };
}

function readiness(
  validity: Validity,
  problem: ClaimProblem | undefined,
  schedule: KmBackupSchedule,
  creating: boolean,
): ConditionState {
  if (!validity.ok)
    return { type: 'Ready', status: 'False', reason: validity.reason, message: validity.message };
  if (problem) return { type: 'Ready', status: 'False', ...problem };
  const before = schedule.status?.conditions?.find(({ type }) => type === 'Ready');
  if (creating && before?.reason === 'BackupRefused')
    return { type: 'Ready', status: 'False', reason: before.reason, message: before.message };
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

/** The later of the recorded and the observed time. One that a wrong clock recorded gives way to the other. */
function later(recorded: string | undefined, observed: string | undefined, nowMs: number) {
  if (recorded === undefined) return observed === undefined ? undefined : corrected(observed, nowMs);
  const known = corrected(recorded, nowMs);
  if (observed === undefined || corrected(observed, nowMs) !== observed) return known;
  return known !== recorded || observed > known ? observed : known;
}

/** When the newest run of a kind ended. One that the status has not seen yet has ended by now, whatever its clock says. */
function endedAt(
  recorded: string | undefined,
  run: FinishedRun | undefined,
  isNew: boolean,
  nowMs: number,
): string | undefined {
  const time = run?.status?.completionTime;
  return later(recorded, isNew && time !== undefined ? corrected(time, nowMs) : time, nowMs);
}

export interface Runs {
  /** Whether KmBackups are still to be created: until then a refusal to create one stays in the status. */
  creating: boolean;
  /** Finished runs of the series in the order of completion. */
  records: readonly FinishedRun[];
  inventory: Inventory;
  /** The records of this schedule, without those of a deleted one of the same name. */
  counted: readonly FinishedRun[];
  /** The latest scheduled time that has a run; epoch ms. */
  latestSlotMs: number | undefined;
  active: readonly string[];
  sourceIdentity: SourceIdentity | undefined;
  claimProblem: ClaimProblem | undefined;
  drills: Pick<DrillDecision, 'status' | 'conditions'>;
  copies: CopiesDecision | undefined;
}

export function statusOf(
  schedule: KmBackupSchedule,
  { drills, copies, creating, records, inventory, counted, latestSlotMs, active, ...seen }: Runs,
  validity: Validity,
  due: Due,
  nowMs: number,
): KmBackupScheduleStatus {
  const { sourceIdentity, claimProblem } = seen;
  const before = schedule.status;
  const cadence = describeCadence(schedule);
  const latestOf = (...phases: readonly BackupPhase[]) =>
    records.findLast((backup) => phases.includes(backup.status?.phase ?? 'Failed'));
  const last = latestOf('Succeeded', 'Incomplete', 'Failed');
  const success = latestOf('Succeeded');
  const failure = latestOf('Failed', 'Incomplete');
  const suspicions = suspicionsOf(records, inventory);
  const time = (ms: number | undefined) => (ms === undefined ? undefined : toTime(ms));
  return {
    conditions: withConditions(
      before?.conditions,
      [
        readiness(validity, claimProblem, schedule, creating),
        progress(active),
        health(last, before),
        ...drills.conditions,
        ...scheduleSuspicion(schedule.spec.guard !== undefined, suspicions),
        ...(copies?.condition ? [copies.condition] : []),
      ],
      schedule.metadata.generation,
      nowMs,
    ),
    active: [...active],
    ...(copies && copies.status.length > 0 && { copies: [...copies.status] }),
    missedSlots: (before?.missedSlots ?? 0) + due.missed,
    settledUntil: toTime(due.settledUntilMs),
    cadence,
    cadenceSince:
      before?.cadence !== undefined && before.cadence !== cadence
        ? toTime(nowMs)
        : corrected(before?.cadenceSince ?? schedule.metadata.creationTimestamp, nowMs),
    schedule: describeCadence({ ...schedule, spec: { ...schedule.spec, suspend: false } }),
    ...known({
      observedGeneration: schedule.metadata.generation,
      lastScheduleTime: later(before?.lastScheduleTime, time(latestSlotMs), nowMs),
      lastSuccessfulTime: endedAt(
        before?.lastSuccessfulTime,
        success,
        before?.lastSuccessfulBackup?.name !== success?.metadata.name,
        nowMs,
      ),
      lastFailureTime: endedAt(
        before?.lastFailureTime,
        failure,
        failure === last && before?.lastBackup?.name !== failure?.metadata.name,
        nowMs,
      ),
      missedCountedTime: due.missed > 0 ? toTime(nowMs) : before?.missedCountedTime,
      lastMissedTime: time(due.lastMissedMs) ?? before?.lastMissedTime,
      nextScheduleTime: validity.ok && !schedule.spec.suspend ? toTime(validity.nextMs) : undefined,
      lastBackup: last ? lastBackupOf(last) : before?.lastBackup,
      lastSuccessfulBackup: success ? lastSuccessOf(success) : before?.lastSuccessfulBackup,
      sourceIdentity,
      suspicions,
      archives: inventory.totals ?? before?.archives,
    }),
    ...countRuns(before, counted),
    ...drills.status,
  };
}
