import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { MANAGED_SELECTOR } from '../../src/api/names.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { fromKubeconfig } from '../../src/kube/config.ts';
import { Reflector } from '../../src/kube/reflector.ts';
import { type KubeObject, type ResourceClient, resource } from '../../src/kube/resources.ts';
import { Store } from '../../src/kube/store.ts';
import { type Resources, resources } from '../../src/operator/resources.ts';
import type { Job } from '../../src/operator/workloads.ts';
import { type FaultProxy, proxyOf } from '../faultproxy/index.ts';
import { quiet } from '../support/kube.ts';
import { eventually } from '../support/kubectl.ts';
import { spawnOperator } from '../support/operator-process.ts';
import { startStubKubelet } from '../support/stub-kubelet.ts';

interface Lease extends KubeObject {
  spec: {
    holderIdentity: string;
    leaseDurationSeconds: number;
    acquireTime: string;
    renewTime: string;
    leaseTransitions: number;
  };
}

const API = { apiVersion: 'km.duskmantle.io/v1alpha1' };
const MINUTE_MS = 60_000;
const SCHEDULES = ['a', 'b', 'c'];
/** In the proportions of the usual 15, 10 and 2 s. */
const QUICK = ['--lease-duration=4', '--renew-deadline=3', '--retry-period=1'];

let kubeconfig: string;
let client: KubeClient;
let all: Resources;
let leases: ResourceClient<Lease>;
let scratch: string;
const jobsEverMade = new Map<string, Set<string>>();
const watching = new AbortController();
const ends: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  kubeconfig = inject('kubeconfig');
  client = new KubeClient(await fromKubeconfig(kubeconfig));
  all = resources(client);
  leases = resource<Lease>(client, {
    group: 'coordination.k8s.io',
    version: 'v1',
    plural: 'leases',
    kind: 'Lease',
    namespaced: true,
  });
  scratch = await mkdtemp(join(tmpdir(), 'km-leader-'));
  ends.push(() => rm(scratch, { recursive: true, force: true }));
  const reflector = new Reflector({
    resource: all.jobs,
    store: new Store<Job>(),
    labelSelector: MANAGED_SELECTOR,
    logger: quiet,
    onEvent: ({ type, object }) => {
      const { namespace, uid } = object.metadata;
      if (type === 'added') jobsEverMade.set(namespace, (jobsEverMade.get(namespace) ?? new Set()).add(uid));
    },
  });
  const watched = reflector.run(watching.signal);
  ends.push(() => {
    watching.abort();
    return watched;
  });
  await reflector.synced;
});

afterAll(async () => {
  for (const end of ends.splice(0).reverse()) await end();
  await client.close();
});

/** A namespace with schedules whose one slot comes so long after now on the clocks of its operators. */
async function scene(slotInMs: number) {
  const made = await client.request<KubeObject>({
    method: 'POST',
    path: '/api/v1/namespaces',
    body: { metadata: { generateName: 'km-lead-' } },
  });
  const namespace = made.metadata.name;
  ends.push(() => client.request({ method: 'DELETE', path: `/api/v1/namespaces/${namespace}` }));
  await all.claims.create(namespace, {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name: 'state' },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
  });
  // Other files' pods are none of its business.
  ends.push((await startStubKubelet(kubeconfig, undefined, namespace)).stop);
  let createdMs = 0;
  for (const name of SCHEDULES) {
    const schedule = await all.schedules.create(namespace, {
      ...API,
      kind: 'KmBackupSchedule',
      metadata: { name },
      // Far enough apart that no second slot comes while a test runs.
      spec: { intervalMinutes: 10, source: { persistentVolumeClaim: { claimName: 'state' } } },
    });
    createdMs = Math.max(createdMs, Date.parse(schedule.metadata.creationTimestamp));
  }
  const offsetMs = createdMs + 10 * MINUTE_MS - slotInMs - Date.now();

  const children: ChildProcess[] = [];
  ends.push(async () => {
    for (const child of children) child.kill('SIGKILL');
  });
  /** `aheadMs`: by how much the slot comes earlier on its clock. */
  const start = (
    podName: string,
    options: readonly string[],
    { aheadMs = 0, file = kubeconfig }: { aheadMs?: number; file?: string } = {},
  ) => {
    const child = spawnOperator({
      kubeconfig: file,
      namespace,
      offsetMs: offsetMs + aheadMs,
      podName,
      options,
    });
    children.push(child);
    let errors = '';
    child.stderr?.on('data', (chunk) => {
      errors += chunk;
    });
    return { child, errors: () => errors };
  };
  const lease = (holder: string) =>
    eventually(
      () => leases.get(namespace, 'km-backup-operator'),
      ({ spec }) => spec.holderIdentity.startsWith(holder),
      (last) => `${holder} to lead: ${JSON.stringify(last?.spec)}`,
      40_000,
    );
  /** Every schedule ran its slot, once. */
  const served = async () => {
    for (const name of SCHEDULES) {
      const { status } = await eventually(
        () => all.schedules.get(namespace, name),
        (schedule) => (schedule.status?.runs?.succeeded ?? 0) > 0 && schedule.status?.active?.length === 0,
        (last) => `the slot of ${name} to be served: ${JSON.stringify(last?.status)}`,
        40_000,
      );
      expect(status).toMatchObject({ runs: { succeeded: 1, failed: 0 }, missedSlots: 0 });
    }
    expect((await all.backups.list(namespace)).items).toHaveLength(SCHEDULES.length);
    expect(jobsEverMade.get(namespace)?.size).toBe(SCHEDULES.length);
  };
  const proxied = async (): Promise<{ proxy: FaultProxy; file: string }> => {
    const proxy = await proxyOf(kubeconfig);
    ends.push(proxy.close);
    const file = join(scratch, `${namespace}.kubeconfig`);
    await writeFile(file, proxy.kubeconfig(), { mode: 0o600 });
    return { proxy, file };
  };
  return { namespace, start, lease, served, proxied };
}

