/**
 * The kubelet of the node stops while a pod of a KmRestore runs, and comes back: the restore goes on, and no two pods
 * write at once.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Cluster, clusterOpen } from '../cluster/index.ts';
import { identify, isAlive, type ProcessId, signal, waitFor } from '../cluster/process.ts';
import { application, service } from '../support/application.ts';
import { CLUSTER_NAME } from '../support/install.ts';
import { eventually, type Kubectl, type KubeObject } from '../support/kubectl.ts';
import { kmRestore, runNow, schedule } from '../support/resources.ts';
import { claim, treeListing } from '../support/volume.ts';
import { cluster, restrictedNamespace } from './context.ts';

/** Only a node that is made of this machine shows its processes here. A given cluster is not ours to stop. */
const node = process.env['KM_TEST_KUBECONFIG'] ? undefined : await clusterOpen({ name: CLUSTER_NAME });
const isOurs = node?.backend === 'local';

let kubectl: Kubectl;
let remove: () => Promise<void>;
let good: string;

async function inApp(program: string): Promise<string> {
  await kubectl.run(['rollout', 'status', 'deployment/app', '--timeout=180s']);
  const command = ['exec', '-i', 'deployment/app', '--', 'node', '--input-type=module', '-'];
  return await kubectl.run(command, program);
}

const tree = async (): Promise<string> =>
  (await inApp(treeListing('/data', 'backups')))
    .split('\n')
    .filter((line) => !line.includes('.km-restore'))
    .join('\n');

const damage = () =>
  inApp(`import { rmSync, writeFileSync } from 'node:fs';
    rmSync('/data/files/1.txt'); writeFileSync('/data/files/2.txt', 'ruined'); writeFileSync('/data/new', 'x');`);

/** Processes of km-backup that now work on this restore: to stage it, or for what comes after. */
function processesOf(uid: string, job?: 'stage' | 'swap'): ProcessId[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
        const stages = command.includes('--stage-only') === (job === 'stage');
        const isWanted = command.includes(`--id=${uid}`) && (job === undefined || stages);
        return isWanted ? (identify(Number(pid)) ?? []) : [];
      } catch {
        // It has ended meanwhile.
        return [];
      }
    });
}

/** Pods in which km-backup now works on this restore: their process namespaces. */
function podsAtWork(uid: string): string[] {
  const namespaces = processesOf(uid).flatMap(({ pid }) => {
    try {
      return [readlinkSync(`/proc/${pid}/ns/pid`)];
    } catch {
      return [];
    }
  });
  return [...new Set(namespaces)];
}

/** Whether it may change the target: it has opened the lock of the restore's state. */
function hasLock({ pid }: ProcessId): boolean {
  try {
    const files = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
    return files.some((file) => file.endsWith('/.km-restore/lock'));
  } catch {
    return false;
  }
}

/** Counts the pods at work again and again, until disposed. */
class Watch implements Disposable {
  most = 0;
  readonly #timer: NodeJS.Timeout;
  constructor(uid: string) {
    this.#timer = setInterval(() => {
      this.most = Math.max(this.most, podsAtWork(uid).length);
    }, 20);
  }
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

const hasEnded = ({ status }: KubeObject) => ['Succeeded', 'RolledBack', 'Failed'].includes(status?.phase);

const podsOf = (name: string, job: string) =>
  kubectl.list('pods', '-l', `km.duskmantle.io/restore=${name},app.kubernetes.io/component=${job}`);

beforeAll(async () => {
  if (!isOurs) return;
  ({ kubectl, remove } = await restrictedNamespace('kubelet'));
  await kubectl.apply([
    claim('data'),
    application('app', cluster().image, 'data'),
    service('app'),
    schedule('app', { suspend: true, source: { persistentVolumeClaim: { claimName: 'data' } } }),
  ]);
  await inApp(`import { mkdirSync, writeFileSync } from 'node:fs';
    mkdirSync('/data/files'); for (let i = 0; i < 50; i++) writeFileSync('/data/files/' + i + '.txt', 'file ' + i);`);
  good = await tree();
  expect((await runNow(kubectl, 'app')).status).toMatchObject({ phase: 'Succeeded' });
});
afterAll(() => remove?.());

interface Stop {
  readonly stop: (node: Cluster) => Promise<void>;
  readonly start: (node: Cluster) => Promise<void>;
}
const paused: Stop = { stop: (of) => of.pause('kubelet'), start: (of) => of.resume('kubelet') };
const killed: Stop = { stop: (of) => of.kill('kubelet'), start: (of) => of.start('kubelet') };

/** As `kubectl drain` does: the pod stays until its kubelet says that it has ended. */
const evict = ({ metadata: { name, namespace } }: KubeObject) =>
  kubectl.run(
    ['create', '--raw', `/api/v1/namespaces/${namespace}/pods/${name}/eviction`, '-f', '-'],
    JSON.stringify({ apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name, namespace } }),
  );

