import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { type Binaries, ensureBinaries, ensureClients } from './binaries.ts';
import { withLock } from './cache.ts';
import type { Cluster, ComponentStatus } from './cluster.ts';
import { type Component, type ComponentSpec, componentsOf, type ExtraArgs, specOf } from './components.ts';
import {
  daemonOf,
  logFile,
  logTail,
  probe,
  STATE_VARIABLE,
  startComponent,
  stopComponent,
  waitHealthy,
} from './daemons.ts';
import { checkName, chooseSlot, type Flavour, type Layout, layoutOf, preferredSlot } from './layout.ts';
import { importImage, NODE_INIT, removeCgroups, startNode } from './node.ts';
import { helperImages } from './oci.ts';
import { ensurePackages } from './packages.ts';
import { writePki } from './pki.ts';
import {
  isStopped,
  type ProcessId,
  parentOf,
  processesWithEnvironment,
  type RunOptions,
  run,
  signal,
  terminate,
  waitFor,
} from './process.ts';
import { type Log, step } from './progress.ts';
import { storageManifests, writeStorageConfig } from './storage.ts';

export interface LocalOptions {
  readonly name: string;
  readonly flavour: Flavour;
  readonly log: Log;
  readonly cacheDir: string;
  readonly stateRoot: string;
  readonly extraArgs?: ExtraArgs;
}

interface Recorded {
  readonly slot: number;
  readonly flavour: Flavour;
  readonly extraArgs: ExtraArgs;
}

const recordFile = (stateDir: string) => join(stateDir, 'cluster.json');

const nameLock = (stateRoot: string, name: string) => join(stateRoot, '.locks', `${name}.lock`);

function readRecord(stateRoot: string, name: string): Recorded | undefined {
  try {
    return JSON.parse(readFileSync(recordFile(join(stateRoot, name)), 'utf8')) as Recorded;
  } catch {
    return undefined;
  }
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
    socket.once('close', () => socket.destroy());
    socket.once('connect', () => socket.destroy());
  });
}

/** Records a slot that no other cluster holds, whether of this state folder or of another user. */
function claimSlot(options: LocalOptions): Promise<Layout> {
  const { name, flavour, stateRoot, log } = options;
  return withLock(join(stateRoot, '.locks', 'slots.lock'), log, async () => {
    const taken = new Set<number>();
    for (const other of readdirSync(stateRoot)) {
      const record = other === name ? undefined : readRecord(stateRoot, other);
      if (record !== undefined) taken.add(record.slot);
    }
    for (;;) {
      const layout = layoutOf(name, chooseSlot(name, taken), flavour, stateRoot);
      if (!(await listens(layout.ports.etcdClient)) && !existsSync(`/sys/class/net/${layout.hostLink}`)) {
        await mkdir(layout.stateDir, { recursive: true });
        const record: Recorded = { slot: layout.slot, flavour, extraArgs: options.extraArgs ?? {} };
        await writeFile(recordFile(layout.stateDir), JSON.stringify(record));
        return layout;
      }
      taken.add(layout.slot);
    }
  });
}

/** Whether every daemon lives and answers. */
async function isHealthy(cluster: Cluster): Promise<boolean> {
  return (await cluster.status()).every(({ health }) => health === 'ok');
}

