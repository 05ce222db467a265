import type { V1PodSpec } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import type { KmBackup } from '../../api/backup.ts';
import { isRestoreFinished } from '../../api/finished.ts';
import { type KmBackupLocation, KmBackupLocationSpec } from '../../api/location.ts';
import { ANNOTATIONS } from '../../api/names.ts';
import { type KmRestore, KmRestoreSpec } from '../../api/restore.ts';
import type { RestoreResult } from '../../api/restore-result.ts';
import type { Plan, Step } from '../plan.ts';
import { at, runResult, scheduledBackup } from '../testing/fixtures.ts';
import { toTime } from '../time.ts';
import { decideRestore, RESTORE_FINALIZER } from './decide.ts';
import type { RestoreJobSettings } from './jobs.ts';
import type { ObservedRestore, RestoreJobState } from './observed.ts';

const settings: RestoreJobSettings = {
  image: 'km:1',
  imagePullPolicy: 'IfNotPresent',
  allowScripts: true,
  stepImages: [],
};

function succeededBackup(): KmBackup {
  const { archive } = runResult();
  return scheduledBackup(at('01:00:00'), {
    phase: 'Succeeded',
    completionTime: toTime(at('01:00:07')),
    archive: { ...archive!, claimName: 'state', path: 'backups/archives' },
  });
}

const result = (command: RestoreResult['command'], more: Partial<RestoreResult> = {}): RestoreResult => ({
  version: 1,
  command,
  outcome: 'Succeeded',
  reason: 'Restored',
  message: 'done',
  startedAt: '2026-03-01T02:00:00Z',
  finishedAt: '2026-03-01T02:00:01Z',
  warnings: { count: 0, samples: [] },
  ...more,
});
const restored = { entries: 12, files: 10, bytes: 5000, reusedBytes: 0 };
const plan = {
  digest: 'd'.repeat(64),
  added: 1,
  changed: 2,
  removed: 3,
  kept: 4,
  bytesToWrite: 5,
  spaceNeededBytes: 6,
  samples: [],
};

/** `waits`: its pod does not start. */
type Verdict =
  | { readonly ok: RestoreResult }
  | { readonly fails: string; readonly reason?: 'NoSpace' }
  | { readonly waits: string };

/** A cluster in miniature: what a plan writes becomes so, and Jobs and pods follow. */
class World {
  nowMs = at('02:00:00');
  restore: KmRestore | undefined;
  replicas = 3;
  claimExists = true;
  readonly made: string[] = [];
  readonly scaled: number[] = [];
  readonly verdicts: Record<string, Verdict>;
  readonly #jobs = new Map<string, RestoreJobState>();
  /** Answers to the `http` step of verify, in turn; the last one stays. */
  probes: boolean[] = [true];
  /** For how many turns its pods outlive the workload; they need one. */
  lingers = 0;
  #ending = 0;
  /** Somebody scales the workload up again once the tree is staged. */
  meddles = false;
  newClaim: 'missing' | 'ours' = 'missing';
  location: KmBackupLocation | undefined;

  /** What the schedule says. */
  identity: ObservedRestore['identity'];
  elevatedNamespaces = ['team'];
  prerequisites: ObservedRestore['prerequisites'] = new Map();
  chained: ObservedRestore['chained'] = new Map();
  readonly pods: (V1PodSpec | undefined)[] = [];

  constructor(spec: Record<string, unknown>, verdicts: Record<string, Verdict> = {}) {
    this.verdicts = {
      plan: { ok: result('plan', { plan }) },
      stage: { ok: result('stage', { restored, plan }) },
      swap: { ok: result('restore', { restored: { ...restored, oldState: '.km-restore/old' } }) },
      rollback: { ok: result('rollback') },
      commit: { ok: result('commit') },
      discard: { ok: result('rollback') },
      ...verdicts,
    };
    this.restore = {
      apiVersion: 'km.duskmantle.io/v1alpha1',
      kind: 'KmRestore',
      metadata: {
        name: 'back',
        namespace: 'team',
        uid: 'uid-back',
        resourceVersion: '1',
        generation: 1,
        creationTimestamp: toTime(this.nowMs),
      },
      spec: KmRestoreSpec.parse({
        source: { scheduleName: 'notes' },
        target: { persistentVolumeClaim: { claimName: 'state' } },
        quiesce: { auto: true },
        ...spec,
      }),
    };
  }

