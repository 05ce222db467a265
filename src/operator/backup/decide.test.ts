import { describe, expect, it } from 'vitest';
import type { KmBackup } from '../../api/backup.ts';
import type { Plan } from '../plan.ts';
import { at, job, pod, runResult, schedule, scheduledBackup } from '../testing/fixtures.ts';
import type { Job, Pod } from '../workloads.ts';
import { decideBackup, decideRefused } from './decide.ts';
import type { ObservedBackup } from './observe.ts';

const settings = { image: 'km:1', imagePullPolicy: 'IfNotPresent', allowScripts: false } as const;
const backup = scheduledBackup(at('01:00:00'));

const observe = (observed: Partial<ObservedBackup>): ObservedBackup => ({
  backup,
  schedule: schedule(),
  job: { state: 'none' },
  ahead: undefined,
  restoring: undefined,
  behind: undefined,
  slot: { granted: true },
  placement: { ok: true, placement: { tolerations: [] } },
  source: undefined,
  warning: undefined,
  ...observed,
});

function decide(observed: Partial<ObservedBackup>, nowMs = at('01:00:01')): Plan {
  return decideBackup(observe(observed), settings, nowMs);
}

const kinds = (plan: Plan) => plan.steps.map((step) => step.kind);
function written(plan: Plan) {
  const step = plan.steps[0];
  if (step?.kind !== 'writeBackupStatus') throw new Error('no status first');
  return step.status;
}
const running = job(backup);

describe('what a run needs next', () => {
  it('makes the Job, and writes the status once it is seen', () => {
    const plan = decide({});
    expect(kinds(plan)).toEqual(['createJob']);
    const made = {
      ...running,
      metadata: { ...running.metadata, annotations: { 'km.duskmantle.io/destination': 'state/a/b' } },
    };
    const seen = decide({ job: { state: 'exists', job: made, pods: [] } });
    expect(written(seen)).toMatchObject({
      phase: 'Pending',
      reason: 'Starting',
      job: { name: running.metadata.name, uid: running.metadata.uid },
      destination: { claimName: 'state', path: 'a/b' },
    });
  });

  const held: [string, Partial<ObservedBackup>, string][] = [
    ['behind another run', { ahead: 'other' }, 'WaitingForRun'],
    ['while its claim is restored', { restoring: 'back' }, 'WaitingForRestore'],
    ['without room', { slot: { granted: false, message: 'full' } }, 'WaitingForCapacity'],
  ];
  it.each(held)('waits %s', (_name, observed, reason) => {
    const plan = decide(observed);
    expect(kinds(plan)).toEqual(['writeBackupStatus']);
    expect(written(plan)).toMatchObject({ phase: 'Pending', reason });
  });

  const failures: [string, Partial<ObservedBackup>, string][] = [
    ['a scheduled run whose schedule was deleted', { schedule: undefined }, 'ScheduleNotFound'],
    [
      'a script where none are allowed',
      { schedule: schedule({ script: { configMapKeyRef: { name: 'c', key: 'k' } } }) },
      'ScriptsNotAllowed',
    ],
    [
      'an elevated schedule where none is allowed',
      { schedule: schedule({ podTemplate: { elevated: true } }) },
      'ElevatedNotAllowed',
    ],
    [
      'a claim it cannot mount',
      { placement: { ok: false, reason: 'ClaimInUse', message: 'held' } },
      'ClaimInUse',
    ],
    ['a Job deleted by hand', { job: { state: 'gone', job: { name: 'j', uid: 'u' } } }, 'JobDeleted'],
    [
      'a newer run with Replace',
      {
        schedule: schedule({ concurrencyPolicy: 'Replace' }),
        behind: 'newer',
        job: { state: 'exists', job: running, pods: [] },
      },
      'Replaced',
    ],
  ];
  it.each(failures)('fails for %s', (_name, observed, reason) => {
    const status = written(decide(observed));
    expect(status).toMatchObject({ phase: 'Failed', reason });
    expect(status.completionTime).toBeDefined();
  });

  it('records the result of a run that ended', () => {
    const started = { ...backup, status: { destination: { claimName: 'state', path: 'backups/archives' } } };
    const plan = decide({
      backup: started,
      job: {
        state: 'exists',
        job: job(backup, { type: 'Complete' }),
        pods: [pod({ terminated: { exitCode: 0, message: JSON.stringify(runResult()) } })],
      },
    });
    expect(written(plan)).toMatchObject({
      phase: 'Succeeded',
      durationSeconds: 7,
      archive: { name: 'km-backup-20260301T010000Z.tgz', claimName: 'state', path: 'backups/archives' },
      present: { count: 1 },
    });
    expect(kinds(plan)).toEqual(['writeBackupStatus', 'recordEvent', 'recordEvent']);
  });

  it('takes no inventory from a run without an archive', () => {
    const result = runResult({
      outcome: 'Failed',
      archive: undefined,
      present: { count: 0, bytes: 0, names: [] },
    });
    const pods = [pod({ terminated: { exitCode: 1, message: JSON.stringify(result) } })];
    const status = written(decide({ job: { state: 'exists', job: job(backup, { type: 'Failed' }), pods } }));
    expect(status.phase).toBe('Failed');
    expect(status.present).toBeUndefined();
  });

  it('writes nothing new when nothing is new', () => {
    const observed: Partial<ObservedBackup> = {
      job: { state: 'exists', job: running, pods: [pod({ running: {} })] },
    };
    const first = written(decide(observed));
    const second = written(decide({ ...observed, backup: { ...backup, status: first } }, at('01:05:00')));
    expect(second).toEqual(first);
  });
});

