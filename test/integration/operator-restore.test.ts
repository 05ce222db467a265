import { describe, expect, it } from 'vitest';
import { isRestoreFinished } from '../../src/api/finished.ts';
import { API_VERSION, LABELS } from '../../src/api/names.ts';
import type { KmRestore } from '../../src/api/restore.ts';
import type { KubeObject } from '../../src/kube/object.ts';
import { type Kill, runKills, startToKill } from '../support/kills.ts';
import { eventually } from '../support/kubectl.ts';
import { inScene, type OperatorScene } from '../support/operator-scene.ts';
import { ARCHIVE, backedUp, FOUND, restoreReport } from '../support/restore-scene.ts';
import { cleanResult, type StubReport } from '../support/stub-kubelet.ts';

const REPLICAS = 2;

const fromLocation = {
  source: { location: { name: 'offsite', identitySecretRef: { name: 'restore-key' } } },
};

/** A succeeded backup, a Deployment that uses its claim, and pods that end with a report. */
async function prepared(
  scene: OperatorScene,
  { pods = true, loses = (_pod: KubeObject): boolean => false } = {},
): Promise<void> {
  const report = (pod: KubeObject): StubReport | undefined => {
    const component = pod.metadata.labels?.[LABELS.component] ?? '';
    if (loses(pod)) return undefined;
    return component === 'backup' ? { exitCode: 0, result: cleanResult(ARCHIVE) } : restoreReport(component);
  };
  if (pods) await scene.kubelet(report);
  await scene.schedule('notes');
  await scene.all.locations.create(scene.namespace, {
    apiVersion: API_VERSION,
    kind: 'KmBackupLocation',
    metadata: { name: 'offsite' },
    spec: { s3: { bucket: 'backups' }, encryption: { none: true } },
  });
  const labels = { app: 'notes' };
  await scene.client.request({
    method: 'POST',
    path: `/apis/apps/v1/namespaces/${scene.namespace}/deployments`,
    body: {
      metadata: { name: 'notes' },
      spec: {
        replicas: REPLICAS,
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: {
            containers: [{ name: 'notes', image: 'notes' }],
            volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'state' } }],
          },
        },
      },
    },
  });
  await eventually(
    () => scene.all.pods.list(scene.namespace, { labelSelector: 'app=notes' }),
    ({ items }) => items.length === REPLICAS,
    () => 'the pods of the application',
  );
}

const replicasOf = async (scene: OperatorScene): Promise<number | undefined> =>
  (await scene.all.workloads['Deployment']!.get(scene.namespace, 'notes')).spec?.replicas;

async function create(scene: OperatorScene, name: string, spec: object): Promise<void> {
  await scene.all.restores.create(scene.namespace, {
    apiVersion: API_VERSION,
    kind: 'KmRestore',
    metadata: { name },
    spec: {
      source: { scheduleName: 'notes' },
      target: { persistentVolumeClaim: { claimName: 'state' } },
      quiesce: { auto: true },
      ...spec,
    },
  });
}

const deletePod = (scene: OperatorScene, name: string, gracePeriodSeconds: number) =>
  scene.client.request({
    method: 'DELETE',
    path: `/api/v1/namespaces/${scene.namespace}/pods/${name}`,
    body: { gracePeriodSeconds },
  });

/** The pod runs on a node that no longer answers, and is evicted from there: it stays, being deleted. */
async function runOnLostNode(scene: OperatorScene, name: string): Promise<void> {
  await scene.client.request({
    method: 'POST',
    path: `/api/v1/namespaces/${scene.namespace}/pods/${name}/binding`,
    body: { metadata: { name }, target: { kind: 'Node', name: 'lost' } },
  });
  const startedAt = new Date().toISOString();
  const state = { running: { startedAt } };
  await scene.podStatus(name, {
    phase: 'Running',
    startTime: startedAt,
    conditions: [{ type: 'DisruptionTarget', status: 'True', reason: 'DeletionByTaintManager' }],
    containerStatuses: [{ name: 'km-backup', image: 'i', imageID: '', ready: true, restartCount: 0, state }],
  });
  await deletePod(scene, name, 60);
}

const ended = (scene: OperatorScene, name: string): Promise<KmRestore> =>
  eventually(
    () => scene.all.restores.get(scene.namespace, name),
    (restore) => isRestoreFinished(restore) && !restore.metadata.finalizers?.length,
    (last) => `KmRestore ${name} to end and hold nothing: ${JSON.stringify(last)}`,
  );

/** No Service of that name exists, so this fails after its timeout. */
const failing = [{ name: 'never', timeout: '1s', http: { service: 'none', port: 80 } }];

/** `from`: the first write that differs from those of the story before; kills before it are that story's. */
const stories: [string, object, KmRestore['status'], number][] = [
  ['succeeds', {}, { phase: 'Succeeded' }, 1],
  // Its first writes are the finalizer, the Job that finds the copy and what is said of both.
  ['comes from a location', fromLocation, { phase: 'Succeeded' }, 1],
  ['fails its verification', { verify: failing }, { phase: 'RolledBack', reason: 'StepFailed' }, 12],
];

