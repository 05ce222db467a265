/**
 * The dashboards of the chart for Grafana: one over all schedules and the operator, one of a single schedule. What is late
 * or missing comes from the metrics, never from a number here: schedules differ.
 */
import { FLEET_ROWS } from './fleet.ts';
import { dashboard } from './grafana.ts';
import { SCHEDULE_ROWS } from './schedule.ts';

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