/** Follows one run through what is observed at each time, as the operator does. */
function story(spec: Record<string, unknown> = {}) {
  let current: KmBackup = { ...backup, spec: { scheduleName: 'notes' } };
  const seen = (plan: Plan) => {
    const step = plan.steps.find(({ kind }) => kind === 'writeBackupStatus');
    if (step?.kind === 'writeBackupStatus') current = { ...current, status: step.status };
    return { ...plan, status: current.status };
  };
  const whole = (observed: Partial<ObservedBackup>) =>
    observe({ backup: current, schedule: schedule(spec), ...observed });
  return {
    at: (time: string, observed: Partial<ObservedBackup>) =>
      seen(decideBackup(whole(observed), settings, at(time))),
    withPods: (time: string, pods: Pod[], more: Partial<ObservedBackup> = {}) =>
      seen(
        decideBackup(whole({ job: { state: 'exists', job: running, pods }, ...more }), settings, at(time)),
      ),
    refused: (time: string, message: string) => {
      const { plan, final } = decideRefused(whole({}), { reason: 'JobForbidden', message }, at(time));
      return { ...seen(plan), final };
    },
  };
}

const named = (name: string, one: Pod, createdAt = '01:00:00'): Pod => ({
  ...one,
  metadata: { ...one.metadata, name, uid: `uid-${name}`, creationTimestamp: `2026-03-01T${createdAt}Z` },
});
const pulling = pod({ waiting: { reason: 'ImagePullBackOff', message: 'no such image' } });
const evicted = (name: string) =>
  named(name, pod({}, { phase: 'Failed', reason: 'Evicted', message: 'node was low on disk' }));

