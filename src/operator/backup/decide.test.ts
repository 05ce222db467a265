import { describe, expect, it } from 'vitest';
import type { Plan } from '../plan.ts';
import { at, job, pod, runResult, schedule, scheduledBackup } from '../testing/fixtures.ts';
import { decideBackup, type ObservedBackup } from './decide.ts';

const settings = { image: 'km:1', imagePullPolicy: 'IfNotPresent', allowScripts: false } as const;
const backup = scheduledBackup(at('01:00:00'));

function decide(observed: Partial<ObservedBackup>, nowMs = at('01:00:01')): Plan {
  return decideBackup(
    {
      backup,
      schedule: schedule(),
      job: { state: 'none' },
      ahead: undefined,
      behind: undefined,
      slot: { granted: true },
      placement: { ok: true, placement: { tolerations: [] } },
      ...observed,
    },
    settings,
    nowMs,
  );
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
    ['without room', { slot: { granted: false, message: 'full' } }, 'WaitingForCapacity'],
  ];
  it.each(held)('waits %s', (_name, observed, reason) => {
    const plan = decide(observed);
    expect(kinds(plan)).toEqual(['writeBackupStatus']);
    expect(written(plan)).toMatchObject({ phase: 'Pending', reason });
  });

  const failures: [string, Partial<ObservedBackup>, string][] = [
    ['an unknown schedule', { schedule: undefined }, 'ScheduleNotFound'],
    [
      'a script where none are allowed',
      { schedule: schedule({ script: { configMapKeyRef: { name: 'c', key: 'k' } } }) },
      'ScriptsNotAllowed',
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

  it('fails a pod that does not start in time, with what it waited for', () => {
    const observed: Partial<ObservedBackup> = {
      backup: { ...backup, status: { startTime: '2026-03-01T01:00:00Z' } },
      job: {
        state: 'exists',
        job: running,
        pods: [pod({ waiting: { reason: 'ImagePullBackOff', message: 'no such image' } })],
      },
    };
    const early = decide(observed, at('01:09:59'));
    expect(written(early)).toMatchObject({
      phase: 'Pending',
      reason: 'ImagePullBackOff',
      job: { uid: running.metadata.uid },
    });
    expect(early.requeueAtMs).toBe(at('01:10:00'));
    const late = written(decide(observed, at('01:10:00')));
    expect(late).toMatchObject({ phase: 'Failed', reason: 'StartDeadlineExceeded' });
    expect(late.message).toContain('no such image');
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

  it('ends the Job of a run that is over, and leaves finished ones alone', () => {
    const over = { ...backup, status: { phase: 'Failed' as const } };
    expect(kinds(decide({ backup: over, job: { state: 'exists', job: running, pods: [] } }))).toEqual([
      'deleteJob',
    ]);
    expect(
      kinds(
        decide({ backup: over, job: { state: 'exists', job: job(backup, { type: 'Complete' }), pods: [] } }),
      ),
    ).toEqual([]);
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
