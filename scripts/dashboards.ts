/**
 * The dashboards of the chart for Grafana: one over all schedules and the operator, one of a single schedule. What is late
 * or missing comes from the metrics, never from a number here: schedules differ.
 */
import { dashboard, type Panel, type Rows, variableOf } from './grafana.ts';

/** From how many on something needs a person. */
const ANY_IS_BAD = [
  { color: 'green', value: null },
  { color: 'red', value: 1 },
];
const NONE_IS_BAD = [
  { color: 'red', value: null },
  { color: 'green', value: 1 },
];
/** Of seconds that are left: below zero it is late. */
const PAST_IS_BAD = [
  { color: 'red', value: null },
  { color: 'green', value: 0 },
];

/** Two replicas may report the same schedule for a moment. */
const by = (labels: string, expr: string) => `max by (${labels}) (${expr})`;
const S = 'namespace, schedule';
const L = 'namespace, schedule, location';

function metrics(selector: string) {
  const of = (name: string, more = '') => `${name}{${[selector, more].filter(Boolean).join(',')}}`;
  return {
    of: (name: string) => by(S, of(name)),
    copy: (name: string) => by(L, of(name)),
    increase: (name: string, labels: string, range: string) => by(labels, `increase(${of(name)}[${range}])`),
  };
}

const stat = (title: string, expr: string, more: Partial<Panel> = {}): Panel => ({
  title,
  queries: [{ expr }],
  type: 'stat',
  width: 4,
  height: 4,
  ...more,
});
const count = (title: string, expr: string, more: Partial<Panel> = {}): Panel =>
  stat(title, `count(${expr}) or vector(0)`, { thresholds: ANY_IS_BAD, ...more });
const graph = (title: string, queries: Panel['queries'], more: Partial<Panel> = {}): Panel => ({
  title,
  queries,
  type: 'timeseries',
  width: 12,
  height: 8,
  ...more,
});

const PER_SCHEDULE = '{{namespace}}/{{schedule}}';

/** All schedules, one a row, with a link to the dashboard of each. */
function overview(m: ReturnType<typeof metrics>): Panel {
  const columns: readonly [title: string, expr: string, unit?: string, thresholds?: Panel['thresholds']][] = [
    ['Last run', m.of('km_backup_last_status'), 'short', NONE_IS_BAD],
    ['Age of the newest', `time() - ${m.of('km_backup_last_success_timestamp')}`, 's'],
    ['Success due in', `${m.of('km_backup_success_due_timestamp_seconds')} - time()`, 's', PAST_IS_BAD],
    ['Next run in', `${m.of('km_backup_next_slot_timestamp')} - time()`, 's'],
    ['Archives', m.of('km_backup_archives')],
    ['Bytes', m.of('km_backup_archives_bytes'), 'bytes'],
    ['Suspicious', m.of('km_backup_suspicious'), 'short', ANY_IS_BAD],
    ['Files not captured', m.of('km_backup_last_warnings'), 'short', ANY_IS_BAD],
    ['Last drill', m.of('km_backup_last_drill_success'), 'short', NONE_IS_BAD],
    ['Drill due in', `${m.of('km_backup_drill_due_timestamp_seconds')} - time()`, 's', PAST_IS_BAD],
    ['Last copies', `min by (${S}) (${m.copy('km_backup_copy_last_status')})`, 'short', NONE_IS_BAD],
    ['Suspended', m.of('km_backup_suspended')],
  ];
  const letter = (index: number) => String.fromCharCode(65 + index);
  const overrides = columns.map(([title, , unit = 'short', thresholds], index) => ({
    matcher: { id: 'byName', options: `Value #${letter(index)}` },
    properties: [
      { id: 'displayName', value: title },
      { id: 'unit', value: unit },
      ...(thresholds
        ? [
            { id: 'thresholds', value: { mode: 'absolute', steps: thresholds } },
            { id: 'custom.cellOptions', value: { type: 'color-text' } },
          ]
        : []),
    ],
  }));
  const chosen = ['namespace', 'schedule'].map(
    (name) => `var-${name}=${variableOf(`__data.fields.${name}`)}`,
  );
  const url = `/d/km-backup-schedule?${chosen.join('&')}`;
  const link = {
    matcher: { id: 'byName', options: 'schedule' },
    properties: [{ id: 'links', value: [{ title: 'This schedule', url }] }],
  };
  return {
    title: 'Schedules',
    what: '1 is good and 0 is bad for runs, drills and copies. Below zero is late.',
    type: 'table',
    queries: columns.map(([, expr]) => ({ expr })),
    width: 24,
    height: 10,
    more: {
      fieldConfig: { defaults: {}, overrides: [...overrides, link] },
      transformations: [
        { id: 'merge', options: {} },
        { id: 'organize', options: { excludeByName: { Time: true } } },
      ],
    },
  };
}

