import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import type { KmBackup, KmBackupStatus } from '../../src/api/backup.ts';
import { MANAGED_SELECTOR } from '../../src/api/names.ts';
import type { RunResult } from '../../src/api/run-result.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { fromKubeconfig } from '../../src/kube/config.ts';
import { type Change, Reflector } from '../../src/kube/reflector.ts';
import { type KubeObject, type ResourceClient, resource } from '../../src/kube/resources.ts';
import { Store } from '../../src/kube/store.ts';
import { type Resources, resources } from '../../src/operator/resources.ts';
import { proxyOf } from '../faultproxy/index.ts';
import { quiet } from '../support/kube.ts';
import { eventually } from '../support/kubectl.ts';
import { type RunningOperator, ShiftedClock, startOperator } from '../support/operator-in-process.ts';
import { cleanResult, type StubReport, startStubKubelet } from '../support/stub-kubelet.ts';

const API = { apiVersion: 'km.duskmantle.io/v1alpha1' };
const MINUTE_MS = 60_000;

let kubeconfig: string;
let client: KubeClient;
let all: Resources;
let namespace: string;
const ends: (() => Promise<unknown>)[] = [];

const core = (plural: string, kind: string) =>
  resource<KubeObject & Record<string, unknown>>(client, {
    group: '',
    version: 'v1',
    plural,
    kind,
    namespaced: plural !== 'namespaces',
  });

beforeEach(async () => {
  kubeconfig = inject('kubeconfig');
  client = new KubeClient(await fromKubeconfig(kubeconfig));
  all = resources(client);
  const made = await client.request<KubeObject>({
    method: 'POST',
    path: '/api/v1/namespaces',
    body: { metadata: { generateName: 'km-op-' } },
  });
  namespace = made.metadata.name;
  await claim('state');
});

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
  await core('namespaces', 'Namespace').delete(undefined, namespace);
  await client.close();
});

/** Tells of every change of a kind in the namespace. */
function follow<T extends KubeObject>(kind: ResourceClient<T>, onEvent: (change: Change<T>) => void): void {
  const stop = new AbortController();
  const store = new Store<T>();
  const running = new Reflector<T>({ resource: kind, store, namespace, logger: quiet, onEvent }).run(
    stop.signal,
  );
  ends.push(() => {
    stop.abort();
    return running;
  });
}

async function fileOf(text: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'km-op-'));
  ends.push(() => rm(directory, { recursive: true }));
  const file = join(directory, 'kubeconfig');
  await writeFile(file, text, { mode: 0o600 });
  return file;
}

async function claim(name: string): Promise<void> {
  await all.claims.create(namespace, {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
  });
}

async function operator(more: Partial<Parameters<typeof startOperator>[0]> = {}): Promise<RunningOperator> {
  const running = await startOperator({ kubeconfig, namespace, ...more });
  ends.push(running.stop);
  return running;
}

async function kubelet(
  report?: (pod: { metadata: { namespace: string; uid: string } }) => StubReport,
): Promise<void> {
  const stub = await startStubKubelet(kubeconfig, report, namespace);
  ends.push(stub.stop);
}

async function schedule(name: string, spec: Record<string, unknown> = {}): Promise<void> {
  await all.schedules.create(namespace, {
    ...API,
    kind: 'KmBackupSchedule',
    metadata: { name },
    spec: { cron: '0 0 1 1 *', source: { persistentVolumeClaim: { claimName: 'state' } }, ...spec },
  });
}

async function runNow(scheduleName: string, name = `${scheduleName}-now`): Promise<string> {
  await all.backups.create(namespace, {
    ...API,
    kind: 'KmBackup',
    metadata: { name },
    spec: { scheduleName },
  });
  return name;
}

function backupUntil(name: string, holds: (status: KmBackupStatus) => boolean): Promise<KmBackup> {
  return eventually(
    () => all.backups.get(namespace, name),
    (backup) => backup.status !== undefined && holds(backup.status),
    (last) => `KmBackup ${name}; its last state: ${JSON.stringify(last?.status)}`,
    30_000,
  );
}

const finished = ({ phase }: KmBackupStatus) =>
  phase !== undefined && phase !== 'Pending' && phase !== 'Running';
const scheduleUntil = (
  name: string,
  holds: (schedule: Awaited<ReturnType<Resources['schedules']['get']>>) => boolean,
) =>
  eventually(
    () => all.schedules.get(namespace, name),
    holds,
    (last) => `schedule ${name}: ${JSON.stringify(last?.status)}`,
    30_000,
  );
