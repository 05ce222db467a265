import { existsSync, readdirSync, readFileSync, rmdirSync, statfsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { daemonOf, logFile, logTail, recordPid, STATE_VARIABLE } from './daemons.ts';
import type { Layout } from './layout.ts';
import { PAUSE_IMAGE } from './oci.ts';
import { kubeconfigOf, pkiDir } from './pki.ts';
import { childrenOf, identify, isAlive, type ProcessId, run, startDaemon, waitFor } from './process.ts';

/** Name under which the node's first process is recorded. When it ends, the kernel ends the whole node. */
export const NODE_INIT = 'node';

const CGROUP_MOUNT = '/sys/fs/cgroup';
const OVERLAYFS_MAGIC = 0x794c7630;

/** Fixed folders of the node's programs. Inside the node, each is mounted from the cluster's state. */
const NODE_FOLDERS = [
  '/run/containerd',
  '/var/lib/containerd',
  '/var/lib/kubelet',
  '/var/lib/cni',
  '/var/log/pods',
  '/var/log/containers',
];

/** Files the node's programs read. */
async function writeNodeConfig(layout: Layout): Promise<void> {
  const { addresses, stateDir, nodeName, cgroupRoot } = layout;
  const dir = join(stateDir, 'config');
  const cni = join(dir, 'cni');
  await mkdir(cni, { recursive: true });
  // An overlay cannot be stacked on an overlay (as inside a container): copy layers instead.
  const snapshotter = statfsSync(stateDir).type === OVERLAYFS_MAGIC ? 'native' : 'overlayfs';
  const cri = 'plugins."io.containerd.grpc.v1.cri"';
  await writeFile(
    join(dir, 'containerd.toml'),
    `version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[${cri}]
  sandbox_image = "${PAUSE_IMAGE}"
  # Lowering oom_score_adj takes CAP_SYS_RESOURCE, which root lacks in many virtual machines and containers.
  restrict_oom_score_adj = true
[${cri}.cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "${cni}"
[${cri}.containerd]
  snapshotter = "${snapshotter}"
  default_runtime_name = "runc"
[${cri}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[${cri}.containerd.runtimes.runc.options]
  SystemdCgroup = false
`,
  );
  const json = (file: string, value: unknown) => writeFile(join(dir, file), JSON.stringify(value, null, 2));
  await json('cni/10-km.conflist', {
    cniVersion: '0.4.0',
    name: 'km',
    plugins: [
      {
        // Each pod has its own routed link: without a bridge, Services work without br_netfilter.
        type: 'ptp',
        ipam: {
          type: 'host-local',
          ranges: [[{ subnet: addresses.podCidr }]],
          routes: [{ dst: '0.0.0.0/0' }],
        },
      },
      { type: 'portmap', capabilities: { portMappings: true } },
    ],
  });
  await json('kubelet.yaml', {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    address: addresses.node,
    healthzBindAddress: addresses.node,
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: join(pkiDir(layout), 'ca.crt') },
    },
    authorization: { mode: 'Webhook' },
    containerRuntimeEndpoint: 'unix:///run/containerd/containerd.sock',
    cgroupDriver: 'cgroupfs',
    cgroupRoot,
    failCgroupV1: false,
    failSwapOn: false,
    enforceNodeAllocatable: [],
    oomScoreAdj: 0,
    maxPods: 200,
    volumePluginDir: '/var/lib/kubelet/volume-plugins',
    // Images come from tarballs, so a collected one could not be pulled again. A nearly full disk must not evict pods.
    imageGCHighThresholdPercent: 100,
    imageGCLowThresholdPercent: 99,
    evictionHard: { 'memory.available': '50Mi', 'nodefs.available': '1%', 'imagefs.available': '1%' },
  });
  await json('kube-proxy.yaml', {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode: 'iptables',
    hostnameOverride: nodeName,
    bindAddress: addresses.node,
    healthzBindAddress: `${addresses.node}:10256`,
    metricsBindAddress: `${addresses.node}:10249`,
    clusterCIDR: addresses.podCidr,
    clientConnection: { kubeconfig: kubeconfigOf(layout, 'kube-proxy') },
    oomScoreAdj: 0,
    // Leaves the machine's connection tracking limits alone.
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
  });
}

/** The hierarchies (cgroup v1) or the single root (v2) in which pods need a parent. */
function cgroupHierarchies(): string[] {
  if (existsSync(join(CGROUP_MOUNT, 'cgroup.controllers'))) return [CGROUP_MOUNT];
  return readdirSync(CGROUP_MOUNT)
    .map((entry) => join(CGROUP_MOUNT, entry))
    .filter((dir) => existsSync(join(dir, 'cgroup.procs')));
}