  observe(): ObservedRestore {
    const { restore } = this;
    const workload = { kind: 'Deployment', name: 'app', uid: 'uid-app', replicas: this.replicas } as const;
    const inPlace = restore!.spec.target.persistentVolumeClaim !== undefined;
    const step = restore!.status?.steps?.find(({ phase }) => phase === 'Running')?.name;
    const answer = this.probes.length > 1 ? this.probes.shift()! : this.probes[0]!;
    return {
      restore: restore!,
      backups: [succeededBackup()],
      scheduleExists: true,
      identity: this.identity,
      placement: { ok: true, placement: { tolerations: [] } },
      location: this.location,
      missingSourceClaim: this.claimExists ? undefined : 'state',
      targetClaim: inPlace
        ? {
            state: 'exists',
            ours: false,
            target: { namespace: 'team', name: 'state', uid: 'u', resourceVersion: '1' },
          }
        : this.newClaim === 'missing'
          ? { state: 'missing' }
          : {
              state: 'exists',
              ours: true,
              target: { namespace: 'team', name: 'new', uid: 'n', resourceVersion: '1' },
            },
      prerequisites: this.prerequisites,
      chained: this.chained,
      ahead: undefined,
      keeper: undefined,
      runningBackups: [],
      jobs: this.#jobs,
      mounting:
        (this.replicas > 0 || this.#ending > 0) && inPlace
          ? [{ name: 'app-1', owner: { kind: 'stoppable', workload } }]
          : [],
      named: inPlace ? [{ kind: 'stoppable', workload }] : [],
      workloads: new Map([
        ['Deployment/app', { state: 'exists', replicas: this.replicas, resourceVersion: '1' }],
      ]),
      probe: step === undefined ? undefined : { step, ok: answer, message: answer ? '200' : '503' },
    };
  }

  apply(step: Step): void {
    switch (step.kind) {
      case 'writeRestoreStatus':
        // As the writer does: a status that is there already is not written.
        expect(step.restore).toBe(this.restore);
        this.restore = { ...this.restore!, status: step.status };
        return;
      case 'setFinalizer': {
        const { metadata } = this.restore!;
        this.restore = {
          ...this.restore!,
          metadata: { ...metadata, finalizers: step.present ? [step.finalizer] : [] },
        };
        if (metadata.deletionTimestamp && !step.present) this.restore = undefined;
        return;
      }
      case 'scale':
        this.scaled.push(step.replicas);
        if (step.replicas === 0) this.#ending = this.lingers;
        this.replicas = step.replicas;
        return;
      case 'createJob': {
        const kind = step.job.metadata.labels['app.kubernetes.io/component']!;
        this.made.push(kind);
        this.pods.push(step.job.spec.template.spec);
        const target = { namespace: 'team', name: kind, uid: kind, resourceVersion: '1' };
        const verdict = this.verdicts[kind]!;
        this.#jobs.set(kind, {
          state: 'active',
          message: '',
          target,
          ...('waits' in verdict && {
            message: verdict.waits,
            start: { sinceMs: this.nowMs, unexplained: true },
          }),
        });
        return;
      }
      case 'deleteJob':
        this.#jobs.delete(step.target.name);
        return;
      case 'createClaim':
        this.newClaim = 'ours';
        return;
      case 'deleteClaim':
        // As the API server does: not as long as a pod names it.
        if (this.#jobs.size === 0) this.newClaim = 'missing';
        return;
      case 'recordEvent':
        return;
      default:
        throw new Error(`unexpected ${step.kind}`);
    }
  }

