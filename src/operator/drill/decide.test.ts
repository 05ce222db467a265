import { describe, expect, it } from 'vitest';
import type { KmBackupSchedule, KmBackupScheduleStatus } from '../../api/backup-schedule.ts';
import { type Drilled, drillDueMs, isDrilled } from '../../api/drill-cadence.ts';
import { ANNOTATIONS } from '../../api/names.ts';
import { type KmRestore, KmRestoreSpec, type KmRestoreStatus } from '../../api/restore.ts';
import { decideSchedule } from '../backupschedule/decide.ts';
import type { Plan, Step } from '../plan.ts';
import { at, schedule as fixture } from '../testing/fixtures.ts';
import { toTime } from '../time.ts';
import { drillsDue } from './due.ts';
import { type DrillKey, keyText } from './key.ts';
import { newDrill, oldestArchiveMs } from './new-drill.ts';

const SCRATCH = { size: '1Gi' };

/** A schedule that backs up at every full hour and has run well so far. */
function scheduled(
  drill: Record<string, unknown>,
  status: Partial<KmBackupScheduleStatus> = {},
  spec: Record<string, unknown> = {},
): KmBackupSchedule {
  const base: KmBackupScheduleStatus = {
    cadence: spec['suspend'] ? 'suspended' : '0 * * * *',
    lastSuccessfulTime: '2026-03-01T00:30:00Z',
    runs: { succeeded: 10, failed: 0, incomplete: 0, skipped: 0 },
  };
  return fixture({ drill: { scratch: SCRATCH, ...drill }, ...spec }, { ...base, ...status });
}

const drilled = (schedule: KmBackupSchedule): Drilled => {
  if (!isDrilled(schedule)) throw new Error('it has drills');
  return schedule;
};

let serial = 0;
/** A drill as it is in the cluster, by the key that it is for. */
function drillOf(schedule: KmBackupSchedule, key: DrillKey, status?: KmRestoreStatus): KmRestore {
  const { metadata, spec } = newDrill(drilled(schedule), key, at('01:00:00'));
  const created = key.kind === 'time' ? key.atMs : at('01:00:00') + key.count * 1000;
  return {
    apiVersion: 'km.duskmantle.io/v1alpha1',
    kind: 'KmRestore',
    metadata: {
      ...metadata,
      uid: `uid-${++serial}`,
      resourceVersion: '1',
      creationTimestamp: toTime(created),
    },
    spec: KmRestoreSpec.parse(spec),
    ...(status && { status }),
  };
}

const ARCHIVE = 'km-backup-20260301T003000Z.tgz';
const resolved = {
  archive: { name: ARCHIVE, claimName: 'state', path: 'backups' },
  archiveTime: '2026-03-01T00:30:00Z',
};
const succeeded = (time: string): KmRestoreStatus => ({
  phase: 'Succeeded',
  reason: 'Restored',
  message: `Restored 12 entries from ${ARCHIVE}.`,
  completionTime: `2026-03-01T${time}Z`,
  resolved,
  recoverySeconds: 41,
  archiveAgeSeconds: 7200,
});
const failed = (time: string, reason = 'ArchiveCorrupt'): KmRestoreStatus => ({
  phase: 'Failed',
  reason,
  message: 'It is damaged.',
  completionTime: `2026-03-01T${time}Z`,
  resolved,
  archiveAgeSeconds: 7200,
});

function decide(schedule: KmBackupSchedule, now: string, drills: KmRestore[] = []): Plan {
  // No backup is due.
  const settledUntil = `2026-03-01T${now.slice(0, 2)}:00:00Z`;
  const settled = { ...schedule, status: { ...schedule.status, settledUntil } };
  return decideSchedule({ schedule: settled, backups: [], jobs: [], drills, allowScripts: false }, at(now));
}
function of<K extends Step['kind']>(plan: Plan, kind: K): Extract<Step, { kind: K }>[] {
  return plan.steps.filter((step): step is Extract<Step, { kind: K }> => step.kind === kind);
}
const made = (plan: Plan) =>
  of(plan, 'createRestore').map(({ restore }) => restore.metadata.annotations?.[ANNOTATIONS.drill]);
