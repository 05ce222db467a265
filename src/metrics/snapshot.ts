/** What the metrics of one schedule show. Totals are absolute, as its status records them. */
export interface BackupSnapshot {
  runs: { success: number; incomplete: number; failure: number; skipped_lock: number };
  retentionDeletes: number;
  missedSlots: number;
  suspended: boolean;
  /** The last finished run that was not skipped. */
  lastRun?: {
    /** Whether it made a complete archive; an incomplete one is not a success. */
    success: boolean;
    durationSeconds?: number | undefined;
    sizeBytes?: number | undefined;
    sourceBytes?: number | undefined;
    reusedBytes?: number | undefined;
    warnings?: number | undefined;
  };
  lastSuccessMs?: number | undefined;
  /** `suspicious`: of them, those that nobody approved. */
  archives?: { count: number; bytes: number; suspicious?: number | undefined };
  nextSlotMs?: number | null | undefined;
  /** By when a success is due; absent while suspended. */
  successDueMs?: number | null | undefined;
  /** When missed scheduled times were last counted. */
  missedCountedMs?: number | undefined;
  expectedIntervalSeconds?: number | null | undefined;
  /** The last drill that ended. */
  lastDrill?: { atMs: number; success: boolean; archiveAgeSeconds?: number | undefined } | undefined;
  /** How long the last successful drill took. */
  lastRecoverySeconds?: number | undefined;
  /** By when a drill should have ended; absent while none is due or scheduled. */
  drillDueMs?: number | undefined;
}

interface Sample {
  labels?: Record<string, string>;
  value: number | null | undefined;
}

export interface BackupMetric {
  name: string;
  help: string;
  type: 'counter' | 'gauge';
  /** In addition to the labels of the schedule. */
  labelNames?: readonly string[];
  /** Samples without a value are left out. */
  samples: (snapshot: BackupSnapshot) => Sample[];
}

function seconds(ms: number | null | undefined): number | undefined {
  return ms === null || ms === undefined ? undefined : ms / 1000;
}

function gauge(
  name: string,
  help: string,
  value: (snapshot: BackupSnapshot) => Sample['value'],
): BackupMetric {
  return { name, help, type: 'gauge', samples: (snapshot) => [{ value: value(snapshot) }] };
}

function counter(name: string, help: string, value: (snapshot: BackupSnapshot) => number): BackupMetric {
  return { name, help, type: 'counter', samples: (snapshot) => [{ value: value(snapshot) }] };
}

/** The four names of the playbook come first. */
export const BACKUP_METRICS: readonly BackupMetric[] = [
  {
    name: 'km_backup_runs_total',
    help: 'Finished runs by result: success; incomplete, an archive without some of the files; failure, no archive; skipped_lock, another run held the destination.',
    type: 'counter',
    labelNames: ['result'],
    samples: ({ runs }) => Object.entries(runs).map(([result, value]) => ({ labels: { result }, value })),
  },
  gauge(
    'km_backup_last_status',
    '1 if the last run made a complete archive, 0 if it failed or was incomplete. Skipped runs do not count. Absent before the first run.',
    ({ lastRun }) => lastRun && Number(lastRun.success),
  ),
  gauge(
    'km_backup_last_success_timestamp',
    'When the last complete archive was finished, in seconds since 1970. Absent until there is one.',
    ({ lastSuccessMs }) => seconds(lastSuccessMs),
  ),
  counter(
    'km_backup_retention_deletes_total',
    'Archives removed by retention.',
    ({ retentionDeletes }) => retentionDeletes,
  ),
  gauge(
    'km_backup_last_duration_seconds',
    'How long the last run took.',
    ({ lastRun }) => lastRun?.durationSeconds,
  ),
  gauge(
    'km_backup_last_size_bytes',
    'Size of the archive of the last run. Absent if it made none.',
    ({ lastRun }) => lastRun?.sizeBytes,
  ),
  gauge(
    'km_backup_last_source_bytes',
    'Total size of the files in the archive of the last run.',
    ({ lastRun }) => lastRun?.sourceBytes,
  ),
  gauge(
    'km_backup_last_reused_bytes',
    'Compressed bytes that the last run copied from the previous archive.',
    ({ lastRun }) => lastRun?.reusedBytes,
  ),
  gauge(
    'km_backup_last_warnings',
    'Files that the last run could not capture faithfully.',
    ({ lastRun }) => lastRun?.warnings,
  ),
  gauge(
    'km_backup_archives',
    'Archives at the destination, as the last run saw them.',
    ({ archives }) => archives?.count,
  ),
  gauge(
    'km_backup_archives_bytes',
    'Total size of the archives at the destination, as the last run saw them.',
    ({ archives }) => archives?.bytes,
  ),
  gauge(
    'km_backup_suspicious',
    'Suspicious archives that nobody approved; while there are any, retention removes nothing. Absent before the first run.',
    ({ archives }) => archives && (archives.suspicious ?? 0),
  ),
  counter(
    'km_backup_missed_slots_total',
    'Scheduled times that passed without a run.',
    ({ missedSlots }) => missedSlots,
  ),
  gauge(
    'km_backup_next_slot_timestamp',
    'The next scheduled time, in seconds since 1970. Absent while suspended.',
    ({ nextSlotMs }) => seconds(nextSlotMs),
  ),
  gauge(
    'km_backup_expected_interval_seconds',
    'The longest interval between the coming scheduled times.',
    ({ expectedIntervalSeconds }) => expectedIntervalSeconds,
  ),
  gauge(
    'km_backup_success_due_timestamp_seconds',
    'By when a complete archive is due, in seconds since 1970: one failed or missed run later than scheduled, at most a day, plus the time of a run and 15 minutes. Overdue when in the past; absent while suspended.',
    ({ successDueMs }) => seconds(successDueMs),
  ),
  gauge(
    'km_backup_missed_counted_timestamp_seconds',
    'When missed scheduled times were last counted, in seconds since 1970. Absent until one was missed.',
    ({ missedCountedMs }) => seconds(missedCountedMs),
  ),
  gauge(
    'km_backup_last_drill_timestamp',
    'When the last drill ended, in seconds since 1970. Absent until one has.',
    ({ lastDrill }) => seconds(lastDrill?.atMs),
  ),
  gauge(
    'km_backup_last_drill_success',
    '1 if the last drill restored the newest complete archive and every check passed, 0 if it failed.',
    ({ lastDrill }) => lastDrill && Number(lastDrill.success),
  ),
  gauge(
    'km_backup_last_drill_recovery_seconds',
    'How long the last successful drill took, from its start to its success.',
    ({ lastRecoverySeconds }) => lastRecoverySeconds,
  ),
  gauge(
    'km_backup_last_drill_archive_age_seconds',
    'Age of the data of the last drill when it began. Absent if it found no archive.',
    ({ lastDrill }) => lastDrill?.archiveAgeSeconds,
  ),
  gauge(
    'km_backup_drill_due_timestamp_seconds',
    'By when a drill should have ended, in seconds since 1970. Late when in the past; absent while suspended.',
    ({ drillDueMs }) => seconds(drillDueMs),
  ),
  gauge('km_backup_suspended', '1 while the schedule starts no runs.', ({ suspended }) => Number(suspended)),
];