  /** Time passes: Jobs under way end. */
  pass(): void {
    this.nowMs += 5_000;
    this.#ending = Math.max(0, this.#ending - 1);
    for (const [kind, job] of this.#jobs) {
      if (job.state !== 'active') continue;
      const { target } = job;
      const verdict = this.verdicts[kind]!;
      if ('waits' in verdict) continue;
      this.#jobs.set(
        kind,
        'ok' in verdict
          ? { state: 'succeeded', result: verdict.ok, target }
          : { state: 'failed', reason: verdict.reason ?? 'ProgramFailed', message: verdict.fails, target },
      );
      if (kind === 'stage' && this.meddles) this.replicas = 1;
    }
  }

  decide(): Plan {
    const { elevatedNamespaces } = this;
    return decideRestore(this.observe(), { ...settings, elevatedNamespaces }, this.nowMs);
  }

  /** Until the restore is finished or gone. `each`: before every write, with its number; false leaves it and the rest of its plan out. */
  run(each: (write: number, step: Step) => boolean = () => true): KmRestore | undefined {
    let writes = 0;
    for (let turn = 0; turn < 500; turn++) {
      if (!this.restore) return undefined;
      const { finalizers = [], deletionTimestamp } = this.restore.metadata;
      // A finished restore holds nothing, so that its namespace can be deleted without an operator.
      if (isRestoreFinished(this.restore) && finalizers.length === 0 && !deletionTimestamp)
        return this.restore;
      for (const step of this.decide().steps) {
        if (!each(writes++, step)) break;
        if (!this.restore) return undefined;
        this.apply(step);
        if (!this.restore) return undefined;
      }
      this.pass();
    }
    throw new Error(`no end: ${JSON.stringify(this.restore?.status)}`);
  }

  /** A few turns, to its end or not. */
  take(turns: number): void {
    for (let turn = 0; turn < turns && this.restore; turn++) {
      for (const step of this.decide().steps) if (this.restore) this.apply(step);
      this.pass();
    }
  }

  delete(): void {
    if (!this.restore?.metadata.finalizers?.length) {
      this.restore = undefined;
      return;
    }
    this.restore = {
      ...this.restore!,
      metadata: { ...this.restore!.metadata, deletionTimestamp: toTime(this.nowMs) },
    };
  }
}

const verify = [{ name: 'alive', timeout: '30s', http: { service: 'app', port: 80 } }];

