import { randomBytes } from 'node:crypto';
import { homedir } from 'node:os';
import type { TestProject } from 'vitest/node';
import { ensureClients } from '../cluster/binaries.ts';
import { clusterDown, clusterUp, elapsedLog } from '../cluster/index.ts';
import { cacheRoot } from '../cluster/layout.ts';
import { run } from '../cluster/process.ts';
import { CLUSTER_NAME, installChart, loadOperatorImage, OPERATOR } from '../support/install.ts';
import type { EndToEndCluster } from './context.ts';

const log = elapsedLog(process.stderr);
const elevatedNamespace = `km-e2e-elevated-${randomBytes(3).toString('hex')}`;
const values = [`elevated.namespaces={${elevatedNamespace}}`];

/** A cluster that someone else runs; its nodes must have, or be able to pull, $KM_TEST_IMAGE. */
async function givenCluster(kubeconfig: string, image: string | undefined): Promise<EndToEndCluster> {
  if (!image) {
    throw new Error(
      'KM_TEST_KUBECONFIG is set: set KM_TEST_IMAGE too, to an image that its nodes have or can pull',
    );
  }
  const { kubectl, helm } = await ensureClients(cacheRoot(process.env, homedir()), log);
  await installChart(
    { kubectl, helm: (args) => run(helm, args, { env: { KUBECONFIG: kubeconfig } }) },
    kubeconfig,
    image,
    values,
  );
  return { kubeconfig, kubectl, helm, image, operator: OPERATOR, elevatedNamespace };
}

async function ownCluster(): Promise<EndToEndCluster> {
  const cluster = await clusterUp({ name: CLUSTER_NAME, log });
  const image = await loadOperatorImage(cluster, log);
  const { kubectl, helm } = cluster.programs;
  await installChart({ kubectl, helm: (args) => cluster.helm(args) }, cluster.kubeconfigPath, image, values);
  return {
    kubeconfig: cluster.kubeconfigPath,
    kubectl,
    helm,
    image,
    operator: OPERATOR,
    elevatedNamespace,
  };
}

/**
 * Before all end-to-end tests: a cluster with the operator of this checkout. KM_TEST_KUBECONFIG and
 * KM_TEST_IMAGE name one that is there already; KM_TEST_KEEP=1 leaves ours running for the next run.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const { KM_TEST_KUBECONFIG: given, KM_TEST_IMAGE: image, KM_TEST_KEEP: keep } = process.env;
  if (given) {
    project.provide('cluster', await givenCluster(given, image));
    return async () => {};
  }
  // A killed run may have left its cluster behind.
  if (!keep) await clusterDown({ name: CLUSTER_NAME, log });
  try {
    project.provide('cluster', await ownCluster());
  } catch (error) {
    if (!keep) await clusterDown({ name: CLUSTER_NAME, log });
    throw error;
  }
  return async () => {
    if (!keep) await clusterDown({ name: CLUSTER_NAME, log });
  };
}