const statusOf = (plan: Plan): KmBackupScheduleStatus => of(plan, 'writeScheduleStatus')[0]!.status;
const reasons = (plan: Plan) => of(plan, 'recordEvent').map(({ event }) => event.reason);
const recoverable = (plan: Plan) => statusOf(plan).conditions?.find(({ type }) => type === 'Recoverable');

const cron = { cron: '0 5 * * *' };
const known = (settledUntil: string, cadence = '0 5 * * * Etc/UTC') => ({
  drill: { cadence, since: '2026-03-01T00:00:00Z', settledUntil },
});

describe('which drill of a cron is due', () => {
  const yesterday = known('2026-02-28T05:00:00Z');
  const cases: [string, Record<string, unknown>, Partial<KmBackupScheduleStatus>, string, string[]][] = [
    ['nothing when drills were just switched on', cron, {}, '06:00:00', []],
    ['nothing before its time', cron, yesterday, '04:59:59', []],
    ['its time', cron, yesterday, '05:00:00', ['2026-03-01T05:00:00Z']],
    ['its time once only', cron, known('2026-03-01T05:00:00Z'), '06:00:00', []],
    [
      'those that passed meanwhile as one',
      { cron: '*/10 * * * *' },
      known('2026-03-01T01:00:00Z', '*/10 * * * * Etc/UTC'),
      '05:04:00',
      ['2026-03-01T05:00:00Z'],
    ],
    ['nothing of the past after an edit', { cron: '0 4 * * *' }, yesterday, '06:00:00', []],
    ['nothing of the past after a resume', cron, known('2026-02-28T05:00:00Z', 'suspended'), '06:00:00', []],
    [
      'its time in its zone',
      { ...cron, timeZone: 'Europe/Berlin' },
      known('2026-02-28T05:00:00Z', '0 5 * * * Europe/Berlin'),
      '04:00:00',
      ['2026-03-01T04:00:00Z'],
    ],
    ['nothing when the clock went back a little', cron, known('2026-03-01T05:00:00Z'), '04:59:30', []],
    [
      'nothing while there is no archive and none is overdue',
      cron,
      { ...yesterday, lastSuccessfulTime: undefined, cadenceSince: '2026-03-01T04:30:00Z' },
      '05:00:00',
      [],
    ],
    [
      'its time when the first archive is overdue',
      cron,
      { ...yesterday, lastSuccessfulTime: undefined, cadenceSince: '2026-03-01T00:30:00Z' },
      '05:00:00',
      ['2026-03-01T05:00:00Z'],
    ],
  ];
  it.each(cases)('%s', (_, drill, status, now, expected) => {
    const plan = decide(scheduled(drill, status), now);
    expect(made(plan)).toEqual(expected);
    expect(reasons(plan)).toEqual(expected.map(() => 'DrillCreated'));
    expect(statusOf(plan).drill).toMatchObject({
      settledUntil: expect.stringMatching(/^2026-0[23]/),
      ...(expected.length > 0 && { dueSince: expected[0] }),
    });
  });

  it('nothing while suspended, and what is due is not said', () => {
    const plan = decide(scheduled(cron, known('2026-02-28T05:00:00Z'), { suspend: true }), '06:00:00');
    expect(made(plan)).toEqual([]);
    expect(statusOf(plan).nextDrillTime).toBeUndefined();
    expect(statusOf(plan).drill).toMatchObject({ cadence: 'suspended' });
    expect(plan.requeueAtMs).toBeUndefined();
  });

  it('one at a time: the next waits, however many times pass, and stays due since the first', () => {
    const schedule = scheduled(
      { cron: '*/10 * * * *' },
      known('2026-03-01T01:00:00Z', '*/10 * * * * Etc/UTC'),
    );
    const running = drillOf(schedule, { kind: 'time', atMs: at('01:10:00') });
    const held = decide(schedule, '01:45:00', [running]);
    expect(made(held)).toEqual([]);
    expect(statusOf(held).drill).toMatchObject({
      active: running.metadata.name,
      dueSince: '2026-03-01T01:10:00Z',
    });
    const ended = { ...running, status: succeeded('01:46:00') };
    const next = decide({ ...schedule, status: statusOf(held) }, '01:46:00', [ended]);
    expect(made(next)).toEqual(['2026-03-01T01:40:00Z']);
    expect(statusOf(next).drill).toMatchObject({ dueSince: '2026-03-01T01:40:00Z' });
  });

  it('none again whose KmRestore exists, though the status does not say so', () => {
    const schedule = scheduled(cron, known('2026-02-28T05:00:00Z'));
    const there = drillOf(schedule, { kind: 'time', atMs: at('05:00:00') });
    const plan = decide(schedule, '05:00:05', [there]);
    expect([made(plan), statusOf(plan).drill?.settledUntil]).toEqual([[], '2026-03-01T05:00:00Z']);
  });

  it('looks again at the next time', () => {
    expect(
      decide(scheduled(cron, known('2026-03-01T05:00:00Z'), { cron: '0 0 1 1 *' }), '06:00:00'),
    ).toMatchObject({
      requeueAtMs: at('05:00:00') + 86_400_000,
    });
  });

  it('is not the minute of the backup where both are left to the hash', () => {
    const schedule = scheduled({ cron: 'H 5 * * *' }, known('2026-02-28T05:00:00Z'), { cron: 'H 5 * * *' });
    const { nextDrillTime, nextScheduleTime } = statusOf(decide(schedule, '00:31:00'));
    expect(nextDrillTime).not.toBe(nextScheduleTime);
  });
});

