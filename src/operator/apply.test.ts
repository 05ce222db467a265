import { beforeEach, describe, expect, it } from 'vitest';
import { KubeError } from '../kube/errors.ts';
import { Store } from '../kube/store.ts';
import { createApplier, StepRefusedError } from './apply.ts';
import type { NewJob, Step } from './plan.ts';
import { refusalOfJob } from './refusal.ts';
import type { Resources } from './resources.ts';
import { at, job, schedule, scheduledBackup } from './testing/fixtures.ts';

const backup = scheduledBackup(at('01:00:00'));
const error = (status: number, reason: string) =>
  new KubeError({ status, reason, message: `said ${reason}` });
const newBackup = {
  metadata: { name: backup.metadata.name, namespace: 'team', labels: {} },
  spec: backup.spec,
};
const newJob = { metadata: { name: backup.metadata.name, namespace: 'team' }, spec: {} } as unknown as NewJob;

const STEPS = {
  createBackup: { kind: 'createBackup', backup: newBackup, scheduleUid: 'uid-notes' },
  createJob: { kind: 'createJob', owner: backup, job: newJob },
  deleteJob: { kind: 'deleteJob', target: job(backup).metadata },
  deleteBackup: { kind: 'deleteBackup', target: backup.metadata },
  writeBackupStatus: { kind: 'writeBackupStatus', backup, status: { phase: 'Running' } },
  writeScheduleStatus: { kind: 'writeScheduleStatus', schedule: schedule(), status: { missedSlots: 1 } },
} as const satisfies Record<string, Step>;

let stores: Parameters<typeof createApplier>[0]['stores'];
beforeEach(() => {
  stores = {
    schedules: new Store(),
    backups: new Store(),
    restores: new Store(),
    locations: new Store(),
    jobs: new Store(),
  };
});

/** Applies one step where every write has this outcome. */
function apply(step: Step, outcome: () => unknown, present?: unknown): Promise<void> {
  const write = async () => outcome();
  const kind = { create: write, delete: write, replaceStatus: write, get: async () => present };
  const { apply } = createApplier({
    resources: { schedules: kind, backups: kind, jobs: kind } as unknown as Resources,
    stores,
    clock: { now: () => at('01:00:05'), monotonic: () => 0, after: () => () => {} },
    recordEvent: () => {},
    assertLeading: () => {},
  });
  return apply({ steps: [step] });
}

const caught = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
const failing = (status: number, reason: string) => () => {
  throw error(status, reason);
};

describe('a refusal', () => {
  const answers: [status: number, reason: string, expected: string][] = [
    [400, 'BadRequest', 'JobRefused'],
    [401, 'Unauthorized', 'JobRefused'],
    [403, 'Forbidden', 'JobForbidden'],
    [404, 'NotFound', 'JobRefused'],
    [409, 'Conflict', 'JobRefused'],
    [413, 'RequestEntityTooLarge', 'JobRefused'],
    [422, 'Invalid', 'JobInvalid'],
    [429, 'TooManyRequests', 'JobRefused'],
    [500, 'InternalError', 'JobRefused'],
    [503, 'ServiceUnavailable', 'JobRefused'],
    [504, 'Timeout', 'JobRefused'],
  ];
  it.each(answers)('of a Job may be any answer, %d %s', async (status, reason, expected) => {
    const refused = await caught(apply(STEPS.createJob, failing(status, reason)));
    expect(refused).toBeInstanceOf(StepRefusedError);
    expect((refused as StepRefusedError).step).toBe(STEPS.createJob);
    expect(refusalOfJob(refused as StepRefusedError)).toEqual({
      reason: expected,
      message: `said ${reason}`,
    });
  });

  it('needs an answer: a broken connection is an error', async () => {
    expect(await caught(apply(STEPS.createJob, failing(0, 'Timeout')))).toEqual(error(0, 'Timeout'));
  });

  it.each([
    ['createJob', { metadata: { ...job(backup).metadata, ownerReferences: [] } }, 'NameTaken'],
    ['createBackup', { metadata: { ...backup.metadata, labels: {} } }, undefined],
  ] as const)('is a name that is taken, of %s', async (kind, present, expected) => {
    const refused = await caught(apply(STEPS[kind], failing(409, 'AlreadyExists'), present));
    expect(refused).toBeInstanceOf(StepRefusedError);
    expect((refused as Error).message).toContain('Delete or rename it');
    if (expected) expect(refusalOfJob(refused as StepRefusedError).reason).toBe(expected);
  });

  it.each(['writeBackupStatus', 'writeScheduleStatus', 'deleteJob', 'deleteBackup'] as const)(
    'of %s is just an error',
    async (kind) => {
      for (const [status, reason] of answers) {
        if (kind.startsWith('delete') && status === 404) continue;
        expect(await caught(apply(STEPS[kind], failing(status, reason)))).toEqual(error(status, reason));
      }
    },
  );
});

describe('what was written', () => {
  it('is known at once', async () => {
    await apply(STEPS.createBackup, () => backup);
    expect(stores.backups.list()).toEqual([backup]);
    await apply(STEPS.createJob, () => job(backup));
    expect(stores.jobs.list()).toEqual([job(backup)]);
    const running = {
      ...backup,
      metadata: { ...backup.metadata, resourceVersion: '2' },
      status: { phase: 'Running' as const },
    };
    await apply(STEPS.writeBackupStatus, () => running);
    expect(stores.backups.list()).toEqual([running]);
    await apply(STEPS.deleteJob, () => undefined);
    expect(stores.jobs.list()[0]?.metadata.deletionTimestamp).toBe('2026-03-01T01:00:05Z');
  });

  it.each([
    ['createJob', 'jobs', job(backup)],
    ['createBackup', 'backups', backup],
  ] as const)('by an earlier try of %s is adopted', async (kind, store, present) => {
    await apply(STEPS[kind], failing(409, 'AlreadyExists'), present);
    expect(stores[store].list()).toEqual([present]);
  });

  it('counts as deleted if it was gone already', async () => {
    stores.jobs.put(job(backup));
    await apply(STEPS.deleteJob, failing(404, 'NotFound'));
    expect(stores.jobs.list()[0]?.metadata.deletionTimestamp).toBeDefined();
  });
});