describe('a KmRestore against a real API server', () => {
  it(
    'stops the Deployment, runs its Jobs in turn, and puts the Deployment back',
    inScene(async (scene) => {
      await prepared(scene);
      await scene.operator();
      await backedUp(scene);
      await create(scene, 'back', {});
      const { status } = await ended(scene, 'back');
      expect(status).toMatchObject({
        phase: 'Succeeded',
        restored: { entries: 3 },
        resolved: { archive: { name: 'km-backup-20260101T000000Z.tgz', manifestSha256: '0'.repeat(64) } },
        stopped: [{ kind: 'Deployment', name: 'notes', replicas: REPLICAS, restored: true }],
      });
      expect(await replicasOf(scene)).toBe(REPLICAS);
      const jobs = await scene.all.jobs.list(scene.namespace, { labelSelector: `${LABELS.restore}=back` });
      expect(jobs.items.map(({ metadata }) => metadata.labels?.[LABELS.component]).sort()).toEqual([
        'stage',
        'swap',
      ]);
    }),
  );

  it(
    'only plans in a dry run, and needs no stopped workload for that',
    inScene(async (scene) => {
      await prepared(scene);
      await scene.operator();
      await backedUp(scene);
      await create(scene, 'preview', { dryRun: true, quiesce: undefined });
      expect((await ended(scene, 'preview')).status).toMatchObject({ phase: 'Planned', plan: { added: 1 } });
      expect(await replicasOf(scene)).toBe(REPLICAS);
    }),
  );

  it(
    'waits for one that goes first, and holds back backups of its claim',
    inScene(async (scene) => {
      await prepared(scene);
      await scene.operator();
      await backedUp(scene);
      await create(scene, 'second', { after: ['first'] });
      await eventually(
        () => scene.all.restores.get(scene.namespace, 'second'),
        ({ status }) => status?.reason === 'WaitingForRestore',
        (last) => JSON.stringify(last?.status),
      );
      await scene.runNow('notes', 'meanwhile');
      await scene.backupUntil('meanwhile', ({ reason }) => reason === 'WaitingForRestore');
      await create(scene, 'first', { target: { scratch: { size: '1Gi' } }, quiesce: undefined });
      expect((await ended(scene, 'second')).status?.phase).toBe('Succeeded');
      expect((await scene.finished('meanwhile')).status?.phase).toBe('Succeeded');
    }),
  );

  it(
    'restores from a location where there is neither a schedule nor a backup',
    inScene(async (scene) => {
      await scene.kubelet((pod) => restoreReport(pod.metadata.labels?.[LABELS.component] ?? ''));
      await scene.operator();
      await create(scene, 'early', { ...fromLocation, quiesce: undefined });
      const { status: early } = await ended(scene, 'early');
      expect(early).toMatchObject({ phase: 'Failed', reason: 'LocationNotFound' });
      await scene.all.locations.create(scene.namespace, {
        apiVersion: API_VERSION,
        kind: 'KmBackupLocation',
        metadata: { name: 'offsite' },
        spec: { s3: { bucket: 'backups' }, encryption: { none: true } },
      });
      const target = { newClaim: { name: 'new', size: '1Gi' } };
      await create(scene, 'back', { ...fromLocation, target, quiesce: undefined });
      const { status } = await ended(scene, 'back');
      expect(status).toMatchObject({
        phase: 'Succeeded',
        resolved: {
          archive: { name: FOUND.archive },
          series: FOUND.series,
          location: { url: 's3://backups' },
        },
      });
      const jobs = await scene.all.jobs.list(scene.namespace, {
        // Of the restore: the location has a Job of its own, which checks it.
        labelSelector: `${LABELS.location}=offsite,${LABELS.restore}=back`,
      });
      expect(jobs.items.map(({ metadata }) => metadata.labels?.[LABELS.component]).sort()).toEqual([
        'find',
        'stage',
      ]);
    }),
  );

  it(
    'says which Secret and key its pod waits for',
    inScene(async (scene) => {
      await prepared(scene, { pods: false });
      await scene.operator();
      await create(scene, 'back', fromLocation);
      // The location has a pod too, which checks it.
      const { metadata } = await scene.pod(`${LABELS.restore}=back`);
      const message = "couldn't find key AWS_ACCESS_KEY_ID in Secret team/bucket-keys";
      const waiting = { reason: 'CreateContainerConfigError', message };
      await scene.podStatus(metadata.name, {
        phase: 'Pending',
        containerStatuses: [
          { name: 'km-backup', image: 'i', imageID: '', ready: false, restartCount: 0, state: { waiting } },
        ],
      });
      const { status } = await eventually(
        () => scene.all.restores.get(scene.namespace, 'back'),
        (restore) => restore.status?.message?.includes('bucket-keys') === true,
        (last) => JSON.stringify(last?.status),
      );
      expect(status).toMatchObject({ phase: 'Pending', reason: 'FindingCopy' });
      expect(status?.message).toContain(message);
      expect(status?.message).toContain('key identity of Secret restore-key');
      expect(await replicasOf(scene)).toBe(REPLICAS);
    }),
  );

  it(
    'goes on when the nodes of its pods are lost, and starts nothing before their pods are gone',
    inScene(async (scene) => {
      const lost = new Map<string | undefined, string>();
      /** The first pod of each Job. */
      const loses = ({ metadata: { uid, labels } }: KubeObject) => {
        const component = labels?.[LABELS.component];
        if (!lost.has(component)) lost.set(component, uid);
        return lost.get(component) === uid;
      };
      await prepared(scene, { loses });
      await scene.operator();
      await backedUp(scene);
      await create(scene, 'back', {});
      for (const component of ['stage', 'swap']) {
        const labelSelector = `${LABELS.restore}=back,${LABELS.component}=${component}`;
        const pods = () => scene.all.pods.list(scene.namespace, { labelSelector });
        const { items } = await eventually(
          pods,
          (list) => list.items.length === 1,
          () => `the pod of ${component}`,
        );
        const [pod] = items;
        await runOnLostNode(scene, pod!.metadata.name);
        await eventually(
          pods,
          (list) => list.items[0]?.metadata.deletionTimestamp !== undefined,
          () => 'the deletion',
        );
        const { status } = await scene.all.restores.get(scene.namespace, 'back');
        expect([status?.phase, await replicasOf(scene)]).toEqual(['Restoring', 0]);
        // As a person does who knows that the node is gone.
        await deletePod(scene, pod!.metadata.name, 0);
      }
      const { status } = await ended(scene, 'back');
      expect(status).toMatchObject({ phase: 'Succeeded', stopped: [{ restored: true }] });
      expect(await replicasOf(scene)).toBe(REPLICAS);
    }),
  );

  it(
    'refuses a StatefulSet that would delete the claim, before anything is stopped',
    inScene(async (scene) => {
      await scene.kubelet(() => ({ exitCode: 0, result: cleanResult(ARCHIVE) }));
      await scene.schedule('notes');
      await scene.client.request<KubeObject>({
        method: 'POST',
        path: `/apis/apps/v1/namespaces/${scene.namespace}/statefulsets`,
        body: {
          metadata: { name: 'db' },
          spec: {
            replicas: 1,
            serviceName: 'db',
            persistentVolumeClaimRetentionPolicy: { whenScaled: 'Delete', whenDeleted: 'Retain' },
            selector: { matchLabels: { app: 'db' } },
            template: {
              metadata: { labels: { app: 'db' } },
              spec: {
                containers: [{ name: 'db', image: 'db' }],
                volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'state' } }],
              },
            },
          },
        },
      });
      await eventually(
        () => scene.all.pods.list(scene.namespace, { labelSelector: 'app=db' }),
        ({ items }) => items.length === 1,
        () => 'its pod',
      );
      await scene.operator();
      await backedUp(scene);
      await create(scene, 'back', {});
      const { status } = await ended(scene, 'back');
      expect(status).toMatchObject({ phase: 'Failed', reason: 'CannotQuiesce' });
      expect(status?.message).toContain('whenScaled');
      expect((await scene.all.workloads['StatefulSet']!.get(scene.namespace, 'db')).spec?.replicas).toBe(1);
    }),
  );
});

