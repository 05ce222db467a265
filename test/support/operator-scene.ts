import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isFinished, type KmBackup } from '../../src/api/backup.ts';
import type { KmBackupSchedule } from '../../src/api/backup-schedule.ts';
import { API_VERSION, MANAGED_SELECTOR } from '../../src/api/names.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { fromKubeconfig } from '../../src/kube/config.ts';
import { Reflector } from '../../src/kube/reflector.ts';
import type { KubeObject } from '../../src/kube/resources.ts';
import { Store } from '../../src/kube/store.ts';
import { type Resources, resources } from '../../src/operator/resources.ts';
import type { Job } from '../../src/operator/workloads.ts';
import { type FaultProxy, proxyOf } from '../faultproxy/index.ts';
import { quiet } from './kube.ts';
import { eventually } from './kubectl.ts';
import { startOperator } from './operator-in-process.ts';
import { startStubKubelet } from './stub-kubelet.ts';

const PATIENCE_MS = 60_000;

/** A namespace of its own, with a claim, so that tests can run beside one another. */
export class OperatorScene {
  readonly kubeconfig: string;
  readonly client: KubeClient;
  readonly all: Resources;
  readonly namespace: string;
  /** UIDs of every Job there ever was, in the order of their making. */
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
    await scene.all.claims.create(scene.namespace, {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name: 'state' },
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
    });
    await scene.#followJobs();
    return scene;
  }

  async #followJobs(): Promise<void> {
    const stop = new AbortController();
    const reflector = new Reflector<Job>({
      resource: this.all.jobs,
      store: new Store<Job>(),
      namespace: this.namespace,
      labelSelector: MANAGED_SELECTOR,
      logger: quiet,
      onEvent: ({ type, object }) => type === 'added' && this.jobsEverMade.push(object.metadata.uid),
    });
    const running = reflector.run(stop.signal);
    this.onEnd(() => {
      stop.abort();
      return running;
    });
    await reflector.synced;
  }

  /** Ends come in the opposite order. */
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

  async operator(options: Partial<Parameters<typeof startOperator>[0]> = {}) {
    const { kubeconfig, namespace } = this;
    const running = await startOperator({ kubeconfig, namespace, ...options });
    this.onEnd(running.stop);
    return running.operator;
  }

  async kubelet(): Promise<void> {
    this.onEnd((await startStubKubelet(this.kubeconfig, undefined, this.namespace)).stop);
  }

  /** One that is due once a year, unless the spec says otherwise. */
  schedule(name: string, spec: Record<string, unknown> = {}): Promise<KmBackupSchedule> {
    return this.all.schedules.create(this.namespace, {
      apiVersion: API_VERSION,
      kind: 'KmBackupSchedule',
      metadata: { name },
      spec: { cron: '0 0 1 1 *', source: { persistentVolumeClaim: { claimName: 'state' } }, ...spec },
    });
  }

  async runNow(scheduleName: string, name: string): Promise<string> {
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

  finished(name: string): Promise<KmBackup> {
    return eventually(
      () => this.all.backups.get(this.namespace, name),
      isFinished,
      (last) => `KmBackup ${name} to end: ${JSON.stringify(last?.status)}`,
      PATIENCE_MS,
    );
  }

  scheduleUntil(name: string, holds: (schedule: KmBackupSchedule) => boolean): Promise<KmBackupSchedule> {
    return eventually(
      () => this.all.schedules.get(this.namespace, name),
      holds,
      (last) => `schedule ${name}: ${JSON.stringify(last?.status)}`,
      PATIENCE_MS,
    );
  }

  /** The schedule, once so many of its runs have succeeded and none goes on. */
  succeeded(name: string, count: number): Promise<KmBackupSchedule> {
    return this.scheduleUntil(
      name,
      ({ status }) => (status?.runs?.succeeded ?? 0) >= count && status?.active?.length === 0,
    );
  }
}
