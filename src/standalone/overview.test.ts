import { describe, expect, test } from 'vitest';
import type { ArchiveInfo } from '../archive/index.ts';
import type { CopyCheck } from '../health/index.ts';
import { parseEnvironment, scheduleOf } from './environment.ts';
import { overviewOfServe } from './overview.ts';
import { freshState, type State } from './state.ts';

const NOW = Date.parse('2026-03-20T12:00:00Z');
const HOUR_MS = 3_600_000;
const parsed = parseEnvironment({
  KM_BACKUP_ENABLED: 'true',
  KM_BACKUP_SOURCE: '/srv',
  KM_BACKUP_CRON: '0 3 * * *',
});
if (!parsed.ok) throw new Error(parsed.problems.join());
const { settings } = parsed;

function archive(hoursAgo: number, kind: ArchiveInfo['class'] = 'complete'): ArchiveInfo {
  const timestamp = new Date(NOW - hoursAgo * HOUR_MS);
  const name = `km-backup-${timestamp.toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z.tgz`;
  return {
    name,
    path: `/srv/backups/archives/${name}`,
    class: kind,
    timestamp,
    modifiedAt: timestamp,
    sizeBytes: 1000,
    hasManifest: false,
    summary: undefined,
    problem: kind === 'corrupt' ? 'it is empty' : undefined,
    paddingBytes: 0,
    suspicion: undefined,
  };
}

function overview(
  changes: Partial<State>,
  {
    archives = [archive(9)],
    copy,
    enabled = true,
  }: { archives?: ArchiveInfo[]; copy?: CopyCheck; enabled?: boolean } = {},
) {
  const state: State = {
    ...freshState('cron 0 3 * * *', NOW - 100 * HOUR_MS),
    settledUntilMs: NOW,
    ...changes,
  };
  const cadence = enabled ? scheduleOf(settings, state.anchorMs) : undefined;
  return overviewOfServe({ settings, state, cadence, archives, copy }, NOW);
}

const success = {
  lastRun: { success: true, sizeBytes: 1000 },
  lastSuccess: {
    atMs: NOW - 9 * HOUR_MS,
    archive: '/srv/a.tgz',
    deleted: 0,
    sizeBytes: 1000,
    durationSeconds: 3,
  },
};

describe('the state of km-backup serve', () => {
  test('all well', () => {
    const { health, coverage, schedules } = overview(success);
    expect([health, coverage]).toEqual(['OK', undefined]);
    expect(schedules).toEqual([
      expect.objectContaining({
        name: '/srv',
        schedule: 'cron 0 3 * * *',
        findings: [],
        source: { path: '/srv' },
        destination: { path: '/srv/backups/archives' },
        nextTime: '2026-03-21T03:00:00Z',
        archives: { count: 1, bytes: 1000 },
        lastSuccess: {
          time: '2026-03-20T03:00:00Z',
          archive: '/srv/a.tgz',
          sizeBytes: 1000,
          durationSeconds: 3,
        },
      }),
    ]);
    expect(schedules[0]).not.toHaveProperty('namespace');
  });

  test.each<[string, Partial<State>, Parameters<typeof overview>[1], string, object]>([
    [
      'failed',
      { ...success, lastRun: { success: false }, lastFailure: { atMs: NOW - HOUR_MS, error: 'no space' } },
      {},
      'Failed',
      { reason: 'Failed', message: 'no space', time: '2026-03-20T11:00:00Z' },
    ],
    [
      'incomplete',
      {
        ...success,
        lastRun: { success: false, sizeBytes: 9 },
        lastFailure: { atMs: NOW - HOUR_MS, error: '2 files' },
      },
      { archives: [archive(1, 'incomplete')] },
      'Incomplete',
      { reason: 'FilesNotCaptured', message: '2 files', todo: expect.stringContaining('--exclude') },
    ],
    [
      'overdue',
      { ...success, lastSuccess: { ...success.lastSuccess, atMs: NOW - 90 * HOUR_MS } },
      {},
      'Overdue',
      { reason: 'Overdue', todo: expect.stringContaining('/healthz') },
    ],
    ['never', {}, { archives: [] }, 'Overdue', { reason: 'NeverSucceeded' }],
    ['new', { anchorMs: NOW }, { archives: [] }, 'Pending', { reason: 'NoRunYet' }],
    [
      'a copy that fails',
      success,
      {
        copy: {
          status: 'error',
          location: 's3://b',
          error: 'denied',
          last_failure: '2026-03-20T11:00:00.000Z',
        },
      },
      'CopyLate',
      { reason: 'CopyLate', message: 'denied' },
    ],
    [
      'switched off',
      success,
      { enabled: false },
      'Suspended',
      { reason: 'Suspended', todo: 'To start them: `KM_BACKUP_ENABLED=true`.' },
    ],
  ])('%s', (_, state, facts, health, finding) => {
    const { schedules } = overview(state, facts);
    expect([schedules[0]!.health, schedules[0]!.findings[0]]).toEqual([
      health,
      expect.objectContaining(finding),
    ]);
  });

  test('archives are the runs, with the last failure and the run under way', () => {
    const { schedules } = overview(
      {
        ...success,
        lastFailure: { atMs: NOW - 20 * HOUR_MS, error: 'no space' },
        running: { slotMs: NOW - 60_000, startedAtMs: NOW - 59_000, attempt: 1 },
      },
      { archives: [archive(9), archive(33, 'corrupt'), archive(57, 'unverified')] },
    );
    expect(schedules[0]!.runs.map(({ phase, message }) => [phase, message])).toEqual([
      ['Found', undefined],
      ['Corrupt', 'it is empty'],
      ['Failed', 'no space'],
      ['Succeeded', undefined],
    ]);
    expect(schedules[0]!.running).toMatchObject([{ phase: 'Running', startTime: '2026-03-20T11:59:01Z' }]);
  });
});
