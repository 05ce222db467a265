/** Statuses of other versions, cut short or odd: the overview shows what it can. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { KmBackup } from '../api/backup.ts';
import type { KmBackupSchedule } from '../api/backup-schedule.ts';
import type { KmBackupLocation } from '../api/location.ts';
import type { KmRestore } from '../api/restore.ts';
import { HEALTHS, overviewOfResources } from './index.ts';
import { backup, claim, daysAgo, location, NOW, restore, schedule } from './testing/fixtures.ts';

const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom(
    'constructor',
    '__proto__',
    'toString',
    '',
    daysAgo(1),
    '9999-99-99',
    '+275760-09-14T00:00:00Z',
  ),
);

/** The same with fields left out, and with other texts and numbers. */
function altered(value: unknown): fc.Arbitrary<unknown> {
  if (Array.isArray(value))
    return value.length === 0 ? fc.constant([]) : fc.array(fc.oneof(...value.map(altered)), { maxLength: 3 });
  if (typeof value === 'object' && value !== null)
    return fc.record(Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, altered(inner)])), {
      requiredKeys: [],
    });
  if (typeof value === 'string') return fc.oneof(fc.constant(value), text);
  if (typeof value === 'number') return fc.oneof(fc.constant(value), fc.double(), fc.integer());
  return fc.constant(value);
}

const conditions = ['Ready', 'Healthy'].map((type) => ({
  type,
  status: 'False',
  reason: 'ClaimNotFound',
  message: 'm',
  lastTransitionTime: daysAgo(1),
}));

const run = { name: backup(1).metadata.name, phase: 'Failed', message: 'm', archive: 'a', sizeBytes: 1 };

const scheduleStatus = {
  observedGeneration: 1,
  conditions,
  active: ['x'],
  lastScheduleTime: daysAgo(1),
  lastSuccessfulTime: daysAgo(1),
  lastFailureTime: daysAgo(1),
  nextScheduleTime: daysAgo(-1),
  cadenceSince: daysAgo(3),
  schedule: '0 12 * * *',
  lastBackup: { ...run, durationSeconds: 1, warnings: 1 },
  lastSuccessfulBackup: { ...run, durationSeconds: 1, pruned: 1 },
  archives: { count: 1, bytes: 1 },
  runs: { succeeded: 1, incomplete: 1, failed: 1, skipped: 1 },
  missedSlots: 1,
  lastDrillTime: daysAgo(9),
  lastDrillResult: 'Failed',
  lastSuccessfulDrillTime: daysAgo(16),
  nextDrillTime: daysAgo(-2),
  drill: {
    cadence: 'c',
    since: daysAgo(30),
    dueSince: daysAgo(1),
    last: { name: 'd', reason: 'ArchiveTooOld', message: 'm', archive: 'a', archiveAgeSeconds: 1 },
    lastSuccessful: { name: 'd', recoverySeconds: 1 },
  },
  copies: [
    {
      location: 'bucket',
      phase: 'Failed',
      reason: 'LocationDenied',
      message: 'm',
      archive: 'a',
      lastSuccessfulTime: daysAgo(2),
      lastFailureTime: daysAgo(1),
      present: { count: 1, bytes: 1 },
    },
  ],
  lastMissedTime: daysAgo(1),
};

const restoreStatus = {
  phase: 'Failed',
  reason: 'StepFailed',
  message: 'm',
  startTime: daysAgo(1),
  completionTime: daysAgo(1),
  resolved: { archive: { name: 'a', claimName: 'c', path: '' }, series: 'team/notes' },
  oldState: { path: 'x', keptUntil: daysAgo(-1) },
  recoverySeconds: 1,
  archiveAgeSeconds: 1,
};

const locationStatus = {
  conditions: [{ ...conditions[0]!, type: 'Available' }],
  url: 's3://b',
  usage: { archives: 1, objects: 1, bytes: 1 },
  lastCheckTime: daysAgo(1),
  lastCopyTime: daysAgo(1),
};

const withStatus = <T extends object>(object: T, status: fc.Arbitrary<unknown>): fc.Arbitrary<T> =>
  fc.option(status, { nil: undefined }).map((value) => ({ ...object, status: value }) as T);

test('a status may lack anything, and hold any text', () => {
  fc.assert(
    fc.property(
      fc.array(
        withStatus<KmBackupSchedule>(
          schedule({
            copies: [{ locationRef: { name: 'bucket' } }],
            drill: { cron: '0 12 * * 5', scratch: { size: '1Gi' } },
          }),
          altered(scheduleStatus),
        ),
        { maxLength: 3 },
      ),
      fc.array(
        withStatus<KmBackup>(
          backup(1),
          altered({ ...backup(1).status, warnings: { count: 1, samples: ['s'] } }),
        ),
        { maxLength: 3 },
      ),
      fc.array(
        fc
          .constantFrom(restore('r'), restore('d', { target: { scratch: { size: '1Gi' } } }))
          .chain((object) => withStatus<KmRestore>(object, altered(restoreStatus))),
        { maxLength: 3 },
      ),
      fc.array(withStatus<KmBackupLocation>(location('bucket'), altered(locationStatus)), { maxLength: 2 }),
      (schedules, backups, restores, locations) => {
        const claims = [claim('state'), claim('other')];
        const overview = overviewOfResources({ schedules, backups, restores, claims, locations }, NOW);
        expect(overview.schedules).toHaveLength(schedules.length);
        expect(Object.keys(HEALTHS)).toContain(overview.health);
        const times = JSON.stringify(overview).matchAll(
          /"(?:time|\w+Time|lastSuccess|lastDrill|lastCopy|lastCheck|lastFailure|successDue)":"([^"]*)"/g,
        );
        for (const [, time] of times) expect(Number.isNaN(Date.parse(time!))).toBe(false);
      },
    ),
    { numRuns: 300 },
  );
});
