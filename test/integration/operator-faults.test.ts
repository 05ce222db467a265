import { describe, expect, it } from 'vitest';
import type { KmBackupStatus } from '../../src/api/backup.ts';
import type { KmBackupSchedule } from '../../src/api/backup-schedule.ts';
import { isFinished } from '../../src/api/finished.ts';
import type { RunResult } from '../../src/api/run-result.ts';
import type { ListOptions } from '../../src/kube/resources.ts';
import { eventually } from '../support/kubectl.ts';
import { ShiftedClock } from '../support/operator-in-process.ts';
import { inScene } from '../support/operator-scene.ts';
import { cleanResult, type StubReport } from '../support/stub-kubelet.ts';

const MINUTE_MS = 60_000;

const without = (outcome: RunResult['outcome'], reason: string): RunResult => {
  const { archive: _, ...rest } = cleanResult('none');
  return { ...rest, outcome, reason, message: `said ${reason}` };
};

/** The status of a pod whose only container is in this state. */
const container = (state: object) => [
  { name: 'km-backup', image: 'x', imageID: '', ready: false, restartCount: 0, state },
];

describe.concurrent('what a run ends as, told by the real Job controller', () => {
  const cases: [name: string, report: StubReport, expected: Partial<KmBackupStatus>][] = [
    [
      'a verified archive',
      { exitCode: 0, result: cleanResult('km-backup-1.tgz') },
      { phase: 'Succeeded', reason: 'ArchiveVerified' },
    ],
    ['success without a result', { exitCode: 0 }, { phase: 'Failed', reason: 'NoArchiveReported' }],
    [
      'an incomplete archive, not tried again',
      {
        exitCode: 3,
        result: { ...cleanResult('km-backup-1.tgz'), outcome: 'Incomplete', reason: 'FilesNotCaptured' },
      },
      { phase: 'Incomplete', reason: 'FilesNotCaptured' },
    ],
    [
      'a locked destination, not tried again',
      { exitCode: 4, result: without('Skipped', 'Locked') },
      { phase: 'Skipped', reason: 'Locked' },
    ],
    [
      'bad configuration, not tried again',
      { exitCode: 2, result: without('Failed', 'BadConfiguration') },
      { phase: 'Failed', reason: 'BadConfiguration' },
    ],
  ];
  it.each(cases)(
    '%s',
    inScene(async (scene, _name, report, expected) => {
      await scene.kubelet(() => report);
      await scene.operator();
      await scene.schedule('notes');
      const backup = await scene.finished(await scene.runNow('notes'));
      expect(backup.status).toMatchObject(expected);
      expect(await scene.pods()).toHaveLength(1);
      await scene.scheduleUntil(
        'notes',
        ({ status }) => Object.values(status?.runs ?? {}).reduce((sum, count) => sum + count, 0) === 1,
      );
    }),
  );
});