describe('which drill of a number of archives is due', () => {
  const every = { every: 3 };
  const settled = (settledArchives: number, cadence = 'every 3 archives') => ({
    drill: { cadence, since: '2026-03-01T00:00:00Z', settledArchives },
  });
  const cases: [string, Partial<KmBackupScheduleStatus>, string[], number][] = [
    ['nothing when drills were just switched on', {}, [], 10],
    ['nothing before the number is complete', settled(8), [], 8],
    ['the archive that completes it', settled(7), ['10'], 7],
    ['that archive, not a later one', settled(6), ['9'], 6],
    ['several numbers as one', settled(1), ['10'], 1],
    ['nothing of the past after an edit', settled(1, 'every 9 archives'), [], 10],
    ['nothing when the count began anew', settled(50), [], 10],
  ];
  it.each(cases)('%s', (_, status, expected, settledArchives) => {
    const plan = decide(scheduled(every, status), '01:00:00');
    expect(made(plan)).toEqual(expected);
    expect(statusOf(plan).drill).toMatchObject({ settledArchives });
    expect(statusOf(plan).drill?.dueSince).toBe(expected.length > 0 ? '2026-03-01T00:30:00Z' : undefined);
  });

  it('counts copies if it draws from a location, because a new archive is not copied yet', () => {
    const from = { locationRef: { name: 'offsite' } };
    const copies = (copied: number) => [
      { location: 'other', phase: 'Copied' as const, copied: 100 },
      { location: 'offsite', phase: 'Copied' as const, copied },
    ];
    const dueAfter = (copied: number) =>
      drillsDue(
        drilled(
          scheduled(
            { ...every, from },
            { ...settled(1, 'every 3 copies in offsite'), copies: copies(copied) },
          ),
        ),
        [],
        at('01:00:00'),
      );
    expect(dueAfter(3)).toMatchObject({ due: undefined, settledArchives: 1 });
    expect(dueAfter(4)).toMatchObject({ due: { kind: 'archives', count: 4 } });
  });

  it('none again whose KmRestore exists', () => {
    const schedule = scheduled(every, settled(7));
    const there = drillOf(schedule, { kind: 'archives', count: 10 }, succeeded('01:00:00'));
    const plan = decide(schedule, '01:00:00', [there]);
    expect([made(plan), statusOf(plan).drill?.settledArchives]).toEqual([[], 10]);
  });
});

