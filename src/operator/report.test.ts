import { expect, test } from 'vitest';
import { type KmRestore, KmRestoreSpec } from '../api/restore.ts';
import { backupCheck } from '../health/index.ts';
import { backupStateOf, snapshotOf } from './report.ts';
import { schedule } from './testing/fixtures.ts';

const due = (status: Parameters<typeof schedule>[1], spec = {}) => {
  const { successDueMs } = snapshotOf(schedule({ cron: '0 * * * *', ...spec }, status));
  return typeof successDueMs === 'number' ? new Date(successDueMs).toISOString().slice(0, 19) : successDueMs;
};

test('a success is due two scheduled times after the last one, plus its duration and 15 minutes', () => {
  const success = { name: 'a', archive: 'b', sizeBytes: 1, pruned: 0, durationSeconds: 120 };
  expect(due({ lastSuccessfulTime: '2026-03-01T04:02:00Z', lastSuccessfulBackup: success })).toBe(
    '2026-03-01T06:17:00',
  );
});

test('a schedule that was resumed since counts from then', () => {
  expect(due({ lastSuccessfulTime: '2026-03-01T04:02:00Z', cadenceSince: '2026-03-05T10:30:00Z' })).toBe(
    '2026-03-05T12:15:00',
  );
});

test('nothing is due of a suspended schedule, or of one that cannot be read', () => {
  expect(due({ lastSuccessfulTime: '2026-03-01T04:02:00Z' }, { suspend: true })).toBeUndefined();
  expect(due({}, { cron: 'never' })).toBeUndefined();
});

test('metrics of drills are those of the status', () => {
  const snapshot = snapshotOf(
    schedule(
      { drill: { every: 1, scratch: { size: '1Gi' } } },
      {
        lastDrillTime: '2026-03-01T05:00:41Z',
        lastDrillResult: 'Failed',
        drill: {
          cadence: 'every 1 archives',
          since: '2026-03-01T00:00:00Z',
          last: { name: 'b', archiveAgeSeconds: 60 },
          lastSuccessful: { name: 'a', recoverySeconds: 41 },
        },
      },
    ),
  );
  expect(snapshot).toMatchObject({
    lastDrill: { atMs: Date.parse('2026-03-01T05:00:41Z'), success: false, archiveAgeSeconds: 60 },
    lastRecoverySeconds: 41,
  });
  expect(snapshotOf(schedule())).toMatchObject({ lastDrill: undefined, drillDueMs: undefined });
});

test('health reports the timestamp of the recovered archive', () => {
  const success = { name: 'a', archive: 'newer.tgz', sizeBytes: 1, pruned: 0 };
  const backedUp = schedule(
    {},
    { lastSuccessfulTime: '2026-03-01T04:02:00Z', lastSuccessfulBackup: success },
  );
  const restored = (swapTime: string): KmRestore => ({
    apiVersion: 'km.duskmantle.io/v1alpha1',
    kind: 'KmRestore',
    metadata: { ...backedUp.metadata, name: 'back' },
    spec: KmRestoreSpec.parse({
      source: { scheduleName: 'notes' },
      target: { persistentVolumeClaim: { claimName: 'state' } },
    }),
    status: {
      phase: 'Succeeded',
      swapTime,
      resolved: {
        archive: { name: 'km-backup-20260301T010000Z.tgz', claimName: 'state', path: '', sizeBytes: 9 },
        archiveTime: '2026-03-01T01:00:00Z',
      },
    },
  });
  expect(backupCheck(backupStateOf(backedUp, restored('2026-03-01T05:00:00Z')))).toEqual({
    status: 'ok',
    last_success: '2026-03-01T01:00:00.000Z',
    archive: 'km-backup-20260301T010000Z.tgz',
    deleted: 0,
    size_bytes: 9,
    restored_archive: 'km-backup-20260301T010000Z.tgz',
    restored_archive_timestamp: '2026-03-01T01:00:00.000Z',
    restored_at: '2026-03-01T05:00:00.000Z',
  });
  const before = backupCheck(backupStateOf(backedUp, undefined));
  expect(before).toMatchObject({ last_success: '2026-03-01T04:02:00.000Z', archive: 'newer.tgz' });
  expect(backupCheck(backupStateOf(backedUp, restored('2026-03-01T03:00:00Z')))).toEqual(before);
});