describe('deadlines, each from the beginning of its wait', () => {
  it('fails a pod that does not start in time, with what it waited for', () => {
    const run = story();
    const early = run.withPods('01:00:00', [pulling]);
    expect(early.status).toMatchObject({ phase: 'Pending', reason: 'ImagePullBackOff' });
    expect(early.requeueAtMs).toBe(at('01:10:00'));
    const late = run.withPods('01:10:00', [pulling]);
    expect(late.status).toMatchObject({ phase: 'Failed', reason: 'StartDeadlineExceeded' });
    expect(late.status?.message).toContain('no such image');
    expect(late.status?.awaiting).toBeUndefined();
  });

  it('gives the pod after an eviction its own time to start, hours after the first', () => {
    const run = story();
    run.withPods('01:00:00', [named('a', pod({ running: {} }))]);
    run.withPods('05:00:00', [evicted('a')]);
    const again = run.withPods('05:00:20', [evicted('a'), named('b', pulling, '05:00:20')]);
    expect(again.status).toMatchObject({ phase: 'Pending', reason: 'ImagePullBackOff' });
    expect(again.requeueAtMs).toBe(at('05:10:20'));
    const ran = run.withPods('05:09:00', [evicted('a'), named('b', pod({ running: {} }), '05:00:20')]);
    expect(ran.status).toMatchObject({ phase: 'Running', reason: 'Running' });
  });

  it.each([
    ['a crash', named('a', pod({ terminated: { exitCode: 1 } }, { phase: 'Failed' }))],
    ['an eviction', evicted('a')],
  ])('waits for the retry after %s', (_name, ended) => {
    const run = story({ startDeadlineSeconds: 10 });
    run.withPods('01:00:00', [named('a', pod({ running: {} }))]);
    // The Job's own pause between tries, of 10 min at most, is not the pod's fault.
    for (const time of ['04:00:00', '04:00:30', '04:10:00'])
      expect(run.withPods(time, [ended]).status?.phase).toBe('Running');
    expect(run.withPods('04:10:10', [ended]).status).toMatchObject({ phase: 'Failed' });
  });

  it('waits for the retry after a pod that was deleted', () => {
    const run = story();
    run.withPods('01:00:00', [named('a', pod({ running: {} }))]);
    expect(run.withPods('04:00:00', []).status?.phase).toBe('Pending');
    expect(run.withPods('04:00:01', [named('b', pod({ running: {} }))]).status?.phase).toBe('Running');
  });

  it('does not deduct the wait for a quota from the time of the pod', () => {
    const run = story();
    const quota = { warning: { reason: 'PodStarting' as const, message: 'exceeded quota' } };
    run.withPods('01:00:00', []);
    const waits = run.withPods('01:09:00', [], quota);
    expect(waits.status?.message).toContain('exceeded quota');
    const pod = named('a', pulling, '01:09:30');
    expect(run.withPods('01:09:30', [pod]).requeueAtMs).toBe(at('01:19:30'));
    expect(run.withPods('01:19:29', [pod]).status?.phase).toBe('Pending');
  });

  it('fails a Job without a pod at its own deadline', () => {
    const run = story();
    run.withPods('01:00:00', []);
    run.withPods('01:00:10', []);
    expect(run.withPods('01:10:10', []).status).toMatchObject({
      phase: 'Failed',
      reason: 'StartDeadlineExceeded',
    });
  });

  it('counts activeDeadlineSeconds from when km-backup runs', () => {
    const run = story({ activeDeadlineSeconds: 60 });
    run.withPods('01:00:00', [pulling]);
    const live = [named('a', pod({ running: {} }))];
    expect(run.withPods('01:09:00', live).requeueAtMs).toBe(at('01:10:00'));
    expect(run.withPods('01:09:59', live).status?.phase).toBe('Running');
    const late = run.withPods('01:10:00', live);
    expect(late.status).toMatchObject({ phase: 'Failed', reason: 'DeadlineExceeded' });
    expect(late.status?.message).toContain('60 s');
  });

  it('takes the deadlines from the Job, whatever becomes of its schedule', () => {
    const run = story();
    const annotations = { 'km.duskmantle.io/deadlines': '30/60' };
    const job = { ...running, metadata: { ...running.metadata, annotations } };
    const plan = run.at('01:00:00', { schedule: undefined, job: { state: 'exists', job, pods: [pulling] } });
    expect(plan.requeueAtMs).toBe(at('01:00:30'));
  });
});

describe('a run that a person created', () => {
  const labels = { 'km.duskmantle.io/schedule': 'notes', 'km.duskmantle.io/schedule-uid': 'uid-notes' };
  const byHand: KmBackup = {
    ...backup,
    metadata: { ...backup.metadata, labels: { mine: 'yes' } },
    spec: { scheduleName: 'notes' },
  };

  it('gets the labels of the schedule, after its Job', () => {
    const plan = decide({ backup: byHand });
    expect(kinds(plan)).toEqual(['createJob', 'labelBackup']);
    expect(plan.steps.at(-1)).toMatchObject({ labels: { ...labels, mine: 'yes' } });
  });

  it.each<[string, Partial<ObservedBackup>]>([
    ['that has them', { backup: { ...byHand, metadata: { ...byHand.metadata, labels } } }],
    ['whose schedule is not there yet', { backup: byHand, schedule: undefined }],
  ])('%s gets none', (_name, observed) => {
    expect(kinds(decide(observed))).not.toContain('labelBackup');
  });
});