describe('how old the archive of a drill may be', () => {
  const last = (archiveTime: string, more: Partial<KmBackupScheduleStatus> = {}) => ({
    ...more,
    drill: {
      cadence: 'every 1 archives',
      since: '2026-03-01T00:00:00Z',
      last: { name: 'd', archive: ARCHIVE, archiveTime: `2026-03-01T${archiveTime}Z` },
    },
  });
  const hourly = { cron: '0 * * * *' };
  const cases: [
    string,
    object,
    Record<string, unknown>,
    Partial<KmBackupScheduleStatus>,
    string | undefined,
  ][] = [
    ['twice the interval', {}, hourly, {}, '2026-03-01T08:00:00Z'],
    ['twice the longest pause of the cron', {}, { cron: '0 9-17 * * *' }, {}, '2026-02-28T02:00:00Z'],
    ['as long as is said', { maxArchiveAge: '90m' }, hourly, {}, '2026-03-01T08:30:00Z'],
    ['any age where no time follows', {}, { cron: 'not one' }, {}, undefined],
    [
      'newer than that of the last drill, if one was due since',
      { maxArchiveAge: '9d' },
      hourly,
      last('08:00:07'),
      '2026-03-01T08:00:08Z',
    ],
    [
      'the same again, if none was due since',
      { maxArchiveAge: '9d' },
      hourly,
      last('09:00:07'),
      '2026-02-20T10:00:00Z',
    ],
    [
      'the same again, if that run may still be going on',
      { maxArchiveAge: '9d' },
      hourly,
      last('08:00:07', {
        lastSuccessfulBackup: { name: 'b', archive: 'a', sizeBytes: 1, pruned: 0, durationSeconds: 3600 },
      }),
      '2026-02-20T10:00:00Z',
    ],
    [
      'the same again, if backups were suspended meanwhile',
      { maxArchiveAge: '9d' },
      hourly,
      last('03:00:07', { cadenceSince: '2026-03-01T09:30:00Z' }),
      '2026-02-20T10:00:00Z',
    ],
  ];
  it.each(cases)('%s', (_, drill, spec, status, expected) => {
    const schedule = scheduled({ every: 1, ...drill }, status, spec);
    const oldest = oldestArchiveMs(drilled(schedule), at('10:00:00'));
    expect(oldest === undefined ? undefined : toTime(oldest)).toBe(expected);
  });
});

describe('the KmRestore of a drill', () => {
  it('restores the newest archive of the schedule into scratch space, as the user of its backups', () => {
    const schedule = scheduled(
      { every: 1, checks: { sqlite: ['*.db'] }, deadlineSeconds: 900 },
      {},
      { podTemplate: { runAsUser: 999 } },
    );
    const { metadata, spec } = newDrill(drilled(schedule), { kind: 'archives', count: 7 }, at('10:00:00'));
    expect(metadata).toMatchObject({
      name: expect.stringMatching(/^notes-drill-7-[0-9a-z]{8}$/),
      namespace: 'team',
      ownerReferences: [{ kind: 'KmBackupSchedule', name: 'notes', uid: 'uid-notes', controller: true }],
    });
    expect(KmRestoreSpec.parse(spec)).toMatchObject({
      source: { scheduleName: 'notes', notBefore: '2026-03-01T08:00:00Z' },
      target: { scratch: SCRATCH },
      checks: { sqlite: ['*.db'] },
      deadlineSeconds: 900,
      podTemplate: { runAsUser: 999 },
    });
  });

  it('restores the copies of the schedule if it draws from a location', () => {
    const from = { locationRef: { name: 'offsite' }, identitySecretRef: { name: 'restore-key' } };
    const schedule = scheduled({ every: 1, from });
    const { spec } = newDrill(drilled(schedule), { kind: 'archives', count: 7 }, at('10:00:00'));
    expect(KmRestoreSpec.parse(spec).source).toEqual({
      location: { name: 'offsite', series: 'team/notes', identitySecretRef: { name: 'restore-key' } },
      notBefore: '2026-03-01T08:00:00Z',
    });
  });

  it.each(['notes', 'n'.repeat(253), 'a.very.long.name.'.repeat(9).slice(0, -1)])(
    'has a name of its own that fits: %s',
    (name) => {
      const schedule = scheduled({ every: 1 });
      const renamed = (uid: string) =>
        drilled({ ...schedule, metadata: { ...schedule.metadata, name, uid } });
      const keys: DrillKey[] = [
        { kind: 'time', atMs: at('05:00:00') },
        { kind: 'time', atMs: at('05:01:00') },
        { kind: 'archives', count: 1 },
        { kind: 'archives', count: 10 },
      ];
      const names = ['one', 'two'].flatMap((uid) =>
        keys.map((key) => newDrill(renamed(uid), key, at('06:00:00')).metadata.name),
      );
      expect(new Set(names).size).toBe(names.length);
      for (const one of names) expect(one).toMatch(/^[a-z0-9]([-a-z0-9.]{0,55}[a-z0-9])$/);
    },
  );
});

