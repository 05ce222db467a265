/** The dashboard of all schedules, and of the operator. */
import { fieldOf, type Panel, type Rows, variableOf } from './grafana.ts';
import {
  ANY_IS_BAD,
  BARS,
  by,
  count,
  DONE,
  graph,
  L,
  metrics,
  NONE_IS_BAD,
  PAST_IS_BAD,
  RESULTS,
  RUN,
  S,
  SUSPENDED,
  stat,
  states,
} from './panels.ts';

/** All schedules, one a row, with a link to the dashboard of each. */
function overview(m: ReturnType<typeof metrics>): Panel {
  const columns: readonly (Pick<Panel, 'unit' | 'decimals' | 'thresholds' | 'mapping'> & {
    readonly title: string;
    readonly expr: string;
  })[] = [
    { title: 'Last run', expr: m.of('km_backup_last_status'), mapping: RUN },
    { title: 'Age of the newest', expr: `time() - ${m.of('km_backup_last_success_timestamp')}`, unit: 's' },
    {
      title: 'Success due in',
      expr: `${m.of('km_backup_success_due_timestamp_seconds')} - time()`,
      unit: 's',
      thresholds: PAST_IS_BAD,
    },
    { title: 'Next run in', expr: `${m.of('km_backup_next_slot_timestamp')} - time()`, unit: 's' },
    { title: 'Archives', expr: m.of('km_backup_archives') },
    { title: 'Bytes', expr: m.of('km_backup_archives_bytes'), unit: 'bytes' },
    { title: 'Suspicious', expr: m.of('km_backup_suspicious'), thresholds: ANY_IS_BAD },
    { title: 'Not captured', expr: m.of('km_backup_last_warnings'), thresholds: ANY_IS_BAD },
    { title: 'Last drill', expr: m.of('km_backup_last_drill_success'), mapping: DONE },
    {
      title: 'Drill due in',
      expr: `${m.of('km_backup_drill_due_timestamp_seconds')} - time()`,
      unit: 's',
      thresholds: PAST_IS_BAD,
    },
    { title: 'Last copies', expr: `min by (${S}) (${m.copy('km_backup_copy_last_status')})`, mapping: DONE },
    { title: 'Suspended', expr: m.of('km_backup_suspended'), mapping: SUSPENDED },
  ];
  const letter = (index: number) => String.fromCharCode(65 + index);
  const overrides = columns.map(({ title, unit = 'short', thresholds, mapping }, index) => ({
    matcher: { id: 'byName', options: `Value #${letter(index)}` },
    properties: [
      { id: 'displayName', value: title },
      { id: 'unit', value: unit },
      ...Object.entries(fieldOf({ thresholds, mapping })).map(([id, value]) => ({
        id,
        value,
      })),
      ...(thresholds || mapping ? [{ id: 'custom.cellOptions', value: { type: 'color-text' } }] : []),
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
    title: 'Each schedule',
    what: 'What is late comes first. Below zero is late; an empty cell has no value yet.',
    type: 'table',
    queries: columns.map(({ expr }) => ({ expr })),
    width: 24,
    height: 10,
    overrides: [...overrides, link],
    options: { sortBy: [{ displayName: 'Success due in', desc: false }] },
    transformations: [
      { id: 'merge', options: {} },
      { id: 'organize', options: { excludeByName: { Time: true } } },
    ],
  };
}

const FLEET = metrics('namespace=~"$namespace",schedule=~"$schedule"');

export const FLEET_ROWS: Rows = [
  [
    'All schedules',
    [
      stat('Schedules', `count(${FLEET.of('km_backup_suspended')})`),
      count('Last run not complete', `${FLEET.of('km_backup_last_status')} == 0`),
      count('Overdue', `${FLEET.of('km_backup_success_due_timestamp_seconds')} < time()`),
      count('Missed times in 24 h', `${FLEET.grown('km_backup_missed_slots_total', S, '24h')} > 0`, {
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
      states(
        'Schedules whose last run was not complete',
        `${FLEET.of('km_backup_last_status')} == 0`,
        '{{namespace}}/{{schedule}}',
        RUN,
        {
          width: 24,
          height: 6,
          what: 'It failed, or could not capture every file.',
          noValue: 'none',
        },
      ),
      graph(
        'Runs an hour, by result',
        [
          {
            expr: `sum by (result) (${FLEET.grown('km_backup_runs_total', `${S}, result`, '1h')})`,
            legend: '{{result}}',
          },
        ],
        { interval: '1h', decimals: 0, custom: BARS, overrides: RESULTS },
      ),
      graph(
        'Copies an hour, by result',
        [
          {
            expr: `sum by (result) (${FLEET.grown('km_backup_copies_total', `${L}, result`, '1h')})`,
            legend: '{{result}}',
          },
        ],
        { interval: '1h', decimals: 0, custom: BARS, overrides: RESULTS },
      ),
      graph(
        'Stored by copies in 24 h, by location',
        [
          {
            expr: `sum by (namespace, location) (${FLEET.grown('km_backup_copy_bytes_uploaded_total', L, '24h')})`,
            legend: '{{namespace}}/{{location}}',
          },
        ],
        { unit: 'bytes' },
      ),
      graph(
        'Archives removed by retention in 24 h, by namespace',
        [
          {
            expr: `sum by (namespace) (${FLEET.grown('km_backup_retention_deletes_total', S, '24h')})`,
            legend: '{{namespace}}',
          },
        ],
        { decimals: 0 },
      ),
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
            expr: 'histogram_quantile(0.99, sum by (le, queue) (rate(km_operator_queue_latency_seconds_bucket[30m])))',
            legend: '{{queue}}',
          },
        ],
        { unit: 's' },
      ),
      graph(
        'Reconcile, p99',
        [
          {
            expr: 'histogram_quantile(0.99, sum by (le, queue) (rate(km_operator_reconcile_duration_seconds_bucket[30m])))',
            legend: '{{queue}}',
          },
        ],
        { unit: 's' },
      ),
      graph('Keys that wait', [{ expr: 'sum by (queue) (km_operator_queue_depth)', legend: '{{queue}}' }], {
        decimals: 0,
      }),
      graph(
        'Keys tried again in 1 h',
        [{ expr: 'sum by (queue) (increase(km_operator_queue_retries_total[1h]))', legend: '{{queue}}' }],
        { decimals: 0, noValue: 'none' },
      ),
    ],
  ],
];
