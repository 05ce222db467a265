import { describe, expect, it } from 'vitest';
import type { KmBackupSchedule } from '../../src/api/backup-schedule.ts';
import { KmBackupLocationSpec } from '../../src/api/location.ts';
import { API_VERSION, LABELS } from '../../src/api/names.ts';
import type { KmRestore } from '../../src/api/restore.ts';
import type { RestoreResult } from '../../src/api/restore-result.ts';
import { type Kill, runKills, startToKill } from '../support/kills.ts';
import { eventually } from '../support/kubectl.ts';
import { ShiftedClock } from '../support/operator-in-process.ts';
import { inScene, type OperatorScene } from '../support/operator-scene.ts';
import { FOUND, restoreReport } from '../support/restore-scene.ts';
import { cleanResult } from '../support/stub-kubelet.ts';

const HOUR_MS = 3_600_000;
const scratch = { size: '1Gi' };

/** A run whose archive is dated `hours` ago. */
async function backedUp(scene: OperatorScene, hours = 0): Promise<string> {
  const { status } = await scene.finished(await scene.runNow('notes', `${hours}h-ago-${Date.now()}`));
  return status!.archive!.name;
}

/** Pods of backups end at once with a good report, those of drills too unless they never start. */
const kubelet = (scene: OperatorScene, drill: Partial<RestoreResult> | 'never start' = {}, script?: string) =>
  scene.kubelet(({ metadata: { labels } }) => {
    const component = labels?.[LABELS.component] ?? '';
    if (component !== 'backup')
      return drill === 'never start'
        ? undefined
        : { ...restoreReport(component, drill), ...(script !== undefined && { script }) };
    const hours = Number.parseInt(labels?.[LABELS.backup] ?? '', 10);
    const time = new Date(Date.now() - hours * HOUR_MS).toISOString().slice(0, 19);
    return { exitCode: 0, result: cleanResult(`km-backup-${time.replace(/[-:]/g, '')}Z.tgz`) };
  });

const drills = (scene: OperatorScene): Promise<KmRestore[]> =>
  scene.all.restores.list(scene.namespace).then(({ items }) => items);

const recoverable = ({ status }: KmBackupSchedule) =>
  status?.conditions?.find(({ type }) => type === 'Recoverable');

/** The schedule once its status has the end of a drill. */
const drilled = (scene: OperatorScene, ended: (schedule: KmBackupSchedule) => boolean = () => true) =>
  scene.scheduleUntil(
    'notes',
    (schedule) =>
      schedule.status?.lastDrillTime !== undefined &&
      schedule.status.drill?.active === undefined &&
      ended(schedule),
  );

/** Waits until the schedule counts archives from now on. */
const settled = (scene: OperatorScene) =>
  scene.scheduleUntil('notes', ({ status }) => status?.drill?.settledArchives !== undefined);

/** Resolves once the drill says that the API server refuses its Job. */
const refusedWith = (scene: OperatorScene, words: string) =>
  eventually(
    () => drills(scene),
    ([drill]) => drill?.status?.conditions?.some(({ message }) => message.includes(words)) === true,
    (last) => `the drill to say ${words}: ${JSON.stringify(last?.[0]?.status)}`,
  );

/** No Job, pod or claim of a drill is left, and nothing holds its KmRestore. */
async function nothingLeft(scene: OperatorScene): Promise<void> {
  await eventually(
    async () => {
      const { items: claims } = await scene.all.claims.list(scene.namespace);
      const [jobs, pods, restores] = await Promise.all([scene.jobs(), scene.pods(), drills(scene)]);
      return [
        ...claims.map(({ metadata }) => metadata.name).filter((name) => name !== 'state'),
        ...[...jobs, ...pods]
          .filter(({ metadata }) => metadata.labels?.[LABELS.restoreUid] !== undefined)
          .map(({ metadata }) => metadata.name),
        ...restores.flatMap(({ metadata }) => metadata.finalizers ?? []),
      ];
    },
    (left) => left.length === 0,
    (left) => `nothing to be left of the drill: ${left?.join(', ')}`,
  );
}