/** As a person does who no longer waits for a node. */
async function deleteByForce({ metadata: { name } }: KubeObject): Promise<void> {
  await kubectl.run(['delete', 'pod', name, '--grace-period=0', '--force', '--wait=false']);
}

/** The Job keeps a pod whose end it does not know by a finalizer: with that gone, the API no longer has the pod. */
async function takeFromApi(pod: KubeObject): Promise<void> {
  await deleteByForce(pod);
  await kubectl.run(['patch', 'pod', pod.metadata.name, '--patch', '{"metadata":{"finalizers":null}}']);
}

const running = (pods: readonly KubeObject[] | undefined) =>
  pods?.[0]?.status?.containerStatuses?.[0]?.state?.running !== undefined;

/** @returns The UID of the KmRestore. */
async function begin(name: string): Promise<string> {
  const { metadata } = await kubectl.create(
    kmRestore(name, {
      source: { scheduleName: 'app' },
      target: { persistentVolumeClaim: { claimName: 'data' } },
      quiesce: { auto: true },
      keepOldStateFor: '0',
      // Slow enough to be met at work.
      podTemplate: { resources: { limits: { cpu: '150m' } } },
      verify: [{ name: 'alive', timeout: '2m', http: { service: 'app', port: 80, path: '/healthz' } }],
    }),
  );
  return metadata.uid!;
}

async function expectRestored(name: string): Promise<void> {
  const { status } = await kubectl.until('kmrestore', name, hasEnded);
  expect(status).toMatchObject({
    phase: 'Succeeded',
    stopped: [{ kind: 'Deployment', name: 'app', replicas: 1, restored: true }],
  });
  expect(await tree()).toEqual(good);
}

describe.runIf(isOurs)('a kubelet that stops while a restore', () => {
  it.each([
    ['stages: frozen, until after the end of the pod', 'frozen', 'stage', paused, false],
    ['stages: killed, and the pod evicted meanwhile', 'evicted', 'stage', killed, true],
    ['swaps: killed, until after the end of the pod', 'swapped', 'swap', killed, false],
  ] as const)('%s', async (_, name, job, { stop, start }, isEvicted) => {
    await damage();
    const uid = await begin(name);
    using watch = new Watch(uid);
    const [pod] = await eventually(
      () => podsOf(name, job),
      running,
      () => `the pod of ${job} to run`,
    );
    await stop(node!);
    try {
      if (isEvicted) await evict(pod!);
      await eventually(
        async () => podsAtWork(uid),
        (at) => at.length === 0,
        () => 'km-backup to end while nobody watches it',
      );
      // What it did is not known to anyone: nothing else may have begun.
      const now = await podsOf(name, job);
      expect(now.map(({ metadata: of }) => of.uid)).toEqual([pod!.metadata.uid]);
      expect(running(now)).toBe(true);
    } finally {
      await start(node!);
    }
    await expectRestored(name);
    expect(watch.most).toBe(1);
  });

  it.each([
    ['stages: killed, the pod deleted by force', 'forced', 'stage', killed, deleteByForce],
    ['stages: frozen, the pod gone from the API', 'gone', 'stage', paused, takeFromApi],
    ['swaps: killed, the pod gone from the API', 'gone-swap', 'swap', killed, takeFromApi],
    ['swaps: frozen, the pod gone from the API', 'gone-frozen', 'swap', paused, takeFromApi],
  ] as const)('%s while km-backup hangs in it', async (_, name, job, { stop, start }, remove) => {
    await damage();
    const uid = await begin(name);
    let hanging: ProcessId | undefined;
    const hangs = await waitFor(
      () => {
        hanging = processesOf(uid, job).find(hasLock);
        return hanging !== undefined && signal(hanging, 'SIGSTOP');
      },
      120_000,
      2,
    );
    expect(hangs).toBe(true);
    const [pod] = await podsOf(name, job);
    try {
      await stop(node!);
      try {
        await remove(pod!);
        if (remove === takeFromApi) {
          await eventually(
            () => podsOf(name, job),
            (pods) => pods.some(({ metadata }) => metadata.uid !== pod!.metadata.uid),
            () => `another pod of ${job}`,
          );
        }
        expect(isAlive(hanging!)).toBe(true);
      } finally {
        await start(node!);
      }
      await eventually(
        async () => isAlive(hanging!),
        (isLeft) => !isLeft,
        () => 'the kubelet to end what it no longer knows',
      );
    } finally {
      signal(hanging!, 'SIGCONT');
    }
    await expectRestored(name);
    // The next pod may have come across what hung: it waits.
    const ended = (await podsOf(name, job)).filter(({ metadata }) => metadata.uid !== pod!.metadata.uid);
    expect(ended.map(({ status }) => status.phase)).toEqual(['Succeeded']);
  });
});
