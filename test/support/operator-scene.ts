import type { ChildProcess } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, inject } from 'vitest';
import type { KmBackup, KmBackupStatus } from '../../src/api/backup.ts';
import type { KmBackupSchedule } from '../../src/api/backup-schedule.ts';
import { isFinished } from '../../src/api/finished.ts';
import { API_VERSION, MANAGED_SELECTOR } from '../../src/api/names.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { fromKubeconfig } from '../../src/kube/config.ts';
import type { KubeObject } from '../../src/kube/object.ts';
import { Reflector } from '../../src/kube/reflector.ts';
import { type ResourceClient, resource } from '../../src/kube/resources.ts';
import { type Change, Store } from '../../src/kube/store.ts';
import { type Resources, resources } from '../../src/operator/resources.ts';
import type { Job, Pod } from '../../src/operator/workloads.ts';
import { type FaultProxy, proxyOf } from '../faultproxy/index.ts';
import { quiet } from './kube.ts';
import { eventually } from './kubectl.ts';
import { type RunningOperator, startOperator } from './operator-in-process.ts';
import { type OperatorProcess, spawnOperator } from './operator-process.ts';
import { type StubKubeletOptions, startStubKubelet } from './stub-kubelet.ts';

const MINUTE_MS = 60_000;

/** A separate namespace with a claim, so that tests can run at the same time. */
export class OperatorScene {
  readonly kubeconfig: string;
  readonly client: KubeClient;
  readonly all: Resources;
  readonly namespace: string;
  /** UIDs of all Jobs that ever existed, in order of creation. */
  readonly jobsEverMade: string[] = [];
  readonly #ends: (() => Promise<unknown>)[] = [];

  private constructor(kubeconfig: string, client: KubeClient, namespace: string) {
    this.kubeconfig = kubeconfig;
    this.client = client;
    this.all = resources(client);
    this.namespace = namespace;
  }

  static async open(kubeconfig: string): Promise<OperatorScene> {
    const client = new KubeClient(await fromKubeconfig(kubeconfig));
    const body = { metadata: { generateName: 'km-op-' } };
    const made = await client.request<KubeObject>({ method: 'POST', path: '/api/v1/namespaces', body });
    const scene = new OperatorScene(kubeconfig, client, made.metadata.name);
    await scene.claim('state');
    await scene.follow(
      scene.all.jobs,
      ({ type, object }) => type === 'added' && scene.jobsEverMade.push(object.metadata.uid),
    );
    return scene;
  }

  /** Reports every change of a kind in the namespace, from now until the scene closes. */
  async follow<T extends KubeObject>(
    kind: ResourceClient<T>,
    onChange: (change: Change<T>) => void,
  ): Promise<void> {
    const stop = new AbortController();
    const { namespace } = this;
    const store = new Store<T>({ onChange });
    const reflector = new Reflector<T>({ resource: kind, store, namespace, logger: quiet });
    const running = reflector.run(stop.signal);
    this.onEnd(() => {
      stop.abort();
      return running;
    });
    await reflector.synced;
  }

  /** Registers a cleanup. Cleanups run in reverse order. */
  onEnd(end: () => Promise<unknown>): void {
    this.#ends.push(end);
  }

  async close(): Promise<void> {
    for (const end of this.#ends.splice(0).reverse()) await end();
    await this.client.request({ method: 'DELETE', path: `/api/v1/namespaces/${this.namespace}` });
    await this.client.close();
  }

  /** A proxy in front of the API server, and a kubeconfig that leads there. */
  async proxied(): Promise<{ proxy: FaultProxy; file: string }> {
    const proxy = await proxyOf(this.kubeconfig);
    const directory = await mkdtemp(join(tmpdir(), 'km-op-'));
    const file = join(directory, 'kubeconfig');
    await writeFile(file, proxy.kubeconfig(), { mode: 0o600 });
    this.onEnd(async () => {
      await proxy.close();
      await rm(directory, { recursive: true });
    });
    return { proxy, file };
  }

  /** An operator for this namespace, in this process. */
  async operator(
    options: Partial<Parameters<typeof startOperator>[0]> = {},
  ): Promise<RunningOperator['operator']> {
    const { kubeconfig, namespace } = this;
    const running = await startOperator({ kubeconfig, namespace, ...options });
    this.onEnd(running.stop);
    return running.operator;
  }

  /** An operator for this namespace, in a separate process. */
  spawnOperator(options: Partial<OperatorProcess> = {}): ChildProcess {
    const { kubeconfig, namespace } = this;
    const child = spawnOperator({ kubeconfig, namespace, offsetMs: 0, ...options });
    this.onEnd(async () => child.kill('SIGKILL'));
    return child;
  }

  /** Ends the pods of this namespace only. */
  async kubelet(report?: StubKubeletOptions['report']): Promise<void> {
    const { namespace } = this;
    this.onEnd((await startStubKubelet(this.kubeconfig, { report, namespace })).stop);
  }

  /** One of the API's own kinds. */
  core(plural: string, kind: string): ResourceClient<KubeObject & Record<string, unknown>> {
    return resource(this.client, { group: '', version: 'v1', plural, kind, namespaced: true });
  }

  /** Allows only so much of what the quota calls `what`; returns once the quota is in force. */
  async forbid(what: string, beyond = '0'): Promise<{ lift: () => Promise<void> }> {
    const quotas = this.core('resourcequotas', 'ResourceQuota');
    await quotas.create(this.namespace, { metadata: { name: 'none' }, spec: { hard: { [what]: beyond } } });
    await eventually(
      () => quotas.get(this.namespace, 'none'),
      ({ status }) => (status as { hard?: object } | undefined)?.hard !== undefined,
      () => `the quota of ${what} to be in force`,
    );
    return { lift: () => quotas.delete(this.namespace, 'none').then(() => undefined) };
  }

  async claim(name: string): Promise<void> {
    await this.all.claims.create(this.namespace, {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name },
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
    });
  }