async function makeCgroups(layout: Layout): Promise<void> {
  for (const hierarchy of cgroupHierarchies()) {
    const dir = join(hierarchy, layout.cgroupRoot);
    await mkdir(dir, { recursive: true });
    // A v1 cpuset accepts no process until it has processors and memory nodes.
    for (const file of ['cpuset.cpus', 'cpuset.mems']) {
      if (hierarchy === CGROUP_MOUNT || !existsSync(join(hierarchy, file))) continue;
      await writeFile(join(dir, file), readFileSync(join(hierarchy, file), 'utf8'));
    }
    if (hierarchy === CGROUP_MOUNT) {
      const controllers = readFileSync(join(hierarchy, 'cgroup.controllers'), 'utf8').trim().split(' ');
      const enable = controllers.map((name) => `+${name}`).join(' ');
      for (const parent of [hierarchy, dir]) await writeFile(join(parent, 'cgroup.subtree_control'), enable);
    }
  }
}

function removeCgroupTree(dir: string): void {
  if (!existsSync(dir)) return;
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    if (entry.isDirectory()) removeCgroupTree(join(dir, entry.name));
  }
  rmdirSync(dir);
}

/** Removes the cgroups of a node that has ended. */
export async function removeCgroups(layout: Layout): Promise<void> {
  if (!existsSync(CGROUP_MOUNT)) return;
  // A cgroup stays busy for a moment after its last process.
  let last: unknown;
  const removed = await waitFor(() => {
    try {
      for (const hierarchy of cgroupHierarchies()) removeCgroupTree(join(hierarchy, layout.cgroupRoot));
      return true;
    } catch (error) {
      last = error;
      return false;
    }
  }, 10_000);
  if (!removed) throw new Error(`cannot remove the cgroups ${layout.cgroupRoot}`, { cause: last });
}

/**
 * Makes the node: namespaces for network, mounts and processes, joined to the machine by one veth pair.
 * All that containers, kubelet and kube-proxy leave behind (iptables rules, mounts, shims) is inside them
 * and ends with their first process.
 */
export async function startNode(layout: Layout): Promise<ProcessId> {
  const { addresses, stateDir, hostLink } = layout;
  await writeNodeConfig(layout);
  await makeCgroups(layout);
  await mkdir(join(stateDir, 'logs'), { recursive: true });
  const ready = join(stateDir, 'run', 'node-ready');
  await mkdir(join(stateDir, 'run'), { recursive: true });
  const lines = ['set -e', 'mount --make-rshared /'];
  for (const target of NODE_FOLDERS) {
    const source = join(stateDir, 'node', target);
    await mkdir(source, { recursive: true });
    await mkdir(target, { recursive: true });
    lines.push(`mount --bind '${source}' ${target}`);
  }
  lines.push(
    'ip link set lo up',
    'echo 1 > /proc/sys/net/ipv4/ip_forward',
    `echo ready > '${ready}'`,
    'exec tini-static -- sleep infinity',
  );
  const namespaces = ['--mount', '--net', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const args = [...namespaces, '--propagation', 'private', 'sh', '-c', lines.join('\n')];
  const parent = await startDaemon('unshare', args, logFile(layout, NODE_INIT), {
    [STATE_VARIABLE]: stateDir,
  });
  const parentId = identify(parent);
  const alive = () => parentId !== undefined && isAlive(parentId);
  await waitFor(() => !alive() || existsSync(ready), 10_000, 10);
  const init = childrenOf(parent)[0];
  if (!existsSync(ready) || init === undefined) {
    throw new Error(
      `cannot make the node's namespaces (this takes real root, with CAP_SYS_ADMIN and CAP_NET_ADMIN):\n${logTail(layout, NODE_INIT)}`,
    );
  }
  recordPid(layout, NODE_INIT, init);
  const ip = (...words: string[]) => run('ip', words);
  const nodeIp = (...words: string[]) =>
    run('nsenter', ['--target', String(init.pid), '--net', 'ip', ...words]);
  await ip('link', 'add', hostLink, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(init.pid));
  await ip('address', 'add', `${addresses.apiServer}/${addresses.linkPrefix}`, 'dev', hostLink);
  await ip('link', 'set', hostLink, 'up');
  await nodeIp('address', 'add', `${addresses.node}/${addresses.linkPrefix}`, 'dev', 'eth0');
  await nodeIp('link', 'set', 'eth0', 'up');
  await nodeIp('route', 'add', 'default', 'via', addresses.apiServer);
  // The API server and tests on this machine reach pods and Services directly.
  for (const cidr of [addresses.podCidr, addresses.serviceCidr]) {
    await ip('route', 'add', cidr, 'via', addresses.node, 'src', addresses.apiServer);
  }
  return init;
}

/** Runs a command inside the node. */
export function runOnNode(layout: Layout, command: string, args: readonly string[]) {
  const init = daemonOf(layout, NODE_INIT);
  if (init === undefined) throw new Error(`cluster ${layout.name} has no running node`);
  const enter = ['--target', String(init.pid), '--mount', '--net', '--pid', '--'];
  return run('nsenter', [...enter, command, ...args]);
}

/** Imports a docker-archive or OCI tarball into the node's containerd. */
export async function importImage(layout: Layout, tarball: string): Promise<void> {
  const socket = ['--address', '/run/containerd/containerd.sock'];
  await runOnNode(layout, 'ctr', [...socket, '--namespace', 'k8s.io', 'images', 'import', tarball]);
}
