import type { KmBackup, KmBackupSpec, KmBackupStatus } from '../api/backup.ts';
import type { BackupCopyStatus } from '../api/copy.ts';
import { isFinished } from '../api/finished.ts';
import type { ObjectMeta } from '../api/metadata.ts';
import { ANNOTATIONS, API_VERSION, LABELS } from '../api/names.ts';
import type { Packing } from '../kube/indexed-objects.ts';

type Archive = NonNullable<KmBackupStatus['archive']>;
type Pruned = NonNullable<KmBackupStatus['pruned']>;
type Present = NonNullable<KmBackupStatus['present']>;
type Suspicion = NonNullable<KmBackupStatus['suspicious']>;

// What is kept of a finished run. The type below is made from these lists, so nothing can read a field that is lost.
const METADATA = [
  'name',
  'namespace',
  'uid',
  'resourceVersion',
  'creationTimestamp',
  'deletionTimestamp',
] as const satisfies (keyof ObjectMeta)[];
const SPEC = ['scheduleName', 'scheduledTime', 'archiveName'] as const satisfies (keyof KmBackupSpec)[];
const STATUS = [
  'phase',
  'reason',
  'message',
  'completionTime',
  'durationSeconds',
] as const satisfies (keyof KmBackupStatus)[];
const ARCHIVE = [
  'name',
  'claimName',
  'path',
  'sizeBytes',
  'sha256',
  'sourceBytes',
  'reusedBytes',
] as const satisfies (keyof Archive)[];
const PRUNED = ['count', 'failed', 'names'] as const satisfies (keyof Pruned)[];
const SUSPICION = ['message'] as const satisfies (keyof Suspicion)[];
const PRESENT = ['count', 'bytes', 'names', 'classes', 'suspicious'] as const satisfies (keyof Present)[];
const COPY = ['location', 'phase', 'reason'] as const satisfies (keyof BackupCopyStatus)[];

/** A finished run as the cache keeps it. */
export interface FinishedRun {
  apiVersion: string;
  kind: 'KmBackup';
  metadata: Pick<ObjectMeta, (typeof METADATA)[number]> & {
    labels?: { [LABELS.scheduleUid]?: string };
    annotations?: { [ANNOTATIONS.approved]?: string };
  };
  spec: Pick<KmBackupSpec, (typeof SPEC)[number]>;
  status?: Pick<KmBackupStatus, (typeof STATUS)[number]> & {
    warnings?: { count: number } | undefined;
    suspicious?: Pick<Suspicion, (typeof SUSPICION)[number]> | undefined;
    archive?: Pick<Archive, (typeof ARCHIVE)[number]> | undefined;
    pruned?: Pick<Pruned, (typeof PRUNED)[number]> | undefined;
    present?: Pick<Present, (typeof PRESENT)[number]> | undefined;
    copies?: readonly Pick<BackupCopyStatus, (typeof COPY)[number]>[] | undefined;
  };
}

/** A run from the cache, finished or not. */
export type Run = KmBackup | FinishedRun;

type Values = unknown[] | null;

function valuesOf<T extends object>(keys: readonly (keyof T)[], object: T | undefined): Values {
  return object ? keys.map((key) => object[key] ?? null) : null;
}

/** The object with these values. Keys without a value are absent. */
function objectOf<T>(keys: readonly string[], values: Values): T {
  const entries = keys.map((key, index) => [key, values?.[index] ?? null] as const);
  return Object.fromEntries(entries.filter(([, value]) => value !== null)) as T;
}

/** Positions instead of names: they are most of the text. */
type Packed = [
  metadata: Values,
  scheduleUid: string | null,
  spec: Values,
  status: Values,
  warnings: number | null,
  archive: Values,
  pruned: Values,
  present: Values,
  suspicious: Values,
  approved: string | null,
  copies: Values[] | null,
];

function pack({ metadata, spec, status = {} }: FinishedRun): Packed {
  return [
    valuesOf(METADATA, metadata),
    metadata.labels?.[LABELS.scheduleUid] ?? null,
    valuesOf(SPEC, spec),
    valuesOf(STATUS, status),
    status.warnings?.count ?? null,
    valuesOf(ARCHIVE, status.archive),
    valuesOf(PRUNED, status.pruned),
    valuesOf(PRESENT, status.present),
    valuesOf(SUSPICION, status.suspicious),
    metadata.annotations?.[ANNOTATIONS.approved] ?? null,
    status.copies?.map((copy) => valuesOf(COPY, copy)) ?? null,
  ];
}

function unpack(packed: Packed): FinishedRun {
  const [metadata, uid, spec, status, warnings, archive, pruned, present, ...more] = packed;
  const [suspicious, approved, copies] = more;
  return {
    apiVersion: API_VERSION,
    kind: 'KmBackup',
    metadata: {
      ...objectOf<FinishedRun['metadata']>(METADATA, metadata),
      ...(uid !== null && { labels: { [LABELS.scheduleUid]: uid } }),
      ...(approved !== null && { annotations: { [ANNOTATIONS.approved]: approved } }),
    },
    spec: objectOf(SPEC, spec),
    status: {
      ...objectOf<NonNullable<FinishedRun['status']>>(STATUS, status),
      ...(warnings !== null && { warnings: { count: warnings } }),
      ...(archive && { archive: objectOf<Archive>(ARCHIVE, archive) }),
      ...(pruned && { pruned: objectOf<Pruned>(PRUNED, pruned) }),
      ...(present && { present: objectOf<Present>(PRESENT, present) }),
      ...(suspicious && { suspicious: objectOf<Suspicion>(SUSPICION, suspicious) }),
      ...(copies && { copies: copies.map((copy) => objectOf<BackupCopyStatus>(COPY, copy)) }),
    },
  };
}

/**
 * Keeps finished runs as short text: there are tens of thousands, as many as there are archives, and each is read only
 * when its schedule is reconciled. `KmBackup` is only the type of the store: selectors hand out `Run`.
 */
export const finishedRunPacking: Packing<KmBackup> = {
  pack: (backup) => (isFinished(backup) ? JSON.stringify(pack(backup)) : backup),
  unpack: (text) => unpack(JSON.parse(text) as Packed) as KmBackup,
};
