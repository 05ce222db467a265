/** The dashboard of one schedule. */
import type { Rows } from './grafana.ts';
import {
  ANY_IS_BAD,
  AVAILABLE,
  by,
  DONE,
  graph,
  L,
  metrics,
  PAST_IS_BAD,
  RESULTS,
  RUN,
  S,
  SUSPENDED,
  stat,
  states,
} from './panels.ts';

const ONE = metrics('namespace="$namespace",schedule="$schedule"');

const small = { width: 3 };

export const SCHEDULE_ROWS: Rows = [
  [
    '$namespace/$schedule',
    [
      stat('Last run', ONE.of('km_backup_last_status'), { ...small, mapping: RUN, noValue: 'none yet' }),
      stat('Success due in', `${ONE.of('km_backup_success_due_timestamp_seconds')} - time()`, {
        ...small,
        unit: 's',
        thresholds: PAST_IS_BAD,
      }),
      stat('Next run in', `${ONE.of('km_backup_next_slot_timestamp')} - time()`, { ...small, unit: 's' }),
      stat('Archives', ONE.of('km_backup_archives'), small),
      stat('Stored', ONE.of('km_backup_archives_bytes'), { ...small, unit: 'bytes' }),
      stat('Suspicious archives', ONE.of('km_backup_suspicious'), { ...small, thresholds: ANY_IS_BAD }),
      stat('Since a missed time', `time() - ${ONE.of('km_backup_missed_counted_timestamp_seconds')}`, {
        ...small,
        unit: 's',
        noValue: 'none missed',
      }),
      stat('Suspended', ONE.of('km_backup_suspended'), { ...small, mapping: SUSPENDED }),
      states('Result of the last run', ONE.of('km_backup_last_status'), 'last run', RUN, {
        width: 24,
        height: 4,
      }),
      graph(
        'Age of the newest complete archive',
        [
          { expr: `time() - ${ONE.of('km_backup_last_success_timestamp')}`, legend: 'age' },
          { expr: ONE.of('km_backup_expected_interval_seconds'), legend: 'longest interval of the schedule' },
        ],
        { unit: 's' },
      ),
      graph(
        'Runs in 24 h, by result',
        [{ expr: ONE.grown('km_backup_runs_total', `${S}, result`, '24h'), legend: '{{result}}' }],
        { decimals: 0, overrides: RESULTS },
      ),
      graph(
        'Duration of the last run',
        [{ expr: ONE.of('km_backup_last_duration_seconds'), legend: 'duration' }],
        { unit: 's' },
      ),
      graph(
        'Not captured, missed, removed',
        [
          { expr: ONE.of('km_backup_last_warnings'), legend: 'files not captured by the last run' },
          { expr: ONE.grown('km_backup_missed_slots_total', S, '24h'), legend: 'times missed in 24 h' },
          {
            expr: ONE.grown('km_backup_retention_deletes_total', S, '24h'),
            legend: 'archives removed in 24 h',
          },
        ],
        { decimals: 0 },
      ),
      graph(
        'Size of the last archive',
        [
          { expr: ONE.of('km_backup_last_source_bytes'), legend: 'files' },
          { expr: ONE.of('km_backup_last_size_bytes'), legend: 'archive' },
          { expr: ONE.of('km_backup_last_reused_bytes'), legend: 'copied from the archive before' },
        ],
        { unit: 'bytes' },
      ),
      graph('Size of all archives', [{ expr: ONE.of('km_backup_archives_bytes'), legend: 'all archives' }], {
        unit: 'bytes',
      }),
    ],
  ],
  [
    'Drills',
    [
      stat('Last drill', ONE.of('km_backup_last_drill_success'), {
        width: 8,
        mapping: DONE,
        noValue: 'none yet',
      }),
      stat('Since the last drill', `time() - ${ONE.of('km_backup_last_drill_timestamp')}`, {
        width: 8,
        unit: 's',
        noValue: 'none yet',
      }),
      stat('Drill due in', `${ONE.of('km_backup_drill_due_timestamp_seconds')} - time()`, {
        width: 8,
        unit: 's',
        thresholds: PAST_IS_BAD,
        what: 'Only for drills by the clock: those after a number of archives have no time.',
        noValue: 'no fixed time',
      }),
      graph(
        'Recovery in drills: time',
        [{ expr: ONE.of('km_backup_last_drill_recovery_seconds'), legend: 'time to recover' }],
        { unit: 's' },
      ),
      graph(
        'Recovery in drills: age of the data',
        [{ expr: ONE.of('km_backup_last_drill_archive_age_seconds'), legend: 'age of the data' }],
        { unit: 's' },
      ),
    ],
  ],
  [
    'Copies',
    [
      states('Last copy', ONE.copy('km_backup_copy_last_status'), '{{location}}', DONE, { height: 5 }),
      states(
        'Locations of the namespace',
        by('namespace, location', 'km_backup_location_available{namespace="$namespace"}'),
        '{{location}}',
        AVAILABLE,
        { height: 5 },
      ),
      graph(
        'Age of the newest copy, and how long the newest archive waits',
        [
          { expr: `time() - ${ONE.copy('km_backup_copy_last_success_timestamp')}`, legend: '{{location}}' },
          {
            expr: `time() - ${ONE.copy('km_backup_copy_waiting_since_timestamp')}`,
            legend: '{{location}}: waits',
          },
        ],
        { unit: 's' },
      ),
      graph(
        'Bytes of copies in 24 h',
        [
          {
            expr: ONE.grown('km_backup_copy_bytes_uploaded_total', L, '24h'),
            legend: '{{location}}: stored',
          },
          {
            expr: ONE.grown('km_backup_copy_bytes_reused_total', L, '24h'),
            legend: '{{location}}: there already',
          },
        ],
        { unit: 'bytes' },
      ),
      graph(
        'Copies in 24 h, by result',
        [
          {
            expr: ONE.grown('km_backup_copies_total', `${L}, result`, '24h'),
            legend: '{{location}}: {{result}}',
          },
        ],
        { decimals: 0, overrides: RESULTS, width: 24 },
      ),
    ],
  ],
];
