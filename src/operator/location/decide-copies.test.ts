import { describe, expect, it } from 'vitest';
import type { KmBackupSchedule } from '../../api/backup-schedule.ts';
import type { BackupCopyStatus } from '../../api/copy.ts';
import type { KmBackupLocation } from '../../api/location.ts';
import type { CopyResult } from '../../api/location-result.ts';
import { ANNOTATIONS } from '../../api/names.ts';
import type { FinishedRun } from '../finished-run.ts';
import type { NewJob, Step } from '../plan.ts';
import { at, checkedLocation, location, schedule, scheduledBackup } from '../testing/fixtures.ts';
import { toTime } from '../time.ts';
import type { Job } from '../workloads.ts';
import { dueCopy, nameOfLocation, type ObservedCopies, type StartOfCopy } from './copies.ts';
import { decideCopies, decideCopyRefused } from './decide-copies.ts';
import type { LocationJobState } from './job-state.ts';

const settings = { image: 'km:1', imagePullPolicy: 'IfNotPresent', allowScripts: false } as const;
const MINUTE = 60_000;

const archiveName = (hour: number) => `km-backup-20260301T0${hour}0000Z.tgz`;

function succeeded(hour: number, phase: 'Succeeded' | 'Incomplete' = 'Succeeded'): FinishedRun {
  const endMs = at(`0${hour}:00:07`);
  return scheduledBackup(at(`0${hour}:00:00`), {
    phase,
    completionTime: toTime(endMs),
    archive: { name: archiveName(hour), claimName: 'state', path: 'backups/archives' },
  }) as FinishedRun;
}

const copyResult = (archive: string, more: Partial<CopyResult> = {}): CopyResult => ({
  version: 1,
  command: 'copy',
  outcome: 'Succeeded',
  reason: 'CopyConfirmed',
  message: `Copied ${archive} to s3://backups.`,
  startedAt: '2026-03-01T01:00:00Z',
  finishedAt: '2026-03-01T01:00:09Z',
  archive,
  confirmed: [archive],
  uploadedBytes: 100,
  reusedBytes: 20,
  pruned: { count: 0, failed: 0, names: [] },
  present: { count: 1, bytes: 120 },
  foreign: 0,
  warnings: { count: 0, samples: [] },
  ...more,
});

const START: StartOfCopy = {
  slot: { granted: true },
  placement: { ok: true, placement: { tolerations: [] } },
  source: undefined,
};

/** A cluster in miniature: what a plan writes becomes so. Jobs end when the test says so. */
class World {
  nowMs = at('01:00:10');
  readonly locations = new Map<string, KmBackupLocation>();
  runs: FinishedRun[] = [succeeded(1)];
  restoring: string | undefined;
  start: StartOfCopy | undefined = START;
  schedule: KmBackupSchedule;
  readonly jobs = new Map<string, Job>();
  readonly ended = new Map<string, (job: Job) => LocationJobState<CopyResult>>();
  readonly made: string[] = [];
  readonly events: string[] = [];
  /** Writes from now on until the operator dies, which ends its plan. */
  writesLeft = Number.POSITIVE_INFINITY;

  constructor(...names: string[]) {
    this.schedule = schedule({
      copies: (names.length > 0 ? names : ['offsite']).map((name) => ({ locationRef: { name } })),
    });
    for (const { locationRef } of this.schedule.spec.copies ?? [])
      this.set(location({}, checkedLocation('True', at('00:30:00')), locationRef.name));
  }

  set(one: KmBackupLocation): void {
    this.locations.set(one.metadata.name, one);
  }

