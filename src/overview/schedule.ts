import type { KmBackupSchedule } from '../api/backup-schedule.ts';
import { cadenceOf, describeCadence, successDueOf } from '../api/schedule-cadence.ts';
import { destinationOf } from '../api/schedule-claims.ts';
import { nextTime } from '../schedule/index.ts';
import { copiesOf } from './copies.ts';
import { findingsOf } from './findings.ts';
import type { DrillOverview, RunOverview, ScheduleOverview } from './model.ts';
import { byTime, known, type RunRecord, timeOf, toTime } from './records.ts';
import { runsOf } from './runs.ts';

const NOT_COUNTED = new Set(['Skipped', 'Found']);

/** The last run that counts: its record, what the status says of it, or else the newest record. */
function lastRunOf({ status }: KmBackupSchedule, runs: readonly RunOverview[]): RunOverview | undefined {
  const last = status?.lastBackup;
  const newest = runs
    .filter(({ phase }) => !NOT_COUNTED.has(phase))
    .toSorted((a, b) => byTime(a.completionTime, b.completionTime))
    .at(-1);
  if (last?.name === undefined) return newest;
  const record = runs.find(({ name }) => name === last.name);
  if (record) return record;
  const succeeded = last.phase === 'Succeeded';
  const time = timeOf(succeeded ? status?.lastSuccessfulTime : status?.lastFailureTime);
  return known({
    name: last.name,
    phase: last.phase ?? 'Failed',
    time: time ?? timeOf(status?.lastScheduleTime) ?? new Date(0).toISOString(),
    completionTime: time,
    durationSeconds: last.durationSeconds,
    message: last.message,
    warnings: last.warnings,
    archive:
      last.archive === undefined
        ? undefined
        : known({
            name: last.archive,
            time,
            sizeBytes: last.sizeBytes,
            sourceBytes: last.sourceBytes,
            reusedBytes: last.reusedBytes,
          }),
  });
}

function lastSuccessOf(
  { status }: KmBackupSchedule,
  runs: readonly RunOverview[],
): ScheduleOverview['lastSuccess'] {
  const time = timeOf(status?.lastSuccessfulTime);
  const last = status?.lastSuccessfulBackup;
  if (time !== undefined) {
    const { name, archive, sizeBytes, durationSeconds } = last ?? {};
    return known({ time, name, archive, sizeBytes, durationSeconds });
  }
  const run = runs.findLast(({ phase, completionTime }) => phase === 'Succeeded' && completionTime);
  if (!run) return undefined;
  const { name, durationSeconds, archive } = run;
  return known({
    time: run.completionTime!,
    name,
    archive: archive?.name,
    sizeBytes: archive?.sizeBytes,
    durationSeconds,
  });
}

/** What there is to know about one schedule. */
export function scheduleOverview(
  schedule: KmBackupSchedule,
  records: readonly RunRecord[],
  drill: DrillOverview | undefined,
  nowMs: number,
): ScheduleOverview {
  const { metadata, spec, status } = schedule;
  const { running, runs, omitted } = runsOf(records);
  const parsed = cadenceOf(schedule);
  const cadence = parsed.ok ? parsed.cadence : undefined;
  const suspended = spec.suspend === true;
  const dueMs = cadence && !suspended ? successDueOf(schedule, cadence) : undefined;
  const claim = spec.source.persistentVolumeClaim;
  const { archives, runs: totals } = status ?? {};
  const facts = {
    lastRun: lastRunOf(schedule, runs),
    lastSuccess: lastSuccessOf(schedule, runs),
    successDue: toTime(dueMs),
    copies: copiesOf(schedule),
    drill,
  };
  const findings = findingsOf(schedule, facts, nowMs);
  return known({
    namespace: metadata.namespace,
    name: metadata.name,
    health: findings[0]?.health ?? 'OK',
    findings,
    schedule: status?.schedule ?? describeCadence({ ...schedule, spec: { ...spec, suspend: false } }),
    suspended,
    source: known({ claimName: claim.claimName, path: claim.subPath }),
    destination: destinationOf(spec),
    ...facts,
    nextTime:
      suspended || !cadence
        ? undefined
        : (timeOf(status?.nextScheduleTime) ?? toTime(nextTime(cadence, nowMs))),
    archives: archives && known({ count: archives.count ?? 0, bytes: archives.bytes ?? 0 }),
    totals: {
      succeeded: totals?.succeeded ?? 0,
      incomplete: totals?.incomplete ?? 0,
      failed: totals?.failed ?? 0,
      skipped: totals?.skipped ?? 0,
      missed: status?.missedSlots ?? 0,
      pruned: status?.retentionDeletes ?? 0,
    },
    lastMissedTime: timeOf(status?.lastMissedTime),
    running,
    runs,
    runsOmitted: omitted > 0 ? omitted : undefined,
  });
}
