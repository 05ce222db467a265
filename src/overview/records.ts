/** What is read of resources: the API's types fit, and so do records that keep fewer fields. Every status may be partial. */
import type { KmBackupStatus } from '../api/backup.ts';
import type { KmBackupSchedule } from '../api/backup-schedule.ts';
import type { KmBackupLocation } from '../api/location.ts';
import type { OwnerReference } from '../api/metadata.ts';
import type { KmRestore } from '../api/restore.ts';
import { msOf } from '../api/schedule-cadence.ts';

type Archive = NonNullable<KmBackupStatus['archive']>;

export interface RunRecord {
  metadata: { name: string; namespace: string; creationTimestamp?: string };
  spec: { scheduleName: string; scheduledTime?: string | undefined; archiveName?: string | undefined };
  status?: Partial<
    Pick<KmBackupStatus, 'phase' | 'reason' | 'message' | 'startTime' | 'completionTime' | 'durationSeconds'>
  > & {
    warnings?: { count?: number } | undefined;
    archive?: Partial<Pick<Archive, 'name' | 'sizeBytes' | 'sourceBytes' | 'reusedBytes'>> | undefined;
  };
}

export interface ClaimRecord {
  metadata: {
    name: string;
    namespace: string;
    deletionTimestamp?: string;
    ownerReferences?: Pick<OwnerReference, 'kind'>[];
  };
  spec?: { volumeMode?: string };
}

export interface Records {
  schedules: readonly KmBackupSchedule[];
  backups: Iterable<RunRecord>;
  restores: Iterable<KmRestore>;
  /** Undefined where they may not be listed: then there is no coverage. */
  claims?: Iterable<ClaimRecord>;
  /** Undefined where they are not known. */
  locations?: Iterable<KmBackupLocation>;
}

/** The time if it is one. */
export function timeOf(text: string | undefined): string | undefined {
  return msOf(text) === undefined ? undefined : text;
}

/** RFC 3339 in whole seconds; undefined for what no Date can hold. */
export function toTime(ms: number | null | undefined): string | undefined {
  if (ms === null || ms === undefined || !(Math.abs(ms) <= 8.64e15)) return undefined;
  return `${new Date(ms).toISOString().slice(0, -5)}Z`;
}

/** Compares times of whatever precision; one that is missing is the earliest. */
export const byTime = (a: string | undefined, b: string | undefined): number =>
  (a === undefined ? 0 : Date.parse(a)) - (b === undefined ? 0 : Date.parse(b));

/** The latest of those that are known. */
export const latest = (times: readonly (string | undefined)[]): string | undefined =>
  // A sort puts what is undefined last, whatever it compares by.
  times
    .filter((time) => time !== undefined)
    .sort(byTime)
    .at(-1);

type Known<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

/** The fields that have a value. */
export function known<T extends object>(fields: T): Known<T> {
  // Not by entries: a page shows thousands of these.
  const result: Record<string, unknown> = {};
  for (const name in fields) if (fields[name] !== undefined) result[name] = fields[name];
  return result as Known<T>;
}
