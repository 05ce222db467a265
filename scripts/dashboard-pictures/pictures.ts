/** The pictures of the dashboards, and which of their panels are rightly empty. */
import path from 'node:path';
import { UsageError } from '../command-line.ts';

interface Picture {
  /** In the chart. */
  readonly file: string;
  readonly name: string;
  /** The variables that someone would choose. */
  readonly chosen: Readonly<Record<string, string>>;
  /** Titles of panels, with the reason why the recorded week has nothing for them. */
  readonly empty: Readonly<Record<string, string>>;
}

export const PICTURES: readonly Picture[] = [
  {
    file: 'km-backup.json',
    name: 'dashboard-fleet',
    chosen: {},
    empty: { 'Keys tried again in 1 h': 'nothing failed inside the operator' },
  },
  {
    file: 'km-backup-schedule.json',
    name: 'dashboard-schedule',
    chosen: { namespace: 'shop', schedule: 'orders' },
    empty: { 'Drill due in': 'the drills of the schedule come after a number of archives, not at a time' },
  },
];

/** The value of `--folder`, where record.ts leaves what draw.ts needs. */
export function folderOf(given: string | undefined): string {
  if (given === undefined)
    throw new UsageError('--folder is missing: it names where the recorded week is kept.');
  return path.resolve(given);
}
