import { createHash } from 'node:crypto';
import { join } from 'node:path';

export type Flavour = 'full' | 'control-plane-only';

/** Slots 0..249: a slot fixes the ports and address ranges of one cluster on this machine. */
export const SLOTS = 250;

/** Ports below the kernel's ephemeral range (32768..), 8 for each slot. */
const FIRST_PORT = 21_000;
const PORTS_PER_SLOT = 8;

const NAME = /^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$/;

export interface Ports {
  readonly etcdClient: number;
  readonly etcdPeer: number;
  readonly apiServer: number;
  readonly controllerManager: number;
  readonly scheduler: number;
}

export interface Addresses {
  /** Where kube-apiserver listens and what it advertises to pods. */
  readonly apiServer: string;
  /** The node's end of the host<->node link. */
  readonly node: string;
  readonly linkPrefix: number;
  readonly serviceCidr: string;
  /** First address of the service range: the `kubernetes` Service. */
  readonly kubernetesService: string;
  readonly podCidr: string;
  readonly podGateway: string;
}

export interface Layout {
  readonly name: string;
  readonly slot: number;
  readonly flavour: Flavour;
  readonly ports: Ports;
  readonly addresses: Addresses;
  /** Interface name (at most 15 characters) of the host's end of the link to the node. */
  readonly hostLink: string;
  /** Root of the pods' cgroups, relative to each hierarchy. */
  readonly cgroupRoot: string;
  readonly nodeName: string;
  readonly stateDir: string;
  readonly kubeconfig: string;
  readonly serverUrl: string;
}

/** Throws when `name` cannot serve as part of folder, interface and node names. */
export function checkName(name: string): void {
  if (!NAME.test(name)) {
    throw new Error(
      `cluster name "${name}" is not usable: 1 to 20 of a-z, 0-9 and -, first a letter, last no dash (for example "km" or "km-ci-2")`,
    );
  }
}

/** The slot a name prefers: 0 for the default name `km`, else from a hash of the name. */
export function preferredSlot(name: string): number {
  if (name === 'km') return 0;
  return 1 + (createHash('sha256').update(name).digest().readUInt32BE(0) % (SLOTS - 1));
}

/** The preferred slot, or the next one that no other cluster holds. */
export function chooseSlot(name: string, taken: ReadonlySet<number>): number {
  const first = preferredSlot(name);
  for (let i = 0; i < SLOTS; i++) {
    const slot = (first + i) % SLOTS;
    if (!taken.has(slot)) return slot;
  }
  throw new Error(
    `all ${SLOTS} cluster slots of this machine are taken: end some with "npm run cluster:down"`,
  );
}

/**
 * Everything that is derived from a cluster's name, slot and flavour.
 * Addresses come from 198.18.0.0/15 (RFC 2544, never routed on the Internet).
 */
export function layoutOf(name: string, slot: number, flavour: Flavour, stateRoot: string): Layout {
  checkName(name);
  if (!Number.isInteger(slot) || slot < 0 || slot >= SLOTS) throw new Error(`slot ${slot} is out of range`);
  const base = FIRST_PORT + slot * PORTS_PER_SLOT;
  const stateDir = join(stateRoot, name);
  const apiServer = flavour === 'full' ? `198.19.${slot}.249` : '127.0.0.1';
  const ports: Ports = {
    etcdClient: base,
    etcdPeer: base + 1,
    apiServer: base + 2,
    controllerManager: base + 3,
    scheduler: base + 4,
  };
  return {
    name,
    slot,
    flavour,
    ports,
    addresses: {
      apiServer,
      node: `198.19.${slot}.250`,
      linkPrefix: 30,
      serviceCidr: `198.19.${slot}.0/25`,
      kubernetesService: `198.19.${slot}.1`,
      podCidr: `198.18.${slot}.0/24`,
      podGateway: `198.18.${slot}.1`,
    },
    hostLink: `kmc${slot}`,
    cgroupRoot: `/km-cluster-${name}`,
    nodeName: `${name}-node`,
    stateDir,
    kubeconfig: join(stateDir, 'kubeconfig'),
    serverUrl: `https://${apiServer}:${ports.apiServer}`,
  };
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Where binaries, images and the image base are kept between runs. */
export function cacheRoot(env: Environment, home: string): string {
  return env['KM_CACHE_DIR'] || join(env['XDG_CACHE_HOME'] || join(home, '.cache'), 'km-backup-operator');
}

/** Where running clusters keep their state. */
export function stateRoot(env: Environment, home: string): string {
  const base = env['XDG_STATE_HOME'] || join(home, '.local', 'state');
  return join(base, 'km-backup-operator', 'clusters');
}
