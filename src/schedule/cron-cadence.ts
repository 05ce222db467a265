/** A parsed cron expression: plain data, every field expanded to its sorted values. */
export interface CronCadence {
  readonly kind: 'cron';
  /** As written. */
  readonly expression: string;
  readonly timeZone: string;
  readonly minutes: readonly number[];
  readonly hours: readonly number[];
  readonly daysOfMonth: readonly number[];
  /** 1 to 12. */
  readonly months: readonly number[];
  /** 0 (Sunday) to 6. */
  readonly daysOfWeek: readonly number[];
  /** With both day fields restricted a day needs to match one of them only (crontab(5)). */
  readonly eitherDay: boolean;
}