const jobsOf = async () => (await all.jobs.list(namespace, { labelSelector: MANAGED_SELECTOR })).items;
const podsOf = async () => (await all.pods.list(namespace, { labelSelector: MANAGED_SELECTOR })).items;

const without = (outcome: RunResult['outcome'], reason: string): RunResult => {
  const { archive: _, ...rest } = cleanResult('none');
  return { ...rest, outcome, reason, message: `said ${reason}` };
};

describe('what a run ends as, told by the real Job controller', () => {
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
  it.each(cases)('%s', async (_name, report, expected) => {
    await kubelet(() => report);
    await operator();
    await schedule('notes');
    const backup = await backupUntil(await runNow('notes'), finished);
    expect(backup.status).toMatchObject(expected);
    expect(await podsOf()).toHaveLength(1);
    await scheduleUntil(
      'notes',
      ({ status }) => Object.values(status?.runs ?? {}).reduce((sum, count) => sum + count, 0) === 1,
    );
  });
});

describe('interference', () => {
  it('records a Job deleted by hand as failed, and does not make it again', async () => {
    await operator();
    await schedule('notes');
    const name = await runNow('notes');
    const { status } = await backupUntil(name, (status) => status.job?.uid !== undefined);
    await all.jobs.delete(namespace, status!.job!.name, { propagationPolicy: 'Background' });
    const backup = await backupUntil(name, finished);
    expect(backup.status).toMatchObject({ phase: 'Failed', reason: 'JobDeleted' });
    expect(await jobsOf()).toHaveLength(0);
  });

  it('records a Job deleted within moments of its making, and does not make it again', async () => {
    const made: string[] = [];
    const found = new Promise<void>((resolve, reject) => {
      follow(all.jobs, ({ type, object: { metadata } }) => {
        if (type !== 'added') return;
        made.push(metadata.uid);
        all.jobs.delete(namespace, metadata.name, { propagationPolicy: 'Background' }).then(resolve, reject);
      });
    });
    await operator();
    await schedule('notes');
    const name = await runNow('notes');
    await found;
    // Had the status been written before, this would be the case of the test above.
    expect((await all.backups.get(namespace, name)).status?.job).toBeUndefined();
    const { status } = await backupUntil(name, finished);
    expect(status).toMatchObject({ phase: 'Failed', reason: 'JobDeleted', job: { uid: made[0] } });
    expect(made).toHaveLength(1);
  });

  it('asks the API server how a run ended when the watch of its pods fell silent', async () => {
    const proxy = await proxyOf(kubeconfig);
    ends.push(proxy.close);
    await operator({ kubeconfig: await fileOf(proxy.kubeconfig()) });
    await eventually(
      async () => proxy.freezeAll({ watch: true, path: /\/pods/ }),
      (frozen) => frozen === 1,
      () => 'the watch of pods',
      30_000,
    );
    await kubelet();
    await schedule('notes');
    expect((await backupUntil(await runNow('notes'), finished)).status).toMatchObject({
      phase: 'Succeeded',
      reason: 'ArchiveVerified',
    });
  });

  it('survives a pod deleted by hand: the Job makes another', async () => {
    await operator();
    await schedule('notes');
    const name = await runNow('notes');
    const [pod] = await eventually(
      podsOf,
      (pods) => pods.length === 1,
      () => 'a pod',
      30_000,
    );
    await client.request({
      method: 'DELETE',
      path: `/api/v1/namespaces/${namespace}/pods/${pod!.metadata.name}`,
      query: { gracePeriodSeconds: 0 },
    });
    await eventually(
      podsOf,
      (pods) => pods.length === 1 && pods[0]!.metadata.uid !== pod!.metadata.uid,
      () => 'another pod',
      60_000,
    );
    await kubelet();
    expect((await backupUntil(name, finished)).status?.phase).toBe('Succeeded');
  });

  it('survives an eviction without counting it as a failure', async () => {
    await operator();
    await schedule('notes', { backoffLimit: 0 });
    const name = await runNow('notes');
    const [evicted] = await eventually(
      podsOf,
      (pods) => pods.length === 1,
      () => 'a pod',
      30_000,
    );
    await client.request({
      method: 'PATCH',
      path: `/api/v1/namespaces/${namespace}/pods/${evicted!.metadata.name}/status`,
      contentType: 'application/merge-patch+json',
      body: {
        status: {
          phase: 'Failed',
          reason: 'Evicted',
          message: 'The node was low on resource: memory.',
          conditions: [{ type: 'DisruptionTarget', status: 'True', reason: 'TerminationByKubelet' }],
        },
      },
    });
    await eventually(
      podsOf,
      (pods) => pods.some(({ metadata }) => metadata.uid !== evicted!.metadata.uid),
      () => 'another pod',
      60_000,
    );
    await kubelet();
    expect((await backupUntil(name, finished)).status?.phase).toBe('Succeeded');
  });

  it('names what killed the last pod when no try is left', async () => {
    await operator();
    await schedule('notes', { backoffLimit: 0 });
    const name = await runNow('notes');
    const [pod] = await eventually(
      podsOf,
      (pods) => pods.length === 1,
      () => 'a pod',
      30_000,
    );
    const at = new Date().toISOString();
    const terminated = { exitCode: 137, reason: 'OOMKilled', startedAt: at, finishedAt: at };
    await client.request({
      method: 'PATCH',
      path: `/api/v1/namespaces/${namespace}/pods/${pod!.metadata.name}/status`,
      contentType: 'application/merge-patch+json',
      body: {
        status: {
          phase: 'Failed',
          containerStatuses: [
            {
              name: 'km-backup',
              image: 'x',
              imageID: '',
              ready: false,
              restartCount: 0,
              state: { terminated },
            },
          ],
        },
      },
    });
    const backup = await backupUntil(name, finished);
    expect(backup.status).toMatchObject({ phase: 'Failed', reason: 'OutOfMemory' });
    expect(backup.status?.message).toContain('limits.memory');
  });

  it('lets a run end whose schedule was deleted, and keeps its record', async () => {
    await operator();
    await schedule('notes');
    const name = await runNow('notes');
    await backupUntil(name, (status) => status.job?.uid !== undefined);
    await all.schedules.delete(namespace, 'notes');
    await kubelet();
    expect((await backupUntil(name, finished)).status).toMatchObject({
      phase: 'Succeeded',
      archive: { claimName: 'state' },
    });
  });

  it('does not adopt a Job that is not its own', async () => {
    await schedule('notes');
    const name = await runNow('notes');
    await all.jobs.create(namespace, {
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: { name },
      spec: {
        suspend: true,
        template: { spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'x' }] } },
      },
    });
    await operator();
    const backup = await backupUntil(name, ({ reason }) => reason === 'NameTaken');
    expect(backup.status?.message).toContain(name);
  });

  it('says why a quota refuses the Job, and runs once it allows it', async () => {
    await kubelet();
    const quota = await core('resourcequotas', 'ResourceQuota').create(namespace, {
      metadata: { name: 'none' },
      spec: { hard: { 'count/jobs.batch': '0' } },
    });
    await eventually(
      () => core('resourcequotas', 'ResourceQuota').get(namespace, 'none'),
      (current) => (current['status'] as { hard?: object } | undefined)?.hard !== undefined,
      () => 'the quota to be in force',
      30_000,
    );
    await operator();
    await schedule('notes');
    const name = await runNow('notes');
    const refused = await backupUntil(name, ({ reason }) => reason === 'JobForbidden');
    expect(refused.status).toMatchObject({ phase: 'Pending' });
    expect(refused.status?.message).toContain('exceeded quota');
    await core('resourcequotas', 'ResourceQuota').delete(namespace, quota.metadata.name);
    expect((await backupUntil(name, finished)).status?.phase).toBe('Succeeded');
  });

  it('ends a run whose image never comes, with the reason', async () => {
    const clock = new ShiftedClock();
    const { operator: running } = await operator({ clock });
    await schedule('notes', { startDeadlineSeconds: 300 });
    const name = await runNow('notes');
    const [pod] = await eventually(
      podsOf,
      (pods) => pods.length === 1,
      () => 'a pod',
      30_000,
    );
    await client.request({
      method: 'PATCH',
      path: `/api/v1/namespaces/${namespace}/pods/${pod!.metadata.name}/status`,
      contentType: 'application/merge-patch+json',
      body: {
        status: {
          containerStatuses: [
            {
              name: 'km-backup',
              image: 'x',
              imageID: '',
              ready: false,
              restartCount: 0,
              state: { waiting: { reason: 'ImagePullBackOff', message: 'no such image' } },
            },
          ],
        },
      },
    });
    await backupUntil(name, ({ reason }) => reason === 'ImagePullBackOff');
    clock.offsetMs = 301_000;
    running.lookAgain();
    const backup = await backupUntil(name, finished);
    expect(backup.status).toMatchObject({ phase: 'Failed', reason: 'StartDeadlineExceeded' });
    expect(backup.status?.message).toContain('no such image');
    await eventually(
      jobsOf,
      (jobs) => jobs.length === 0,
      () => 'the Job to go',
      30_000,
    );
  });

  it('ends a run whose pod no node can take, with what the scheduler said', async () => {
    const clock = new ShiftedClock();
    const { operator: running } = await operator({ clock });
    await schedule('notes', { startDeadlineSeconds: 300 });
    const name = await runNow('notes');
    const [pod] = await eventually(
      podsOf,
      (pods) => pods.length === 1,
      () => 'a pod',
      30_000,
    );
    const said = '0/3 nodes are available: 3 Insufficient memory.';
    await all.pods.mergePatch(
      namespace,
      pod!.metadata.name,
      {
        status: {
          conditions: [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: said }],
        },
      },
      'status',
    );
    await backupUntil(name, ({ reason }) => reason === 'Unschedulable');
    clock.offsetMs = 301_000;
    running.lookAgain();
    const backup = await backupUntil(name, finished);
    expect(backup.status).toMatchObject({ phase: 'Failed', reason: 'StartDeadlineExceeded' });
    expect(backup.status?.message).toContain(said);
  });

  it('takes up an edit with the next run, and keeps the archives of a schedule that is deleted', async () => {
    await operator();
    await schedule('notes', { retention: { limit: 3 } });
    const first = await runNow('notes', 'first');
    const argumentsOf = async (name: string) => {
      const job = await eventually(
        () => all.jobs.get(namespace, name),
        () => true,
        () => `Job ${name}`,
        30_000,
      );
      return JSON.stringify((job as unknown as { spec: unknown }).spec);
    };
    expect(await argumentsOf(first)).toContain('--retention-limit=3');
    await all.schedules.mergePatch(namespace, 'notes', { spec: { retention: { limit: 5 } } });
    await kubelet();
    expect((await backupUntil(first, finished)).status?.phase).toBe('Succeeded');
    expect(await argumentsOf(first)).toContain('--retention-limit=3');
    const second = await runNow('notes', 'second');
    expect(await argumentsOf(second)).toContain('--retention-limit=5');
    expect((await backupUntil(second, finished)).status?.phase).toBe('Succeeded');
    await all.schedules.delete(namespace, 'notes');
    await runNow('notes', 'third');
    expect((await backupUntil('third', finished)).status?.reason).toBe('ScheduleNotFound');
    for (const name of [first, second])
      expect((await all.backups.get(namespace, name)).status?.archive).toBeDefined();
  });

  it('reports a claim that does not exist, and leaves other schedules alone', async () => {
    await kubelet();
    await operator();
    await schedule('broken', { source: { persistentVolumeClaim: { claimName: 'nowhere' } } });
    await schedule('never', { cron: '0 0 31 2 *' });
    await schedule('fine');
    expect((await backupUntil(await runNow('broken'), finished)).status).toMatchObject({
      phase: 'Failed',
      reason: 'ClaimNotFound',
    });
    expect((await backupUntil(await runNow('fine'), finished)).status?.phase).toBe('Succeeded');
    const never = await scheduleUntil('never', ({ status }) => status?.conditions !== undefined);
    expect(never.status?.nextScheduleTime).toBeUndefined();
    expect(never.status?.conditions?.find(({ type }) => type === 'Ready')?.status).toBe('False');
  });

  it('sends the run of a claim in use to the node that has it mounted', async () => {
    await core('pods', 'Pod').create(namespace, {
      metadata: { name: 'application' },
      spec: {
        nodeName: 'node-7',
        tolerations: [{ key: 'gpu', operator: 'Exists' }],
        containers: [{ name: 'c', image: 'x' }],
        volumes: [{ name: 'v', persistentVolumeClaim: { claimName: 'state' } }],
      },
    });
    await client.request({
      method: 'PATCH',
      path: `/api/v1/namespaces/${namespace}/pods/application/status`,
      contentType: 'application/merge-patch+json',
      body: { status: { phase: 'Running' } },
    });
    await operator();
    await schedule('notes');
    await runNow('notes');
    const [job] = await eventually(
      jobsOf,
      (jobs) => jobs.length === 1,
      () => 'a Job',
      30_000,
    );
    const { template } = (job as unknown as { spec: { template: { spec: Record<string, unknown> } } }).spec;
    expect(JSON.stringify(template.spec['affinity'])).toContain('"values":["node-7"]');
    expect(template.spec['tolerations']).toContainEqual({ key: 'gpu', operator: 'Exists' });
  });
});