describe('a Job that is refused', () => {
  it('says so, and ends at the deadline of this wait', () => {
    const run = story();
    run.at('00:30:00', { slot: { granted: false, message: 'full' } });
    const first = run.refused('01:00:00', 'exceeded quota');
    expect(first).toMatchObject({ final: false, requeueAtMs: at('01:10:00') });
    expect(first.status).toMatchObject({
      phase: 'Pending',
      reason: 'JobForbidden',
      message: 'exceeded quota',
    });
    expect(run.refused('01:09:59', 'exceeded quota').final).toBe(false);
    const last = run.refused('01:10:00', 'webhook "a" denied the request');
    expect(last.final).toBe(true);
    expect(last.status).toMatchObject({ phase: 'Failed', reason: 'JobForbidden' });
    expect(last.status?.message).toContain('webhook "a" denied the request');
  });

  it('stays refused while it waits for room, so that refused runs cannot take turns for ever', () => {
    const run = story();
    run.refused('01:00:00', 'no');
    expect(run.at('01:05:00', { slot: { granted: false, message: 'full' } }).status?.reason).toBe(
      'WaitingForCapacity',
    );
    expect(run.refused('01:10:00', 'no').final).toBe(true);
  });

  it('leaves the pod its own time once it is accepted', () => {
    const run = story();
    run.refused('01:00:00', 'no');
    expect(run.withPods('01:09:00', [pulling]).requeueAtMs).toBe(at('01:19:00'));
  });
});

describe('a run that is applied before its schedule', () => {
  const gone = { schedule: undefined };
  it('waits for it, and goes on once it is there', () => {
    const run = story();
    const early = run.at('01:00:00', gone);
    expect(early.status).toMatchObject({ phase: 'Pending', reason: 'ScheduleNotFound' });
    expect(early.requeueAtMs).toBe(at('01:10:00'));
    expect(kinds(run.at('01:05:00', {}))).toContain('createJob');
  });

  it('fails at the start deadline', () => {
    const run = story();
    run.at('01:00:00', gone);
    expect(run.at('01:09:59', gone).status?.phase).toBe('Pending');
    const late = run.at('01:10:00', gone);
    expect(late.status).toMatchObject({ phase: 'Failed', reason: 'ScheduleNotFound' });
    expect(late.status?.message).toContain('notes');
  });
});

describe('a container that reports while the Job goes on', () => {
  const report = JSON.stringify(runResult());
  const sidecar = { name: 'istio-proxy', state: { running: {} } };
  const beside = (terminated: { exitCode: number; message?: string; reason?: string }): Pod => {
    const one = pod({ terminated }, { phase: 'Running' });
    return {
      ...one,
      status: { ...one.status, containerStatuses: [...one.status!.containerStatuses!, sidecar] },
    };
  };

  it('ends the run with its archive, and the Job where a sidecar keeps it', () => {
    const run = story();
    const pods = [beside({ exitCode: 0, message: report })];
    run.withPods('01:00:00', [pod({ running: {} })]);
    expect(run.withPods('01:00:20', pods).status).toMatchObject({ phase: 'Succeeded' });
    const soon = run.withPods('01:00:21', pods);
    expect(kinds(soon)).toEqual([]);
    expect(soon.requeueAtMs).toBe(at('01:01:20'));
    expect(kinds(run.withPods('01:01:20', pods))).toEqual(['deleteJob']);
  });

  it.each([
    [
      'a failure with a report',
      {
        exitCode: 1,
        message: JSON.stringify(runResult({ outcome: 'Failed', reason: 'NoSpace', archive: undefined })),
      },
      'NoSpace',
    ],
    [
      'a locked destination',
      {
        exitCode: 4,
        message: JSON.stringify(runResult({ outcome: 'Skipped', reason: 'Locked', archive: undefined })),
      },
      'Locked',
    ],
    ['a container out of memory', { exitCode: 137, reason: 'OOMKilled' }, 'OutOfMemory'],
    ['an end without a report', { exitCode: 0 }, 'NoArchiveReported'],
  ])('ends after %s that a sidecar keeps from being tried again', (_name, terminated, reason) => {
    const run = story();
    const pods = [beside(terminated)];
    run.withPods('01:00:00', pods);
    expect(run.withPods('01:00:59', pods).status?.completionTime).toBeUndefined();
    const { status } = run.withPods('01:01:00', pods);
    expect(status).toMatchObject({ reason, completionTime: '2026-03-01T01:01:00Z' });
    expect(status?.message).toContain('istio-proxy');
    expect(kinds(run.withPods('01:01:01', pods))).toEqual(['deleteJob']);
  });

  it('lets the Job try again where nothing keeps the pod', () => {
    const run = story();
    const failed = named('a', pod({ terminated: { exitCode: 1 } }, { phase: 'Failed' }));
    run.withPods('01:00:00', [failed]);
    expect(
      run.withPods('01:00:10', [failed, named('b', pod({ running: {} }), '01:00:10')]).status,
    ).toMatchObject({
      phase: 'Running',
      reason: 'Running',
    });
  });

  it('ends the Job of a run that is over otherwise, and leaves a Job that has ended', () => {
    const over = { ...backup, status: { phase: 'Failed' as const } };
    const withJob = (one: Job) => decide({ backup: over, job: { state: 'exists', job: one, pods: [] } });
    expect(kinds(withJob(running))).toEqual(['deleteJob']);
    expect(kinds(withJob(job(backup, { type: 'Complete' })))).toEqual([]);
  });
});

