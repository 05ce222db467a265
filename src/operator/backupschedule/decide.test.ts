import { describe, expect, it } from 'vitest';
import type { KmBackup } from '../../api/backup.ts';
import type { KmBackupSchedule, KmBackupScheduleStatus } from '../../api/backup-schedule.ts';
import { claimProblem } from '../claims.ts';
import type { Plan, Step } from '../plan.ts';
import { at, job, schedule, scheduledBackup } from '../testing/fixtures.ts';
import { decideSchedule, decideScheduleRefused } from './decide.ts';
import type { ObservedSchedule } from './observe.ts';

function decide(
  scheduleObject: KmBackupSchedule,
  nowMs: number,
  backups: KmBackup[] = [],
  more: Partial<ObservedSchedule> = {},
): Plan {
  return decideSchedule(
    { schedule: scheduleObject, backups, jobs: [], drills: [], allowScripts: false, ...more },
    nowMs,
  );
}

function of<K extends Step['kind']>(plan: Plan, kind: K): Extract<Step, { kind: K }>[] {
  return plan.steps.filter((step): step is Extract<Step, { kind: K }> => step.kind === kind);
}

describe('a claim that no run can use', () => {
  const claim = (volumeMode: string) => ({ metadata: schedule().metadata, spec: { volumeMode } });
  it.each([
    ['does not exist', undefined, 'ClaimNotFound'],
    ['is a block device', claim('Block'), 'ClaimIsBlock'],
  ])('%s: the schedule is not ready', (_name, found, reason) => {
    const problem = claimProblem('team', 'state', found);
    const { conditions } = statusOf(decide(schedule(), at('00:30:00'), [], { claimProblem: problem }));
    const ready = conditions?.find(({ type }) => type === 'Ready');
    expect(ready).toMatchObject({ status: 'False', reason });
    expect(ready?.message).toContain('state');
  });

  it('is no problem once it exists', () => {
    expect(claimProblem('team', 'state', claim('Filesystem'))).toBeUndefined();
  });
});

describe('an elevated schedule', () => {
  it.each([
    [undefined, 'False', 'ElevatedNotAllowed'],
    [['other'], 'False', 'ElevatedNotAllowed'],
    [['team'], 'True', 'Scheduled'],
  ])('in the namespace team, where %j are allowed', (elevatedNamespaces, status, reason) => {
    const elevated = schedule({ podTemplate: { elevated: true } });
    const { conditions } = statusOf(decide(elevated, at('00:30:00'), [], { elevatedNamespaces }));
    expect(conditions?.find(({ type }) => type === 'Ready')).toMatchObject({ status, reason });
  });
});

const createdSlots = (plan: Plan) =>
  of(plan, 'createBackup').map((step) => step.backup.spec.scheduledTime?.slice(11, 19));
const statusOf = (plan: Plan): KmBackupScheduleStatus => of(plan, 'writeScheduleStatus')[0]!.status;
const reasons = (plan: Plan) => of(plan, 'recordEvent').map((step) => step.event.reason);

const settled = (time: string, more: Partial<KmBackupScheduleStatus> = {}): KmBackupScheduleStatus => ({
  settledUntil: `2026-03-01T${time}Z`,
  cadence: '0 * * * *',
  ...more,
});