async function launch(
  layout: Layout,
  binaries: Binaries,
  options: LocalOptions,
  clients: Clients,
): Promise<void> {
  const { log } = options;
  const spec = (component: Component) => specOf(component, layout, binaries, options.extraArgs);
  const full = layout.flavour === 'full';
  await writePki(layout);
  const node = full ? await startNode(layout) : undefined;
  const start = async (component: Component) => {
    await startComponent(layout, component, spec(component), node);
    await waitHealthy(layout, component, spec(component));
  };
  const images = async () => {
    const archives = await helperImages(options.cacheDir, log);
    await start('containerd');
    const socket = join(layout.stateDir, 'node/run/containerd/containerd.sock');
    await waitFor(() => existsSync(socket), 30_000);
    for (const archive of archives) await importImage(layout, archive);
  };
  const imported = full ? images() : Promise.resolve();
  // Awaited below; if the control plane fails first, its rejection must not count as unhandled.
  imported.catch(() => {});
  await step(log, 'starting etcd and kube-apiserver', async () => {
    await start('etcd');
    await start('kube-apiserver');
  });
  await Promise.all([start('kube-controller-manager'), ...(full ? [start('kube-scheduler')] : [])]);
  const kubectl = (args: readonly string[], input?: string) =>
    run(clients.kubectl, args, {
      env: { KUBECONFIG: layout.kubeconfig },
      ...(input === undefined ? {} : { input }),
    });
  if (!full) {
    return waitServiceAccount(kubectl);
  }
  await step(log, 'starting the node and its storage', async () => {
    await imported;
    await writeStorageConfig(layout);
    await Promise.all([start('kubelet'), start('kube-proxy')]);
    await kubectl(['apply', '-f', '-'], JSON.stringify(storageManifests()));
    await start('local-path-provisioner');
    await waitServiceAccount(kubectl);
    await waitFor(() => kubectl(['get', `node/${layout.nodeName}`]).then(Boolean, () => false), 60_000, 200);
    await kubectl(['wait', '--for=condition=Ready', `node/${layout.nodeName}`, '--timeout=90s']).catch(
      (error) => {
        throw new Error(
          `the node does not get ready; ${logFile(layout, 'kubelet')} ends:\n${logTail(layout, 'kubelet')}`,
          {
            cause: error,
          },
        );
      },
    );
  });
}

/** Pods are refused until the controllers have made the namespace's default service account. */
async function waitServiceAccount(kubectl: (args: readonly string[]) => Promise<unknown>): Promise<void> {
  const made = await waitFor(
    () => kubectl(['get', 'serviceaccount/default', '--namespace=default']).then(Boolean, () => false),
    60_000,
    100,
  );
  if (!made) throw new Error('the controller manager does not make service accounts within 60 s');
}

interface Clients {
  readonly kubectl: string;
  readonly helm: string;
}

function handle(layout: Layout, binaries: Binaries, clients: Clients, options: LocalOptions): Cluster {
  const spec = (component: Component): ComponentSpec =>
    specOf(component, layout, binaries, options.extraArgs);
  const running = (component: Component) => {
    const id = daemonOf(layout, component);
    if (id === undefined) throw new Error(`${component} of cluster ${layout.name} is not running`);
    return id;
  };
  const withKubeconfig = (given: RunOptions = {}): RunOptions => ({
    ...given,
    env: { ...given.env, KUBECONFIG: layout.kubeconfig },
  });
  return {
    name: layout.name,
    flavour: layout.flavour,
    backend: 'local',
    kubeconfigPath: layout.kubeconfig,
    programs: clients,
    kubectl: (args, given) => run(clients.kubectl, args, withKubeconfig(given)),
    helm: (args, given) => run(clients.helm, args, withKubeconfig(given)),
    loadImage: async (tarball) => {
      if (layout.flavour !== 'full') {
        throw new Error(
          `cluster ${layout.name} has only a control plane: it runs no pods and takes no images`,
        );
      }
      await importImage(layout, tarball);
    },
    stop: (component) => stopComponent(layout, component, 30_000),
    kill: async (component) => {
      const id = running(component);
      signal(id, 'SIGKILL');
      await terminate([id], 0);
    },
    start: async (component) => {
      if (daemonOf(layout, component) === undefined) {
        await startComponent(layout, component, spec(component), daemonOf(layout, NODE_INIT));
      }
      await waitHealthy(layout, component, spec(component));
    },
    pause: async (component) => {
      const id = running(component);
      signal(id, 'SIGSTOP');
      await waitFor(() => isStopped(id), 5000, 5);
    },
    resume: async (component) => thaw(running(component)),
    status: () => statusOf(layout, spec),
    down: () => localDown(options),
  };
}

/** Also what started it: nsenter stops when its child does, and can then not collect it. */
function thaw(id: ProcessId): void {
  const parent = parentOf(id);
  signal(id, 'SIGCONT');
  if (parent && isStopped(parent)) signal(parent, 'SIGCONT');
}

