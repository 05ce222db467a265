import { describe, expect, test } from 'vitest';
import type { KmBackupStatus } from '../api/backup.ts';
import type { KmBackupScheduleStatus } from '../api/backup-schedule.ts';
import type { KmBackupLocation } from '../api/location.ts';
import { overviewOfResources, type Records, type ScheduleOverview } from './index.ts';
import { MAX_RUNS } from './runs.ts';
import { backup, claim, daysAgo, drill, location, NOW, restore, schedule } from './testing/fixtures.ts';

const overview = (records: Partial<Records>) =>
  overviewOfResources({ schedules: [], backups: [], restores: [], ...records }, NOW);

const one = (records: Partial<Records>): ScheduleOverview => overview(records).schedules[0]!;

const good: KmBackupScheduleStatus = {
  observedGeneration: 1,
  lastSuccessfulTime: daysAgo(0.9),
  lastBackup: { name: backup(1).metadata.name, phase: 'Succeeded' },
};

const condition = (type: string, status: 'True' | 'False', reason: string, message: string) => ({
  type,
  status,
  reason,
  message,
  lastTransitionTime: daysAgo(2),
});

const made = (archive: string) => ({ name: 'n', archive, sizeBytes: 1, pruned: 0 });

const ended = (days: number, status: KmBackupStatus) => {
  const run = backup(days, status);
  const lastBackup = { name: run.metadata.name, phase: run.status!.phase!, message: 'from the status' };
  return { backups: [run], schedules: [schedule({}, { ...good, lastBackup })] };
};

const drilled = { drill: { cron: '0 12 * * 5', scratch: { size: '1Gi' } } };
const copying = { copies: [{ locationRef: { name: 'bucket' } }] };