describe('time', () => {
  it('makes up a day of downtime with one run, and counts what it missed', async () => {
    await kubelet();
    await schedule('hourly', { cron: '0 * * * *' });
    const clock = new ShiftedClock();
    clock.offsetMs = 24 * 60 * MINUTE_MS;
    await operator({ clock });
    const { status } = await scheduleUntil('hourly', ({ status }) => status?.runs?.succeeded === 1);
    expect(status?.missedSlots).toBe(23);
    expect(status?.lastMissedTime).toBeDefined();
    expect((await all.backups.list(namespace)).items).toHaveLength(1);
  });

  it('makes one Job a slot when two operators lead at once', async () => {
    await kubelet();
    await schedule('minutely', { cron: '* * * * *' });
    const clock = new ShiftedClock();
    const nextMinute = Math.ceil(Date.now() / MINUTE_MS) * MINUTE_MS;
    clock.offsetMs = nextMinute + 500 - Date.now();
    await Promise.all([operator({ clock }), operator({ clock })]);
    for (let slot = 1; slot <= 3; slot += 1) {
      await scheduleUntil('minutely', ({ status }) => (status?.runs?.succeeded ?? 0) >= slot);
      clock.offsetMs += MINUTE_MS;
    }
    const { status } = await scheduleUntil('minutely', ({ status }) => (status?.runs?.succeeded ?? 0) >= 4);
    const backups = (await all.backups.list(namespace)).items;
    expect(new Set(backups.map(({ spec }) => spec.scheduledTime)).size).toBe(backups.length);
    expect(status?.runs).toMatchObject({ succeeded: backups.length, failed: 0 });
    const owners = (await jobsOf()).map((job) => job.metadata.ownerReferences?.[0]?.uid);
    expect(new Set(owners).size).toBe(owners.length);
  });

  it('fires no past slot after an edit or a resume', async () => {
    const clock = new ShiftedClock();
    await operator({ clock });
    await schedule('paused', { cron: '* * * * *', suspend: true });
    await scheduleUntil('paused', ({ status }) => status?.cadence === 'suspended');
    clock.offsetMs += 60 * MINUTE_MS;
    await all.schedules.mergePatch(namespace, 'paused', { spec: { suspend: false, cron: '*/7 * * * *' } });
    const { status } = await scheduleUntil('paused', ({ status }) => status?.cadence === '*/7 * * * *');
    expect(status?.missedSlots).toBe(0);
    expect((await all.backups.list(namespace)).items).toHaveLength(0);
  });

  it('replaces the active run with concurrencyPolicy Replace', async () => {
    await operator();
    await schedule('notes', { concurrencyPolicy: 'Replace' });
    const first = await runNow('notes', 'first');
    await backupUntil(first, (status) => status.job?.uid !== undefined);
    // Runs of one second are told apart by name.
    const second = await runNow('notes', 'second');
    expect((await backupUntil(first, finished)).status).toMatchObject({
      phase: 'Failed',
      reason: 'Replaced',
    });
    await kubelet();
    expect((await backupUntil(second, finished)).status?.phase).toBe('Succeeded');
    await eventually(
      jobsOf,
      (jobs) => jobs.length === 1,
      () => 'the first Job to go',
      30_000,
    );
  });
});

describe('the cap on concurrent runs', () => {
  it('is never passed, and everyone is served', async () => {
    await operator({ limits: { total: 2, perNamespace: 2 } });
    const names = ['a', 'b', 'c', 'd', 'e'];
    for (const name of names) {
      await schedule(name);
      await runNow(name);
    }
    await eventually(
      jobsOf,
      (jobs) => jobs.length === 2,
      () => 'two Jobs',
      30_000,
    );
    const backups = await eventually(
      async () => (await all.backups.list(namespace)).items,
      (list) => list.filter(({ status }) => status?.reason === 'WaitingForCapacity').length === 3,
      () => 'three runs to wait',
      30_000,
    );
    expect(backups.find(({ status }) => status?.reason === 'WaitingForCapacity')?.status?.message).toContain(
      '2 runs are active',
    );
    let most = 0;
    await kubelet();
    for (const name of names) {
      await backupUntil(`${name}-now`, (status) => {
        return finished(status);
      });
      const active = (await all.backups.list(namespace)).items.filter(
        ({ status }) => status?.job && !finished(status),
      );
      most = Math.max(most, active.length);
    }
    expect(most).toBeLessThanOrEqual(2);
  });
});