describe.concurrent('interference', () => {
  it(
    'records a Job deleted by hand as failed, and does not make it again',
    inScene(async (scene) => {
      await scene.operator();
      await scene.schedule('notes');
      const name = await scene.runNow('notes');
      const { status } = await scene.backupUntil(name, (status) => status.job?.uid !== undefined);
      await scene.all.jobs.delete(scene.namespace, status!.job!.name, { propagationPolicy: 'Background' });
      const backup = await scene.finished(name);
      expect(backup.status).toMatchObject({ phase: 'Failed', reason: 'JobDeleted' });
      expect(await scene.jobs()).toHaveLength(0);
    }),
  );

  it(
    'records a Job deleted within moments of its making, and does not make it again',
    inScene(async (scene) => {
      const found = Promise.withResolvers<void>();
      await scene.follow(scene.all.jobs, ({ type, object: { metadata } }) => {
        if (type !== 'added') return;
        scene.all.jobs
          .delete(scene.namespace, metadata.name, { propagationPolicy: 'Background' })
          .then(found.resolve, found.reject);
      });
      const { proxy, file } = await scene.proxied();
      // Were the Job written down before, this would be the case of the test above.
      proxy.onWrite(async ({ method, path, phase }) => {
        if (method === 'PUT' && phase === 'before' && path.includes('/kmbackups/')) await found.promise;
      });
      await scene.operator({ kubeconfig: file });
      await scene.schedule('notes');
      const name = await scene.runNow('notes');
      await found.promise;
      const { status } = await scene.finished(name);
      expect(status).toMatchObject({
        phase: 'Failed',
        reason: 'JobDeleted',
        job: { uid: scene.jobsEverMade[0] },
      });
      expect(scene.jobsEverMade).toHaveLength(1);
    }),
  );

  it(
    'asks the API server how a run ended when the watch of its pods fell silent',
    inScene(async (scene) => {
      const { proxy, file } = await scene.proxied();
      await scene.operator({ kubeconfig: file });
      await eventually(
        async () => proxy.freezeAll({ watch: true, path: /\/pods/ }),
        (frozen) => frozen === 1,
        () => 'the watch of pods',
      );
      await scene.kubelet();
      await scene.schedule('notes');
      expect((await scene.finished(await scene.runNow('notes'))).status).toMatchObject({
        phase: 'Succeeded',
        reason: 'ArchiveVerified',
      });
    }),
  );

  it(
    'survives a pod deleted by hand: the Job makes another',
    inScene(async (scene) => {
      await scene.operator();
      await scene.schedule('notes');
      const name = await scene.runNow('notes');
      const pod = await scene.pod();
      await scene.client.request({
        method: 'DELETE',
        path: `/api/v1/namespaces/${scene.namespace}/pods/${pod.metadata.name}`,
        query: { gracePeriodSeconds: 0 },
      });
      await scene.anotherPod(pod);
      await scene.kubelet();
      expect((await scene.finished(name)).status?.phase).toBe('Succeeded');
    }),
  );

  it(
    'survives an eviction without counting it as a failure',
    inScene(async (scene) => {
      await scene.operator();
      await scene.schedule('notes', { backoffLimit: 0 });
      const name = await scene.runNow('notes');
      const evicted = await scene.pod();
      await scene.podStatus(evicted.metadata.name, {
        phase: 'Failed',
        reason: 'Evicted',
        message: 'The node was low on resource: memory.',
        conditions: [{ type: 'DisruptionTarget', status: 'True', reason: 'TerminationByKubelet' }],
      });
      await scene.anotherPod(evicted);
      await scene.kubelet();
      expect((await scene.finished(name)).status?.phase).toBe('Succeeded');
    }),
  );

  it(
    'names what killed the last pod when no try is left',
    inScene(async (scene) => {
      await scene.operator();
      await scene.schedule('notes', { backoffLimit: 0 });
      const name = await scene.runNow('notes');
      const pod = await scene.pod();
      const at = new Date().toISOString();
      const terminated = { exitCode: 137, reason: 'OOMKilled', startedAt: at, finishedAt: at };
      await scene.podStatus(pod.metadata.name, {
        phase: 'Failed',
        containerStatuses: container({ terminated }),
      });
      const backup = await scene.finished(name);
      expect(backup.status).toMatchObject({ phase: 'Failed', reason: 'OutOfMemory' });
      expect(backup.status?.message).toContain('limits.memory');
    }),
  );

  it(
    'lets a run end whose schedule was deleted, and keeps its record',
    inScene(async (scene) => {
      await scene.operator();
      await scene.schedule('notes');
      const name = await scene.runNow('notes');
      await scene.backupUntil(name, (status) => status.job?.uid !== undefined);
      await scene.all.schedules.delete(scene.namespace, 'notes');
      await scene.kubelet();
      expect((await scene.finished(name)).status).toMatchObject({
        phase: 'Succeeded',
        archive: { claimName: 'state' },
      });
    }),
  );

  it(
    'does not adopt a Job that is not its own',
    inScene(async (scene) => {
      await scene.schedule('notes');
      const name = await scene.runNow('notes');
      await scene.all.jobs.create(scene.namespace, {
        apiVersion: 'batch/v1',
        kind: 'Job',
        metadata: { name },
        spec: {
          suspend: true,
          template: { spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'x' }] } },
        },
      });
      await scene.operator();
      const backup = await scene.backupUntil(name, ({ reason }) => reason === 'NameTaken');
      expect(backup.status?.message).toContain(name);
    }),
  );

  it(
    'says why a quota refuses the Job, and runs once it allows it',
    inScene(async (scene) => {
      await scene.kubelet();
      const quota = await scene.forbid('count/jobs.batch');
      await scene.operator();
      await scene.schedule('notes');
      const name = await scene.runNow('notes');
      const refused = await scene.backupUntil(
        name,
        ({ message }) => message?.includes('exceeded quota') === true,
      );
      expect(refused.status).toMatchObject({ phase: 'Pending', reason: 'JobForbidden' });
      await quota.lift();
      expect((await scene.finished(name)).status?.phase).toBe('Succeeded');
    }),
  );

  it.each([400, 409, 413, 500, 503])(
    'writes into the run that the creation of its Job was answered with %d, and lets others go first',
    inScene(async (scene, status) => {
      const { proxy, file } = await scene.proxied();
      const clock = new ShiftedClock();
      const refused = { kind: 'answer', status, reason: 'Refused' } as const;
      const rule = proxy.add({ match: { method: 'POST', path: /\/jobs$/ }, fault: refused });
      const operator = await scene.operator({
        kubeconfig: file,
        clock,
        limits: { total: 1, perNamespace: 1 },
      });
      for (const name of ['first', 'second']) await scene.schedule(name, { startDeadlineSeconds: 300 });
      const first = await scene.runNow('first');
      await scene.backupUntil(first, ({ message }) => message?.includes(`${status}`) === true);
      const second = await scene.runNow('second');
      for (const name of [first, second])
        await scene.backupUntil(name, ({ phase, reason }) => phase === 'Pending' && reason === 'JobRefused');
      clock.offsetMs = 301_000;
      operator.resync();
      expect((await scene.finished(second)).status).toMatchObject({ phase: 'Failed', reason: 'JobRefused' });
      rule.remove();
    }),
  );

  it(
    'takes a status that cannot be written for no more than that: the run goes on',
    inScene(async (scene) => {
      const { proxy, file } = await scene.proxied();
      const refused = proxy.add({
        match: { method: 'PUT', path: /\/kmbackups\/.*\/status/ },
        fault: { kind: 'answer', status: 403, reason: 'Forbidden' },
        times: 3,
      });
      await scene.operator({ kubeconfig: file });
      await scene.schedule('notes');
      const name = await scene.runNow('notes');
      await eventually(
        async () => refused.struck,
        (struck) => struck === 3,
        () => 'three refusals',
      );
      await scene.kubelet();
      expect((await scene.finished(name)).status?.phase).toBe('Succeeded');
      expect(scene.jobsEverMade).toHaveLength(1);
    }),
  );

  it(
    'shows in the schedule that a quota refuses its run, and runs once it allows it',
    inScene(async (scene) => {
      await scene.kubelet();
      const quota = await scene.forbid('count/kmbackups.km.duskmantle.io');
      const clock = new ShiftedClock();
      clock.offsetMs = (await scene.scheduleWithOneSlot('notes')) + 1_000 - Date.now();
      await scene.operator({ clock });
      const ready = ({ status }: KmBackupSchedule) =>
        status?.conditions?.find(({ type }) => type === 'Ready');
      const refused = await scene.scheduleUntil(
        'notes',
        // The controller may not count objects of a new kind yet: the API server then refuses them in other words.
        (schedule) => ready(schedule)?.message?.includes('quota: none') === true,
      );
      expect(ready(refused)).toMatchObject({ status: 'False', reason: 'BackupRefused' });
      await eventually(
        () => scene.all.events.list(scene.namespace),
        ({ items }) => items.some(({ reason }) => reason === 'BackupRefused'),
        () => 'an Event',
      );
      await quota.lift();
      const done = await scene.succeeded('notes', 1);
      expect(ready(done)?.status).toBe('True');
    }),
  );

  it(
    'ends a run whose image never comes, with the reason',
    inScene(async (scene) => {
      const clock = new ShiftedClock();
      const running = await scene.operator({ clock });
      await scene.schedule('notes', { startDeadlineSeconds: 300 });
      const name = await scene.runNow('notes');
      const pod = await scene.pod();
      await scene.podStatus(pod.metadata.name, {
        containerStatuses: container({ waiting: { reason: 'ImagePullBackOff', message: 'no such image' } }),
      });
      await scene.backupUntil(name, ({ reason }) => reason === 'ImagePullBackOff');
      clock.offsetMs = 301_000;
      running.resync();
      const backup = await scene.finished(name);
      expect(backup.status).toMatchObject({ phase: 'Failed', reason: 'StartDeadlineExceeded' });
      expect(backup.status?.message).toContain('no such image');
      await scene.jobCount(0);
    }),
  );

  it(
    'ends a run whose pod no node can take, with what the scheduler said',
    inScene(async (scene) => {
      const clock = new ShiftedClock();
      const running = await scene.operator({ clock });
      await scene.schedule('notes', { startDeadlineSeconds: 300 });
      const name = await scene.runNow('notes');
      const pod = await scene.pod();
      const said = '0/3 nodes are available: 3 Insufficient memory.';
      await scene.podStatus(pod.metadata.name, {
        conditions: [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: said }],
      });
      await scene.backupUntil(name, ({ reason }) => reason === 'Unschedulable');
      clock.offsetMs = 301_000;
      running.resync();
      const backup = await scene.finished(name);
      expect(backup.status).toMatchObject({ phase: 'Failed', reason: 'StartDeadlineExceeded' });
      expect(backup.status?.message).toContain(said);
    }),
  );

  it(
    'takes up an edit with the next run, and keeps the archives of a schedule that is deleted',
    inScene(async (scene) => {
      await scene.operator();
      await scene.schedule('notes', { retention: { limit: 3 } });
      const first = await scene.runNow('notes', 'first');
      const argumentsOf = async (name: string) => {
        const job = await eventually(
          () => scene.all.jobs.get(scene.namespace, name),
          () => true,
          () => `Job ${name}`,
        );
        return JSON.stringify((job as unknown as { spec: unknown }).spec);
      };
      expect(await argumentsOf(first)).toContain('--retention-limit=3');
      await scene.all.schedules.mergePatch(scene.namespace, 'notes', { spec: { retention: { limit: 5 } } });
      await scene.kubelet();
      expect((await scene.finished(first)).status?.phase).toBe('Succeeded');
      expect(await argumentsOf(first)).toContain('--retention-limit=3');
      const second = await scene.runNow('notes', 'second');
      expect(await argumentsOf(second)).toContain('--retention-limit=5');
      expect((await scene.finished(second)).status?.phase).toBe('Succeeded');
      await scene.all.schedules.delete(scene.namespace, 'notes');
      for (const name of [first, second])
        expect((await scene.all.backups.get(scene.namespace, name)).status?.archive).toBeDefined();
    }),
  );

  it(
    'waits for the schedule of a run that was applied before it',
    inScene(async (scene) => {
      await scene.kubelet();
      await scene.operator();
      const name = await scene.runNow('notes');
      const early = await scene.backupUntil(name, ({ reason }) => reason === 'ScheduleNotFound');
      expect(early.status?.phase).toBe('Pending');
      await scene.schedule('notes');
      expect((await scene.finished(name)).status?.phase).toBe('Succeeded');
      const selected = async (options: ListOptions) =>
        (await scene.all.backups.list(scene.namespace, options)).items.map(({ metadata }) => metadata.name);
      expect(await selected({ labelSelector: 'km.duskmantle.io/schedule=notes' })).toEqual([name]);
      expect(await selected({ fieldSelector: 'spec.scheduleName=notes' })).toEqual([name]);
      expect(await selected({ fieldSelector: 'spec.scheduleName=other' })).toEqual([]);
      await scene.scheduleUntil('notes', ({ status }) => status?.runs?.succeeded === 1);
    }),
  );

  it(
    'quotes why the Job can create no pod, and runs once it can',
    inScene(async (scene) => {
      await scene.kubelet();
      const quota = await scene.forbid('pods');
      const clock = new ShiftedClock();
      const running = await scene.operator({ clock });
      await scene.schedule('notes');
      const name = await scene.runNow('notes');
      await scene.backupUntil(name, ({ awaiting }) => awaiting?.event === 'PodCreated');
      await eventually(
        () => scene.all.events.list(scene.namespace, { fieldSelector: 'reason=FailedCreate' }),
        ({ items }) => items.length > 0,
        () => "the Job controller's Event",
      );
      clock.offsetMs = 11_000;
      running.resync();
      const refused = await scene.backupUntil(name, ({ reason }) => reason === 'FailedCreate');
      expect(refused.status?.message).toContain('exceeded quota: none');
      await quota.lift();
      expect((await scene.finished(name)).status?.phase).toBe('Succeeded');
    }),
  );

  it(
    'ends a run whose container has reported, and its Job, though a sidecar runs on',
    inScene(async (scene) => {
      const clock = new ShiftedClock();
      await scene.operator({ clock });
      await scene.schedule('notes');
      const name = await scene.runNow('notes');
      const pod = await scene.pod();
      const at = new Date().toISOString();
      const message = JSON.stringify(cleanResult('km-backup-1.tgz'));
      const terminated = { exitCode: 0, reason: 'Completed', startedAt: at, finishedAt: at, message };
      const sidecar = { name: 'istio-proxy', image: 'x', imageID: '', ready: true, restartCount: 0 };
      await scene.podStatus(pod.metadata.name, {
        phase: 'Running',
        containerStatuses: [
          ...container({ terminated }),
          { ...sidecar, state: { running: { startedAt: at } } },
        ],
      });
      expect((await scene.finished(name)).status).toMatchObject({
        phase: 'Succeeded',
        archive: { name: 'km-backup-1.tgz' },
      });
      await scene.jobCount(1);
      clock.offsetMs = 61_000;
      // A change of the pod has the operator look at the run again before its timer does.
      await scene.podStatus(pod.metadata.name, { message: 'still there' });
      await scene.jobCount(0);
      expect((await scene.backups()).map(({ status }) => status?.phase)).toEqual(['Succeeded']);
    }),
  );

  it(
    'reports a claim that does not exist, and leaves other schedules alone',
    inScene(async (scene) => {
      await scene.kubelet();
      await scene.operator();
      await scene.schedule('broken', { source: { persistentVolumeClaim: { claimName: 'nowhere' } } });
      await scene.schedule('fine');
      expect((await scene.finished(await scene.runNow('broken'))).status).toMatchObject({
        phase: 'Failed',
        reason: 'ClaimNotFound',
      });
      expect((await scene.finished(await scene.runNow('fine'))).status?.phase).toBe('Succeeded');
      const broken = await scene.scheduleUntil('broken', ({ status }) => status?.conditions !== undefined);
      const readyOf = ({ status }: KmBackupSchedule) =>
        status?.conditions?.find(({ type }) => type === 'Ready');
      expect(readyOf(broken)).toMatchObject({ status: 'False', reason: 'ClaimNotFound' });
      await scene.claim('nowhere');
      await scene.scheduleUntil('broken', (seen) => readyOf(seen)?.status === 'True');
    }),
  );

  it(
    'refuses a claim that is a raw block device',
    inScene(async (scene) => {
      await scene.all.claims.create(scene.namespace, {
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        metadata: { name: 'device' },
        spec: {
          accessModes: ['ReadWriteOnce'],
          volumeMode: 'Block',
          resources: { requests: { storage: '1Gi' } },
        },
      });
      await scene.operator();
      await scene.schedule('notes', { source: { persistentVolumeClaim: { claimName: 'device' } } });
      const { status } = await scene.finished(await scene.runNow('notes'));
      expect(status).toMatchObject({ phase: 'Failed', reason: 'ClaimIsBlock' });
      await scene.scheduleUntil('notes', ({ status }) =>
        Boolean(
          status?.conditions?.some(({ type, reason }) => type === 'Ready' && reason === 'ClaimIsBlock'),
        ),
      );
    }),
  );

  it(
    'sends the run of a claim in use to the node that has it mounted, as the user of its pod',
    inScene(async (scene) => {
      await scene.core('pods', 'Pod').create(scene.namespace, {
        metadata: { name: 'application' },
        spec: {
          nodeName: 'node-7',
          tolerations: [{ key: 'gpu', operator: 'Exists' }],
          securityContext: { runAsUser: 999, fsGroup: 998 },
          containers: [{ name: 'c', image: 'x', volumeMounts: [{ name: 'v', mountPath: '/v' }] }],
          volumes: [{ name: 'v', persistentVolumeClaim: { claimName: 'state' } }],
        },
      });
      await scene.podStatus('application', { phase: 'Running' });
      await scene.operator();
      await scene.schedule('notes');
      await scene.runNow('notes');
      await scene.jobCount(1);
      const [job] = await scene.jobs();
      const { template } = (job as unknown as { spec: { template: { spec: Record<string, unknown> } } }).spec;
      expect(JSON.stringify(template.spec['affinity'])).toContain('"values":["node-7"]');
      expect(template.spec['tolerations']).toContainEqual({ key: 'gpu', operator: 'Exists' });
      expect(template.spec['securityContext']).toMatchObject({ runAsUser: 999, fsGroup: 998 });
      await scene.scheduleUntil('notes', ({ status }) => status?.sourceIdentity?.runAsUser === 999);
    }),
  );
});