describe('the health of a schedule', () => {
  test('all well', () => {
    expect(one({ schedules: [schedule({}, good)], backups: [backup(1)] })).toMatchObject({
      health: 'OK',
      findings: [],
    });
  });

  test.each<[string, Partial<Records>, string, object]>([
    [
      'a claim that is missing',
      {
        schedules: [
          schedule(
            {},
            { ...good, conditions: [condition('Ready', 'False', 'ClaimNotFound', 'No claim state.')] },
          ),
        ],
      },
      'NotReady',
      {
        reason: 'ClaimNotFound',
        message: 'No claim state.',
        todo: 'Create the claim, or name another in the schedule.',
        time: daysAgo(2),
      },
    ],
    [
      'a run that failed',
      ended(1, { phase: 'Failed', reason: 'NoSpace', message: 'The destination is full.' }),
      'Failed',
      {
        reason: 'NoSpace',
        message: 'The destination is full.',
        todo: 'Enlarge the claim, or lower `spec.retention.limit` and run `km-backup prune`.',
        object: { kind: 'KmBackup', name: backup(1).metadata.name },
      },
    ],
    [
      'a failure whose record is gone',
      { schedules: ended(1, { phase: 'Failed' }).schedules },
      'Failed',
      { reason: 'Failed', message: 'from the status' },
    ],
    [
      "a reason of Kubernetes' own",
      ended(1, { phase: 'Failed', reason: 'ImagePullBackOff', message: 'no image' }),
      'Failed',
      { reason: 'ImagePullBackOff', message: 'no image' },
    ],
    [
      'a reason that is a property of every object',
      ended(1, { phase: 'Failed', reason: 'constructor', message: 'odd' }),
      'Failed',
      { reason: 'constructor', message: 'odd' },
    ],
    [
      'an incomplete run',
      ended(1, { phase: 'Incomplete', reason: 'FilesNotCaptured', message: '2 files changed.' }),
      'Incomplete',
      { reason: 'FilesNotCaptured', message: '2 files changed.' },
    ],
    [
      'no success for days',
      { schedules: [schedule({}, { ...good, lastSuccessfulTime: daysAgo(4) })] },
      'Overdue',
      { reason: 'Overdue', message: expect.stringContaining(daysAgo(4)) },
    ],
    [
      'no success ever',
      { schedules: [schedule({}, { observedGeneration: 1 })] },
      'Overdue',
      { reason: 'NeverSucceeded', todo: expect.stringContaining('`kubectl describe kmbs notes`') },
    ],
    [
      'a drill that failed',
      { schedules: [schedule({}, good)], restores: [drill('d1', 9, 'Succeeded'), drill('d2', 2, 'Failed')] },
      'DrillFailed',
      { reason: 'DrillFailed', message: 'drill Failed', object: { kind: 'KmRestore', name: 'd2' } },
    ],
    [
      'a copy that failed',
      {
        schedules: [
          schedule(copying, {
            ...good,
            copies: [
              {
                location: 'bucket',
                phase: 'Failed',
                reason: 'LocationDenied',
                message: 'no',
                lastFailureTime: daysAgo(1),
              },
            ],
          }),
        ],
      },
      'CopyLate',
      {
        reason: 'LocationDenied',
        message: 'Location bucket: no',
        todo: expect.stringContaining('Secret'),
        time: daysAgo(1),
      },
    ],
    [
      'no copy of an archive that is a day old',
      {
        schedules: [
          schedule(copying, { ...good, lastSuccessfulTime: daysAgo(1), lastSuccessfulBackup: made('a') }),
        ],
      },
      'CopyLate',
      { reason: 'CopyLate', message: expect.stringContaining('It has none of this schedule.') },
    ],
    [
      'a drill that failed and is gone',
      {
        schedules: [
          schedule(drilled, {
            ...good,
            lastDrillTime: daysAgo(2),
            lastDrillResult: 'Failed',
            lastSuccessfulDrillTime: daysAgo(9),
            drill: {
              cadence: 'c',
              since: daysAgo(30),
              last: { name: 'd', reason: 'ArchiveTooOld', message: 'old' },
            },
          }),
        ],
        restores: [drill('before', 9, 'Succeeded')],
      },
      'DrillFailed',
      { reason: 'ArchiveTooOld', message: 'old', object: { kind: 'KmRestore', name: 'd' } },
    ],
    [
      'an archive that nobody approved',
      {
        schedules: [
          schedule(
            {},
            {
              ...good,
              conditions: [condition('Suspicious', 'True', 'SuspiciousArchives', '90 % smaller')],
              suspicions: { backups: ['notes-1'], approvedArchives: [] },
            },
          ),
        ],
      },
      'Suspicious',
      {
        reason: 'Suspicious',
        message: '90 % smaller',
        todo: expect.stringContaining('kubectl annotate kmb notes-1 '),
        object: { kind: 'KmBackup', name: 'notes-1' },
      },
    ],
    [
      'no drill for weeks',
      {
        schedules: [
          schedule(drilled, {
            ...good,
            lastDrillTime: daysAgo(16),
            lastDrillResult: 'Succeeded',
            lastSuccessfulDrillTime: daysAgo(16),
            drill: { cadence: 'c', since: daysAgo(30) },
          }),
        ],
      },
      'DrillLate',
      { reason: 'DrillLate', message: expect.stringContaining(daysAgo(16)) },
    ],
    [
      'drills that cannot be made',
      {
        schedules: [
          schedule(drilled, {
            ...good,
            conditions: [condition('Recoverable', 'False', 'DrillRefused', 'a quota')],
          }),
        ],
      },
      'DrillLate',
      { reason: 'DrillRefused', message: 'a quota' },
    ],
    [
      'suspended after a failure',
      { ...ended(1, { phase: 'Failed' }), schedules: [schedule({ suspend: true }, good)] },
      'Suspended',
      { reason: 'Suspended', todo: expect.stringContaining('kmbs notes') },
    ],
    [
      'new',
      {
        schedules: [
          schedule(
            {},
            { conditions: [condition('Ready', 'True', 'Scheduled', '')] },
            { createdAt: daysAgo(0.1) },
          ),
        ],
      },
      'Pending',
      { reason: 'NoRunYet' },
    ],
    [
      'new, and nobody has looked',
      { schedules: [schedule({}, {}, { createdAt: daysAgo(0.1) })] },
      'NotReady',
      { reason: 'NotObserved' },
    ],
    [
      'a moment old',
      { schedules: [schedule({}, {}, { createdAt: daysAgo(0) })] },
      'Pending',
      { reason: 'NoRunYet' },
    ],
  ])('%s', (_, records, health, finding) => {
    const result = one(records);
    expect([result.health, result.findings[0]]).toEqual([health, expect.objectContaining(finding)]);
  });

  test.each<[string, KmBackupScheduleStatus]>([
    ['the newest archive is copied', { lastSuccessfulTime: daysAgo(1.01), lastSuccessfulBackup: made('a') }],
    ['the newest archive is hours old', { lastSuccessfulBackup: made('b') }],
  ])('no copy is late: %s', (_, status) => {
    const copies = [
      { location: 'bucket', phase: 'Copied' as const, archive: 'a', lastSuccessfulTime: daysAgo(1) },
      { location: 'former', phase: 'Failed' as const },
    ];
    const result = one({ schedules: [schedule(copying, { ...good, copies, ...status })] });
    expect([result.health, result.copies?.map(({ location, wanted }) => [location, wanted])]).toEqual([
      'OK',
      [
        ['bucket', true],
        ['former', false],
      ],
    ]);
  });

  test('every finding is there, the worst first', () => {
    const { schedules, backups } = ended(1, { phase: 'Failed', reason: 'NoSpace' });
    schedules[0]!.status!.lastSuccessfulTime = daysAgo(5);
    const { findings } = one({ schedules, backups, restores: [drill('d', 1, 'Failed')] });
    expect(findings.map(({ health }) => health)).toEqual(['Failed', 'Overdue', 'DrillFailed']);
  });

  test('the worst schedule comes first, then by name', () => {
    const bad = { ...good, lastSuccessfulTime: daysAgo(9) };
    const { schedules, health, counts, totals } = overview({
      schedules: [
        schedule({}, good, { name: 'b' }),
        schedule({ suspend: true }, good, { name: 'off' }),
        schedule({}, { ...good, archives: { count: 2, bytes: 30 } }, { name: 'a' }),
        schedule({}, bad, { name: 'z', namespace: 'other' }),
      ],
    });
    expect(schedules.map(({ name }) => name)).toEqual(['z', 'off', 'a', 'b']);
    expect({ health, counts, totals }).toEqual({
      health: 'Overdue',
      counts: { Overdue: 1, Suspended: 1, OK: 2 },
      totals: { schedules: 4, archives: 2, bytes: 30, running: 0 },
    });
  });

  test('nothing at all', () => {
    expect(overview({})).toEqual({
      version: 1,
      time: '2026-03-20T12:00:00Z',
      health: 'OK',
      counts: {},
      totals: { schedules: 0, archives: 0, bytes: 0, running: 0 },
      schedules: [],
      restores: [],
    });
  });
});

