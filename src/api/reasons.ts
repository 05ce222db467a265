/**
 * Every reason and exit code of both programs: what it means and what to do about it. Conditions, run results and
 * errors take their reasons from here; docs/troubleshooting.md is generated from here.
 */
import type { BackupReason } from './backup-reasons.ts';
import type { HealthReason } from './health-reasons.ts';
import type { CopyReason, LocationReason } from './location-reasons.ts';
import type { RestoreReason } from './restore-reasons.ts';
import type { RunReason } from './run-reasons.ts';
import type { ScheduleReason } from './schedule-reasons.ts';

export { BACKUP_REASONS, type BackupReason } from './backup-reasons.ts';
export { EXIT_CODES, ExitCode, type JobKind, notRetried } from './exit-codes.ts';
export type { Explanation } from './explanation.ts';
export { HEALTH_REASONS, type HealthReason } from './health-reasons.ts';
export { COPY_REASONS, type CopyReason, LOCATION_REASONS, type LocationReason } from './location-reasons.ts';
export { RESTORE_REASONS, type RestoreReason } from './restore-reasons.ts';
export { exitCodeOf, type FailureReason, RUN_REASONS, type RunReason } from './run-reasons.ts';
export {
  EVENT_REASONS,
  type EventReason,
  SCHEDULE_REASONS,
  type ScheduleReason,
} from './schedule-reasons.ts';

declare const quoted: unique symbol;
/** A reason that is not ours: from Kubernetes (`ImagePullBackOff`, `Evicted`) or another version of km-backup. */
export type QuotedReason = string & { readonly [quoted]: true };

/** What the API conventions allow as the reason of a condition. */
const CONDITION_REASON = /^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$/;

/** Passes on a reason that others gave, unless it is missing or not fit for a condition. */
export function quoteReason<R extends Reason>(reason: string | undefined, otherwise: R): QuotedReason | R {
  return reason !== undefined && CONDITION_REASON.test(reason) ? (reason as QuotedReason) : otherwise;
}

/** Reasons of this project. */
export type Reason =
  | RunReason
  | BackupReason
  | ScheduleReason
  | RestoreReason
  | HealthReason
  | LocationReason
  | CopyReason;
/** What the `reason` of a condition may hold. */
export type ConditionReason = Reason | QuotedReason;
