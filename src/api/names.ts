/** API group of every resource this operator defines. */
export const GROUP = 'km.duskmantle.io';
export const VERSION = 'v1alpha1';
export const API_VERSION = `${GROUP}/${VERSION}`;

/** Field manager of every server-side apply, and `reportingController` of every Event. */
export const FIELD_MANAGER = 'km-backup-operator';

export const LABELS = {
  managedBy: 'app.kubernetes.io/managed-by',
  name: 'app.kubernetes.io/name',
  component: 'app.kubernetes.io/component',
  /** Name of the KmBackupSchedule, cut to 63 characters; the full name is in the spec. */
  schedule: `${GROUP}/schedule`,
  /** UID of the KmBackupSchedule. Adoption depends on it. */
  scheduleUid: `${GROUP}/schedule-uid`,
  /** Name of the KmBackup a Job or pod belongs to. */
  backup: `${GROUP}/backup`,
  /** Name of the KmRestore a Job, pod or claim belongs to, cut to 63 characters. */
  restore: `${GROUP}/restore`,
  restoreUid: `${GROUP}/restore-uid`,
  /** Name of the KmBackupLocation that a Job or pod works with, cut to 63 characters. */
  location: `${GROUP}/location`,
  /** On the pods of runs that send notifications, so that a NetworkPolicy can let them out. */
  notifies: `${GROUP}/notifies`,
} as const;

/** On the Job of a run, and on the KmBackup of an archive that a run found. */
export const ANNOTATIONS = {
  /** On a KmBackup whose archive is suspicious: `true` approves it. */
  approved: `${GROUP}/approved`,
  /** On a KmRestore that keeps an old state: `commit` deletes it now, `rollback` puts it back. */
  oldState: `${GROUP}/old-state`,
  /** On a KmRestore that a schedule made: the time of its cron, or the number of the archive, that the drill is for. */
  drill: `${GROUP}/drill`,
  /** Where the run writes, or where the archive is: claim, slash, folder. */
  destination: `${GROUP}/destination`,
  /** The user and groups of the run, and why; JSON. */
  identity: `${GROUP}/identity`,
  /** The class of a found archive, from its manifest; see `ArchiveClass`. */
  archiveClass: `${GROUP}/archive-class`,
  /** Seconds that the start of a pod and its work may take: two numbers and a slash. */
  deadlines: `${GROUP}/deadlines`,
  /** On the Job of a copy or of a check: its number among those of the same location, from 1. */
  attempt: `${GROUP}/attempt`,
  /** On the Job of a copy: the name of the KmBackupLocation, in full. */
  location: `${GROUP}/location-name`,
  /** On the Job of a copy: the KmBackup whose archive it copies. */
  copyOf: `${GROUP}/copy-of`,
  /** On the Job of a copy: the id that the location must have. */
  locationId: `${GROUP}/location-id`,
  /** On the Job of a check: generation of the KmBackupLocation that it checks. */
  generation: `${GROUP}/generation`,
} as const;

/** Selects only the Jobs and pods that this operator created. */
export const MANAGED_SELECTOR = `${LABELS.managedBy}=${FIELD_MANAGER}`;
