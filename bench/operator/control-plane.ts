import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { KmBackup } from '../../src/api/backup.ts';
import type { KmBackupSchedule } from '../../src/api/backup-schedule.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { fromKubeconfig } from '../../src/kube/config.ts';
import type { KubeObject } from '../../src/kube/object.ts';
import type { ResourceClient } from '../../src/kube/resources.ts';
import { resource } from '../../src/kube/resources.ts';
import { type Resources, resources } from '../../src/operator/resources.ts';
import { type Cluster, clusterDown, clusterUp, type Log, stateDirOf } from '../../test/cluster/index.ts';
import { layoutOf } from '../../test/cluster/layout.ts';

const NAME = 'km-bench';
const CRDS = join(import.meta.dirname, '../../crds');

/** Arguments of the controller manager. */
export const CONTROLLERS = {
  shipped: ['--kube-api-qps=20', '--kube-api-burst=30', '--concurrent-cron-job-syncs=5'],
  tuned: ['--kube-api-qps=2000', '--kube-api-burst=4000', '--concurrent-cron-job-syncs=50'],
} as const;

/** A separate control plane for one measurement. */
export interface ControlPlane {
  readonly cluster: Cluster;
  readonly client: KubeClient;
  readonly all: Resources;
  readonly cronJobs: ResourceClient<KubeObject>;
  readonly stateDir: string;
  readonly name: string;
}

const AUDIT_POLICY = JSON.stringify({
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived'],
  rules: [{ level: 'Metadata' }],
});

/** Runs `work` on a new control plane with the CRDs, and removes it afterwards. */
export async function withControlPlane<T>(
  controllers: keyof typeof CONTROLLERS,
  options: { log: Log; auditDir?: string; name?: string },
  work: (plane: ControlPlane) => Promise<T>,
): Promise<T> {
  const { log, auditDir, name = NAME } = options;
  await clusterDown({ name, log });
  try {
    const audit: string[] = [];
    if (auditDir !== undefined) {
      const policy = join(auditDir, 'policy.json');
      await writeFile(policy, AUDIT_POLICY);
      audit.push(`--audit-policy-file=${policy}`, `--audit-log-path=${join(auditDir, 'audit.log')}`);
    }
    const cluster = await clusterUp({
      name,
      flavour: 'control-plane-only',
      log,
      extraArgs: { 'kube-controller-manager': [...CONTROLLERS[controllers]], 'kube-apiserver': audit },
    });
    await cluster.kubectl(['apply', '--server-side', '-f', CRDS]);
    await cluster.kubectl(['wait', '--for=condition=Established', '--timeout=60s', '-f', CRDS]);
    const client = new KubeClient(await fromKubeconfig(cluster.kubeconfigPath), { userAgent: 'km-bench' });
    const cronJobs = resource<KubeObject>(client, {
      group: 'batch',
      version: 'v1',
      plural: 'cronjobs',
      kind: 'CronJob',
      namespaced: true,
    });
    try {
      return await work({
        cluster,
        client,
        all: resources(client),
        cronJobs,
        stateDir: stateDirOf({ name }),
        name,
      });
    } finally {
      await client.close();
    }
  } finally {
    await clusterDown({ name, log });
  }
}

/** Calls `work` for each item, with limited concurrency. */
export async function eachOf<T>(
  items: Iterable<T>,
  concurrency: number,
  work: (item: T) => Promise<unknown>,
) {
  const iterator = items[Symbol.iterator]();
  const worker = async () => {
    for (let next = iterator.next(); !next.done; next = iterator.next()) await work(next.value);
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
}

/** Sends a request to etcd's JSON gateway. */
async function etcd(plane: ControlPlane, path: string, body: object): Promise<void> {
  const { slot } = JSON.parse(await readFile(join(plane.stateDir, 'cluster.json'), 'utf8')) as {
    slot: number;
  };
  const { ports } = layoutOf(plane.name, slot, 'control-plane-only', dirname(plane.stateDir));
  const url = `http://127.0.0.1:${ports.etcdClient}/v3/kv/${path}`;
  const response = await fetch(url, { method: 'POST', body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`etcd answered ${response.status}: ${await response.text()}`);
  await response.arrayBuffer();
}

const base64 = (text: string) => Buffer.from(text).toString('base64');
const prefixOf = (plural: 'kmbackups' | 'kmbackupschedules') => `/registry/km.duskmantle.io/${plural}/`;

function* inBatches<T>(items: Iterable<T>, size: number): Generator<T[]> {
  let batch: T[] = [];
  for (const item of items) {
    batch.push(item);
    if (batch.length < size) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

const CATCH_UP_MS = 4 * 60_000;

/**
 * Waits until the API server's cache has caught up with etcd, as in a cluster that was not filled a moment ago. Until
 * then, lists of the kind are refused or delayed.
 */
async function caughtUp(plane: ControlPlane, plural: 'kmbackups' | 'kmbackupschedules'): Promise<void> {
  const { descriptor } = plane.all.backups;
  const path = `/apis/${descriptor.group}/${descriptor.version}/${plural}`;
  const list = (query: Record<string, string | number>) =>
    plane.client.request<{ metadata: { resourceVersion: string } }>({ method: 'GET', path, query });
  for (const deadline = Date.now() + CATCH_UP_MS; ; ) {
    try {
      const { resourceVersion } = (await list({ limit: 1 })).metadata;
      // Without a limit, the cache answers. No object has the label, so the answer is short.
      await list({ resourceVersion, resourceVersionMatch: 'NotOlderThan', labelSelector: 'none=such' });
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
  }
}

/**
 * Writes objects straight into etcd: through the API server, 70,000 runs with a status would take 140,000 requests. The
 * API server stores custom resources as JSON.
 */
export async function putObjects(
  plane: ControlPlane,
  plural: 'kmbackups' | 'kmbackupschedules',
  objects: Iterable<KmBackup | KmBackupSchedule>,
): Promise<void> {
  // All objects of a transaction have the same revision, and a watch that starts between two of them misses the rest.
  // So objects that are watched meanwhile are written one by one.
  const together = plural === 'kmbackups' ? 100 : 1;
  await eachOf(inBatches(objects, together), 4, (batch) =>
    etcd(plane, 'txn', {
      success: batch.map((object) => ({
        request_put: {
          key: base64(`${prefixOf(plural)}${object.metadata.namespace}/${object.metadata.name}`),
          value: base64(JSON.stringify(object)),
        },
      })),
    }),
  );
  await caughtUp(plane, plural);
}

/** Removes every object of the kind straight from etcd. */
export async function removeObjects(plane: ControlPlane, plural: 'kmbackups' | 'kmbackupschedules') {
  const prefix = prefixOf(plural);
  const end = `${prefix.slice(0, -1)}0`;
  await etcd(plane, 'deleterange', { key: base64(prefix), range_end: base64(end) });
  await caughtUp(plane, plural);
}
