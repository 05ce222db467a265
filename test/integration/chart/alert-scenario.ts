/** Turns the life of a schedule into a case for `promtool test rules`, with the metrics that the code would export. */
import { type Cadence, nextTime, successDueMs } from '../../../src/schedule/index.ts';

const MINUTE_MS = 60_000;
/** Between samples, and between evaluations of the rules. */
export const STEP_MINUTES = 5;
const STEP_MS = STEP_MINUTES * MINUTE_MS;

export interface Scenario {
  readonly name: string;
  readonly cadence: Cadence;
  /** Creation of the schedule and time 0 of the case; epoch ms. */
  readonly startMs: number;
  readonly endMs: number;
  /** Whether the run of a scheduled time makes a complete archive. Default: always. */
  readonly succeeds?: (slotMs: number) => boolean;
  /** Nothing is exported and nothing runs; afterwards one run catches up, and all other times are counted as missed. */
  readonly outage?: { readonly fromMs: number; readonly toMs: number };
  /** Suspended in between. */
  readonly suspension?: { readonly fromMs: number; readonly toMs: number };
  readonly runMinutes?: number;
  /** Alerts and when each is firing; epoch ms. Where an alert is not named, it must stay silent throughout. */
  readonly fires?: Readonly<Partial<Record<ScheduleAlert, readonly { fromMs: number; toMs: number }[]>>>;
}

export const SCHEDULE_ALERTS = ['KmBackupOverdue', 'KmBackupNeverSucceeded', 'KmBackupSlotsMissed'] as const;
export type ScheduleAlert = (typeof SCHEDULE_ALERTS)[number];

const within = (span: { fromMs: number; toMs: number } | undefined, ms: number) =>
  span !== undefined && ms >= span.fromMs && ms < span.toMs;

/** A row of samples in promtool's notation; `undefined` is no sample. */
function row(samples: readonly (number | undefined)[]): string {
  const parts: string[] = [];
  for (let index = 0; index < samples.length; ) {
    const value = samples[index];
    let end = index + 1;
    while (end < samples.length && samples[end] === value) end += 1;
    const count = end - index;
    // A series that is no longer exported is marked stale at once.
    parts.push(value === undefined ? `stale${count > 1 ? ` _x${count - 1}` : ''}` : `${value}x${count - 1}`);
    index = end;
  }
  return parts.join(' ');
}

/** The samples of each metric that the alerts use. */
function simulate(scenario: Scenario) {
  const { cadence, startMs, endMs, outage, suspension, runMinutes = 1, succeeds = () => true } = scenario;
  let settledMs = startMs;
  let sinceMs = startMs;
  let lastSuccessMs: number | undefined;
  let missedCountedMs: number | undefined;
  let finish: { atMs: number; success: boolean } | undefined;
  const series: Record<string, (number | undefined)[]> = {
    km_backup_success_due_timestamp_seconds: [],
    km_backup_last_success_timestamp: [],
    km_backup_missed_counted_timestamp_seconds: [],
    km_backup_suspended: [],
  };
  const seconds = (ms: number | null | undefined) =>
    ms === undefined || ms === null ? undefined : (ms - startMs) / 1000;
  for (let nowMs = startMs; nowMs <= endMs; nowMs += STEP_MS) {
    const down = within(outage, nowMs);
    const suspended = within(suspension, nowMs);
    if (suspension?.toMs === nowMs) {
      sinceMs = nowMs;
      settledMs = nowMs;
    }
    if (finish && nowMs >= finish.atMs) {
      if (finish.success) lastSuccessMs = finish.atMs;
      finish = undefined;
    }
    if (!down && !suspended) {
      const passed: number[] = [];
      for (
        let slot = nextTime(cadence, settledMs);
        slot !== null && slot <= nowMs;
        slot = nextTime(cadence, slot)
      )
        passed.push(slot);
      const due = passed.pop();
      if (passed.length > 0) missedCountedMs = nowMs;
      if (due !== undefined) {
        settledMs = due;
        finish = { atMs: nowMs + runMinutes * MINUTE_MS, success: succeeds(due) };
      }
    }
    const dueMs = suspended
      ? undefined
      : successDueMs({
          cadence,
          sinceMs,
          lastSuccessMs,
          lastDurationSeconds: lastSuccessMs && runMinutes * 60,
        });
    const sample: Record<string, number | undefined> = {
      km_backup_success_due_timestamp_seconds: seconds(dueMs),
      km_backup_last_success_timestamp: seconds(lastSuccessMs),
      km_backup_missed_counted_timestamp_seconds: seconds(missedCountedMs),
      km_backup_suspended: Number(suspended),
    };
    for (const [name, samples] of Object.entries(series)) samples.push(down ? undefined : sample[name]);
  }
  return series;
}

/** The case: each alert fires at every step that the scenario names, and at no other. */
export function promtoolCase(scenario: Scenario) {
  const { name, startMs, endMs, fires = {} } = scenario;
  const series = Object.entries(simulate(scenario));
  const length = Math.floor((endMs - startMs) / STEP_MS) + 1;
  const input = series.flatMap(([metric, samples]) =>
    ['a', 'b'].map((pod) => ({
      series: `${metric}{namespace="shop",schedule="x",pod="${pod}"}`,
      values: row(samples),
    })),
  );
  const expected = SCHEDULE_ALERTS.map((alert) => ({
    series: `expected{alertname="${alert}"}`,
    values: row(
      Array.from({ length }, (_, step) =>
        Number((fires[alert] ?? []).some((span) => within(span, startMs + step * STEP_MS))),
      ),
    ),
  }));
  return {
    name,
    interval: `${STEP_MINUTES}m`,
    input_series: [...input, ...expected],
    promql_expr_test: [
      {
        expr: `count_over_time(wrong[${length * STEP_MINUTES}m])`,
        eval_time: `${(length - 1) * STEP_MINUTES}m`,
        exp_samples: [],
      },
    ],
  };
}

/** Records each step at which an alert does not fire as expected; evaluated after the alerts. */
export const EXPECTATION_GROUP = {
  name: 'expectation',
  rules: [
    {
      record: 'wrong',
      expr: `(expected == 1 unless on (alertname) ALERTS{alertstate="firing"})
        or (ALERTS{alertstate="firing",alertname=~"${SCHEDULE_ALERTS.join('|')}"} unless on (alertname) expected == 1)`,
    },
  ],
};