describe('a drill against a real API server', () => {
  it(
    'restores the newest archive into scratch space, and leaves its record only',
    inScene(async (scene) => {
      await kubelet(scene);
      await scene.schedule('notes', { drill: { every: 2, scratch, checks: { sqlite: ['*.db'] } } });
      await scene.operator();
      await settled(scene);
      await backedUp(scene, 1);
      await scene.scheduleUntil('notes', ({ status }) => status?.runs?.succeeded === 1);
      expect(await drills(scene)).toEqual([]);
      const archive = await backedUp(scene);
      const schedule = await drilled(scene);
      const [drill, ...others] = await drills(scene);
      expect(others).toEqual([]);
      expect(drill).toMatchObject({
        metadata: { ownerReferences: [{ kind: 'KmBackupSchedule', name: 'notes', controller: true }] },
        spec: { target: { scratch }, checks: { sqlite: ['*.db'] } },
        status: { phase: 'Succeeded', resolved: { archive: { name: archive } } },
      });
      expect(schedule.status).toMatchObject({
        lastDrillResult: 'Succeeded',
        lastSuccessfulDrillTime: schedule.status?.lastDrillTime,
        drill: { settledArchives: 2, last: { name: drill?.metadata.name, archive } },
      });
      expect(schedule.status?.drill?.last?.recoverySeconds).toBeGreaterThanOrEqual(0);
      expect(recoverable(schedule)).toMatchObject({ status: 'True', reason: 'DrillSucceeded' });
      await nothingLeft(scene);
    }),
  );

  it(
    'draws from a location, and finds copies that have stopped',
    inScene(async (scene) => {
      await scene.all.locations.create(scene.namespace, {
        apiVersion: API_VERSION,
        kind: 'KmBackupLocation',
        metadata: { name: 'offsite' },
        spec: KmBackupLocationSpec.parse({ s3: { bucket: 'backups' }, encryption: { none: true } }),
      });
      let startedAt = new Date().toISOString();
      await scene.kubelet(({ metadata: { labels } }) => {
        const component = labels?.[LABELS.component] ?? '';
        if (component !== 'backup') return restoreReport(component, { found: { ...FOUND, startedAt } });
        const time = new Date().toISOString().slice(0, 19);
        return { exitCode: 0, result: cleanResult(`km-backup-${time.replace(/[-:]/g, '')}Z.tgz`) };
      });
      const from = { locationRef: { name: 'offsite' }, identitySecretRef: { name: 'restore-key' } };
      const clock = new ShiftedClock();
      await scene.schedule('notes', {
        // Pods are created by the API server's clock, hours behind.
        drill: { cron: '0 * * * *', from, scratch, maxArchiveAge: '2h', startDeadlineSeconds: 86_400 },
      });
      const operator = await scene.operator({ clock });
      await backedUp(scene);
      await scene.scheduleUntil(
        'notes',
        ({ status }) => status?.drill?.settledUntil !== undefined && status.runs?.succeeded === 1,
      );
      clock.offsetMs = HOUR_MS;
      operator.resync();
      const good = await drilled(scene);
      expect(good.status).toMatchObject({
        lastDrillResult: 'Succeeded',
        drill: { last: { archive: FOUND.archive } },
      });
      expect((await drills(scene))[0]?.status?.resolved?.location?.name).toBe('offsite');
      await nothingLeft(scene);
      startedAt = new Date(Date.now() - 2 * HOUR_MS).toISOString();
      clock.offsetMs = 2 * HOUR_MS;
      operator.resync();
      const bad = await drilled(scene, ({ status }) => status?.lastDrillResult === 'Failed');
      expect(bad.status?.drill?.last).toMatchObject({ reason: 'ArchiveTooOld', archive: FOUND.archive });
      await nothingLeft(scene);
    }),
  );

  it(
    'runs at the time of its cron, keeps the last few, and goes with its schedule',
    inScene(async (scene) => {
      await kubelet(scene);
      const clock = new ShiftedClock();
      await scene.schedule('notes', { drill: { cron: '0 * * * *', scratch, historyLimit: 2 } });
      const operator = await scene.operator({ clock });
      await backedUp(scene);
      await scene.scheduleUntil(
        'notes',
        ({ status }) => status?.drill?.settledUntil !== undefined && status.runs?.succeeded === 1,
      );
      for (let hour = 1; hour <= 3; hour++) {
        clock.offsetMs = hour * HOUR_MS;
        operator.resync();
        await drilled(
          scene,
          ({ status }) => Date.parse(status!.lastDrillTime!) > Date.now() + (hour - 0.5) * HOUR_MS,
        );
      }
      await eventually(
        () => drills(scene),
        (left) => left.length === 2,
        (left) => `two drills to be left, not ${left?.length}`,
      );
      await scene.all.schedules.delete(scene.namespace, 'notes');
      await eventually(
        () => drills(scene),
        (left) => left.length === 0,
        () => 'its drills to go',
      );
    }),
  );

  it(
    'fails with an archive that is older than it may be, before it makes a Job',
    inScene(async (scene) => {
      await kubelet(scene);
      await scene.schedule('notes', { drill: { every: 1, maxArchiveAge: '2h', scratch } });
      await scene.operator();
      await settled(scene);
      const archive = await backedUp(scene, 3);
      const schedule = await drilled(scene);
      expect(schedule.status).toMatchObject({
        lastDrillResult: 'Failed',
        drill: { last: { reason: 'ArchiveTooOld', archive, archiveAgeSeconds: expect.any(Number) } },
      });
      expect(schedule.status?.drill?.last?.archiveAgeSeconds).toBeGreaterThan(3 * 3600 - 60);
      expect(recoverable(schedule)).toMatchObject({ status: 'False', reason: 'DrillFailed' });
      expect(recoverable(schedule)?.message).toContain(archive);
      expect(scene.jobsEverMade).toHaveLength(1);
      await nothingLeft(scene);
    }),
  );

  it(
    'fails when a check of the content does',
    inScene(async (scene) => {
      const checks = [{ check: 'sqlite' as const, files: 1, failed: 1, samples: ['app.db: malformed'] }];
      await kubelet(scene, { checks });
      await scene.schedule('notes', { drill: { every: 1, scratch, checks: { sqlite: ['*.db'] } } });
      await scene.operator();
      await settled(scene);
      await backedUp(scene);
      const schedule = await drilled(scene);
      expect(schedule.status?.drill?.last).toMatchObject({ reason: 'ContentCheckFailed' });
      expect(recoverable(schedule)?.message).toContain('app.db: malformed');
      await nothingLeft(scene);
    }),
  );

  it.each([
    ['all is well', undefined, { lastDrillResult: 'Succeeded' }],
    [
      'the orders are gone',
      'no orders since Friday',
      { lastDrillResult: 'Failed', drill: { last: { reason: 'ScratchScriptFailed' } } },
    ],
  ])(
    'asks a script whether all is well: %s',
    inScene(async (scene, _name, words, expected) => {
      await kubelet(scene, {}, words);
      const script = { configMapKeyRef: { name: 'proofs', key: 'check' } };
      await scene.schedule('notes', { drill: { every: 1, scratch: { ...scratch, script } } });
      await scene.operator({ allowScripts: true });
      await settled(scene);
      await backedUp(scene);
      const schedule = await drilled(scene);
      expect(schedule.status).toMatchObject(expected);
      if (words !== undefined) expect(recoverable(schedule)?.message).toContain(words);
      await nothingLeft(scene);
    }),
  );

  it(
    'runs no script where that is not allowed',
    inScene(async (scene) => {
      await kubelet(scene);
      const script = { configMapKeyRef: { name: 'proofs', key: 'check' } };
      await scene.schedule('notes', { drill: { every: 1, scratch: { ...scratch, script } } });
      await scene.operator();
      await settled(scene);
      await backedUp(scene);
      expect((await drilled(scene)).status?.drill?.last).toMatchObject({ reason: 'ScriptsNotAllowed' });
      expect(scene.jobsEverMade).toHaveLength(1);
    }),
  );

  it(
    'fails when the files do not fit into the scratch space',
    inScene(async (scene) => {
      const report = { outcome: 'Failed', reason: 'NoSpace', message: '12 MiB needed, 8 MiB free.' } as const;
      await kubelet(scene, report);
      await scene.schedule('notes', { drill: { every: 1, scratch } });
      await scene.operator();
      await settled(scene);
      await backedUp(scene);
      const schedule = await drilled(scene);
      expect(schedule.status?.drill?.last).toMatchObject({ reason: 'NoSpace', message: report.message });
      await nothingLeft(scene);
    }),
  );

  it(
    'is not made while the schedule is suspended',
    inScene(async (scene) => {
      await kubelet(scene);
      await scene.schedule('notes', { suspend: true, drill: { every: 1, scratch } });
      await scene.operator();
      await settled(scene);
      await backedUp(scene);
      await scene.scheduleUntil('notes', ({ status }) => status?.runs?.succeeded === 1);
      await scene.all.schedules.mergePatch(scene.namespace, 'notes', { spec: { suspend: false } });
      await scene.scheduleUntil('notes', ({ status }) => status?.drill?.cadence === 'every 1 archives');
      await backedUp(scene);
      await drilled(scene);
      expect(await drills(scene)).toHaveLength(1);
    }),
  );

  it(
    'says in the schedule that a quota refuses it, and runs once it is allowed',
    inScene(async (scene) => {
      await kubelet(scene);
      const quota = await scene.forbid('count/kmrestores.km.duskmantle.io');
      await scene.schedule('notes', { drill: { every: 1, scratch } });
      const operator = await scene.operator();
      await settled(scene);
      await backedUp(scene);
      const refused = await scene.scheduleUntil(
        'notes',
        (schedule) => recoverable(schedule)?.message.includes('quota: none') === true,
      );
      expect(recoverable(refused)).toMatchObject({ status: 'False', reason: 'DrillRefused' });
      expect(refused.status?.conditions?.find(({ type }) => type === 'Ready')?.status).toBe('True');
      await quota.lift();
      operator.resync();
      expect((await drilled(scene)).status?.lastDrillResult).toBe('Succeeded');
    }),
  );

  const hindrances: [string, [what: string, beyond: string] | undefined, reason: string, words: string][] = [
    ['a quota of Jobs', ['count/jobs.batch', '1'], 'JobForbidden', 'exceeded quota'],
    ['a quota of pods', ['count/pods', '1'], 'StartDeadlineExceeded', 'exceeded quota'],
    ['a quota of storage', ['requests.storage', '1Gi'], 'VolumeNotMade', 'exceeded quota'],
    ['a StorageClass that does not exist', undefined, 'VolumeNotMade', '"missing" not found'],
  ];
  it.each(hindrances)(
    'fails because of %s, and leaves nothing behind',
    inScene(async (scene, _name, quota, reason, words) => {
      const clock = new ShiftedClock();
      await kubelet(scene, 'never start');
      // What the claim and the backup use is within the quota.
      if (quota) await scene.forbid(...quota);
      const target = { ...scratch, ...(!quota && { storageClassName: 'missing' }) };
      await scene.schedule('notes', { drill: { every: 1, scratch: target, startDeadlineSeconds: 600 } });
      const operator = await scene.operator({ clock });
      await settled(scene);
      await backedUp(scene);
      if (reason === 'JobForbidden') await refusedWith(scene, words);
      else await scene.warned(words);
      clock.offsetMs = 600_000;
      operator.resync();
      const schedule = await drilled(scene);
      expect(schedule.status).toMatchObject({ lastDrillResult: 'Failed', drill: { last: { reason } } });
      expect(recoverable(schedule)?.message).toContain(words);
      await nothingLeft(scene);
    }),
  );
});