describe('a restore in place', () => {
  it('stops the workload, stages, swaps, starts it again and verifies', () => {
    const world = new World({ verify });
    expect(world.run()?.status).toMatchObject({
      phase: 'Succeeded',
      restored,
      oldState: { path: '.km-restore/old' },
      stopped: [{ kind: 'Deployment', name: 'app', replicas: 3, restored: true }],
      conditions: expect.arrayContaining([expect.objectContaining({ type: 'Ready', status: 'True' })]),
    });
    expect(world.made).toEqual(['stage', 'swap']);
    expect(world.scaled).toEqual([0, 3]);
  });

  it('ends after the plan of a dry run, with nothing stopped', () => {
    const world = new World({ dryRun: true });
    expect(world.run()?.status).toMatchObject({ phase: 'Planned', plan });
    expect([world.made, world.scaled]).toEqual([['plan'], []]);
  });

  it('goes on with the plan that was approved, and with no other', () => {
    const good = new World({ planDigest: plan.digest });
    expect(good.run()?.status?.phase).toBe('Succeeded');
    const bad = new World({ planDigest: 'e'.repeat(64) });
    expect(bad.run()?.status).toMatchObject({ phase: 'Failed', reason: 'PlanChanged' });
    expect([bad.made, bad.scaled]).toEqual([['plan'], []]);
  });

  it('changes nothing when the archive cannot be staged, and starts the workload again', () => {
    const world = new World({}, { stage: { fails: 'corrupt' } });
    const { status } = world.run()!;
    expect(status).toMatchObject({ phase: 'Failed', reason: 'ProgramFailed' });
    expect(status?.message).toContain('The target was not changed.');
    expect([world.made, world.replicas]).toEqual([['stage', 'discard'], 3]);
  });

  it.each([
    [
      'refused: holds what user 0 left. Run as user 0',
      'The Job ran as user 65532. Another one: spec.podTemplate',
    ],
    ['refused: the old state is kept until --commit or --rollback', 'deploy/examples/restore-job.yaml'],
    ['corrupt', 'corrupt The target was not changed.'],
  ])('says what "%s" means on a cluster', (fails, said) => {
    expect(new World({}, { stage: { fails } }).run()?.status?.message).toContain(said);
  });

  it.each([
    [undefined, 'It is the volume of PersistentVolumeClaim state.'],
    [{ newClaim: { name: 'new', size: '1Gi' } }, 'ask for more than 1Gi in spec.target.newClaim.size'],
    [{ scratch: { size: '2Gi' } }, 'ask for more than 2Gi in scratch.size'],
  ])('says which volume is too small: %j', (target, said) => {
    const stage = { fails: 'refused: too little on /target.', reason: 'NoSpace' } as const;
    const spec = target ? { target, quiesce: undefined } : {};
    const { status } = new World(spec, { stage }).run()!;
    expect(status).toMatchObject({ phase: 'Failed', reason: 'NoSpace' });
    expect(status?.message).toContain(said);
  });

  it('refuses to swap under a pod that was started meanwhile, and names it', () => {
    const world = new World({});
    world.meddles = true;
    const { status } = world.run()!;
    expect(status).toMatchObject({ phase: 'Failed', reason: 'ClaimInUse' });
    expect(status?.message).toContain('Pod app-1');
    expect(world.made).toEqual(['stage', 'discard']);
    // Whoever started it keeps their number.
    expect(world.replicas).toBe(1);
  });

  it('gives up ten minutes after the stop, if pods are still there then', () => {
    const world = new World({});
    world.lingers = 130;
    const { status } = world.run()!;
    expect(status).toMatchObject({ phase: 'Failed', reason: 'ClaimInUse' });
    expect(status?.message).toContain('After 10 minutes the target claim is still mounted by app-1.');
    expect([world.made, world.scaled]).toEqual([[], [0, 3]]);
  });

  it('gives pods as much time to end if it had waited for long before', () => {
    const world = new World({ after: ['first'] });
    world.lingers = 2;
    const first = new World({}).restore!;
    world.prerequisites = new Map([['first', first]]);
    world.take(150);
    expect(world.restore?.status).toMatchObject({ reason: 'WaitingForRestore' });
    world.prerequisites = new Map([['first', { ...first, status: { phase: 'Succeeded' } }]]);
    expect(world.run()?.status?.phase).toBe('Succeeded');
    expect(world.scaled).toEqual([0, 3]);
  });

  it('gives pods as much time to end when it goes back after long checks', () => {
    const world = new World({
      verify: [{ name: 'alive', timeout: '15m', http: { service: 'app', port: 80 } }],
    });
    world.lingers = 2;
    world.probes = [false];
    const { status } = world.run()!;
    expect(status).toMatchObject({ phase: 'RolledBack', reason: 'StepFailed' });
    expect(world.scaled).toEqual([0, 3, 0, 3]);
  });

  it('asks often whether pods have ended, and less often later', () => {
    const world = new World({});
    world.lingers = 60;
    const asksAfter = () => world.decide().requeueAtMs! - world.nowMs;
    // No time passes until it has stopped the workload.
    while (world.replicas > 0) for (const step of world.decide().steps) world.apply(step);
    expect(asksAfter()).toBe(250);
    world.pass();
    expect(asksAfter()).toBe(1_250);
    world.take(10);
    expect(asksAfter()).toBe(2_000);
  });

  it('goes back to the old state when the check fails', () => {
    const world = new World({ verify });
    world.probes = [false];
    const { status } = world.run()!;
    expect(status).toMatchObject({ phase: 'RolledBack', reason: 'StepFailed' });
    expect(status?.message).toContain('The old state is live again.');
    expect(status?.oldState).toBeUndefined();
    expect(world.made).toEqual(['stage', 'swap', 'rollback']);
    expect(world.scaled).toEqual([0, 3, 0, 3]);
  });

  it('says what lies where when going back fails too', () => {
    const world = new World({ verify }, { rollback: { fails: 'no space' } });
    world.probes = [false];
    const { status } = world.run()!;
    expect(status).toMatchObject({ phase: 'Failed', reason: 'RollbackFailed' });
    expect(status?.message).toContain('.km-restore/old');
    expect(world.replicas).toBe(3);
  });

  it('gives up a pod that does not start, and starts the workload again', () => {
    const world = new World({}, { stage: { waits: 'exceeded quota' } });
    const { status } = world.run()!;
    expect(status).toMatchObject({ phase: 'Failed', reason: 'StartDeadlineExceeded' });
    expect(status?.message).toMatch(/exceeded quota.*The target was not changed/);
    expect([world.made, world.replicas]).toEqual([['stage'], 3]);
    expect(world.observe().jobs.size).toBe(0);
  });

  it('quotes what a pod waits for only after its first seconds', () => {
    const world = new World({}, { stage: { waits: 'waiting for ephemeral volume controller' } });
    let [created, quoted] = [Number.NaN, Number.NaN];
    world.run((_, step) => {
      if (step.kind === 'createJob') created = world.nowMs;
      const { message } = world.restore?.status ?? {};
      if (Number.isNaN(quoted) && message?.includes('ephemeral volume')) quoted = world.nowMs;
      return true;
    });
    expect(quoted - created).toBeGreaterThanOrEqual(10_000);
    expect(quoted - created).toBeLessThan(30_000);
  });

  it('goes back when the swap was done and its Job is called failed, because its report was lost', () => {
    const world = new World({}, { swap: { fails: 'killed' }, discard: { fails: 'nothing to discard' } });
    const { status } = world.run()!;
    expect(status).toMatchObject({ phase: 'RolledBack', reason: 'ProgramFailed' });
    expect([world.made, world.replicas]).toEqual([['stage', 'swap', 'discard', 'rollback'], 3]);
  });

  it('undoes a swap that was killed in every attempt', () => {
    const world = new World({}, { swap: { fails: 'killed' } });
    const { status } = world.run()!;
    expect(status).toMatchObject({ phase: 'Failed', reason: 'ProgramFailed' });
    expect(status?.message).toContain('The target was not changed.');
    expect([world.made, world.replicas]).toEqual([['stage', 'swap', 'discard'], 3]);
  });

  it('does not claim that nothing was changed when neither undoing nor going back was possible', () => {
    const fails = { fails: 'no' };
    const world = new World({}, { swap: fails, discard: fails, rollback: fails });
    const { status } = world.run()!;
    expect(status).toMatchObject({ phase: 'Failed', reason: 'RollbackFailed' });
    expect(status?.message).not.toContain('was not changed');
    expect(world.replicas).toBe(3);
  });

  it('keeps the restored state when told never to go back', () => {
    const world = new World({ verify, rollback: 'Never' });
    world.probes = [false];
    expect(world.run()?.status).toMatchObject({ phase: 'Failed', reason: 'StepFailed' });
    expect(world.made).toEqual(['stage', 'swap']);
  });

  it('never calls a loss a success', () => {
    const warnings = { count: 1, samples: ['./a: owner 999 could not be set'] };
    const world = new World({}, { stage: { ok: result('stage', { restored, warnings }) } });
    const messages: string[] = [];
    const { status } = world.run((_, step) => {
      if (step.kind === 'writeRestoreStatus') messages.push(step.status.message ?? '');
      return true;
    })!;
    expect(status).toMatchObject({ phase: 'Failed', reason: 'RestoredWithLosses', warnings });
    expect(status?.message).toContain('./a: owner 999 could not be set');
    // Said before the swap too.
    expect(messages.find((message) => message.includes('unpacked'))).toContain('1 warning: ./a: owner 999');
  });

  it('deletes the old state when its time is over', () => {
    const world = new World({ keepOldStateFor: '1h' });
    const until = Date.parse(world.run()!.status!.oldState!.keptUntil!);
    expect(world.decide()).toMatchObject({ steps: [], requeueAtMs: until });
    world.nowMs = until;
    for (let turn = 0; turn < 4; turn++) {
      for (const step of world.decide().steps) world.apply(step);
      world.pass();
    }
    expect(world.made.at(-1)).toBe('commit');
    expect(world.restore?.status).toMatchObject({ phase: 'Succeeded' });
    expect(world.restore?.status?.oldState).toBeUndefined();
  });
});

