import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Registry } from 'prom-client';
import { describe, expect, test } from 'vitest';
import { BackupMetrics } from './backup-metrics.ts';
import { CopyMetrics } from './copy-metrics.ts';
import { backupMetricsPage } from './page.ts';
import { BACKUP_METRICS, type BackupSnapshot } from './snapshot.ts';

const fresh: BackupSnapshot = {
  runs: { success: 0, incomplete: 0, failure: 0, skipped_lock: 0 },
  retentionDeletes: 0,
  missedSlots: 0,
  suspended: false,
};
const busy: BackupSnapshot = {
  runs: { success: 5, incomplete: 2, failure: 1, skipped_lock: 3 },
  retentionDeletes: 4,
  missedSlots: 7,
  suspended: true,
  lastRun: {
    success: false,
    durationSeconds: 1.5,
    sizeBytes: 100,
    sourceBytes: 300,
    reusedBytes: 40,
    warnings: 2,
  },
  lastSuccessMs: 1_700_000_000_500,
  archives: { count: 3, bytes: 999, suspicious: 1 },
  nextSlotMs: 1_700_000_060_000,
  expectedIntervalSeconds: 3600,
  successDueMs: 1_700_000_120_000,
  missedCountedMs: 1_700_000_001_000,
  lastDrill: { atMs: 1_700_000_002_000, success: false, archiveAgeSeconds: 7200 },
  lastRecoverySeconds: 41.5,
  drillDueMs: 1_700_000_180_000,
};