const story = async (scene: OperatorScene): Promise<KmBackupSchedule> => {
  const schedule = await drilled(scene);
  expect(schedule.status).toMatchObject({ lastDrillResult: 'Succeeded', runs: { succeeded: 1 } });
  expect(await drills(scene)).toHaveLength(1);
  await nothingLeft(scene);
  // The backup and the drill.
  expect(scene.jobsEverMade).toHaveLength(2);
  return schedule;
};

it(
  'two operators at once make one drill',
  inScene(async (scene) => {
    await kubelet(scene);
    await scene.schedule('notes', { drill: { every: 1, scratch } });
    await scene.operator();
    await scene.operator();
    await settled(scene);
    await backedUp(scene);
    await story(scene);
  }),
);

describe('an operator that is killed during a drill', () => {
  /** One drill, with one kill of the operator; gives how many writes there were. */
  const run = inScene(async (scene, kill: Kill | undefined): Promise<number> => {
    const { proxy, file } = await scene.proxied();
    await kubelet(scene);
    await scene.schedule('notes', { drill: { every: 1, scratch } });
    let begun = false;
    const counts = (path: string) => {
      // From the creation of the drill on.
      begun ||= path.includes('/kmrestores');
      return begun && !path.includes('/events');
    };
    const operator = startToKill(proxy, () => scene.spawnOperator({ kubeconfig: file }), kill, counts);
    await settled(scene);
    await backedUp(scene);
    const done = story(scene);
    await operator.startedAgain(done);
    await done;
    return operator.writes.length;
  });

  it('makes one drill with one Job and one result, whichever write it was', async () => {
    const writes = await run(undefined);
    expect(writes).toBeGreaterThan(8);
    expect(await runKills({ writes, parallel: 6 }, run)).toEqual([]);
  }, 900_000);
});