describe('an elevated restore', () => {
  const elevated = { podTemplate: { elevated: true } };
  const inherited = { claimName: 'state', pod: '', elevated: true };

  it.each<[string, Record<string, unknown>, ObservedRestore['identity'], boolean]>([
    ['asked for', elevated, undefined, true],
    ['as the schedule is', {}, inherited, true],
    ['not, if it says so itself', { podTemplate: { elevated: false } }, inherited, false],
    ['not, if it names a user', { podTemplate: { runAsUser: 7 } }, inherited, false],
    ['not, if nobody says so', {}, { claimName: 'state', pod: 'db', runAsUser: 999 }, false],
  ])('%s: all of its Jobs are', (_, spec, identity, expected) => {
    const world = new World({ ...spec, verify });
    world.identity = identity;
    world.probes = [false];
    expect(world.run()?.status?.phase).toBe('RolledBack');
    expect(world.made).toEqual(['stage', 'swap', 'rollback']);
    for (const pod of world.pods) {
      const [container] = pod!.containers;
      expect(pod!.securityContext?.runAsUser === 0).toBe(expected);
      expect(container!.securityContext?.capabilities).toEqual({
        drop: ['ALL'],
        ...(expected && { add: ['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID', 'SETFCAP'] }),
      });
    }
    expect(world.pods[0]!.containers[0]!.args!.includes('--preserve-setid')).toBe(expected);
  });

  it('is refused where the installation does not list its namespace, with nothing stopped', () => {
    const world = new World(elevated);
    world.elevatedNamespaces = ['other'];
    const { status } = world.run()!;
    expect(status).toMatchObject({ phase: 'Failed', reason: 'ElevatedNotAllowed' });
    expect(status?.message).toContain('elevated.namespaces');
    expect([world.made, world.scaled]).toEqual([[], []]);
  });

  it('makes no further Job once its namespace is no longer listed', () => {
    const world = new World({ ...elevated, verify });
    world.probes = [false];
    const { status } = world.run(() => {
      if (world.made.includes('swap')) world.elevatedNamespaces = [];
      return true;
    })!;
    expect(status).toMatchObject({ phase: 'Failed', reason: 'RollbackFailed' });
    expect(status?.message).toContain('elevated.namespaces');
    expect([world.made, world.replicas]).toEqual([['stage', 'swap'], 3]);
  });
});