const FLEET = metrics('namespace=~"$namespace",schedule=~"$schedule"');

const FLEET_ROWS: Rows = [
  [
    'All schedules',
    [
      stat('Schedules', `count(${FLEET.of('km_backup_suspended')})`),
      count('Last run failed', `${FLEET.of('km_backup_last_status')} == 0`),
      count('Overdue', `${FLEET.of('km_backup_success_due_timestamp_seconds')} < time()`),
      count('Missed times in 24 h', `${FLEET.increase('km_backup_missed_slots_total', S, '24h')} > 0`, {
        what: 'Schedules with times that passed without a run.',
      }),
      count('Suspicious', `${FLEET.of('km_backup_suspicious')} > 0`, {
        what: 'Schedules with an archive that waits for approval.',
      }),
      stat('Archived', `sum(${FLEET.of('km_backup_archives_bytes')})`, { unit: 'bytes' }),
      count('Last drill failed', `${FLEET.of('km_backup_last_drill_success')} == 0`),
      count('Drills overdue', `${FLEET.of('km_backup_drill_due_timestamp_seconds')} < time()`),
      count('Copies that wait', FLEET.copy('km_backup_copy_waiting_since_timestamp')),
      count('Last copy failed', `${FLEET.copy('km_backup_copy_last_status')} == 0`),
      count(
        'Locations unavailable',
        `${by('namespace, location', 'km_backup_location_available{namespace=~"$namespace"}')} == 0`,
      ),
      stat('Archives', `sum(${FLEET.of('km_backup_archives')})`),
      overview(FLEET),
      graph('Runs an hour, by result', [
        {
          expr: `sum by (result) (${FLEET.increase('km_backup_runs_total', `${S}, result`, '1h')})`,
          legend: '{{result}}',
        },
      ]),
      graph('Copies an hour, by result', [
        {
          expr: `sum by (result) (${FLEET.increase('km_backup_copies_total', `${L}, result`, '1h')})`,
          legend: '{{result}}',
        },
      ]),
      graph(
        'Stored by copies a day, by location',
        [
          {
            expr: `sum by (location) (${FLEET.increase('km_backup_copy_bytes_uploaded_total', `${L}, result`, '24h')})`,
            legend: '{{location}}',
          },
        ],
        { unit: 'bytes' },
      ),
      graph('Archives removed by retention a day', [
        { expr: FLEET.increase('km_backup_retention_deletes_total', S, '24h'), legend: PER_SCHEDULE },
      ]),
    ],
  ],
  [
    'Operator',
    [
      stat('Leaders', 'sum(km_operator_leader)', { thresholds: NONE_IS_BAD }),
      stat('Runs under way', 'sum(km_operator_active_runs)'),
      stat('Runs that wait for others', 'sum(km_operator_waiting_runs)'),
      stat(
        'Reconciles that failed in 1 h',
        'sum(increase(km_operator_reconcile_errors_total[1h])) or vector(0)',
        {
          thresholds: ANY_IS_BAD,
        },
      ),
      stat('Watches opened again in 1 h', 'sum(increase(km_operator_watch_restarts_total[1h])) or vector(0)'),
      stat('Full lists in 1 h', 'sum(increase(km_operator_lists_total[1h])) or vector(0)'),
      graph(
        'From the scheduled time to the Job',
        [0.5, 0.99].map((quantile) => ({
          expr: `histogram_quantile(${quantile}, sum by (le) (rate(km_operator_dispatch_lag_seconds_bucket[1h])))`,
          legend: `p${quantile * 100}`,
        })),
        { unit: 's' },
      ),
      graph('Requests to the API server a second, by status', [
        {
          expr: 'sum by (method, status) (rate(km_operator_api_requests_total[5m]))',
          legend: '{{method}} {{status}}',
        },
      ]),
      graph(
        'Wait for a worker, p99',
        [
          {
            expr: 'histogram_quantile(0.99, sum by (le, queue) (rate(km_operator_queue_latency_seconds_bucket[5m])))',
            legend: '{{queue}}',
          },
        ],
        { unit: 's' },
      ),
      graph(
        'Reconcile, p99',
        [
          {
            expr: 'histogram_quantile(0.99, sum by (le, queue) (rate(km_operator_reconcile_duration_seconds_bucket[5m])))',
            legend: '{{queue}}',
          },
        ],
        { unit: 's' },
      ),
      graph('Keys that wait', [{ expr: 'sum by (queue) (km_operator_queue_depth)', legend: '{{queue}}' }]),
      graph('Keys that are tried again, a second', [
        { expr: 'sum by (queue) (rate(km_operator_queue_retries_total[5m]))', legend: '{{queue}}' },
      ]),
    ],
  ],
];

const ONE = metrics('namespace="$namespace",schedule="$schedule"');

