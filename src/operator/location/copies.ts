/** What a decision on the copies of one schedule may look at, and which copy is due. Pure. */
import type { KmBackupSchedule, SourceIdentity } from '../../api/backup-schedule.ts';
import type { CopySpec, ScheduleCopyStatus } from '../../api/copy.ts';
import type { KmBackupLocation } from '../../api/location.ts';
import type { CopyResult } from '../../api/location-result.ts';
import { ANNOTATIONS } from '../../api/names.ts';
import type { PlacementResult } from '../backup/placement.ts';
import type { FinishedRun } from '../finished-run.ts';
import { fromTime } from '../time.ts';
import type { Job } from '../workloads.ts';
import { availabilityOf } from './decide-location.ts';
import type { LocationJobState } from './job-state.ts';

export interface ObservedCopy {
  readonly spec: CopySpec;
  /** What the schedule's status says. */
  readonly before: ScheduleCopyStatus | undefined;
  readonly location: KmBackupLocation | undefined;
  /** The Job of the attempt that is not recorded yet. */
  readonly job: LocationJobState<CopyResult>;
}

export interface ObservedCopies {
  readonly schedule: KmBackupSchedule;
  readonly copies: readonly ObservedCopy[];
  /** Finished runs with an archive in the schedule's folder, oldest first. */
  readonly archives: readonly FinishedRun[];
  /** An unfinished KmRestore of the claim that holds the archives. */
  readonly restoring: string | undefined;
  /** Jobs that are recorded, or whose location the schedule no longer names; by age, latest first. */
  readonly earlier: readonly Job[];
  /** Observed only if a copy is due. */
  readonly start: StartOfCopy | undefined;
}

export interface StartOfCopy {
  readonly slot: { readonly granted: true } | { readonly granted: false; readonly message: string };
  readonly placement: PlacementResult | undefined;
  readonly source: SourceIdentity | undefined;
}

/** Name of the location that a Job copies to, in full. */
export const nameOfLocation = ({ metadata }: Job): string =>
  metadata.annotations?.[ANNOTATIONS.location] ?? '';

/** The run whose archive every location should have: the newest complete one. */
export const newestOf = ({ archives }: Pick<ObservedCopies, 'archives'>): FinishedRun | undefined =>
  archives.findLast(({ status }) => status?.phase === 'Succeeded');

/** Whether the location lacks the newest archive. */
export function isWanted({ before, location }: ObservedCopy, newest: FinishedRun | undefined): boolean {
  if (!newest) return false;
  return (
    before?.backup !== newest.metadata.name ||
    (location?.status?.locationId !== undefined && before.locationId !== location.status.locationId)
  );
}

/** When a wanted copy may be tried: at once for a new archive and for a location that is there again; epoch ms. */
export function nextTryMs({ before, location }: ObservedCopy, newest: FinishedRun): number {
  const { failures = 0, attempted, nextAttemptTime, lastFailureTime } = before ?? {};
  if (failures === 0 || nextAttemptTime === undefined || attempted !== newest.metadata.name) return 0;
  const found = location && availabilityOf(location);
  const isBack =
    found?.status === 'True' &&
    lastFailureTime !== undefined &&
    fromTime(found.lastTransitionTime) > fromTime(lastFailureTime);
  return isBack ? 0 : fromTime(nextAttemptTime);
}

/** Whether the location can be copied to, as far as is known. */
export const isUsable = (location: KmBackupLocation | undefined): location is KmBackupLocation =>
  location !== undefined &&
  location.metadata.deletionTimestamp === undefined &&
  location.status?.locationId !== undefined &&
  availabilityOf(location)?.status !== 'False';

/** The copy that may start now: one at a time, those that fail last. */
export function dueCopy(observed: Omit<ObservedCopies, 'start'>, nowMs: number): ObservedCopy | undefined {
  const { copies, restoring } = observed;
  const newest = newestOf(observed);
  if (!newest || restoring !== undefined || copies.some(({ job }) => job.state !== 'none')) return undefined;
  return copies
    .filter((copy) => isUsable(copy.location) && isWanted(copy, newest) && nowMs >= nextTryMs(copy, newest))
    .sort((a, b) => (a.before?.lastFailureTime ?? '').localeCompare(b.before?.lastFailureTime ?? ''))[0];
}