describe('restores in a row that stop the same workload', () => {
  const spec = { after: ['first'], quiesce: { workloads: [{ kind: 'Deployment', name: 'app' }] } };
  const app = { kind: 'Deployment', name: 'app', uid: 'uid-app', replicas: 3 } as const;
  const stops = (turn: 'earlier' | 'later', by: string): ObservedRestore['chained'] =>
    new Map([['Deployment/app', { workload: app, by, turn }]]);

  /** The second of two, while the first is under way and keeps the workload at zero. */
  function second(more: Record<string, unknown> = {}): World {
    const world = new World({ ...spec, ...more });
    world.replicas = 0;
    const first = new World({}).restore!;
    world.prerequisites = new Map([['first', { ...first, status: { phase: 'Restoring' } }]]);
    world.chained = stops('earlier', 'first');
    world.take(5);
    return world;
  }

  it('the one that waits writes down what was before the first', () => {
    const world = second();
    expect(world.restore?.status).toMatchObject({ reason: 'WaitingForRestore', stopped: [app] });
    expect([world.replicas, world.made]).toEqual([0, []]);
  });

  it('a dry run that waits takes nothing over', () => {
    const world = second({ dryRun: true });
    expect(world.restore?.status).toMatchObject({ reason: 'WaitingForRestore' });
    expect(world.restore?.status?.stopped).toBeUndefined();
  });

  it('the first leaves it stopped, and the last starts it', () => {
    const first = new World({ quiesce: spec.quiesce });
    first.chained = stops('later', 'second');
    expect(first.run()?.status?.phase).toBe('Succeeded');
    expect([first.scaled, first.replicas]).toEqual([[0], 0]);
    const last = second();
    last.prerequisites = new Map([['first', first.restore]]);
    last.chained = new Map();
    expect(last.run()?.status?.phase).toBe('Succeeded');
    expect([last.scaled, last.replicas]).toEqual([[3], 3]);
  });

  it('the first starts it after all when it fails', () => {
    const first = new World({ quiesce: spec.quiesce }, { stage: { fails: 'corrupt' } });
    first.chained = stops('later', 'second');
    expect(first.run()?.status?.phase).toBe('Failed');
    expect(first.replicas).toBe(3);
  });

  it('one that is deleted while it waits stays until the first has ended, and starts what that left', () => {
    const world = second();
    world.delete();
    world.take(20);
    expect(world.restore?.status?.message).toContain('KmRestore first no longer needs Deployment/app');
    expect(world.replicas).toBe(0);
    world.chained = new Map();
    world.take(20);
    expect(world.restore).toBeUndefined();
    expect(world.replicas).toBe(3);
  });
});

