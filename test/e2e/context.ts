import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { inject } from 'vitest';
import { run } from '../cluster/process.ts';
import { installChart } from '../support/install.ts';
import { Kubectl } from '../support/kubectl.ts';

/** What setup.ts hands to the test files. */
export interface EndToEndCluster {
  readonly kubeconfig: string;
  readonly kubectl: string;
  readonly helm: string;
  /** Image of the operator and of km-backup, loaded into the cluster. */
  readonly image: string;
  /** Namespace and name of the operator's Deployment, Service and Lease. */
  readonly operator: { readonly namespace: string; readonly name: string };
  /** The only namespace whose Jobs may be elevated. A test creates it. */
  readonly elevatedNamespace: string;
}

declare module 'vitest' {
  interface ProvidedContext {
    cluster: EndToEndCluster;
  }
}

export const cluster = (): EndToEndCluster => inject('cluster');

export const kubectlIn = (namespace: string): Kubectl =>
  new Kubectl(cluster().kubectl, cluster().kubeconfig, namespace);

/** Installs the release that all tests share, with its values. */
export async function installOperator(): Promise<void> {
  const { kubectl, helm, kubeconfig, image, elevatedNamespace } = cluster();
  const asHelm = (args: readonly string[]) => run(helm, args, { env: { KUBECONFIG: kubeconfig } });
  await installChart({ kubectl, helm: asHelm }, kubeconfig, image, [
    `elevated.namespaces={${elevatedNamespace}}`,
  ]);
}

/** Changes values of the release that all tests share, as `helm upgrade --set`, and waits for the operator. */
export async function setChartValues(...values: string[]): Promise<void> {
  const { helm, kubeconfig, operator } = cluster();
  const chart = join(import.meta.dirname, '../../charts/km-backup-operator');
  const flags = ['--namespace', operator.namespace, '--reset-then-reuse-values', '--no-hooks'];
  const set = values.flatMap((value) => ['--set', value]);
  await run(helm, ['upgrade', operator.name, chart, ...flags, ...set], { env: { KUBECONFIG: kubeconfig } });
  const status = ['rollout', 'status', `deployment/${operator.name}`, '--timeout=180s'];
  await kubectlIn(operator.namespace).run(status);
}

/** A namespace that enforces Pod Security `restricted`, and its end. */
export async function restrictedNamespace(
  purpose: string,
): Promise<{ kubectl: Kubectl; remove: () => Promise<void> }> {
  const name = `km-e2e-${purpose}-${randomBytes(3).toString('hex')}`;
  const kubectl = kubectlIn(name);
  await kubectl.apply([
    {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name, labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } },
    },
  ]);
  return {
    kubectl,
    remove: async () => void (await kubectl.run(['delete', 'namespace', name, '--wait=false'])),
  };
}