describe.concurrent('time', () => {
  it(
    'makes up a day of downtime with one run, and counts what it missed',
    inScene(async (scene) => {
      await scene.kubelet();
      await scene.schedule('hourly', { cron: '0 * * * *' });
      const clock = new ShiftedClock();
      clock.offsetMs = 24 * 60 * MINUTE_MS;
      await scene.operator({ clock });
      const { status } = await scene.scheduleUntil('hourly', ({ status }) => status?.runs?.succeeded === 1);
      expect(status?.missedSlots).toBe(23);
      expect(status?.lastMissedTime).toBeDefined();
      expect(await scene.backups()).toHaveLength(1);
    }),
  );

  it(
    'makes one Job for each scheduled time when two operators lead at once',
    inScene(async (scene) => {
      await scene.kubelet();
      await scene.schedule('minutely', { cron: '* * * * *' });
      const clock = new ShiftedClock();
      const nextMinute = Math.ceil(Date.now() / MINUTE_MS) * MINUTE_MS;
      clock.offsetMs = nextMinute + 500 - Date.now();
      await Promise.all([scene.operator({ clock }), scene.operator({ clock })]);
      for (let slot = 1; slot <= 3; slot += 1) {
        await scene.scheduleUntil('minutely', ({ status }) => (status?.runs?.succeeded ?? 0) >= slot);
        clock.offsetMs += MINUTE_MS;
      }
      const { status } = await scene.scheduleUntil(
        'minutely',
        ({ status }) => (status?.runs?.succeeded ?? 0) >= 4,
      );
      const backups = await scene.backups();
      expect(new Set(backups.map(({ spec }) => spec.scheduledTime)).size).toBe(backups.length);
      expect(status?.runs).toMatchObject({ succeeded: backups.length, failed: 0 });
      const owners = (await scene.jobs()).map((job) => job.metadata.ownerReferences?.[0]?.uid);
      expect(new Set(owners).size).toBe(owners.length);
    }),
  );

  it(
    'starts no run for a past time after an edit or a resume',
    inScene(async (scene) => {
      const clock = new ShiftedClock();
      await scene.operator({ clock });
      await scene.schedule('paused', { cron: '* * * * *', suspend: true });
      await scene.scheduleUntil('paused', ({ status }) => status?.cadence === 'suspended');
      clock.offsetMs += 60 * MINUTE_MS;
      await scene.all.schedules.mergePatch(scene.namespace, 'paused', {
        spec: { suspend: false, cron: '*/7 * * * *' },
      });
      const { status } = await scene.scheduleUntil(
        'paused',
        ({ status }) => status?.cadence === '*/7 * * * *',
      );
      expect(status?.missedSlots).toBe(0);
      expect(await scene.backups()).toHaveLength(0);
    }),
  );

  it(
    'replaces the active run with concurrencyPolicy Replace',
    inScene(async (scene) => {
      await scene.operator();
      await scene.schedule('notes', { concurrencyPolicy: 'Replace' });
      const first = await scene.runNow('notes', 'first');
      await scene.backupUntil(first, (status) => status.job?.uid !== undefined);
      // Runs of one second are told apart by name.
      const second = await scene.runNow('notes', 'second');
      expect((await scene.finished(first)).status).toMatchObject({
        phase: 'Failed',
        reason: 'Replaced',
      });
      await scene.kubelet();
      expect((await scene.finished(second)).status?.phase).toBe('Succeeded');
      await scene.jobCount(1);
    }),
  );
});

describe.concurrent('the cap on concurrent runs', () => {
  it(
    'is never passed, and everyone is served',
    inScene(async (scene) => {
      await scene.operator({ limits: { total: 2, perNamespace: 2 } });
      const names = ['a', 'b', 'c', 'd', 'e'];
      for (const name of names) {
        await scene.schedule(name);
        await scene.runNow(name);
      }
      await scene.jobCount(2);
      const backups = await eventually(
        () => scene.backups(),
        (list) => list.filter(({ status }) => status?.reason === 'WaitingForCapacity').length === 3,
        () => 'three runs to wait',
      );
      expect(
        backups.find(({ status }) => status?.reason === 'WaitingForCapacity')?.status?.message,
      ).toContain('2 runs are active');
      let most = 0;
      await scene.kubelet();
      for (const name of names) {
        await scene.finished(`${name}-now`);
        const active = (await scene.backups()).filter((backup) => backup.status?.job && !isFinished(backup));
        most = Math.max(most, active.length);
      }
      expect(most).toBeLessThanOrEqual(2);
    }),
  );
});