describe('which scheduled time a schedule runs', () => {
  const cases: [
    name: string,
    spec: Record<string, unknown>,
    status: KmBackupScheduleStatus | undefined,
    now: string,
    backups: KmBackup[],
    slots: string[],
    missed: number,
  ][] = [
    ['nothing before the first scheduled time', {}, undefined, '00:59:59', [], [], 0],
    ['the first scheduled time after creation', {}, undefined, '01:00:00', [], ['01:00:00'], 0],
    ['a scheduled time once only', {}, settled('01:00:00'), '01:00:01', [], [], 0],
    [
      'one catch-up after downtime, the rest missed',
      {},
      settled('01:00:00'),
      '06:30:00',
      [],
      ['06:00:00'],
      4,
    ],
    [
      'no scheduled time later than its starting deadline',
      { startingDeadlineSeconds: 600 },
      settled('01:00:00'),
      '06:30:00',
      [],
      [],
      5,
    ],
    [
      'nothing while suspended',
      { suspend: true },
      settled('01:00:00', { cadence: 'suspended' }),
      '06:30:00',
      [],
      [],
      0,
    ],
    [
      'no past scheduled time when resumed',
      {},
      settled('01:00:00', { cadence: 'suspended' }),
      '06:30:00',
      [],
      [],
      0,
    ],
    [
      'no past scheduled time when edited',
      { cron: '15 * * * *' },
      settled('01:00:00'),
      '06:30:00',
      [],
      [],
      0,
    ],
    [
      'nothing while a run is active',
      {},
      settled('01:00:00'),
      '02:00:00',
      [scheduledBackup(at('01:00:00'))],
      [],
      0,
    ],
    [
      'the newest scheduled time when the run before it ended late',
      {},
      settled('01:00:00'),
      '03:10:00',
      [scheduledBackup(at('01:00:00'), { phase: 'Succeeded', completionTime: '2026-03-01T03:09:00Z' })],
      ['03:00:00'],
      1,
    ],
    [
      'beside an active run with Replace',
      { concurrencyPolicy: 'Replace' },
      settled('01:00:00'),
      '02:00:00',
      [scheduledBackup(at('01:00:00'))],
      ['02:00:00'],
      0,
    ],
    [
      'no scheduled time whose run exists but was not written down',
      {},
      settled('00:00:00'),
      '01:00:05',
      [scheduledBackup(at('01:00:00'), { phase: 'Succeeded', completionTime: '2026-03-01T01:00:04Z' })],
      [],
      0,
    ],
    [
      'an interval counted from creation',
      { cron: undefined, intervalMinutes: 90 },
      undefined,
      '03:10:00',
      [],
      ['03:00:00'],
      1,
    ],
    ['nothing when the clock went back a little', {}, settled('05:00:00'), '04:59:10', [], [], 0],
  ];
  it.each(cases)('%s', (_name, spec, status, now, backups, slots, missed) => {
    let plan = decide(schedule(spec, status), at(now), backups);
    expect(reasons(plan).includes('MissedSchedule')).toBe(missed > 0);
    if (missed > 0) {
      // Counted first: a run would settle the slots before it.
      expect(createdSlots(plan)).toEqual([]);
      expect(statusOf(plan).missedSlots).toBe(missed);
      plan = decide(schedule(spec, statusOf(plan)), at(now), backups);
    }
    expect(createdSlots(plan)).toEqual(slots);
    const counts = of(plan, 'writeScheduleStatus').map((step) => step.status.missedSlots);
    expect(counts).toEqual(slots.length > 0 ? [] : [missed]);
  });

  it('continues from now after a clock that was ahead by a year was corrected, and says so once', () => {
    const ahead = { ...settled('01:00:00'), settledUntil: '2027-03-01T01:00:00Z' };
    const runOfThatTime = scheduledBackup(Date.parse(ahead.settledUntil), {
      phase: 'Succeeded',
      completionTime: '2026-03-01T01:29:00Z',
    });
    const corrected = decide(schedule({}, ahead), at('01:30:00'), [runOfThatTime]);
    expect(reasons(corrected)).toEqual(['ClockCorrected']);
    expect(statusOf(corrected)).toMatchObject({
      settledUntil: '2026-03-01T01:30:00Z',
      nextScheduleTime: '2026-03-01T02:00:00Z',
    });
    expect(statusOf(corrected).missedSlots).toBe(0);
    const next = decide(schedule({}, statusOf(corrected)), at('02:00:00'), [runOfThatTime]);
    expect(createdSlots(next)).toEqual(['02:00:00']);
    expect(reasons(next)).toEqual(['BackupCreated']);
  });

  it('goes by the runs since a clock that was ahead was corrected, not by those of that time', () => {
    const ahead = scheduledBackup(Date.parse('2027-03-01T01:00:00Z'), {
      phase: 'Succeeded',
      completionTime: '2027-03-01T01:00:07Z',
    });
    const failed = scheduledBackup(at('02:00:00'), {
      phase: 'Failed',
      completionTime: '2026-03-01T02:00:07Z',
      message: 'disk full',
    });
    const before = settled('02:00:00', {
      lastScheduleTime: '2027-03-01T01:00:00Z',
      lastSuccessfulTime: '2027-03-01T01:00:07Z',
      lastFailureTime: '2027-02-01T01:00:07Z',
    });
    const status = statusOf(decide(schedule({}, before), at('02:01:00'), [failed, ahead]));
    expect(status).toMatchObject({
      lastScheduleTime: '2026-03-01T02:00:00Z',
      lastFailureTime: '2026-03-01T02:00:07Z',
      lastSuccessfulTime: '2026-03-01T02:01:00Z',
      lastBackup: { name: failed.metadata.name, phase: 'Failed' },
    });
    expect(status.conditions?.find((condition) => condition.type === 'Healthy')).toMatchObject({
      status: 'False',
    });
    const settledNow = statusOf(decide(schedule({}, status), at('02:02:00'), [failed, ahead]));
    expect(settledNow).toEqual(status);
  });

  it.each([
    ['Succeeded', 'lastSuccessfulTime'],
    ['Failed', 'lastFailureTime'],
  ] as const)('counts a run that %s by a clock that was ahead as ended by now', (phase, field) => {
    const ahead = scheduledBackup(at('02:00:00'), { phase, completionTime: '2026-03-01T02:05:00Z' });
    const before = settled('02:00:00', { [field]: '2026-03-01T01:00:07Z' });
    const status = statusOf(decide(schedule({}, before), at('02:01:00'), [ahead]));
    expect(status[field]).toBe('2026-03-01T02:01:00Z');
    const still = statusOf(decide(schedule({}, status), at('02:01:30'), [ahead]));
    expect(still).toEqual(status);
    const later = statusOf(decide(schedule({}, still), at('02:06:00'), [ahead]));
    expect(later[field]).toBe('2026-03-01T02:05:00Z');
  });

  it('runs an interval schedule that was created while the clock was ahead', () => {
    const interval = schedule({ cron: undefined, intervalMinutes: 30 });
    interval.metadata.creationTimestamp = '2027-03-01T00:10:00Z';
    const corrected = decide(interval, at('01:00:00'));
    expect(reasons(corrected)).toEqual(['ClockCorrected']);
    const status = statusOf(corrected);
    expect(status.nextScheduleTime).toBe('2026-03-01T01:10:00Z');
    expect(status.cadenceSince).toBe('2026-03-01T01:00:00Z');
    expect(createdSlots(decide({ ...interval, status }, at('01:10:00')))).toEqual(['01:10:00']);
  });

  it('reaches a state in which nothing more is written', () => {
    const first = decide(schedule(), at('01:00:00'));
    const created = of(first, 'createBackup')[0]!.backup;
    const backup = {
      ...scheduledBackup(at('01:00:00')),
      metadata: { ...scheduledBackup(at('01:00:00')).metadata, ...created.metadata },
    };
    const second = decide(schedule(), at('01:00:01'), [backup]);
    expect(statusOf(second)).toMatchObject({
      active: [backup.metadata.name],
      settledUntil: '2026-03-01T01:00:00Z',
    });
    const third = decide(schedule({}, statusOf(second)), at('01:00:01'), [backup]);
    expect(statusOf(third)).toEqual(statusOf(second));
    expect(third.steps).toHaveLength(1);
  });

  it('holds a scheduled time for the active run without forgetting or repeating the misses', () => {
    const active = scheduledBackup(at('01:00:00'));
    const held = decide(schedule({}, settled('01:00:00')), at('04:00:00'), [active]);
    expect(statusOf(held).missedSlots).toBe(2);
    const again = decide(schedule({}, statusOf(held)), at('04:00:01'), [active]);
    expect(statusOf(again).missedSlots).toBe(2);
    const ended = scheduledBackup(at('01:00:00'), {
      phase: 'Failed',
      completionTime: '2026-03-01T04:00:02Z',
    });
    const freed = decide(schedule({}, statusOf(again)), at('04:00:02'), [ended]);
    expect(createdSlots(freed)).toEqual(['04:00:00']);
    expect(of(freed, 'writeScheduleStatus')).toEqual([]);
  });

  it('reports what it cannot run in the Ready condition, once as an Event', () => {
    const bad = schedule({ cron: '0 0 31 2 6x' });
    const plan = decide(bad, at('01:00:00'));
    const ready = statusOf(plan).conditions?.find((condition) => condition.type === 'Ready');
    expect(ready).toMatchObject({ status: 'False', reason: 'InvalidSchedule' });
    expect(ready?.message).toContain('6x');
    expect(reasons(plan)).toEqual(['InvalidSchedule']);
    expect(reasons(decide({ ...bad, status: statusOf(plan) }, at('01:00:01')))).toEqual([]);
    expect(plan.requeueAtMs).toBeUndefined();
  });

  it('names a date that never comes by the reason that the documentation explains', () => {
    const status = statusOf(decide(schedule({ cron: '0 0 31 2 *' }), at('01:00:00')));
    expect(status.conditions?.find((condition) => condition.type === 'Ready')).toMatchObject({
      status: 'False',
      reason: 'NeverDue',
      message: 'cron expression "0 0 31 2 *" names a date that never comes: February has no day 31',
    });
  });
});