  /** Creates a schedule that is due once a year, unless `spec` says otherwise. */
  schedule(name: string, spec: Record<string, unknown> = {}): Promise<KmBackupSchedule> {
    return this.all.schedules.create(this.namespace, {
      apiVersion: API_VERSION,
      kind: 'KmBackupSchedule',
      metadata: { name },
      spec: { cron: '0 0 1 1 *', source: { persistentVolumeClaim: { claimName: 'state' } }, ...spec },
    });
  }

  /** Creates a schedule whose second scheduled time is too far away for a test to see. The first is in epoch milliseconds. */
  async scheduleWithOneSlot(name: string): Promise<number> {
    const intervalMinutes = 10;
    const { metadata } = await this.schedule(name, { cron: undefined, intervalMinutes });
    return Date.parse(metadata.creationTimestamp) + intervalMinutes * MINUTE_MS;
  }

  async runNow(scheduleName: string, name = `${scheduleName}-now`): Promise<string> {
    await this.all.backups.create(this.namespace, {
      apiVersion: API_VERSION,
      kind: 'KmBackup',
      metadata: { name },
      spec: { scheduleName },
    });
    return name;
  }

  backups(): Promise<KmBackup[]> {
    return this.all.backups.list(this.namespace).then(({ items }) => items);
  }

  jobs(): Promise<Job[]> {
    return this.all.jobs.list(this.namespace, { labelSelector: MANAGED_SELECTOR }).then(({ items }) => items);
  }

  pods(labelSelector = MANAGED_SELECTOR): Promise<Pod[]> {
    return this.all.pods.list(this.namespace, { labelSelector }).then(({ items }) => items);
  }

  /** The pod of the Job controller, while there is only one with these labels. */
  async pod(labelSelector = MANAGED_SELECTOR): Promise<Pod> {
    const [pod] = await eventually(
      () => this.pods(labelSelector),
      (pods) => pods.length === 1,
      (pods) => `one pod of ${labelSelector}, not ${pods?.length}`,
    );
    return pod!;
  }

  /** Resolves once another pod exists. */
  async anotherPod(than: Pod): Promise<void> {
    await eventually(
      () => this.pods(),
      (pods) => pods.some(({ metadata }) => metadata.uid !== than.metadata.uid),
      () => 'another pod',
    );
  }

  /** Sets a pod's status as a kubelet or a scheduler would. */
  async podStatus(name: string, status: object): Promise<void> {
    await this.all.pods.mergePatch(this.namespace, name, { status }, 'status');
  }

  /** Resolves once a Warning of this namespace says `words`. */
  async warned(words: string): Promise<void> {
    await eventually(
      () => this.core('events', 'Event').list(this.namespace),
      ({ items }) => items.some(({ type, message }) => type === 'Warning' && String(message).includes(words)),
      () => `a Warning that says ${words}`,
    );
  }

  /** Resolves once `count` Jobs exist. */
  async jobCount(count: number): Promise<void> {
    await eventually(
      () => this.jobs(),
      (jobs) => jobs.length === count,
      (last) => `${count} Jobs, not ${last?.length}`,
    );
  }

  backupUntil(name: string, holds: (status: KmBackupStatus) => boolean): Promise<KmBackup> {
    return eventually(
      () => this.all.backups.get(this.namespace, name),
      ({ status }) => status !== undefined && holds(status),
      (last) => `KmBackup ${name}: ${JSON.stringify(last?.status)}`,
    );
  }

  finished(name: string): Promise<KmBackup> {
    return eventually(
      () => this.all.backups.get(this.namespace, name),
      isFinished,
      (last) => `KmBackup ${name} to end: ${JSON.stringify(last?.status)}`,
    );
  }

  scheduleUntil(name: string, holds: (schedule: KmBackupSchedule) => boolean): Promise<KmBackupSchedule> {
    return eventually(
      () => this.all.schedules.get(this.namespace, name),
      holds,
      (last) => `schedule ${name}: ${JSON.stringify(last?.status)}`,
    );
  }

  /** Checks that each of these schedules ran exactly once, at its only scheduled time, and missed none. */
  async oneRunOfEach(schedules: readonly string[]): Promise<void> {
    for (const name of schedules) {
      const { status } = await this.succeeded(name, 1);
      expect(status).toMatchObject({
        runs: { succeeded: 1, failed: 0, incomplete: 0, skipped: 0 },
        missedSlots: 0,
      });
    }
    const backups = await this.backups();
    expect(backups.map(({ status }) => status?.phase)).toEqual(schedules.map(() => 'Succeeded'));
    expect(backups.map(({ spec }) => spec.scheduleName).sort()).toEqual([...schedules].sort());
    expect(this.jobsEverMade).toHaveLength(schedules.length);
  }

  /** Resolves with the schedule once this many of its runs have succeeded and none is active. */
  succeeded(name: string, count: number): Promise<KmBackupSchedule> {
    return this.scheduleUntil(
      name,
      ({ status }) => (status?.runs?.succeeded ?? 0) >= count && status?.active?.length === 0,
    );
  }
}

/** Defines a test that gets a new scene as its first argument. */
export function inScene<A extends unknown[], R>(
  test: (scene: OperatorScene, ...args: A) => Promise<R>,
): (...args: A) => Promise<R> {
  return async (...args) => {
    const scene = await OperatorScene.open(inject('kubeconfig'));
    try {
      return await test(scene, ...args);
    } finally {
      await scene.close();
    }
  };
}