function statusOf(layout: Layout, spec: (component: Component) => ComponentSpec): Promise<ComponentStatus[]> {
  return Promise.all(
    componentsOf(layout).map(async (component): Promise<ComponentStatus> => {
      const id = daemonOf(layout, component);
      if (id === undefined) return { component, pid: undefined, health: 'stopped' };
      if (isStopped(id)) return { component, pid: id.pid, health: 'paused' };
      const { health } = spec(component);
      const ok = health === undefined || (await probe(health)) === 200;
      return { component, pid: id.pid, health: ok ? 'ok' : 'failing' };
    }),
  );
}

/** The cluster as it is, running or not; undefined when there is none of that name. */
export async function localOpen(options: Omit<LocalOptions, 'flavour'>): Promise<Cluster | undefined> {
  checkName(options.name);
  const record = readRecord(options.stateRoot, options.name);
  if (record === undefined) return undefined;
  const { flavour, extraArgs, slot } = record;
  const layout = layoutOf(options.name, slot, flavour, options.stateRoot);
  const binaries = await ensureBinaries(options.cacheDir, options.log);
  const clients = await ensureClients(options.cacheDir, options.log);
  return handle(layout, binaries, clients, { ...options, flavour, extraArgs });
}

export async function localUp(options: LocalOptions): Promise<Cluster> {
  const { name, flavour, log, cacheDir, stateRoot } = options;
  checkName(name);
  await ensurePackages(flavour, log);
  const [binaries, clients] = await Promise.all([
    ensureBinaries(cacheDir, log),
    ensureClients(cacheDir, log),
  ]);
  if (flavour === 'full') await helperImages(cacheDir, log);
  return withLock(nameLock(stateRoot, name), log, async () => {
    const existing = await localOpen(options);
    if (existing !== undefined) {
      if (await isHealthy(existing)) {
        if (existing.flavour === flavour || existing.flavour === 'full') return existing;
        throw new Error(
          `cluster ${name} runs as ${existing.flavour}: end it first ("npm run cluster:down -- --name ${name}"), or choose another --name`,
        );
      }
      log(`cluster ${name} is there but not whole (a killed run?): cleaning it up`);
    }
    await clean(stateRoot, name);
    const layout = await claimSlot(options);
    try {
      await launch(layout, binaries, options, clients);
    } catch (error) {
      // The logs are kept for debugging; the next `up` or `down` removes them.
      await endProcesses(layout);
      throw error;
    }
    return handle(layout, binaries, clients, options);
  });
}

/** Ends all processes of a cluster, including those whose pid file is lost. */
async function endProcesses(layout: Layout): Promise<void> {
  // Ends the node's process namespace: kubelet, containerd, every shim and every pod; then its mounts are gone.
  const init = daemonOf(layout, NODE_INIT);
  // One that is frozen would keep the node from ending.
  for (const id of processesWithEnvironment(STATE_VARIABLE, layout.stateDir)) signal(id, 'SIGCONT');
  if (init !== undefined) await terminate([init], 0);
  await terminate(processesWithEnvironment(STATE_VARIABLE, layout.stateDir), 3000);
  await removeCgroups(layout);
}

async function unmountBelow(dir: string): Promise<void> {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((path) => path.startsWith(`${dir}/`));
  // Innermost first.
  for (const path of mounts.reverse()) await run('umount', ['--lazy', path]);
}

async function clean(stateRoot: string, name: string): Promise<void> {
  const record = readRecord(stateRoot, name);
  // Without a record only the slot is unknown, and nothing below needs it.
  const layout = layoutOf(name, record?.slot ?? preferredSlot(name), record?.flavour ?? 'full', stateRoot);
  await endProcesses(layout);
  if (!existsSync(layout.stateDir)) return;
  await unmountBelow(layout.stateDir);
  await rm(layout.stateDir, { recursive: true, force: true, maxRetries: 5 });
}

export async function localDown(options: Pick<LocalOptions, 'name' | 'stateRoot' | 'log'>): Promise<void> {
  const { name, stateRoot, log } = options;
  checkName(name);
  await withLock(nameLock(stateRoot, name), log, () => clean(stateRoot, name));
}