describe('what a schedule reports of its runs', () => {
  const success = scheduledBackup(at('01:00:00'), {
    phase: 'Succeeded',
    completionTime: '2026-03-01T01:00:07Z',
    message: 'done',
    archive: {
      name: 'a1.tgz',
      claimName: 'state',
      path: 'p',
      sizeBytes: 10,
      sha256: 's',
      manifestSha256: 'm',
      entries: 1,
      files: 1,
      sourceBytes: 30,
      reusedBytes: 0,
    },
    pruned: { count: 2, failed: 0, names: ['x', 'y'] },
    present: { count: 1, bytes: 10, names: ['a1.tgz'] },
  });
  const failure = scheduledBackup(at('02:00:00'), {
    phase: 'Failed',
    completionTime: '2026-03-01T02:00:07Z',
    message: 'disk full',
  });

  it('counts each finished run once', () => {
    const first = statusOf(decide(schedule({}, settled('02:00:00')), at('02:01:00'), [success, failure]));
    expect(first).toMatchObject({
      runs: { succeeded: 1, failed: 1, incomplete: 0, skipped: 0 },
      retentionDeletes: 2,
    });
    const second = statusOf(decide(schedule({}, first), at('02:02:00'), [success, failure]));
    expect(second).toEqual(first);
    const afterTrim = statusOf(decide(schedule({}, first), at('02:02:00'), [success]));
    expect(afterTrim.runs).toEqual(first.runs);
  });

  it('counts each run once even if a new leader sees fewer runs than the status counted', () => {
    const done = Array.from({ length: 12 }, (_, hour) =>
      scheduledBackup(at(`${String(hour + 1).padStart(2, '0')}:00:00`), {
        phase: 'Succeeded',
        completionTime: `2026-03-01T${String(hour + 1).padStart(2, '0')}:00:07Z`,
      }),
    );
    const now = at('12:30:00');
    let status = settled('12:00:00');
    for (const seen of [6, 4, 8, 5, 12, 7, 12]) {
      status = statusOf(decide(schedule({}, status), now, done.slice(0, seen)));
    }
    expect(status.runs?.succeeded).toBe(12);
  });

  it('remembers a few of the runs that are no more', () => {
    let status = settled('12:00:00');
    for (let day = 1; day <= 28; day += 1) {
      const slot = Date.parse(`2026-02-${String(day).padStart(2, '0')}T01:00:00Z`);
      const run = scheduledBackup(slot, { phase: 'Succeeded', completionTime: '2026-03-01T01:00:07Z' });
      status = statusOf(decide(schedule({}, status), at('12:30:00'), [run]));
    }
    expect(status.runs?.succeeded).toBe(28);
    expect(status.countedBackups?.length).toBeLessThan(10);
  });

  it('is healthy by the last run and keeps the last success', () => {
    const status = statusOf(decide(schedule({}, settled('02:00:00')), at('02:01:00'), [success, failure]));
    expect(status.conditions?.find((condition) => condition.type === 'Healthy')).toMatchObject({
      status: 'False',
      reason: 'Failed',
    });
    expect(status).toMatchObject({
      lastSuccessfulTime: '2026-03-01T01:00:07Z',
      lastFailureTime: '2026-03-01T02:00:07Z',
      archives: { count: 1, bytes: 10 },
    });
  });

  it('removes a KmBackup whose archive is gone, after it was counted', () => {
    const later = scheduledBackup(at('02:00:00'), {
      ...success.status,
      completionTime: '2026-03-01T02:00:07Z',
      archive: { ...success.status!.archive!, name: 'a2.tgz' },
      pruned: { count: 1, failed: 0, names: ['a1.tgz'] },
      present: { count: 1, bytes: 10, names: ['a2.tgz'] },
    });
    const first = decide(schedule({}, settled('02:00:00')), at('02:01:00'), [success, later]);
    expect(of(first, 'deleteBackup')).toEqual([]);
    const second = decide(schedule({}, statusOf(first)), at('02:01:01'), [success, later]);
    expect(of(second, 'deleteBackup').map((step) => step.target.name)).toEqual([success.metadata.name]);
  });

  it('lists archives that no run made, until they are gone', () => {
    const found = { ...success.status, present: { count: 2, bytes: 20, names: ['a1.tgz', 'old.tgz'] } };
    const seen = decide(schedule({}, settled('01:00:00')), at('01:30:00'), [{ ...success, status: found }]);
    const [step] = of(seen, 'createBackup');
    expect(step?.backup.spec).toEqual({ scheduleName: 'notes', archiveName: 'old.tgz' });
    const listed: KmBackup = {
      ...scheduledBackup(at('01:30:00'), {
        phase: 'Found',
        completionTime: '2026-03-01T01:30:00Z',
        archive: { name: 'old.tgz', claimName: 'state', path: 'p' },
      }),
      spec: { scheduleName: 'notes', archiveName: 'old.tgz' },
    };
    const again = decide(schedule({}, statusOf(seen)), at('01:31:00'), [
      { ...success, status: found },
      listed,
    ]);
    expect(of(again, 'createBackup')).toEqual([]);
    expect(statusOf(again)).toMatchObject({ runs: { succeeded: 1 }, lastBackup: { phase: 'Succeeded' } });
    const later = scheduledBackup(at('02:00:00'), {
      ...success.status,
      completionTime: '2026-03-01T02:00:07Z',
      present: { count: 1, bytes: 10, names: ['a1.tgz'] },
      pruned: { count: 1, failed: 0, names: ['old.tgz'] },
    });
    const gone = decide(schedule({}, statusOf(again)), at('02:01:00'), [success, listed, later]);
    expect(of(gone, 'deleteBackup').map((doomed) => doomed.target.name)).toContain(listed.metadata.name);
  });

  const placed = (slot: string, name: string, path: string, present: string[], more: object = {}) =>
    scheduledBackup(at(`${slot}:00:00`), {
      ...success.status,
      completionTime: `2026-03-01T${slot}:00:07Z`,
      archive: { ...success.status!.archive!, name, path },
      pruned: { count: 0, failed: 0, names: [] },
      present: { count: present.length, bytes: 10, names: present },
      ...more,
    });
  const deletedBy = (first: KmBackup[], status = settled('02:00:00')) => {
    const counted = statusOf(decide(schedule({}, status), at('02:01:00'), first));
    return of(decide(schedule({}, counted), at('02:01:01'), first), 'deleteBackup').map(
      (step) => step.target.name,
    );
  };

  it.each([
    ['path', { path: 'other' }],
    ['claim', { claimName: 'other' }],
  ])(
    'keeps the records of archives whose %s the schedule has left, also when names are equal',
    (_, moved) => {
      const old = placed('01', 'a1.tgz', 'p', ['a1.tgz']);
      const later = placed('02', 'a2.tgz', 'p', ['a2.tgz'], {
        pruned: { count: 1, failed: 0, names: ['a1.tgz'] },
      });
      expect(deletedBy([old, later])).toEqual([old.metadata.name]);
      const elsewhere: KmBackup = {
        ...later,
        status: { ...later.status, archive: { ...later.status!.archive!, ...moved } },
      };
      expect(deletedBy([old, elsewhere])).toEqual([]);
    },
  );

  it('tells archives of one name on two destinations apart', () => {
    const old = placed('01', 'a1.tgz', 'p', ['a1.tgz']);
    const moved = placed('02', 'a2.tgz', 'q', ['a2.tgz', 'a1.tgz']);
    const [found] = of(
      decide(schedule({}, settled('02:00:00')), at('02:01:00'), [old, moved]),
      'createBackup',
    );
    expect(found?.backup).toMatchObject({
      metadata: { annotations: { 'km.duskmantle.io/destination': 'state/q' } },
      spec: { archiveName: 'a1.tgz' },
    });
  });

  it.each([
    ['cui', 'complete'],
    ['ccx', 'unverified'],
    [undefined, undefined],
  ])('passes on what the report (%s) says of an archive without a record', (classes, expected) => {
    const index = expected === 'complete' ? 1 : 0;
    const letters =
      classes && index === 1 ? `${classes[1]}${classes[0]}${classes[2]}` : classes && `uc${classes[2]}`;
    const names = index === 1 ? ['a1.tgz', 'lost.tgz', 'b'] : ['lost.tgz', 'a1.tgz', 'b'];
    const run = placed('01', 'a1.tgz', 'p', names);
    const status = {
      ...run.status,
      present: { ...run.status!.present!, ...(letters && { classes: letters }) },
    };
    const plan = decide(schedule({}, settled('01:00:00')), at('01:30:00'), [{ ...run, status }]);
    const found = of(plan, 'createBackup').find(({ backup }) => backup.spec.archiveName === 'lost.tgz');
    expect(found?.backup.metadata.annotations?.['km.duskmantle.io/archive-class']).toBe(expected);
  });

  it('adopts the records of a deleted schedule of the same name, and counts only its own runs', () => {
    const old = placed('01', 'a1.tgz', 'p', ['a1.tgz']);
    old.metadata.labels = { 'km.duskmantle.io/schedule-uid': 'deleted' };
    const young = schedule({}, undefined, at('02:00:30'));
    const plan = decide(young, at('02:01:00'), [old]);
    expect(of(plan, 'createBackup')).toEqual([]);
    expect(statusOf(plan)).toMatchObject({
      runs: { succeeded: 0 },
      archives: { count: 1 },
      lastSuccessfulTime: '2026-03-01T01:00:07Z',
    });
    const own = placed('03', 'a3.tgz', 'p', ['a3.tgz'], {
      pruned: { count: 1, failed: 0, names: ['a1.tgz'] },
    });
    const later = decide({ ...young, status: statusOf(plan) }, at('03:01:00'), [old, own]);
    expect(of(later, 'deleteBackup').map(({ target }) => target.name)).toEqual([old.metadata.name]);
    expect(statusOf(later).runs?.succeeded).toBe(1);
  });

  it('counts a run that was applied before its schedule', () => {
    const early: KmBackup = { ...success, metadata: { ...success.metadata, labels: {} } };
    early.metadata.creationTimestamp = '2026-02-28T23:00:00Z';
    const status = statusOf(decide(schedule({}, settled('01:00:00')), at('01:30:00'), [early]));
    expect(status.runs?.succeeded).toBe(1);
  });

  it('does not take absence from a cut report for a removal', () => {
    const later = scheduledBackup(at('02:00:00'), {
      ...success.status,
      completionTime: '2026-03-01T02:00:07Z',
      archive: { ...success.status!.archive!, name: 'a2.tgz' },
      pruned: { count: 0, failed: 0, names: [] },
      present: { count: 2, bytes: 20, names: ['a2.tgz'] },
    });
    const first = decide(schedule({}, settled('02:00:00')), at('02:01:00'), [success, later]);
    expect(
      of(decide(schedule({}, statusOf(first)), at('02:01:01'), [success, later]), 'deleteBackup'),
    ).toEqual([]);
  });

  it('trims Jobs by the history limits, only of runs whose end is recorded', () => {
    const ended = [1, 2, 3].map((hour) =>
      scheduledBackup(at(`0${hour}:00:00`), {
        phase: 'Succeeded',
        completionTime: `2026-03-01T0${hour}:00:07Z`,
      }),
    );
    const running = scheduledBackup(at('04:00:00'), { phase: 'Running' });
    const backups = [...ended, running];
    const plan = decide(
      schedule({ successfulJobsHistoryLimit: 1 }, settled('04:00:00')),
      at('04:00:01'),
      backups,
      {
        jobs: backups.map((backup) => job(backup)),
      },
    );
    expect(
      of(plan, 'deleteJob')
        .map((step) => step.target.name)
        .sort(),
    ).toEqual(
      ended
        .slice(0, 2)
        .map((backup) => backup.metadata.name)
        .sort(),
    );
  });
});

