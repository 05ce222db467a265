/** Resources for the tables of this room's tests. */
import type { KmBackup, KmBackupStatus } from '../../api/backup.ts';
import {
  type KmBackupSchedule,
  KmBackupScheduleSpec,
  type KmBackupScheduleStatus,
} from '../../api/backup-schedule.ts';
import {
  type KmBackupLocation,
  KmBackupLocationSpec,
  type KmBackupLocationStatus,
} from '../../api/location.ts';
import { API_VERSION, LABELS } from '../../api/names.ts';
import type { RunResult } from '../../api/run-result.ts';
import { backupName } from '../naming.ts';
import { toTime } from '../time.ts';
import type { Job, Pod } from '../workloads.ts';

export const at = (time: string): number => Date.parse(`2026-03-01T${time}Z`);

export function schedule(
  spec: Record<string, unknown> = {},
  status?: KmBackupScheduleStatus,
  createdMs: number = at('00:00:00'),
): KmBackupSchedule {
  return {
    apiVersion: API_VERSION,
    kind: 'KmBackupSchedule',
    metadata: {
      name: 'notes',
      namespace: 'team',
      uid: 'uid-notes',
      resourceVersion: '1',
      generation: 1,
      creationTimestamp: toTime(createdMs),
    },
    spec: KmBackupScheduleSpec.parse({
      source: { persistentVolumeClaim: { claimName: 'state' } },
      cron: '0 * * * *',
      ...spec,
    }),
    ...(status && { status }),
  };
}

export function scheduledBackup(slotMs: number, status?: KmBackupStatus): KmBackup {
  const name = backupName('notes', 'uid-notes', slotMs);
  return {
    apiVersion: API_VERSION,
    kind: 'KmBackup',
    metadata: {
      name,
      namespace: 'team',
      uid: `uid-${name}`,
      resourceVersion: '1',
      creationTimestamp: toTime(slotMs),
      labels: { [LABELS.schedule]: 'notes', [LABELS.scheduleUid]: 'uid-notes' },
    },
    spec: { scheduleName: 'notes', scheduledTime: toTime(slotMs) },
    ...(status && { status }),
  };
}

export function runResult(overrides: Partial<RunResult> = {}): RunResult {
  return {
    version: 1,
    outcome: 'Succeeded',
    reason: 'ArchiveVerified',
    message: 'Backup written to /destination/backups/archives/km-backup-20260301T010000Z.tgz',
    startedAt: '2026-03-01T01:00:00Z',
    finishedAt: '2026-03-01T01:00:07Z',
    archive: {
      name: 'km-backup-20260301T010000Z.tgz',
      path: '/destination/backups/archives/km-backup-20260301T010000Z.tgz',
      sizeBytes: 1000,
      sha256: 'a'.repeat(64),
      manifestSha256: 'b'.repeat(64),
      entries: 12,
      files: 10,
      sourceBytes: 5000,
      reusedBytes: 0,
    },
    warnings: { count: 0, samples: [] },
    pruned: { count: 0, failed: 0, names: [] },
    present: { count: 1, bytes: 1000, names: ['km-backup-20260301T010000Z.tgz'] },
    ...overrides,
  };
}

export function job(backup: KmBackup, condition?: { type: string; reason?: string; message?: string }): Job {
  return {
    metadata: {
      name: backup.metadata.name,
      namespace: backup.metadata.namespace,
      uid: `job-${backup.metadata.uid}`,
      resourceVersion: '1',
      creationTimestamp: backup.metadata.creationTimestamp,
      ownerReferences: [
        {
          apiVersion: API_VERSION,
          kind: 'KmBackup',
          name: backup.metadata.name,
          uid: backup.metadata.uid,
          controller: true,
        },
      ],
    },
    status: condition ? { conditions: [{ status: 'True', ...condition }] } : {},
  };
}

type ContainerState = NonNullable<
  NonNullable<NonNullable<Pod['status']>['containerStatuses']>[number]['state']
>;

export function pod(state: ContainerState, status: Partial<NonNullable<Pod['status']>> = {}): Pod {
  return {
    metadata: {
      name: 'notes-pod',
      namespace: 'team',
      uid: 'uid-pod',
      resourceVersion: '1',
      creationTimestamp: '2026-03-01T01:00:00Z',
    },
    spec: { nodeName: 'node-1' },
    status: { containerStatuses: [{ name: 'km-backup', state }], ...status },
  };
}

export function location(
  spec: Record<string, unknown> = {},
  status?: KmBackupLocationStatus,
  name = 'offsite',
): KmBackupLocation {
  return {
    apiVersion: API_VERSION,
    kind: 'KmBackupLocation',
    metadata: {
      name,
      namespace: 'team',
      uid: `uid-${name}`,
      resourceVersion: '1',
      generation: 1,
      creationTimestamp: '2026-03-01T00:00:00Z',
    },
    spec: KmBackupLocationSpec.parse({
      s3: { bucket: 'backups', credentialsSecretRef: { name: 'keys' } },
      encryption: { age: { recipients: [`age1${'q'.repeat(58)}`] } },
      ...spec,
    }),
    ...(status && { status }),
  };
}

/** The status of a location whose last check came out like this. */
export const checkedLocation = (
  status: 'True' | 'False',
  atMs: number,
  reason = status === 'True' ? 'LocationChecked' : 'LocationUnavailable',
): KmBackupLocationStatus => ({
  observedGeneration: 1,
  locationId: 'id-1',
  lastCheckTime: toTime(atMs),
  checks: 1,
  failures: status === 'True' ? 0 : 1,
  conditions: [{ type: 'Available', status, reason, message: 'said', lastTransitionTime: toTime(atMs) }],
});