it('goes back when asked to, long after its success', () => {
  const world = new World({});
  world.run();
  const { metadata } = world.restore!;
  world.restore = {
    ...world.restore!,
    metadata: { ...metadata, annotations: { [ANNOTATIONS.oldState]: 'rollback' } },
  };
  for (const step of world.decide().steps) world.apply(step);
  expect(world.run()?.status).toMatchObject({ phase: 'RolledBack', reason: 'RollbackRequested' });
  expect([world.made, world.scaled]).toEqual([
    ['stage', 'swap', 'rollback'],
    [0, 3, 0, 3],
  ]);
});

it('makes a new claim, and takes it away again when the restore fails', () => {
  const target = { newClaim: { name: 'new', size: '1Gi' } };
  const spec = { target, quiesce: undefined };
  const good = new World(spec);
  expect(good.run()?.status?.phase).toBe('Succeeded');
  expect([good.newClaim, good.made]).toEqual(['ours', ['stage']]);
  const bad = new World(spec, { stage: { fails: 'corrupt' } });
  expect(bad.run()?.status?.phase).toBe('Failed');
  expect(bad.newClaim).toBe('missing');
});

const stories: [string, () => World][] = [
  ['that succeeds', () => new World({ verify })],
  ['that fails to stage', () => new World({}, { stage: { fails: 'corrupt' } })],
  [
    'that is rolled back',
    () => {
      const world = new World({ verify });
      world.probes = [false];
      return world;
    },
  ],
];

describe.each(stories)('a restore %s', (_, make) => {
  let writes = 0;
  const expected = make();
  const end = expected.run((number) => {
    writes = number + 1;
    return true;
  })!.status!;

  it('ends the same when the operator dies before any of its writes', () => {
    for (let killed = 0; killed < writes; killed++) {
      const world = make();
      const { status } = world.run((number) => number !== killed)!;
      expect([killed, status?.phase, world.replicas, world.made]).toEqual([
        killed,
        end.phase,
        3,
        expected.made,
      ]);
    }
  });

  it('leaves the workload as it was when it is deleted at any point', () => {
    for (let deleted = 0; deleted < writes; deleted++) {
      const world = make();
      const gone = world.run((number) => {
        if (number === deleted) world.delete();
        return number !== deleted;
      });
      expect([deleted, gone === undefined || isRestoreFinished(gone), world.replicas]).toEqual([
        deleted,
        true,
        3,
      ]);
      if (gone) expect(gone.metadata.finalizers).not.toContain(RESTORE_FINALIZER);
    }
  });
});