describe('the runs of a schedule', () => {
  test('ended and running, the oldest first; runs of others do not count', () => {
    const backups = [
      backup(0, { phase: 'Running', reason: 'Running', startTime: daysAgo(0) }),
      backup(1, { phase: 'Skipped', reason: 'Locked' }),
      backup(2),
      backup(3, { phase: 'Failed', reason: 'NoSpace' }),
      backup(4, undefined, 'other'),
    ];
    const { running, runs, lastRun, lastSuccess } = one({ schedules: [schedule()], backups });
    expect(running.map(({ phase }) => phase)).toEqual(['Running']);
    expect(runs.map(({ phase, time }) => [phase, time])).toEqual([
      ['Failed', daysAgo(3)],
      ['Succeeded', daysAgo(2)],
      ['Skipped', daysAgo(1)],
    ]);
    expect(lastRun?.phase).toBe('Succeeded');
    expect(lastSuccess).toMatchObject({
      archive: expect.stringContaining('km-backup-2026'),
      sizeBytes: 1_000_000,
    });
  });

  test('an archive that was found stands at the time in its name', () => {
    const found = backup(1, { phase: 'Found', reason: 'FoundOnDestination' });
    found.spec = { scheduleName: 'notes', archiveName: 'km-backup-20260301T000000Z.tgz' };
    found.status!.archive = { name: 'km-backup-20260301T000000Z.tgz', claimName: 'archives', path: 'x' };
    expect(one({ schedules: [schedule()], backups: [found] }).runs[0]).toMatchObject({
      phase: 'Found',
      time: '2026-03-01T00:00:00Z',
    });
  });

  test('a run by hand has no scheduled time', () => {
    const run = backup(1);
    run.spec = { scheduleName: 'notes' };
    expect(one({ schedules: [schedule()], backups: [run] }).runs[0]).toMatchObject({
      byHand: true,
      time: daysAgo(1),
    });
  });

  test('the list is bounded', () => {
    const backups = Array.from({ length: MAX_RUNS + 5 }, (_, index) => backup(1 + index / 1440));
    const { runs, runsOmitted } = one({ schedules: [schedule()], backups });
    expect([runs.length, runsOmitted]).toEqual([MAX_RUNS, 5]);
    expect(runs.at(-1)!.time).toBe(daysAgo(1));
  });
});

