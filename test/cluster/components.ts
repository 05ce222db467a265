import { join } from 'node:path';
import type { Binaries } from './binaries.ts';
import type { Layout } from './layout.ts';
import { kubeconfigOf, pkiDir } from './pki.ts';

/** Daemons that a test may stop, kill, pause and start again. */
export const CONTROL_PLANE_COMPONENTS = ['etcd', 'kube-apiserver', 'kube-controller-manager'] as const;

/** Daemons of the full flavour, in the order of their start. */
export const NODE_COMPONENTS = [
  'containerd',
  'kube-scheduler',
  'kube-proxy',
  'kubelet',
  'local-path-provisioner',
] as const;

export type Component = (typeof CONTROL_PLANE_COMPONENTS)[number] | (typeof NODE_COMPONENTS)[number];

/** How one daemon is run. */
export interface ComponentSpec {
  readonly command: string;
  readonly args: readonly string[];
  /** Whether it lives in the node's namespaces (network, mounts, processes) instead of the machine's. */
  readonly onNode: boolean;
  /** Where it answers 200 when healthy. */
  readonly health?: string;
}

/** Extra arguments by component, appended last so that they win. */
export type ExtraArgs = Partial<Record<Component, readonly string[]>>;

export const componentsOf = (layout: Layout): readonly Component[] =>
  layout.flavour === 'full' ? [...CONTROL_PLANE_COMPONENTS, ...NODE_COMPONENTS] : CONTROL_PLANE_COMPONENTS;

function flags(values: Readonly<Record<string, string | number | boolean>>): string[] {
  return Object.entries(values).map(([key, value]) => `--${key}=${value}`);
}

/** The command line of each component: a pure function of the layout. */
export function specOf(
  component: Component,
  layout: Layout,
  binaries: Binaries,
  extraArgs: ExtraArgs = {},
): ComponentSpec {
  const { ports, addresses, stateDir } = layout;
  const pki = (file: string) => join(pkiDir(layout), file);
  const config = (file: string) => join(stateDir, 'config', file);
  const command = binaries.get(component) ?? component;
  const etcdUrl = `http://127.0.0.1:${ports.etcdClient}`;
  const peerUrl = `http://127.0.0.1:${ports.etcdPeer}`;
  const build = (): ComponentSpec => {
    switch (component) {
      case 'etcd':
        return {
          command,
          onNode: false,
          health: `${etcdUrl}/health`,
          args: flags({
            name: 'km',
            'data-dir': join(stateDir, 'etcd'),
            'listen-client-urls': etcdUrl,
            'advertise-client-urls': etcdUrl,
            'listen-peer-urls': peerUrl,
            'initial-advertise-peer-urls': peerUrl,
            'initial-cluster': `km=${peerUrl}`,
            // The page cache outlives a killed etcd, and no test needs its data after a reboot.
            'unsafe-no-fsync': true,
            'log-level': 'warn',
          }),
        };
      case 'kube-apiserver':
        return {
          command,
          onNode: false,
          health: `${layout.serverUrl}/readyz`,
          args: flags({
            'etcd-servers': etcdUrl,
            'bind-address': addresses.apiServer,
            'advertise-address': addresses.apiServer,
            'secure-port': ports.apiServer,
            // A loopback address is not a valid endpoint of the `kubernetes` Service.
            'endpoint-reconciler-type': layout.flavour === 'full' ? 'lease' : 'none',
            'tls-cert-file': pki('apiserver.crt'),
            'tls-private-key-file': pki('apiserver.key'),
            'client-ca-file': pki('ca.crt'),
            'token-auth-file': pki('tokens.csv'),
            'authorization-mode': 'Node,RBAC',
            'enable-admission-plugins': 'NodeRestriction',
            'allow-privileged': true,
            'service-cluster-ip-range': addresses.serviceCidr,
            'service-account-issuer': 'https://kubernetes.default.svc.cluster.local',
            'service-account-key-file': pki('service-account.key'),
            'service-account-signing-key-file': pki('service-account.key'),
            'kubelet-client-certificate': pki('kubelet-client.crt'),
            'kubelet-client-key': pki('kubelet-client.key'),
            'kubelet-preferred-address-types': 'InternalIP',
            profiling: false,
            // Stops within seconds of SIGTERM even if clients hold watches.
            'shutdown-watch-termination-grace-period': '0s',
          }),
        };
      case 'kube-controller-manager':
        return {
          command,
          onNode: false,
          health: `https://127.0.0.1:${ports.controllerManager}/healthz`,
          args: flags({
            kubeconfig: kubeconfigOf(layout, component),
            'bind-address': '127.0.0.1',
            'secure-port': ports.controllerManager,
            'service-account-private-key-file': pki('service-account.key'),
            'root-ca-file': pki('ca.crt'),
            'use-service-account-credentials': true,
            // The default of 20 requests per second suits large clusters; here it would add 4 s to each start.
            'kube-api-qps': 200,
            'kube-api-burst': 400,
            'leader-elect': false,
          }),
        };
      case 'kube-scheduler':
        return {
          command,
          onNode: false,
          health: `https://127.0.0.1:${ports.scheduler}/healthz`,
          args: flags({
            kubeconfig: kubeconfigOf(layout, component),
            'bind-address': '127.0.0.1',
            'secure-port': ports.scheduler,
            'leader-elect': false,
          }),
        };
      case 'containerd':
        return { command, onNode: true, args: flags({ config: config('containerd.toml') }) };
      case 'kube-proxy':
        return {
          command,
          onNode: true,
          health: `http://${addresses.node}:10256/livez`,
          args: flags({ config: config('kube-proxy.yaml') }),
        };
      case 'kubelet':
        return {
          command,
          onNode: true,
          health: `http://${addresses.node}:10248/healthz`,
          args: flags({
            config: config('kubelet.yaml'),
            kubeconfig: kubeconfigOf(layout, component),
            'hostname-override': layout.nodeName,
            'node-ip': addresses.node,
          }),
        };
      case 'local-path-provisioner':
        return {
          command,
          onNode: false,
          args: [
            'start',
            ...flags({
              config: config('local-path.json'),
              kubeconfig: kubeconfigOf(layout, component),
              namespace: 'local-path-storage',
              'service-account-name': 'local-path-helper',
            }),
          ],
        };
    }
  };
  const spec = build();
  return { ...spec, args: [...spec.args, ...(extraArgs[component] ?? [])] };
}
