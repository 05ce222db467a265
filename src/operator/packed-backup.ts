import { isFinished, type KmBackup, type KmBackupStatus } from '../api/backup.ts';
import { API_VERSION, LABELS } from '../api/names.ts';
import type { Packing } from '../kube/indexed-objects.ts';

type Archive = NonNullable<KmBackupStatus['archive']>;
type Pruned = NonNullable<KmBackupStatus['pruned']>;
type Present = NonNullable<KmBackupStatus['present']>;

/** What decisions and statuses read of a run that is over; `null` where the run has none. */
type Fields = [
  name: string,
  namespace: string,
  uid: string,
  resourceVersion: string,
  creationTimestamp: string,
  deletionTimestamp: string | null,
  scheduleUid: string | null,
  scheduleName: string,
  scheduledTime: string | null,
  archiveName: string | null,
  phase: NonNullable<KmBackupStatus['phase']> | null,
  message: string | null,
  completionTime: string | null,
  durationSeconds: number | null,
  warnings: number | null,
  archive: ArchiveFields | null,
  pruned: [Pruned['count'], Pruned['failed'], Pruned['names']] | null,
  present: [Present['count'], Present['bytes'], Present['names'], string | null] | null,
];

type ArchiveFields = [
  name: string,
  claimName: string,
  path: string,
  sizeBytes: number | null,
  sha256: string | null,
  sourceBytes: number | null,
  reusedBytes: number | null,
];

function archiveFields(archive: Archive): ArchiveFields {
  const { name, claimName, path, sizeBytes, sha256, sourceBytes, reusedBytes } = archive;
  return [name, claimName, path, sizeBytes ?? null, sha256 ?? null, sourceBytes ?? null, reusedBytes ?? null];
}

function fieldsOf({ metadata, spec, status = {} }: KmBackup): Fields {
  const { archive, warnings, pruned, present } = status;
  return [
    metadata.name,
    metadata.namespace,
    metadata.uid,
    metadata.resourceVersion,
    metadata.creationTimestamp,
    metadata.deletionTimestamp ?? null,
    metadata.labels?.[LABELS.scheduleUid] ?? null,
    spec.scheduleName,
    spec.scheduledTime ?? null,
    spec.archiveName ?? null,
    status.phase ?? null,
    status.message ?? null,
    status.completionTime ?? null,
    status.durationSeconds ?? null,
    warnings ? warnings.count : null,
    archive ? archiveFields(archive) : null,
    pruned ? [pruned.count, pruned.failed, pruned.names] : null,
    present ? [present.count, present.bytes, present.names, present.classes ?? null] : null,
  ];
}

/** The property, unless there is no value for it. */
function maybe<K extends string, V>(key: K, value: V | null): { [P in K]?: V } {
  return (value === null ? {} : { [key]: value }) as { [P in K]?: V };
}

function archiveOf(fields: ArchiveFields): Archive {
  const [name, claimName, path, sizeBytes, sha256, sourceBytes, reusedBytes] = fields;
  return {
    name,
    claimName,
    path,
    ...maybe('sizeBytes', sizeBytes),
    ...maybe('sha256', sha256),
    ...maybe('sourceBytes', sourceBytes),
    ...maybe('reusedBytes', reusedBytes),
  };
}

function backupOf(fields: Fields): KmBackup {
  const [name, namespace, uid, resourceVersion, creationTimestamp, deletionTimestamp, scheduleUid, ...rest] =
    fields;
  const [
    scheduleName,
    scheduledTime,
    archiveName,
    phase,
    message,
    completionTime,
    durationSeconds,
    ...found
  ] = rest;
  const [warnings, archive, pruned, present] = found;
  return {
    apiVersion: API_VERSION,
    kind: 'KmBackup',
    metadata: {
      name,
      namespace,
      uid,
      resourceVersion,
      creationTimestamp,
      ...maybe('deletionTimestamp', deletionTimestamp),
      ...maybe('labels', scheduleUid === null ? null : { [LABELS.scheduleUid]: scheduleUid }),
    },
    spec: { scheduleName, ...maybe('scheduledTime', scheduledTime), ...maybe('archiveName', archiveName) },
    status: {
      ...maybe('phase', phase),
      ...maybe('message', message),
      ...maybe('completionTime', completionTime),
      ...maybe('durationSeconds', durationSeconds),
      ...maybe('warnings', warnings === null ? null : { count: warnings, samples: [] }),
      ...maybe('archive', archive && archiveOf(archive)),
      ...maybe('pruned', pruned && { count: pruned[0], failed: pruned[1], names: pruned[2] }),
      ...maybe(
        'present',
        present && {
          count: present[0],
          bytes: present[1],
          names: present[2],
          ...maybe('classes', present[3]),
        },
      ),
    },
  };
}

/**
 * Runs that are over stay as long as their archives do, by the ten thousand, and are read only when their schedule
 * is looked at: of them only what is read is kept, as text.
 */
export const backupPacking: Packing<KmBackup> = {
  pack: (backup) => (isFinished(backup) ? JSON.stringify(fieldsOf(backup)) : backup),
  unpack: (text) => backupOf(JSON.parse(text) as Fields),
};