describe('restores', () => {
  test('drills count for the schedule of the archive, however it was named', () => {
    const run = backup(2);
    const byBackup = drill('by-backup', 1, 'Succeeded');
    byBackup.spec.source = { backupName: run.metadata.name };
    const bySeries = drill('by-series', 3, 'Failed');
    bySeries.spec.source = { archive: { persistentVolumeClaim: { claimName: 'archives' }, path: 'a.tgz' } };
    bySeries.status!.resolved = {
      archive: { name: 'a.tgz', claimName: 'archives', path: '' },
      series: 'team/notes',
    };
    const result = overview({
      schedules: [schedule({}, good)],
      backups: [run],
      restores: [byBackup, bySeries],
    });
    expect(result.restores).toEqual([]);
    expect(result.schedules[0]!.drill).toMatchObject({
      last: { name: 'by-backup', phase: 'Succeeded' },
      lastSuccess: daysAgo(1),
    });
  });

  test('others are listed: those under way, then the newest', () => {
    const { restores } = overview({
      restores: [
        restore('old', {}, { phase: 'Failed', reason: 'StepFailed', startTime: daysAgo(9) }),
        restore('new', {}, { phase: 'Succeeded', startTime: daysAgo(1), oldState: { path: 'x' } }),
        restore('going', {}, { phase: 'Restoring', startTime: daysAgo(20) }),
      ],
    });
    expect(restores.map(({ name, finished }) => [name, finished])).toEqual([
      ['going', false],
      ['new', true],
      ['old', true],
    ]);
    expect(restores[1]).toMatchObject({ schedule: 'notes', target: 'state', oldState: {} });
  });
});

describe('locations', () => {
  test.each<[string, KmBackupLocation['status'], object]>([
    ['not checked yet', undefined, {}],
    [
      'available',
      {
        conditions: [condition('Available', 'True', 'LocationChecked', 'fine')],
        url: 's3://b/p',
        usage: { archives: 3, objects: 9, bytes: 10 },
        lastCopyTime: daysAgo(1),
      },
      { available: true, url: 's3://b/p', copies: { count: 3, bytes: 10 }, lastCopy: daysAgo(1) },
    ],
    [
      'refused',
      { conditions: [condition('Available', 'False', 'LocationDenied', 'no')] },
      { available: false, reason: 'LocationDenied', message: 'no', todo: expect.stringContaining('Secret') },
    ],
  ])('%s', (_, status, expected) => {
    const { locations } = overview({ locations: [location('bucket', status)] });
    expect(locations).toEqual([expect.objectContaining({ namespace: 'team', name: 'bucket', ...expected })]);
  });
});

