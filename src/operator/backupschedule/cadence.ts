import type { KmBackupSchedule } from '../../api/backup-schedule.ts';
import { type Cadence, parseCron } from '../../schedule/index.ts';
import { fromTime } from '../time.ts';

/** When a schedule is due; cron wins over the interval (the playbook's rule). */
export function cadenceOf(
  schedule: KmBackupSchedule,
): { ok: true; cadence: Cadence } | { ok: false; message: string } {
  const { spec, metadata } = schedule;
  if (spec.cron === undefined) {
    const anchorMs = fromTime(metadata.creationTimestamp);
    return { ok: true, cadence: { kind: 'interval', everyMs: spec.intervalMinutes * 60_000, anchorMs } };
  }
  return parseCron(spec.cron, { timeZone: spec.timeZone, hashSeed: metadata.uid });
}

/** The cadence in words, the same for equal cadences; `suspended` while suspended. */
export function describeCadence({ spec }: KmBackupSchedule): string {
  if (spec.suspend) return 'suspended';
  if (spec.cron === undefined) return `every ${spec.intervalMinutes}m`;
  return spec.timeZone === 'Etc/UTC' ? spec.cron : `${spec.cron} ${spec.timeZone}`;
}
