import { readdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { ensureClients } from '../cluster/binaries.ts';
import { clusterDown, clusterUp, elapsedLog } from '../cluster/index.ts';
import { cacheRoot, stateRoot } from '../cluster/layout.ts';
import { run } from '../cluster/process.ts';
import { eventually } from '../support/kubectl.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** Path of the kubeconfig of a cluster-admin on a control plane that has the CRDs. */
    kubeconfig: string;
  }
}

const log = elapsedLog(process.stderr);
const PREFIX = 'km-int-';
const CRDS = join(import.meta.dirname, '../../crds');

async function installCrds(kubectl: string, kubeconfig: string): Promise<void> {
  const command = (...args: string[]) => run(kubectl, ['--kubeconfig', kubeconfig, ...args]);
  await command('apply', '--server-side', '--force-conflicts', '-f', CRDS);
  // kubectl refuses to wait for an object whose status is still empty.
  await eventually(
    () => command('wait', '--for=condition=Established', '--timeout=60s', '-f', CRDS),
    () => true,
    () => 'the CRDs to be served',
  );
}

function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/** Ends the control planes of test runs that were killed: the name tells whose it is. */
async function sweep(): Promise<void> {
  for (const name of await readdir(stateRoot(process.env, homedir())).catch(() => [])) {
    const owner = name.startsWith(PREFIX) ? Number.parseInt(name.slice(PREFIX.length), 36) : Number.NaN;
    if (owner > 0 && !runs(owner)) await clusterDown({ name, log });
  }
}

/**
 * Before all integration tests: one control plane (etcd, API server, controllers; no node) for them all.
 * Each test file makes a namespace of its own. KM_TEST_KUBECONFIG names a cluster that is there already;
 * KM_TEST_KEEP=1 leaves ours running for the next run.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const { KM_TEST_KUBECONFIG: given, KM_TEST_KEEP: keep } = process.env;
  if (given) {
    const { kubectl } = await ensureClients(cacheRoot(process.env, homedir()), log);
    await installCrds(kubectl, given);
    project.provide('kubeconfig', given);
    return async () => {};
  }
  // Two test runs at once must not share, nor end, one another's control plane.
  const name = keep ? 'km-int' : `${PREFIX}${process.pid.toString(36)}`;
  const down = () => clusterDown({ name, log });
  await sweep();
  try {
    const cluster = await clusterUp({ name, flavour: 'control-plane-only', log });
    await installCrds(cluster.programs.kubectl, cluster.kubeconfigPath);
    project.provide('kubeconfig', cluster.kubeconfigPath);
  } catch (error) {
    if (!keep) await down();
    throw error;
  }
  return async () => {
    if (!keep) await down();
  };
}
