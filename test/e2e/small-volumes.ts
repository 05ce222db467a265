/** Volumes of a fixed size: each is a file system of its own on the node, which is really full when it is full. */
import { randomBytes } from 'node:crypto';
import type { Kubectl } from '../support/kubectl.ts';
import { cluster, kubectlIn } from './context.ts';

const HOST = '/var/lib/km-e2e';

export interface SmallVolumes {
  /** The class of a volume, by its name: a claim of that class gets that volume. */
  readonly classOf: (name: string) => string;
  readonly remove: () => Promise<void>;
}

/** @param sizes In MiB, by name. */
export async function smallVolumes(
  kubectl: Kubectl,
  sizes: Readonly<Record<string, number>>,
): Promise<SmallVolumes> {
  // Without Pod Security: only a privileged pod may mount something that the node sees.
  const namespace = `km-e2e-mounts-${randomBytes(3).toString('hex')}`;
  const host = kubectlIn(namespace);
  await host.apply([
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
    mounter(cluster().image),
  ]);
  await host.run(['wait', 'pod/mounter', '--for=condition=Ready', '--timeout=180s']);
  const asRoot = (script: string) => host.exec('mounter', ['sh', '-euc', script]);
  const classOf = (name: string) => `${kubectl.namespace}-${name}`;
  const pathOf = (name: string) => `${HOST}/${classOf(name)}`;
  const names = Object.keys(sizes);
  for (const [name, size] of Object.entries(sizes)) {
    const path = pathOf(name);
    await asRoot(`mkdir -p ${path}; busybox mount -t tmpfs -o size=${size}m,mode=0777 tmpfs ${path}`);
  }
  const [node] = await kubectl.list('nodes');
  const values = [node!.metadata.labels!['kubernetes.io/hostname']!];
  const isNode = { matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values }] };
  await kubectl.apply(
    names.map((name) => ({
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name: classOf(name) },
      spec: {
        capacity: { storage: `${sizes[name]}Mi` },
        accessModes: ['ReadWriteOnce'],
        persistentVolumeReclaimPolicy: 'Retain',
        storageClassName: classOf(name),
        local: { path: pathOf(name) },
        nodeAffinity: { required: { nodeSelectorTerms: [isNode] } },
      },
    })),
  );
  return {
    classOf,
    remove: async () => {
      await kubectl.run(['delete', 'pv', ...names.map(classOf), '--wait=false']);
      await asRoot(
        names.map((name) => `busybox umount -l ${pathOf(name)}; rmdir ${pathOf(name)}`).join('\n'),
      );
      await host.run(['delete', 'namespace', namespace, '--wait=false']);
    },
  };
}

function mounter(image: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'mounter' },
    spec: {
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: 0,
      containers: [
        {
          name: 'mounter',
          image,
          command: ['node', '-e', 'setInterval(() => {}, 1 << 30)'],
          securityContext: { privileged: true, runAsUser: 0, runAsGroup: 0 },
          volumeMounts: [{ name: 'volumes', mountPath: HOST, mountPropagation: 'Bidirectional' }],
        },
      ],
      volumes: [{ name: 'volumes', hostPath: { path: HOST, type: 'DirectoryOrCreate' } }],
    },
  };
}
