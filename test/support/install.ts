import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { buildImage } from '../cluster/image.ts';
import type { Cluster, Log } from '../cluster/index.ts';
import { Kubectl } from './kubectl.ts';

const root = join(import.meta.dirname, '../..');

/** Cluster of the end-to-end tests, unless KM_TEST_KUBECONFIG names another one. */
export const CLUSTER_NAME = 'km-e2e';

/** Where the chart is installed, and the name of its Deployment and Service. */
export const OPERATOR = { namespace: 'km-system', name: 'km-backup-operator' } as const;

/** Builds the image from this checkout, loads it into the cluster, and returns its name. */
export async function loadOperatorImage(cluster: Cluster, log: Log): Promise<string> {
  const { tag, tarball } = await buildImage({ log });
  await cluster.loadImage(tarball);
  return tag;
}

/** Installs the chart into a namespace that enforces Pod Security `restricted`, and waits until it is ready. */
export async function installChart(
  programs: { readonly kubectl: string; readonly helm: (args: readonly string[]) => Promise<unknown> },
  kubeconfig: string,
  image: string,
  values: readonly string[] = [],
): Promise<Kubectl> {
  const kubectl = new Kubectl(programs.kubectl, kubeconfig, OPERATOR.namespace);
  await kubectl.apply([
    {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: OPERATOR.namespace, labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } },
    },
  ]);
  // Helm installs CRDs once and never updates them.
  const crds = join(root, 'crds');
  for (const file of await readdir(crds)) {
    await kubectl.run(['apply', '--server-side', '--force-conflicts', '-f', join(crds, file)]);
  }
  const split = image.lastIndexOf(':');
  try {
    await programs.helm([
      ...['upgrade', '--install', OPERATOR.name, join(root, 'charts/km-backup-operator')],
      ...['--namespace', OPERATOR.namespace],
      ...['--set', `image.repository=${image.slice(0, split)}`],
      ...['--set-string', `image.tag=${image.slice(split + 1)}`],
      ...values.flatMap((value) => ['--set', value]),
    ]);
    // The tag may stay the same while the image changed.
    await kubectl.run(['rollout', 'restart', `deployment/${OPERATOR.name}`]);
    await kubectl.run(['rollout', 'status', `deployment/${OPERATOR.name}`, '--timeout=120s']);
  } catch (error) {
    throw new Error(`the operator does not start: ${await lastWords(kubectl)}`, { cause: error });
  }
  return kubectl;
}

async function lastWords(kubectl: Kubectl): Promise<string> {
  const ask = (...args: string[]) => kubectl.run(args).catch((error: Error) => error.message);
  const pods = await ask('get', 'pods', '-o', 'wide');
  return `${pods}\n${await ask('logs', `deployment/${OPERATOR.name}`, '--tail=20')}`;
}