describe('what the time of the next success is counted from', () => {
  const spec = (suspend: boolean) => ({ cron: '0 * * * *', suspend });
  it('is the creation of the schedule, then the last change of its cadence', () => {
    const fresh = statusOf(decide(schedule({ cron: '0 * * * *' }), at('00:10:00')));
    expect(fresh.cadenceSince).toBe(schedule({}).metadata.creationTimestamp);
    const suspended = statusOf(decide(schedule(spec(true), fresh), at('00:20:00')));
    expect(suspended.cadenceSince).toBe('2026-03-01T00:20:00Z');
    const resumed = statusOf(decide(schedule(spec(false), suspended), at('00:30:00')));
    expect(resumed.cadenceSince).toBe('2026-03-01T00:30:00Z');
    const later = statusOf(decide(schedule(spec(false), resumed), at('00:40:00')));
    expect(later.cadenceSince).toBe('2026-03-01T00:30:00Z');
  });
});

it('writes down when missed times were counted', () => {
  const status = statusOf(decide(schedule({ cron: '0 * * * *' }, settled('01:00:00')), at('06:30:00')));
  expect(status).toMatchObject({ missedSlots: 4, missedCountedTime: '2026-03-01T06:30:00Z' });
});

describe('a KmBackup that the API server refuses', () => {
  const refusal = { reason: 'BackupRefused', message: 'exceeded quota' } as const;
  const ready = ({ conditions }: KmBackupScheduleStatus) => conditions?.find(({ type }) => type === 'Ready');
  const refuse = (object: KmBackupSchedule, nowMs: number) =>
    decideScheduleRefused(
      { schedule: object, backups: [], jobs: [], drills: [], allowScripts: false },
      refusal,
      nowMs,
    );

  it('is in the Ready condition until the run exists, with one Event', () => {
    const first = refuse(schedule(), at('01:00:01'));
    expect(ready(statusOf(first))).toMatchObject({ status: 'False', ...refusal });
    expect(reasons(first)).toEqual(['BackupRefused']);
    const refused = schedule({}, statusOf(first));
    const again = decide(refused, at('01:00:02'));
    expect(createdSlots(again)).toEqual(['01:00:00']);
    const second = refuse(refused, at('01:00:03'));
    expect(statusOf(second)).toEqual(statusOf(first));
    expect(reasons(second)).toEqual([]);
    // An hour later the first time is missed; the next one is as refused.
    const missed = statusOf(decide(refused, at('02:00:00')));
    expect(ready(missed)).toMatchObject({ status: 'False', ...refusal });
    const made = decide(schedule({}, missed), at('02:00:05'), [scheduledBackup(at('02:00:00'))]);
    expect(ready(statusOf(made))).toMatchObject({ status: 'True', reason: 'Scheduled' });
  });
});
