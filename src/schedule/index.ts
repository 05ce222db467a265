/** When things are due: cron expressions and intervals. Pure; every instant is epoch milliseconds (`…Ms`). */
export { type Cadence, cadenceOf, type IntervalCadence, nextTime, previousTime } from './cadence.ts';
export { type CadenceResult, parseCron } from './cron.ts';
export type { CronCadence } from './cron-cadence.ts';
export { type Due, expectedIntervalSeconds, latestDue, MISSED_COUNT_CAP } from './due.ts';
export { CLOCK_TOLERANCE_MS, type SettleInput, type Settlement, settle } from './settle.ts';
export { type SuccessDueInput, successDueMs } from './success-due.ts';
export { isTimeZone } from './time-zone.ts';