describe('why a run does not start', () => {
  it('is one status for all steps of a start that takes no longer than usual', () => {
    const run = story();
    const first = run.withPods('01:00:00', []).status;
    const creating = pod({ waiting: { reason: 'ContainerCreating' } }, { phase: 'Pending' });
    expect(run.withPods('01:00:05', [creating]).status).toEqual(first);
  });

  it('quotes the newest warning, and looks again while it waits', () => {
    const run = story();
    run.withPods('01:00:00', []);
    const reason = 'FailedCreate' as never;
    const plan = run.withPods('01:00:10', [], { warning: { reason, message: 'no PriorityClass "x"' } });
    expect(plan.status).toMatchObject({ reason: 'FailedCreate' });
    expect(plan.status?.message).toContain('no PriorityClass "x"');
    expect(plan.requeueAtMs).toBe(at('01:00:20'));
  });

  it('names an init container that keeps failing', () => {
    const init = [
      { name: 'vault-agent', state: { waiting: { reason: 'CrashLoopBackOff', message: 'back-off' } } },
    ];
    const one = pod(
      { waiting: { reason: 'PodInitializing' } },
      { phase: 'Pending', initContainerStatuses: init },
    );
    const { status } = story().withPods('01:00:00', [one]);
    expect(status).toMatchObject({ reason: 'CrashLoopBackOff' });
    expect(status?.message).toContain('vault-agent');
  });
});

it('removes the Jobs of a schedule that was deleted, once their runs are over', () => {
  const over = { ...backup, status: { phase: 'Succeeded' as const } };
  const ended = { state: 'exists' as const, job: job(backup, { type: 'Complete' }), pods: [] };
  expect(decide({ backup: over, job: ended }).steps).toEqual([]);
  expect(decide({ backup: over, job: ended, schedule: undefined }).steps).toEqual([
    { kind: 'deleteJob', target: ended.job.metadata },
  ]);
});

it.each([
  ['complete', 'it is complete'],
  ['incomplete', 'could not be read'],
  ['corrupt', 'is corrupt'],
  ['unverified', 'no manifest'],
])('records a found archive with its place, and says that it is %s', (kind, expected) => {
  const annotations = { 'km.duskmantle.io/destination': 'other/b/c', 'km.duskmantle.io/archive-class': kind };
  const found = {
    ...backup,
    metadata: { ...backup.metadata, annotations },
    spec: { scheduleName: 'notes', archiveName: 'a.tgz' },
  };
  const status = written(decide({ backup: found }));
  expect(status).toMatchObject({
    phase: 'Found',
    archive: { name: 'a.tgz', claimName: 'other', path: 'b/c' },
  });
  expect(status.message).toContain(expected);
});
