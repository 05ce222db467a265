import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Layout } from './layout.ts';
import { BUSYBOX_IMAGE } from './oci.ts';
import { IDENTITIES } from './pki.ts';

/** The default StorageClass; the name that kind gives it too. */
export const STORAGE_CLASS = 'standard';

const NAMESPACE = 'local-path-storage';

/** Writes the provisioner's configuration: volumes are folders below the cluster's state. */
export async function writeStorageConfig(layout: Layout): Promise<void> {
  const volumes = join(layout.stateDir, 'volumes');
  await mkdir(join(layout.stateDir, 'config'), { recursive: true });
  await mkdir(volumes, { recursive: true });
  const nodePathMap = [{ node: 'DEFAULT_PATH_FOR_NON_LISTED_NODES', paths: [volumes] }];
  await writeFile(join(layout.stateDir, 'config', 'local-path.json'), JSON.stringify({ nodePathMap }));
}

/** What the provisioner needs in the cluster, as one List to apply. */
export function storageManifests(): object {
  const metadata = { name: 'local-path-provisioner' };
  const helperPod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'helper-pod' },
    spec: {
      terminationGracePeriodSeconds: 0,
      containers: [{ name: 'helper-pod', image: BUSYBOX_IMAGE, imagePullPolicy: 'Never' }],
    },
  };
  const rule = (apiGroups: string[], resources: string[], verbs: string[]) => ({
    apiGroups,
    resources,
    verbs,
  });
  const read = ['get', 'list', 'watch'];
  const write = [...read, 'create', 'patch', 'update', 'delete'];
  return {
    apiVersion: 'v1',
    kind: 'List',
    items: [
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } },
      {
        apiVersion: 'v1',
        kind: 'ServiceAccount',
        metadata: { name: 'local-path-helper', namespace: NAMESPACE },
      },
      {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'ClusterRole',
        metadata,
        rules: [
          rule([''], ['nodes', 'persistentvolumeclaims', 'configmaps', 'pods/log'], read),
          rule([''], ['pods', 'persistentvolumes'], write),
          rule([''], ['events'], ['create', 'patch']),
          rule(['storage.k8s.io'], ['storageclasses'], read),
        ],
      },
      {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'ClusterRoleBinding',
        metadata,
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: metadata.name },
        subjects: [
          {
            apiGroup: 'rbac.authorization.k8s.io',
            kind: 'User',
            name: IDENTITIES['local-path-provisioner'].user,
          },
        ],
      },
      {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'local-path-config', namespace: NAMESPACE },
        data: {
          setup: '#!/bin/sh\nset -eu\nmkdir -m 0777 -p "$VOL_DIR"\n',
          teardown: '#!/bin/sh\nset -eu\nrm -rf "$VOL_DIR"\n',
          'helperPod.yaml': JSON.stringify(helperPod),
        },
      },
      {
        apiVersion: 'storage.k8s.io/v1',
        kind: 'StorageClass',
        metadata: {
          name: STORAGE_CLASS,
          annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' },
        },
        provisioner: 'rancher.io/local-path',
        volumeBindingMode: 'WaitForFirstConsumer',
        reclaimPolicy: 'Delete',
      },
    ],
  };
}
