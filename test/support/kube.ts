import { inject } from 'vitest';
import { KubeClient } from '../../src/kube/client.ts';
import { fromKubeconfig } from '../../src/kube/config.ts';
import type { KubeObject } from '../../src/kube/object.ts';
import { type ResourceClient, resource } from '../../src/kube/resources.ts';

export const quiet = { debug() {}, info() {}, warn() {}, error() {} };

export interface ConfigMap extends KubeObject {
  data?: Record<string, string>;
}

export const configMaps = (client: KubeClient): ResourceClient<ConfigMap> =>
  resource<ConfigMap>(client, {
    group: '',
    version: 'v1',
    plural: 'configmaps',
    kind: 'ConfigMap',
    namespaced: true,
  });

/** A namespace of the shared control plane, and a client that reaches it directly. */
export interface OwnNamespace {
  readonly name: string;
  readonly client: KubeClient;
  remove(): Promise<void>;
}

export async function ownNamespace(): Promise<OwnNamespace> {
  const client = new KubeClient(await fromKubeconfig(inject('kubeconfig')));
  const made = await client.request<KubeObject>({
    method: 'POST',
    path: '/api/v1/namespaces',
    body: { metadata: { generateName: 'km-kube-' } },
  });
  const { name } = made.metadata;
  return {
    name,
    client,
    remove: async () => {
      await client.request({ method: 'DELETE', path: `/api/v1/namespaces/${name}` });
      await client.close();
    },
  };
}

/** Resolves once the condition holds. Rejects after 20 s, and says what it waited for. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + 20_000;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`waited 20 s until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
