import type { Kubectl } from './kubectl.ts';

const HOST = '/var/lib/km-e2e';

export interface LocalVolume {
  readonly name: string;
  /** On the node. */
  readonly path: string;
  readonly objects: readonly object[];
}

/**
 * A PersistentVolume of type `local` and its claim in the namespace of `kubectl`. As with most CSI volumes, and unlike a
 * hostPath volume, the kubelet gives the files to a pod's `fsGroup`.
 */
export function localVolume(kubectl: Kubectl, node: string, claimName: string): LocalVolume {
  const name = `${kubectl.namespace}-${claimName}`;
  const path = `${HOST}/${name}`;
  const capacity = { storage: '1Gi' };
  const hostname = { key: 'kubernetes.io/hostname', operator: 'In', values: [node] };
  return {
    name,
    path,
    objects: [
      {
        apiVersion: 'v1',
        kind: 'PersistentVolume',
        metadata: { name },
        spec: {
          capacity,
          accessModes: ['ReadWriteOnce'],
          persistentVolumeReclaimPolicy: 'Retain',
          storageClassName: '',
          local: { path },
          nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [hostname] }] } },
          claimRef: { namespace: kubectl.namespace, name: claimName },
        },
      },
      {
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        metadata: { name: claimName },
        spec: {
          accessModes: ['ReadWriteOnce'],
          storageClassName: '',
          volumeName: name,
          resources: { requests: capacity },
        },
      },
    ],
  };
}

/** A pod that runs as root on the node's folder of local volumes. It needs a namespace without Pod Security. */
export function nodeRoot(name: string, image: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: {
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: 0,
      containers: [
        {
          name: 'root',
          image,
          command: ['node', '-e', 'setInterval(() => {}, 1 << 30)'],
          securityContext: { runAsUser: 0, runAsGroup: 0 },
          volumeMounts: [{ name: 'volumes', mountPath: HOST }],
        },
      ],
      volumes: [{ name: 'volumes', hostPath: { path: HOST, type: 'DirectoryOrCreate' } }],
    },
  };
}

/** Program that prints a line for everything below `root` (owner, group, mode, path), sorted. */
export const ownership = (root: string, exclude: string): string => `
import { lstatSync, readdirSync } from 'node:fs';
const root = ${JSON.stringify(root)};
const lines = [];
const walk = (path) => {
  const { uid, gid, mode } = lstatSync(root + path);
  lines.push([uid, gid, mode.toString(8), path || '/'].join(' '));
  if ((mode & 0o170000) !== 0o040000) return;
  for (const name of readdirSync(root + path)) if (path + '/' + name !== ${JSON.stringify(exclude)}) walk(path + '/' + name);
};
walk('');
console.log(lines.sort().join('\\n'));
`;
