/** A parsed cron expression, as plain data: every field is expanded to its sorted values. */
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
  /** Both day fields are restricted: a day must match only one of them, as in crontab(5). */
  readonly eitherDay: boolean;
}