describe('what a schedule reports of its drills', () => {
  const schedule = scheduled(cron, known('2026-03-01T05:00:00Z'));
  const key: DrillKey = { kind: 'time', atMs: at('05:00:00') };

  it('none yet', () => {
    const plan = decide(schedule, '06:00:00');
    expect(recoverable(plan)).toMatchObject({ status: 'Unknown', reason: 'NoDrillYet' });
    expect(statusOf(plan).nextDrillTime).toBe('2026-03-02T05:00:00Z');
  });

  it('a success, once as an Event', () => {
    const drill = drillOf(schedule, key, succeeded('05:00:41'));
    const plan = decide(schedule, '05:01:00', [drill]);
    expect(statusOf(plan)).toMatchObject({
      lastDrillTime: '2026-03-01T05:00:41Z',
      lastDrillResult: 'Succeeded',
      lastSuccessfulDrillTime: '2026-03-01T05:00:41Z',
      drill: {
        last: { name: drill.metadata.name, archive: ARCHIVE, recoverySeconds: 41, archiveAgeSeconds: 7200 },
        lastSuccessful: { name: drill.metadata.name },
      },
    });
    expect(recoverable(plan)).toMatchObject({ status: 'True', reason: 'DrillSucceeded' });
    expect(recoverable(plan)?.message).toMatch(/Restored 12 entries .* It took 41 s. The data was 2 h old.$/);
    expect(reasons(plan)).toEqual(['DrillSucceeded']);
    const again = decide({ ...schedule, status: statusOf(plan) }, '05:02:00', [drill]);
    expect([reasons(again), statusOf(again)]).toEqual([[], statusOf(plan)]);
  });

  it('a failure, beside the success before it', () => {
    const first = drillOf(schedule, key, succeeded('05:00:41'));
    const status = statusOf(decide(schedule, '05:01:00', [first]));
    const second = drillOf(schedule, { kind: 'time', atMs: at('06:00:00') }, failed('06:00:09'));
    const plan = decide({ ...schedule, status }, '06:01:00', [first, second]);
    expect(statusOf(plan)).toMatchObject({
      lastDrillTime: '2026-03-01T06:00:09Z',
      lastDrillResult: 'Failed',
      lastSuccessfulDrillTime: '2026-03-01T05:00:41Z',
      drill: { last: { reason: 'ArchiveCorrupt' }, lastSuccessful: { recoverySeconds: 41 } },
    });
    expect(statusOf(plan).drill?.last?.recoverySeconds).toBeUndefined();
    expect(recoverable(plan)).toMatchObject({
      status: 'False',
      reason: 'DrillFailed',
      message: `${second.metadata.name}: ArchiveCorrupt: It is damaged.`,
    });
    expect(reasons(plan)).toEqual(['DrillFailed']);
    // Somebody deletes the record of the last one.
    const after = decide({ ...schedule, status: statusOf(plan) }, '06:02:00', [first]);
    expect([reasons(after), statusOf(after).lastDrillResult]).toEqual([[], 'Failed']);
  });

  it('that it was the archive of the drill before', () => {
    const first = drillOf(schedule, key, succeeded('05:00:41'));
    const status = statusOf(decide(schedule, '05:01:00', [first]));
    const second = drillOf(
      schedule,
      { kind: 'time', atMs: at('06:00:00') },
      failed('06:00:09', 'ArchiveTooOld'),
    );
    const plan = decide({ ...schedule, status }, '06:01:00', [first, second]);
    expect(recoverable(plan)?.message).toContain('The drill before this one was of the same archive.');
  });

  it('keeps the last few, none that is still held', () => {
    const drills = [1, 2, 3, 4, 5].map((hour) =>
      drillOf(schedule, { kind: 'time', atMs: at(`0${hour}:00:00`) }, succeeded(`0${hour}:00:41`)),
    );
    const held = { ...drills[0]!, metadata: { ...drills[0]!.metadata, finalizers: ['x'] } };
    const plan = decide(schedule, '05:01:00', [drills[4]!, held, ...drills.slice(1, 4)]);
    expect(of(plan, 'deleteRestore').map(({ target }) => target.name)).toEqual([drills[1]!.metadata.name]);
  });

  it('an expression that cannot be read, while backups go on', () => {
    const plan = decide(scheduled({ cron: '0 0 31 2 *' }), '01:00:00');
    expect(recoverable(plan)).toMatchObject({ status: 'False', reason: 'InvalidDrill' });
    expect(recoverable(plan)?.message).toMatch(/^spec\.drill/);
    const ready = statusOf(plan).conditions?.find(({ type }) => type === 'Ready');
    expect(ready?.status).toBe('True');
    expect(plan.requeueAtMs).toBe(at('02:00:00'));
  });

  it('nothing once drills are switched off', () => {
    const drill = drillOf(schedule, key, succeeded('05:00:41'));
    const status = statusOf(decide(schedule, '05:01:00', [drill]));
    const off = { ...schedule, spec: { ...schedule.spec, drill: undefined }, status };
    const plan = decide(off as KmBackupSchedule, '05:02:00', [drill]);
    expect(Object.keys(statusOf(plan)).filter((field) => /drill/i.test(field))).toEqual([]);
    expect(recoverable(plan)).toBeUndefined();
  });

  it('no time of a clock that was ahead', () => {
    const drill = drillOf(schedule, key, {
      ...succeeded('05:00:41'),
      completionTime: '2027-01-01T00:00:00Z',
    });
    const plan = decide(schedule, '06:00:00', [drill]);
    expect(statusOf(plan).lastDrillTime).toBe('2026-03-01T06:00:00Z');
    const again = decide({ ...schedule, status: statusOf(plan) }, '06:05:00', [drill]);
    expect(statusOf(again).lastDrillTime).toBe('2026-03-01T06:00:00Z');
  });
});