describe('coverage', () => {
  const copied = {
    ...good,
    copies: [{ location: 'bucket', phase: 'Copied' as const, lastSuccessfulTime: daysAgo(1) }],
  };
  const claims = [claim('state'), claim('archives')];

  test('is absent where claims are not known', () => {
    expect(overview({ schedules: [schedule()] }).coverage).toBeUndefined();
  });

  test.each<[string, Partial<Records>, string[]]>([
    [
      'protected, copied and drilled',
      { schedules: [schedule({}, copied)], restores: [drill('d', 1, 'Succeeded')] },
      [],
    ],
    [
      'never drilled',
      { schedules: [schedule({}, copied)], restores: [drill('d', 1, 'Failed')] },
      ['NeverDrilled'],
    ],
    ['no schedule', { schedules: [] }, ['NoSchedule']],
    ['never copied', { schedules: [schedule({}, good)] }, ['NoCopy', 'NeverDrilled']],
    [
      'copied, archives on the same claim',
      { schedules: [schedule({ destination: {} }, copied)] },
      ['NeverDrilled'],
    ],
    [
      'archives on the same claim',
      { schedules: [schedule({ destination: {} }, good)] },
      ['ArchivesOnSameClaim', 'NeverDrilled'],
    ],
    [
      'suspended',
      { schedules: [schedule({ suspend: true }, copied)], restores: [drill('d', 1, 'Succeeded')] },
      ['AllSuspended'],
    ],
    [
      'stale',
      {
        schedules: [schedule({}, { ...copied, lastSuccessfulTime: daysAgo(9) })],
        restores: [drill('d', 1, 'Succeeded')],
      },
      ['BackupStale'],
    ],
    [
      'one of two schedules is fresh',
      {
        schedules: [
          schedule({}, { ...good, lastSuccessfulTime: daysAgo(9) }),
          schedule({}, copied, { name: 'second' }),
        ],
        restores: [drill('d', 1, 'Succeeded')],
      },
      [],
    ],
  ])('%s', (_, records, gaps) => {
    const { coverage } = overview({ ...records, claims });
    const state = coverage!.claims.find(({ name }) => name === 'state')!;
    expect(state.gaps.map(({ reason }) => reason)).toEqual(gaps);
  });

  test('a claim that only holds archives has no gap; ephemeral claims and deleted ones are left out', () => {
    const { coverage } = overview({
      schedules: [schedule({}, copied)],
      restores: [drill('d', 1, 'Succeeded')],
      claims: [
        ...claims,
        claim('scratch', { ownerReferences: [{ kind: 'Pod' }] }),
        { metadata: { name: 'going', namespace: 'team', deletionTimestamp: daysAgo(0) } },
      ],
    });
    expect(coverage).toMatchObject({ covered: 2, protected: 2, gaps: {} });
    expect(coverage!.claims.map(({ name, holdsArchivesOf }) => [name, holdsArchivesOf])).toEqual([
      ['archives', ['notes']],
      ['state', []],
    ]);
  });

  test('a schedule that has shown nothing yet does not hide what another has', () => {
    const { coverage } = overview({
      schedules: [schedule({}, copied, { name: 'a' }), schedule({}, {}, { name: 'b' })],
      restores: [
        {
          ...drill('d', 1, 'Succeeded'),
          spec: { ...drill('d', 1, 'Succeeded').spec, source: { scheduleName: 'a' } },
        },
      ],
      claims: [claim('state')],
    });
    expect(coverage!.claims[0]).toMatchObject({
      lastSuccess: good.lastSuccessfulTime,
      lastDrill: daysAgo(1),
      lastCopy: daysAgo(1),
      gaps: [],
    });
  });

  test('claims of the same name in other namespaces are others', () => {
    const { coverage } = overview({
      schedules: [schedule({}, good, { namespace: 'elsewhere' })],
      claims: [claim('state'), claim('raw', {}, 'Block')],
    });
    expect(coverage!.claims.map(({ name, gaps }) => [name, gaps[0]!.reason])).toEqual([
      ['state', 'NoSchedule'],
      ['raw', 'ClaimIsBlock'],
    ]);
    expect(coverage!.gaps).toEqual({ NoSchedule: 1, ClaimIsBlock: 1 });
  });
});