type Started = ReturnType<Awaited<ReturnType<typeof scene>>['start']>;

/** Wakes a frozen operator, which must end without having led again. */
async function wake({ child, errors }: Started): Promise<void> {
  const exited = once(child, 'exit');
  child.kill('SIGCONT');
  expect(await exited).toEqual([1, null]);
  expect(errors()).toContain('no longer holds Lease');
}

describe.concurrent('a leader', () => {
  it('killed with the usual times is followed within 20 s, and the slot that came meanwhile is served', async () => {
    // However long a process takes to start, its slots are not due before it is killed.
    const aheadMs = 70_000;
    const { start, lease, served } = await scene(aheadMs + 10_000);
    const first = start('first', []);
    await lease('first');
    start('second', [], { aheadMs });
    // Its first renewal is over.
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    first.child.kill('SIGKILL');
    await once(first.child, 'exit');
    const before = await lease('first');
    const after = await lease('second');
    expect(before.spec.leaseDurationSeconds).toBe(15);
    expect(after.spec.leaseTransitions).toBe(before.spec.leaseTransitions + 1);
    const goneMs = Date.parse(after.spec.acquireTime) - Date.parse(before.spec.renewTime) - aheadMs;
    expect(goneMs).toBeGreaterThan(15_000);
    expect(goneMs).toBeLessThan(20_000);
    await served();
  }, 90_000);

  it('frozen before its slots are due makes nothing when it wakes', async () => {
    const slotInMs = 25_000;
    const slotMs = Date.now() + slotInMs;
    const { namespace, start, lease, served } = await scene(slotInMs);
    const first = start('first', QUICK);
    await lease('first');
    first.child.kill('SIGSTOP');
    expect(jobsEverMade.get(namespace)).toBeUndefined();
    start('second', QUICK, { aheadMs: slotInMs + 1_000 });
    await lease('second');
    await served();
    // By its own clock, too, the slots are due when it wakes.
    await new Promise((resolve) => setTimeout(resolve, slotMs + 2_000 - Date.now()));
    await wake(first);
    await served();
  }, 90_000);

  it.each([
    ['run', /\/kmbackups\?|\/kmbackups$/],
    ['Job', /\/jobs$/],
  ])(
    'frozen while it makes a %s makes no second one, though its request arrives after the takeover',
    async (_, path) => {
      const { start, lease, served, proxied } = await scene(-1_000);
      const { proxy, file } = await proxied();
      const arrive = Promise.withResolvers<void>();
      const struck = Promise.withResolvers<void>();
      proxy.onWrite(async (write) => {
        if (write.phase !== 'before' || write.method !== 'POST' || !path.test(write.path)) return;
        first.child.kill('SIGSTOP');
        struck.resolve();
        await arrive.promise;
      });
      const first = start('first', QUICK, { file });
      await struck.promise;
      start('second', QUICK);
      await lease('second');
      await served();
      arrive.resolve();
      await wake(first);
      await served();
    },
    90_000,
  );
});