describe('a restore from a location', () => {
  const found = {
    archive: 'km-backup-20260301T010000Z.tgz',
    series: 'lost/notes',
    sha256: 'a'.repeat(64),
    manifestSha256: 'b'.repeat(64),
    sizeBytes: 4096,
    startedAt: '2026-03-01T01:00:00Z',
    owner: { uid: 1000, gid: 1001 },
  };
  const source = { location: { name: 'offsite', identitySecretRef: { name: 'restore-key' } } };
  function world(spec: Record<string, unknown> = {}, verdicts: Record<string, Verdict> = {}): World {
    const made = new World({ source, ...spec }, { find: { ok: result('find', { found }) }, ...verdicts });
    made.location = {
      apiVersion: 'km.duskmantle.io/v1alpha1',
      kind: 'KmBackupLocation',
      metadata: { ...made.restore!.metadata, name: 'offsite', uid: 'uid-offsite' },
      spec: KmBackupLocationSpec.parse({
        s3: { bucket: 'backups', prefix: 'a' },
        encryption: { none: true },
      }),
    };
    return made;
  }

  it('finds the copy before anything is stopped, and pins it', () => {
    const one = world({ verify });
    const scaledAt: string[][] = [];
    const { status } = one.run((_, step) => {
      if (step.kind === 'scale') scaledAt.push([...one.made]);
      return true;
    })!;
    expect(status).toMatchObject({
      phase: 'Succeeded',
      resolved: {
        archive: { name: found.archive, manifestSha256: found.manifestSha256, sizeBytes: 4096 },
        archiveTime: found.startedAt,
        location: { name: 'offsite', url: 's3://backups/a' },
        series: 'lost/notes',
      },
      archiveAgeSeconds: expect.any(Number),
    });
    expect(status!.resolved!.archive.claimName).toBeUndefined();
    expect(one.made).toEqual(['find', 'stage', 'swap']);
    expect(scaledAt[0]).toEqual(['find']);
  });

  it('computes a plan after it', () => {
    const one = world({ dryRun: true });
    expect(one.run()?.status).toMatchObject({ phase: 'Planned', plan: { digest: plan.digest } });
    expect([one.made, one.scaled]).toEqual([['find', 'plan'], []]);
    const other = world({ planDigest: 'e'.repeat(64) });
    expect(other.run()?.status).toMatchObject({ phase: 'Failed', reason: 'PlanChanged' });
  });

  const target = { newClaim: { name: 'new', size: '1Gi' } };

  it('takes the user of the archive, and applies the group only to a volume that it makes', () => {
    const own = { runAsUser: 1000, runAsGroup: 1001 };
    expect(world({ target, quiesce: undefined }).run()?.status?.identity).toMatchObject({
      ...own,
      fsGroup: 1001,
    });
    expect(world().run()?.status?.identity).toEqual({ claimName: 'state', pod: '', ...own });
  });

  it.each([
    [0, 0],
    [2 ** 32 - 2, 100],
  ])('takes no user %i, which no pod may have', (uid, gid) => {
    const find = { ok: result('find', { found: { ...found, owner: { uid, gid } } }) };
    expect(world({}, { find }).run()?.status?.identity).toBeUndefined();
  });

  it('refuses a copy that is too old, before anything is unpacked', () => {
    const late = (notBefore: string) => world({ source: { ...source, notBefore } });
    const { status } = late('2026-03-01T01:00:01Z').run()!;
    expect(status).toMatchObject({
      phase: 'Failed',
      reason: 'ArchiveTooOld',
      resolved: { archive: { name: found.archive } },
    });
    expect(late('2026-03-01T01:00:00Z').run()?.status?.phase).toBe('Succeeded');
  });

  it('fails with nothing stopped or made when the copy is not found', () => {
    const one = world({}, { find: { fails: 's3://backups/a has no copy in series x.' } });
    const { status } = one.run()!;
    expect(status).toMatchObject({ phase: 'Failed' });
    expect(status?.message).toContain('has no copy in series x. The target was not changed.');
    expect([one.made, one.scaled]).toEqual([['find'], []]);
    const other = world({ target, quiesce: undefined }, { find: { fails: 'no' } });
    expect([other.run()?.status?.phase, other.newClaim, other.made]).toEqual(['Failed', 'missing', ['find']]);
  });

  it('fails when the location is not there, or goes meanwhile', () => {
    const one = world();
    one.location = undefined;
    expect(one.run()?.status).toMatchObject({ phase: 'Failed', reason: 'LocationNotFound' });
    expect(one.made).toEqual([]);
    const other = world();
    const { status } = other.run((_, step) => {
      if (step.kind === 'writeRestoreStatus' && step.status.resolved) other.location = undefined;
      return true;
    })!;
    expect(status).toMatchObject({ phase: 'Failed', reason: 'LocationNotFound' });
    expect([other.made, other.replicas]).toEqual([['find', 'discard'], 3]);
  });

  it('fails after ten minutes in which its pod did not start, and takes the Job away', () => {
    const one = world({}, { find: { waits: 'secret "restore-key" not found' } });
    const { status } = one.run()!;
    expect(status).toMatchObject({ phase: 'Failed', reason: 'StartDeadlineExceeded' });
    expect(status?.message).toContain('key identity of Secret restore-key');
    expect(status?.message).toContain('secret "restore-key" not found');
    expect([one.made, one.scaled]).toEqual([['find'], []]);
    expect(one.observe().jobs.size).toBe(0);
  });

  it('ends the same wherever the operator is killed', () => {
    const whole: Step['kind'][] = [];
    world({ verify }).run((_, step) => whole.push(step.kind) > 0);
    for (let kill = 0; kill < whole.length; kill++) {
      const one = world({ verify });
      let killed = false;
      const { status } = one.run((write) => {
        if (killed || write !== kill) return true;
        killed = true;
        return false;
      })!;
      expect([kill, status?.phase, one.replicas]).toEqual([kill, 'Succeeded', 3]);
      expect([kill, one.made]).toEqual([kill, ['find', 'stage', 'swap']]);
    }
  });
});