  observe(): ObservedCopies {
    const { schedule: of } = this;
    const jobs = [...this.jobs.values()].sort((a, b) => attemptOf(b) - attemptOf(a));
    const currents = new Set<Job>();
    const copies = (of.spec.copies ?? []).map((spec) => {
      const { name } = spec.locationRef;
      const before = of.status?.copies?.find((copy) => copy.location === name);
      const job = jobs.find(
        (one) => nameOfLocation(one) === name && attemptOf(one) === (before?.attempts ?? 0) + 1,
      );
      if (job) currents.add(job);
      const state: LocationJobState<CopyResult> = job
        ? (this.ended.get(job.metadata.name)?.(job) ?? {
            state: 'active',
            job,
            message: '',
            isWaiting: false,
          })
        : before?.job?.uid
          ? { state: 'gone', job: { name: before.job.name, uid: before.job.uid } }
          : { state: 'none' };
      return { spec, before, location: this.locations.get(name), job: state };
    });
    const observed = {
      schedule: of,
      copies,
      archives: this.runs,
      restoring: this.restoring,
      earlier: jobs.filter((job) => !currents.has(job)),
    };
    return { ...observed, start: dueCopy(observed, this.nowMs) && this.start };
  }

  /** Decides and applies once. Whether anything was written. */
  step(): boolean {
    const decision = decideCopies(this.observe(), settings, this.nowMs);
    const before = JSON.stringify([this.schedule.status, this.runs, [...this.jobs.keys()]]);
    const status = {
      ...this.schedule.status,
      copies: [...decision.status],
      ...(decision.condition && {
        conditions: [{ ...decision.condition, lastTransitionTime: toTime(this.nowMs) }],
      }),
    };
    for (const step of [
      ...decision.records,
      { kind: 'writeScheduleStatus' as const, schedule: this.schedule, status },
      ...decision.steps,
    ]) {
      if (this.writesLeft-- <= 0) return true;
      this.apply(step);
    }
    return JSON.stringify([this.schedule.status, this.runs, [...this.jobs.keys()]]) !== before;
  }

  settle(): this {
    for (let rounds = 0; this.step(); rounds++) if (rounds > 50) throw new Error('never settles');
    return this;
  }

  apply(step: Step): void {
    switch (step.kind) {
      case 'writeScheduleStatus':
        this.schedule = { ...this.schedule, status: step.status };
        break;
      case 'writeBackupCopy': {
        const { location: name, copy } = step;
        this.runs = this.runs.map((run) => {
          if (run.metadata.name !== step.backup.metadata.name) return run;
          const others = (run.status?.copies ?? []).filter((one) => one.location !== name);
          return { ...run, status: { ...run.status, copies: copy ? [...others, copy] : others } };
        });
        break;
      }
      case 'createJob':
        this.create(step.job);
        break;
      case 'deleteJob':
        this.jobs.delete(step.target.name);
        break;
      case 'recordEvent':
        this.events.push(step.event.reason);
        break;
      default:
        throw new Error(`not expected: ${step.kind}`);
    }
  }

  create({ metadata }: NewJob): void {
    const { name } = metadata;
    if (this.jobs.has(name)) return;
    this.made.push(name);
    this.jobs.set(name, {
      metadata: {
        ...metadata,
        uid: `uid-${name}`,
        resourceVersion: '1',
        creationTimestamp: toTime(this.nowMs),
      },
    });
  }

  /** The Job that is under way. */
  get job(): Job {
    const [job] = [...this.jobs.values()].filter(({ metadata }) => !this.ended.has(metadata.name));
    if (!job) throw new Error('no Job is under way');
    return job;
  }

  succeed(result: Partial<CopyResult> = {}, archive = archiveName(this.runs.length)): this {
    this.ended.set(this.job.metadata.name, (job) => ({
      state: 'succeeded',
      job,
      result: copyResult(archive, result),
    }));
    return this.settle();
  }

  fail(reason: 'LocationUnavailable' | 'ArchiveCorrupt' = 'LocationUnavailable'): this {
    const message = 's3://backups cannot be reached.';
    this.ended.set(this.job.metadata.name, (job) => ({ state: 'failed', job, reason, message }));
    return this.settle();
  }

  wait(ms: number): this {
    this.nowMs += ms;
    return this.settle();
  }

  copy(index = 0) {
    return this.schedule.status?.copies?.[index];
  }

  /** What the record of a run says of its copies: location and phase. */
  recordOf(index: number): string[] {
    return (this.runs[index]?.status?.copies ?? []).map((copy) => `${copy.location} ${copy.phase}`);
  }
}

const attemptOf = ({ metadata }: Job) => Number(metadata.annotations?.[ANNOTATIONS.attempt]);