async function series(registry: Registry): Promise<string[]> {
  return (await registry.metrics()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
}

describe('with labels', () => {
  test('shows what each snapshot says, under the names of the playbook', async () => {
    const registry = new Registry();
    const metrics = new BackupMetrics(registry, { labelled: true });
    metrics.set('a', 'busy', busy);
    const of = 'namespace="a",schedule="busy"';
    expect(await series(registry)).toEqual([
      `km_backup_runs_total{${of},result="success"} 5`,
      `km_backup_runs_total{${of},result="incomplete"} 2`,
      `km_backup_runs_total{${of},result="failure"} 1`,
      `km_backup_runs_total{${of},result="skipped_lock"} 3`,
      `km_backup_last_status{${of}} 0`,
      `km_backup_last_success_timestamp{${of}} 1700000000.5`,
      `km_backup_retention_deletes_total{${of}} 4`,
      `km_backup_last_duration_seconds{${of}} 1.5`,
      `km_backup_last_size_bytes{${of}} 100`,
      `km_backup_last_source_bytes{${of}} 300`,
      `km_backup_last_reused_bytes{${of}} 40`,
      `km_backup_last_warnings{${of}} 2`,
      `km_backup_archives{${of}} 3`,
      `km_backup_archives_bytes{${of}} 999`,
      `km_backup_suspicious{${of}} 1`,
      `km_backup_missed_slots_total{${of}} 7`,
      `km_backup_next_slot_timestamp{${of}} 1700000060`,
      `km_backup_expected_interval_seconds{${of}} 3600`,
      `km_backup_success_due_timestamp_seconds{${of}} 1700000120`,
      `km_backup_missed_counted_timestamp_seconds{${of}} 1700000001`,
      `km_backup_last_drill_timestamp{${of}} 1700000002`,
      `km_backup_last_drill_success{${of}} 0`,
      `km_backup_last_drill_recovery_seconds{${of}} 41.5`,
      `km_backup_last_drill_archive_age_seconds{${of}} 7200`,
      `km_backup_drill_due_timestamp_seconds{${of}} 1700000180`,
      `km_backup_suspended{${of}} 1`,
    ]);
  });

  test('says nothing of what has not happened yet', async () => {
    const registry = new Registry();
    new BackupMetrics(registry, { labelled: true }).set('a', 'b', fresh);
    const names = new Set((await series(registry)).map((line) => line.replace(/\{.*/, '')));
    expect([...names]).toEqual([
      'km_backup_runs_total',
      'km_backup_retention_deletes_total',
      'km_backup_missed_slots_total',
      'km_backup_suspended',
    ]);
  });

  test('setting again changes no total, and the series go with the schedule', async () => {
    const registry = new Registry();
    const metrics = new BackupMetrics(registry, { labelled: true });
    metrics.set('a', 'x', busy);
    metrics.set('a', 'y', busy);
    const first = await series(registry);
    metrics.set('a', 'x', busy);
    expect(await series(registry)).toEqual(first);
    metrics.delete('a', 'x');
    expect((await series(registry)).join('\n')).not.toContain('schedule="x"');
    expect(await series(registry)).toHaveLength(first.length / 2);
    metrics.delete('a', 'y');
    expect(await series(registry)).toEqual([]);
  });

  test('label values cannot break the format', async () => {
    const registry = new Registry();
    new BackupMetrics(registry, { labelled: true }).set('a', 'q"\n\\', fresh);
    expect(await registry.metrics()).toContain('km_backup_suspended{namespace="a",schedule="q\\"\\n\\\\"} 0');
  });
});

test('without labels', async () => {
  const registry = new Registry();
  new BackupMetrics(registry, { labelled: false }).setOnly(busy);
  expect(await series(registry)).toContain('km_backup_runs_total{result="success"} 5');
  expect(await series(registry)).toContain('km_backup_last_status 0');
});

test('every metric names its unit and follows the naming of Prometheus', () => {
  for (const metric of BACKUP_METRICS) {
    expect(metric.name).toMatch(/^km_backup_[a-z_]+$/);
    expect(metric.name.endsWith('_total')).toBe(metric.type === 'counter');
    expect(metric.help).toMatch(/\.$/);
  }
});

test('docs/metrics.md is what "npm run generate" writes', () => {
  const file = join(import.meta.dirname, '../../docs/metrics.md');
  expect(readFileSync(file, 'utf8')).toBe(backupMetricsPage());
});

describe('the metrics of copies', () => {
  const copy = { success: 2, failure: 1, uploadedBytes: 900, reusedBytes: 50 };

  test('have a series for each schedule and location, and end with it', async () => {
    const registry = new Registry();
    const metrics = new CopyMetrics(registry, { labelled: true });
    const success = { atMs: 1_700_000_000_000 };
    metrics.setCopies(
      'a',
      'notes',
      new Map([['offsite', { ...copy, lastSuccess: success, waitingSinceMs: 1000 }]]),
    );
    metrics.setAvailable('a', 'offsite', true);
    const of = 'namespace="a",schedule="notes",location="offsite"';
    expect(await series(registry)).toEqual([
      `km_backup_copies_total{${of},result="success"} 2`,
      `km_backup_copies_total{${of},result="failure"} 1`,
      `km_backup_copy_last_success_timestamp{${of}} 1700000000`,
      `km_backup_copy_last_status{${of}} 1`,
      `km_backup_copy_bytes_uploaded_total{${of}} 900`,
      `km_backup_copy_bytes_reused_total{${of}} 50`,
      `km_backup_copy_waiting_since_timestamp{${of}} 1`,
      'km_backup_location_available{namespace="a",location="offsite"} 1',
    ]);
    metrics.setAvailable('a', 'offsite', false);
    metrics.setCopies('a', 'notes', new Map());
    expect(await series(registry)).toEqual([
      'km_backup_location_available{namespace="a",location="offsite"} 0',
    ]);
    metrics.setAvailable('a', 'offsite', undefined);
    expect(await series(registry)).toEqual([]);
  });

  test('have no labels where one directory is copied', async () => {
    const registry = new Registry();
    new CopyMetrics(registry).set(copy);
    expect(await series(registry)).toContain('km_backup_copy_bytes_uploaded_total 900');
  });
});