describe('by when a drill should have ended', () => {
  const due = (schedule: KmBackupSchedule) => {
    const ms = drillDueMs(schedule);
    return ms === undefined ? undefined : toTime(ms);
  };
  const after = { lastDrillTime: '2026-03-01T05:10:00Z' };
  const drill = { cadence: 'x', since: '2026-03-01T00:00:00Z' };
  const lastSuccessful = { name: 'd', recoverySeconds: 600 };
  const cases: [string, KmBackupSchedule, string | undefined][] = [
    ['unknown before it was looked at', scheduled(cron), undefined],
    ['its deadline and an hour after the next time', scheduled(cron, { drill }), '2026-03-01T12:00:00Z'],
    [
      'twice what the last one took and an hour',
      scheduled(cron, { ...after, drill: { ...drill, lastSuccessful } }),
      '2026-03-02T06:20:00Z',
    ],
    [
      'counted from when it became due',
      scheduled({ every: 3 }, { drill: { ...drill, lastSuccessful, dueSince: '2026-03-01T04:00:00Z' } }),
      '2026-03-01T05:20:00Z',
    ],
    ['never while none is due', scheduled({ every: 3 }, { drill }), undefined],
    ['never while suspended', scheduled(cron, { drill }, { suspend: true }), undefined],
    ['never without drills', fixture(), undefined],
  ];
  it.each(cases)('%s', (_, schedule, expected) => expect(due(schedule)).toBe(expected));
});

it('a key in an annotation is read back', () => {
  const schedule = scheduled(cron);
  for (const key of [
    { kind: 'time', atMs: at('05:00:00') },
    { kind: 'archives', count: 12 },
  ] as const)
    expect(keyText(key)).toBe(drillOf(schedule, key).metadata.annotations?.[ANNOTATIONS.drill]);
});