describe.each(stories)('a KmRestore that %s', (_, spec, end, from) => {
  it(
    'ends the same with two operators at once',
    inScene(async (scene) => {
      await prepared(scene);
      await backedUp(scene);
      await scene.operator();
      await scene.operator();
      await create(scene, 'back', spec);
      expect((await ended(scene, 'back')).status).toMatchObject(end!);
      await eventually(
        () => replicasOf(scene),
        (replicas) => replicas === REPLICAS,
        (last) => `${REPLICAS} replicas, not ${last}`,
      );
      const jobs = await scene.all.jobs.list(scene.namespace, { labelSelector: `${LABELS.restore}=back` });
      const names = jobs.items.map(({ metadata }) => metadata.name);
      expect(names).toEqual([...new Set(names)]);
    }),
  );

  /** One restore, with one kill of the operator; gives how many writes there were. */
  const run = inScene(async (scene, kill: Kill | undefined): Promise<number> => {
    const { proxy, file } = await scene.proxied();
    await prepared(scene);
    await backedUp(scene);
    const counts = (path: string) => ['kmrestores', '/jobs', '/scale'].some((part) => path.includes(part));
    const operator = startToKill(proxy, () => scene.spawnOperator({ kubeconfig: file }), kill, counts);
    await create(scene, 'back', spec);
    const done = ended(scene, 'back');
    await operator.startedAgain(done);
    expect((await done).status).toMatchObject(end!);
    await eventually(
      () => replicasOf(scene),
      (replicas) => replicas === REPLICAS,
      (last) => `${REPLICAS} replicas, not ${last}`,
    );
    return operator.writes.length;
  });

  it('ends the same when the operator is killed before or after any of its writes', async () => {
    const writes = await run(undefined);
    expect(await runKills({ from, writes, parallel: 6 }, run)).toEqual([]);
  }, 900_000);
});
