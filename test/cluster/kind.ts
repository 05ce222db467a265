import { existsSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ensureClients, ensureKind } from './binaries.ts';
import type { Cluster } from './cluster.ts';
import type { Component } from './components.ts';
import { checkName } from './layout.ts';
import type { LocalOptions } from './local.ts';
import { type RunOptions, run, waitFor } from './process.ts';
import { step } from './progress.ts';

/** Components that the node's kubelet runs from a manifest. */
const STATIC_PODS: readonly Component[] = [
  'etcd',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
];

const clusterName = (name: string) => (name === 'km' ? 'km-backup-operator' : `km-backup-operator-${name}`);

const kubeconfigPath = (options: Pick<LocalOptions, 'name' | 'stateRoot'>) =>
  join(options.stateRoot, options.name, 'kubeconfig');

async function handle(options: LocalOptions, kind: string): Promise<Cluster> {
  const clients = await ensureClients(options.cacheDir, options.log);
  const kubeconfig = kubeconfigPath(options);
  const node = `${clusterName(options.name)}-control-plane`;
  const onNode = (...command: string[]) => run('docker', ['exec', node, ...command]);
  const withKubeconfig = (given: RunOptions = {}): RunOptions => ({
    ...given,
    env: { ...given.env, KUBECONFIG: kubeconfig },
  });
  const kubectl: Cluster['kubectl'] = (args, given) => run(clients.kubectl, args, withKubeconfig(given));
  const isRunning = (component: Component) =>
    onNode('pgrep', '-x', component).then(
      () => true,
      () => false,
    );
  // Process names are cut to 15 characters by the kernel.
  const signalComponent = (component: Component, name: string) =>
    onNode('pkill', `-${name}`, '-x', component.slice(0, 15));
  const manifest = (component: Component) => `/etc/kubernetes/manifests/${component}.yaml`;
  const parked = (component: Component) => `/root/${component}.yaml`;
  const setRunning = async (component: Component, wanted: boolean) => {
    if (STATIC_PODS.includes(component)) {
      const [from, to] = wanted
        ? [parked(component), manifest(component)]
        : [manifest(component), parked(component)];
      await onNode('sh', '-c', `if [ -e ${from} ]; then mv ${from} ${to}; fi`);
    } else {
      await onNode('systemctl', wanted ? 'start' : 'stop', component);
    }
    const name = component.slice(0, 15) as Component;
    if (!(await waitFor(async () => (await isRunning(name)) === wanted, 120_000, 500))) {
      throw new Error(`${component} on ${node} does not ${wanted ? 'start' : 'stop'} within 120 s`);
    }
    if (wanted && component === 'kube-apiserver') {
      await waitFor(() => kubectl(['get', '--raw', '/readyz']).then(Boolean, () => false), 60_000, 500);
    }
  };
  return {
    name: options.name,
    flavour: 'full',
    backend: 'kind',
    kubeconfigPath: kubeconfig,
    programs: clients,
    kubectl,
    helm: (args, given) => run(clients.helm, args, withKubeconfig(given)),
    loadImage: async (tarball) => {
      await run(kind, ['load', 'image-archive', tarball, '--name', clusterName(options.name)]);
    },
    stop: (component) => setRunning(component, false),
    // The kubelet would start it again at once: park the manifest first.
    kill: async (component) => {
      if (STATIC_PODS.includes(component)) await onNode('mv', manifest(component), parked(component));
      await signalComponent(component, 'KILL');
    },
    start: (component) => setRunning(component, true),
    pause: async (component) => void (await signalComponent(component, 'STOP')),
    resume: async (component) => void (await signalComponent(component, 'CONT')),
    status: async () => {
      const { stdout } = await run('docker', ['inspect', '--format', '{{.State.Pid}}', node]);
      const ready = await kubectl(['get', '--raw', '/readyz']).then(Boolean, () => false);
      return [{ component: node, pid: Number(stdout.trim()), health: ready ? 'ok' : 'failing' }];
    },
    down: () => kindDown(options),
  };
}

async function exists(kind: string, name: string): Promise<boolean> {
  const { stdout } = await run(kind, ['get', 'clusters']);
  return stdout.split('\n').includes(clusterName(name));
}

export async function kindOpen(options: LocalOptions): Promise<Cluster | undefined> {
  checkName(options.name);
  if (!existsSync(kubeconfigPath(options))) return undefined;
  const kind = await ensureKind(options.cacheDir, options.log);
  return (await exists(kind, options.name)) ? handle(options, kind) : undefined;
}

/** A kind cluster; both flavours are the same here, since kind has no smaller one. */
export async function kindUp(options: LocalOptions): Promise<Cluster> {
  checkName(options.name);
  const kind = await ensureKind(options.cacheDir, options.log);
  const cluster = await handle(options, kind);
  if (await exists(kind, options.name)) {
    const healthy = await cluster.status().then(
      (all) => all.every(({ health }) => health === 'ok'),
      () => false,
    );
    if (healthy && existsSync(cluster.kubeconfigPath)) return cluster;
    await kindDown(options);
  }
  await mkdir(join(options.stateRoot, options.name), { recursive: true });
  await step(options.log, 'creating a kind cluster', () =>
    run(kind, [
      ...['create', 'cluster', '--name', clusterName(options.name)],
      ...['--kubeconfig', cluster.kubeconfigPath, '--wait', '180s'],
    ]),
  );
  return cluster;
}

export async function kindDown(
  options: Pick<LocalOptions, 'name' | 'stateRoot' | 'cacheDir' | 'log'>,
): Promise<void> {
  checkName(options.name);
  const kind = await ensureKind(options.cacheDir, options.log);
  const kubeconfig = kubeconfigPath(options);
  await run(kind, ['delete', 'cluster', '--name', clusterName(options.name), '--kubeconfig', kubeconfig]);
  await rm(join(options.stateRoot, options.name), { recursive: true, force: true });
}