const SCHEDULE_ROWS: Rows = [
  [
    '$namespace/$schedule',
    [
      stat('Last run', ONE.of('km_backup_last_status'), {
        thresholds: NONE_IS_BAD,
        what: '1: complete. 0: not.',
      }),
      stat('Success due in', `${ONE.of('km_backup_success_due_timestamp_seconds')} - time()`, {
        unit: 's',
        thresholds: PAST_IS_BAD,
      }),
      stat('Next run in', `${ONE.of('km_backup_next_slot_timestamp')} - time()`, { unit: 's' }),
      stat('Suspicious archives', ONE.of('km_backup_suspicious'), { thresholds: ANY_IS_BAD }),
      stat('Archives', ONE.of('km_backup_archives')),
      stat('Suspended', ONE.of('km_backup_suspended')),
      graph(
        'Age of the newest complete archive',
        [
          { expr: `time() - ${ONE.of('km_backup_last_success_timestamp')}`, legend: 'age' },
          { expr: ONE.of('km_backup_expected_interval_seconds'), legend: 'longest interval of the schedule' },
        ],
        { unit: 's' },
      ),
      graph('Runs a day, by result', [
        {
          expr: ONE.increase('km_backup_runs_total', `${S}, result`, '24h'),
          legend: '{{result}}',
        },
      ]),
      graph(
        'Duration of the last run',
        [{ expr: ONE.of('km_backup_last_duration_seconds'), legend: 'duration' }],
        {
          unit: 's',
        },
      ),
      graph(
        'Size',
        [
          { expr: ONE.of('km_backup_last_source_bytes'), legend: 'files' },
          { expr: ONE.of('km_backup_last_size_bytes'), legend: 'archive' },
          { expr: ONE.of('km_backup_last_reused_bytes'), legend: 'copied from the archive before' },
          { expr: ONE.of('km_backup_archives_bytes'), legend: 'all archives' },
        ],
        { unit: 'bytes' },
      ),
      graph('Not captured, missed, removed', [
        { expr: ONE.of('km_backup_last_warnings'), legend: 'files not captured by the last run' },
        {
          expr: ONE.increase('km_backup_missed_slots_total', S, '24h'),
          legend: 'scheduled times missed in 24 h',
        },
        {
          expr: ONE.increase('km_backup_retention_deletes_total', S, '24h'),
          legend: 'archives removed in 24 h',
        },
      ]),
      graph(
        'Since times were last missed',
        [{ expr: `time() - ${ONE.of('km_backup_missed_counted_timestamp_seconds')}`, legend: 'ago' }],
        { unit: 's' },
      ),
    ],
  ],
  [
    'Drills',
    [
      stat('Last drill', ONE.of('km_backup_last_drill_success'), { thresholds: NONE_IS_BAD }),
      stat('Ended', `time() - ${ONE.of('km_backup_last_drill_timestamp')}`, { unit: 's', what: 'Ago.' }),
      stat('Due in', `${ONE.of('km_backup_drill_due_timestamp_seconds')} - time()`, {
        unit: 's',
        thresholds: PAST_IS_BAD,
      }),
      graph(
        'Recovery in drills',
        [
          { expr: ONE.of('km_backup_last_drill_recovery_seconds'), legend: 'time to recover' },
          { expr: ONE.of('km_backup_last_drill_archive_age_seconds'), legend: 'age of the data' },
        ],
        { unit: 's' },
      ),
    ],
  ],
  [
    'Copies',
    [
      graph('Last copy', [{ expr: ONE.copy('km_backup_copy_last_status'), legend: '{{location}}' }], {
        what: '1: succeeded. 0: failed.',
      }),
      graph('Location available', [
        {
          expr: by('namespace, location', 'km_backup_location_available{namespace="$namespace"}'),
          legend: '{{location}}',
        },
      ]),
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
        'Bytes of copies a day',
        [
          {
            expr: `sum by (location) (${ONE.increase('km_backup_copy_bytes_uploaded_total', `${L}, result`, '24h')})`,
            legend: '{{location}}: stored',
          },
          {
            expr: `sum by (location) (${ONE.increase('km_backup_copy_bytes_reused_total', `${L}, result`, '24h')})`,
            legend: '{{location}}: there already',
          },
        ],
        { unit: 'bytes' },
      ),
      graph('Copies a day, by result', [
        {
          expr: ONE.increase('km_backup_copies_total', `${L}, result`, '24h'),
          legend: '{{location}}: {{result}}',
        },
      ]),
    ],
  ],
];

/** File name -> content. */
export function dashboards(): ReadonlyMap<string, string> {
  return new Map([
    ['km-backup.json', dashboard('km-backup', 'km-backup', true, FLEET_ROWS)],
    [
      'km-backup-schedule.json',
      dashboard('km-backup-schedule', 'km-backup: one schedule', false, SCHEDULE_ROWS),
    ],
  ]);
}