describe('a copy', () => {
  it('is made of the newest complete archive, and recorded at the run and the schedule', () => {
    const world = new World().settle();
    expect(world.made).toHaveLength(1);
    expect(world.copy()).toMatchObject({
      phase: 'Copying',
      reason: 'CopyRunning',
      waitingSince: toTime(at('01:00:07')),
    });
    world.succeed();
    expect(world.copy()).toMatchObject({
      location: 'offsite',
      phase: 'Copied',
      reason: 'CopyConfirmed',
      archive: archiveName(1),
      locationId: 'id-1',
      uploadedBytes: 100,
      reusedBytes: 20,
      copied: 1,
      present: { count: 1, bytes: 120 },
    });
    expect(world.copy()).not.toHaveProperty('waitingSince');
    expect(world.recordOf(0)).toEqual(['offsite Copied']);
    expect(world.events).toEqual(['CopySucceeded']);
    expect(world.wait(24 * 60 * MINUTE).made).toHaveLength(1);
  });

  it('of the next run starts at once, and sums up what was stored', () => {
    const world = new World().settle().succeed();
    world.runs.push(succeeded(2));
    world.wait(60 * MINUTE).succeed();
    expect(world.made).toHaveLength(2);
    expect(world.copy()).toMatchObject({
      archive: archiveName(2),
      uploadedBytes: 200,
      copied: 2,
      attempts: 2,
    });
    // The Job of the first copy went when the second was made.
    expect(world.jobs.size).toBe(1);
  });

  it('is never made of an incomplete archive', () => {
    const world = new World();
    world.runs = [succeeded(1, 'Incomplete')];
    world.settle();
    expect(world.made).toEqual([]);
    expect(world.copy()).toMatchObject({ phase: 'Pending', reason: 'NothingToCopy' });
  });

  it('that brings earlier archives along is recorded at their runs, too', () => {
    const world = new World();
    world.runs = [succeeded(1), succeeded(2)];
    world.settle().succeed({ confirmed: [archiveName(2), archiveName(1)] });
    expect([world.recordOf(0), world.recordOf(1)]).toEqual([['offsite Copied'], ['offsite Copied']]);
  });

  it('that retention removed is no longer recorded', () => {
    const world = new World().settle().succeed();
    world.runs.push(succeeded(2));
    world
      .wait(60 * MINUTE)
      .succeed({ pruned: { count: 1, failed: 0, names: [archiveName(1)] }, confirmed: [archiveName(2)] });
    expect([world.recordOf(0), world.recordOf(1)]).toEqual([[], ['offsite Copied']]);
  });

  it('says when another writer copies to the same series, once', () => {
    const world = new World().settle().succeed({ foreign: 3 });
    expect(world.copy()).toMatchObject({ foreign: 3 });
    world.runs.push(succeeded(2));
    world.wait(60 * MINUTE).succeed({ foreign: 3 });
    expect(world.events.filter((event) => event === 'ForeignCopies')).toHaveLength(1);
  });
});

