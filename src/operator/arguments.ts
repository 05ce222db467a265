/** Command lines of km-backup in Jobs. Pure. */
import type { KmBackupScheduleSpec } from '../api/backup-schedule.ts';

/** As `--name=value`, so that a value cannot be parsed as an option; nothing if there is no value. */
export function option(name: string, value: string | number | undefined): string[] {
  return value === undefined ? [] : [`--${name}=${value}`];
}

export function retentionOptions(retention: KmBackupScheduleSpec['retention']): string[] {
  return [
    ...option('retention-limit', retention.limit),
    ...option('keep-daily', retention.keepDaily),
    ...option('keep-weekly', retention.keepWeekly),
    ...option('keep-monthly', retention.keepMonthly),
    ...option('keep-yearly', retention.keepYearly),
    ...option('max-age', retention.maxAge),
  ];
}

/** The kubelet expands `$(NAME)` in arguments; doubling every `$` makes them literal. */
export function literal(argument: string): string {
  return argument.replaceAll('$', '$$$$');
}
