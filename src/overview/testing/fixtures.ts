/** Resources for tests of the overview and of what shows it. */
import type { KmBackup, KmBackupStatus } from '../../api/backup.ts';
import {
  type KmBackupSchedule,
  KmBackupScheduleSpec,
  type KmBackupScheduleStatus,
} from '../../api/backup-schedule.ts';
import { type KmBackupLocation, KmBackupLocationSpec } from '../../api/location.ts';
import { API_VERSION } from '../../api/names.ts';
import { type KmRestore, KmRestoreSpec, type KmRestoreStatus } from '../../api/restore.ts';

export const NOW = Date.parse('2026-03-20T12:00:00Z');
const DAY_MS = 86_400_000;

/** RFC 3339, so many days before now. */
export const daysAgo = (days: number): string =>
  `${new Date(NOW - days * DAY_MS).toISOString().slice(0, 19)}Z`;

const meta = (name: string, created: string) => ({
  name,
  namespace: 'team',
  uid: `uid-${name}`,
  resourceVersion: '1',
  generation: 1,
  creationTimestamp: created,
});

/** Daily at noon. */
export function schedule(
  spec: Record<string, unknown> = {},
  status: KmBackupScheduleStatus = {},
  { name = 'notes', namespace = 'team', createdAt = daysAgo(40) } = {},
): KmBackupSchedule {
  return {
    apiVersion: API_VERSION,
    kind: 'KmBackupSchedule',
    metadata: { ...meta(name, createdAt), namespace },
    spec: KmBackupScheduleSpec.parse({
      source: { persistentVolumeClaim: { claimName: 'state' } },
      destination: { persistentVolumeClaim: { claimName: 'archives' } },
      cron: '0 12 * * *',
      ...spec,
    }),
    status,
  };
}

/** The run of noon, so many days ago. */
export function backup(days: number, status?: KmBackupStatus, scheduleName = 'notes'): KmBackup {
  const time = daysAgo(days);
  const end = `${new Date(Date.parse(time) + 60_000).toISOString().slice(0, 19)}Z`;
  const stamp = time.replaceAll(/[-:]/g, '');
  const phase = status?.phase ?? 'Succeeded';
  return {
    apiVersion: API_VERSION,
    kind: 'KmBackup',
    metadata: meta(`${scheduleName}-${stamp}`.toLowerCase(), time),
    spec: { scheduleName, scheduledTime: time },
    status: {
      phase,
      ...(phase !== 'Pending' && phase !== 'Running' && { completionTime: end, durationSeconds: 60 }),
      ...((phase === 'Succeeded' || phase === 'Incomplete') && {
        archive: {
          name: `km-backup-${stamp}.tgz`,
          claimName: 'archives',
          path: 'backups/archives',
          sizeBytes: 1_000_000,
        },
      }),
      ...status,
    },
  };
}

export function restore(
  name: string,
  spec: Record<string, unknown> = {},
  status: KmRestoreStatus = {},
): KmRestore {
  return {
    apiVersion: API_VERSION,
    kind: 'KmRestore',
    metadata: meta(name, status.startTime ?? daysAgo(1)),
    spec: KmRestoreSpec.parse({
      source: { scheduleName: 'notes' },
      target: { persistentVolumeClaim: { claimName: 'state' } },
      ...spec,
    }),
    status,
  };
}

export const drill = (name: string, days: number, phase: 'Succeeded' | 'Failed'): KmRestore =>
  restore(
    name,
    { target: { scratch: { size: '1Gi' } } },
    { phase, startTime: daysAgo(days), completionTime: daysAgo(days), message: `drill ${phase}` },
  );

export const location = (name: string, status?: KmBackupLocation['status']): KmBackupLocation => ({
  apiVersion: API_VERSION,
  kind: 'KmBackupLocation',
  metadata: meta(name, daysAgo(40)),
  spec: KmBackupLocationSpec.parse({ s3: { bucket: 'backups' }, encryption: { none: true } }),
  ...(status && { status }),
});

export const claim = (
  name: string,
  rest: { ownerReferences?: { kind: string }[] } = {},
  volumeMode = 'Filesystem',
) => ({
  metadata: { name, namespace: 'team', ...rest },
  spec: { volumeMode },
});