describe('a copy that fails', () => {
  it('is tried again after 1, 2, 4 … minutes, and the run stays a success', () => {
    const world = new World().settle().fail();
    expect(world.copy()).toMatchObject({
      phase: 'Failed',
      reason: 'LocationUnavailable',
      failures: 1,
      failed: 1,
      nextAttemptTime: toTime(world.nowMs + MINUTE),
      waitingSince: toTime(at('01:00:07')),
    });
    expect(world.recordOf(0)).toEqual(['offsite Failed']);
    expect(world.runs[0]?.status?.phase).toBe('Succeeded');
    expect(world.wait(MINUTE - 1).made).toHaveLength(1);
    expect(world.wait(1).made).toHaveLength(2);
    world.fail();
    expect(world.wait(2 * MINUTE - 1).made).toHaveLength(2);
    expect(world.wait(1).made).toHaveLength(3);
    world.succeed();
    expect(world.copy()).toMatchObject({ phase: 'Copied', failures: 0, failed: 2, copied: 1 });
    expect(world.copy()).not.toHaveProperty('nextAttemptTime');
    expect(world.recordOf(0)).toEqual(['offsite Copied']);
    expect(world.events).toEqual(['CopyFailed', 'CopyFailed', 'CopySucceeded']);
  });

  it('never waits for longer than an hour', () => {
    const world = new World().settle();
    for (let count = 0; count < 12; count++) world.fail().wait(60 * MINUTE);
    expect(world.made).toHaveLength(13);
  });

  it('is tried again with the next run, whatever its back-off says', () => {
    const world = new World().settle().fail();
    world.runs.push(succeeded(2));
    expect(world.wait(1000).made).toHaveLength(2);
  });

  it('is tried again as soon as the location is there again', () => {
    const world = new World().settle().fail();
    world.set(location({}, checkedLocation('False', world.nowMs + 1000)));
    world.wait(90 * MINUTE);
    expect(world.made).toHaveLength(1);
    expect(world.copy()).toMatchObject({ phase: 'Failed', reason: 'LocationUnavailable' });
    world.set(location({}, checkedLocation('True', world.nowMs)));
    expect(world.wait(1000).made).toHaveLength(2);
  });

  it('says what to do where its location was exchanged', () => {
    const world = new World().settle();
    const message = 's3://backups is not the location it was: its id is b, not a.';
    world.ended.set(world.job.metadata.name, (job) => ({
      state: 'failed',
      job,
      reason: 'LocationUnsuitable',
      message,
    }));
    world.settle();
    expect(world.copy()?.message).toBe(
      `${message} Correct bucket and prefix of the KmBackupLocation. To accept the location that is there now, set its spec.expectedId.`,
    );
  });

  it('starts no pod that cannot be placed, and backs off all the same', () => {
    const world = new World();
    world.start = { ...START, placement: { ok: false, reason: 'ClaimNotFound', message: 'no claim' } };
    world.settle();
    expect(world.made).toEqual([]);
    expect(world.copy()).toMatchObject({ phase: 'Failed', reason: 'ClaimNotFound', failures: 1 });
  });

  it('is given up when its pod does not start, and its Job is removed', () => {
    const world = new World().settle();
    const message = 'no node';
    world.ended.set(world.job.metadata.name, (job) => ({ state: 'active', job, message, isWaiting: true }));
    expect(world.wait(599_000).copy()).toMatchObject({ phase: 'Copying', reason: 'CopyStarting' });
    world.wait(1_000);
    expect(world.copy()).toMatchObject({ phase: 'Failed', reason: 'StartDeadlineExceeded' });
    expect(world.jobs.size).toBe(0);
  });

  it('was deleted by hand', () => {
    const world = new World().settle();
    world.jobs.clear();
    world.settle();
    expect(world.copy()).toMatchObject({ phase: 'Failed', reason: 'JobDeleted' });
  });

  it('was refused by the API server', () => {
    const world = new World();
    const plan = decideCopyRefused(
      world.observe(),
      { reason: 'JobForbidden', message: 'exceeded quota' },
      'offsite',
      world.nowMs,
    );
    for (const step of plan.steps) world.apply(step);
    expect(world.copy()).toMatchObject({ phase: 'Failed', reason: 'JobForbidden', failures: 1 });
    expect(world.wait(1000).made).toEqual([]);
    expect(world.wait(MINUTE).made).toHaveLength(1);
  });
});

describe('a location', () => {
  it.each<[string, KmBackupLocation | undefined, object]>([
    ['does not exist', undefined, { phase: 'Failed', reason: 'NoSuchLocation' }],
    ['was never checked', location(), { phase: 'Pending', reason: 'LocationNotChecked' }],
    [
      'was never there',
      location({}, { ...checkedLocation('False', at('00:00:00')), locationId: undefined as never }),
      { phase: 'Failed', reason: 'LocationUnavailable' },
    ],
  ])('that %s gets no Job', (_, one, expected) => {
    const world = new World();
    world.locations.clear();
    if (one) world.set(one);
    world.settle();
    expect(world.made).toEqual([]);
    expect(world.copy()).toMatchObject({ ...expected, waitingSince: toTime(at('01:00:07')) });
  });

  it('that was accepted at the address of another gets everything anew', () => {
    const world = new World().settle().succeed();
    world.set(location({}, { ...checkedLocation('True', world.nowMs), locationId: 'id-2' }));
    expect(world.wait(1000).made).toHaveLength(2);
    expect(world.job.metadata.annotations?.[ANNOTATIONS.locationId]).toBe('id-2');
  });

  it('that the schedule no longer names leaves no Job and no status', () => {
    const world = new World().settle();
    world.schedule = { ...world.schedule, spec: { ...world.schedule.spec, copies: [] } };
    world.settle();
    expect(world.jobs.size).toBe(0);
    expect(world.schedule.status?.copies).toEqual([]);
  });

  it('is copied to after the other, one at a time; the one that fails goes last', () => {
    const world = new World('a', 'b').settle();
    expect(world.made).toHaveLength(1);
    expect(world.copy(1)).toMatchObject({ phase: 'Pending', reason: 'WaitingForCopy' });
    world.fail();
    expect(world.made).toHaveLength(2);
    expect(nameOfLocation(world.job)).toBe('b');
    world.succeed();
    expect([world.copy(0)?.phase, world.copy(1)?.phase]).toEqual(['Failed', 'Copied']);
    expect(world.recordOf(0).sort()).toEqual(['a Failed', 'b Copied']);
    expect(world.schedule.status?.conditions).toMatchObject([
      { type: 'Copied', status: 'False', reason: 'LocationUnavailable' },
    ]);
  });
});

it('waits for room, and for a restore of the claim, which ends a copy under way', () => {
  const world = new World();
  world.start = { slot: { granted: false, message: 'full' }, placement: undefined, source: undefined };
  expect(world.settle().copy()).toMatchObject({ phase: 'Pending', reason: 'WaitingForCapacity' });
  world.start = START;
  expect(world.settle().made).toHaveLength(1);
  world.restoring = 'back';
  world.settle();
  expect(world.jobs.size).toBe(0);
  expect(world.copy()).toMatchObject({ phase: 'Pending', reason: 'WaitingForRestore' });
  expect(world.copy()?.failures).toBeUndefined();
  world.restoring = undefined;
  expect(world.settle().made).toHaveLength(2);
});

it('comes to the same end if the operator dies at any of its writes', () => {
  const story = (dieAt: number) => {
    const world = new World('a', 'b');
    let deaths = 0;
    const settle = () => {
      for (let rounds = 0; world.step(); rounds++) {
        if (world.writesLeft < 0) {
          deaths++;
          world.writesLeft = Number.POSITIVE_INFINITY;
        }
        if (rounds > 100) throw new Error('never settles');
      }
    };
    world.writesLeft = dieAt;
    const end = (state: (job: Job) => LocationJobState<CopyResult>) => {
      settle();
      world.ended.set(world.job.metadata.name, state);
      settle();
    };
    const good = (job: Job): LocationJobState<CopyResult> => ({
      state: 'succeeded',
      job,
      result: copyResult(archiveName(1)),
    });
    end((job) => ({ state: 'failed', job, reason: 'LocationUnavailable', message: 'away' }));
    end(good);
    world.nowMs += MINUTE;
    end(good);
    return { world, deaths };
  };
  const { world: expected } = story(Number.POSITIVE_INFINITY);
  const summary = (world: World) => ({
    copies: world.schedule.status?.copies?.map(({ message: _, ...copy }) => copy),
    made: world.made,
    records: [world.recordOf(0).sort()],
  });
  for (let dieAt = 0; ; dieAt++) {
    const { world, deaths } = story(dieAt);
    expect(summary(world), `died at write ${dieAt}`).toEqual(summary(expected));
    if (deaths === 0) {
      expect(dieAt).toBeGreaterThan(10);
      return;
    }
  }
});

it('records say what the schedule proves, not more', () => {
  const record: BackupCopyStatus[] = [{ location: 'offsite', phase: 'Copied', reason: 'CopyConfirmed' }];
  const world = new World().settle().succeed();
  world.runs = [{ ...world.runs[0]!, status: { ...world.runs[0]!.status!, copies: [] } }];
  // A record that lost its copies gets them back.
  expect(world.settle().runs[0]?.status?.copies).toMatchObject(record);
});
