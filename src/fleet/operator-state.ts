/** Whether an operator runs, as far as the caller may see. */
import type { KubeObject } from '../kube/object.ts';
import { resource } from '../kube/resources.ts';
import type { Cluster } from './cluster.ts';
import { unlessDenied, unlessMissing } from './errors.ts';

export interface OperatorDeployment {
  readonly namespace: string;
  readonly name: string;
  readonly wanted: number;
  readonly ready: number;
  readonly image?: string | undefined;
  /** Empty: all. */
  readonly namespaces: readonly string[];
  readonly lease?: LeaseState | undefined;
  /** Why a pod of it is not ready, in the words of the kubelet or the scheduler. */
  readonly trouble?: string | undefined;
}

export interface LeaseState {
  readonly holder: string;
  /** RFC 3339. */
  readonly renewTime: string;
  readonly durationSeconds: number;
}

export type OperatorState =
  | { readonly state: 'denied' }
  | { readonly state: 'known'; readonly deployments: readonly OperatorDeployment[] };

interface Deployment extends KubeObject {
  spec?: {
    replicas?: number;
    template?: { spec?: { containers?: { image?: string; args?: string[] }[] } };
  };
  status?: { readyReplicas?: number };
}

interface Lease extends KubeObject {
  spec?: { holderIdentity?: string | null; renewTime?: string; leaseDurationSeconds?: number };
}

/** The chart's labels. */
const SELECTOR = 'app.kubernetes.io/component=operator,app.kubernetes.io/name=km-backup-operator';
/** Where docs/install.md puts the operator: looked at if listing all namespaces is denied. */
const USUAL_NAMESPACE = 'km-system';

export async function operatorState(cluster: Cluster): Promise<OperatorState> {
  const { client } = cluster;
  const deployments = resource<Deployment>(client, {
    group: 'apps',
    version: 'v1',
    plural: 'deployments',
    kind: 'Deployment',
    namespaced: true,
  });
  const list = (namespace: string | undefined) =>
    unlessDenied(deployments.list(namespace, { labelSelector: SELECTOR }));
  let found = await list(undefined);
  if (found === 'denied') found = await list(USUAL_NAMESPACE);
  if (found === 'denied') return { state: 'denied' };
  return {
    state: 'known',
    deployments: await Promise.all(found.items.map((one) => described(cluster, one))),
  };
}

async function described(
  cluster: Cluster,
  { metadata, spec, status }: Deployment,
): Promise<OperatorDeployment> {
  const { namespace = '', name } = metadata;
  const { image, args = [] } = spec?.template?.spec?.containers?.[0] ?? {};
  const argument = (flag: string) => args.find((one) => one.startsWith(`--${flag}=`))?.slice(flag.length + 3);
  const wanted = spec?.replicas ?? 1;
  const ready = status?.readyReplicas ?? 0;
  return {
    namespace,
    name,
    wanted,
    ready,
    image,
    namespaces: argument('namespaces')?.split(',').filter(Boolean) ?? [],
    lease: await leaseOf(cluster, namespace, argument('lease-name') ?? name),
    ...(ready < wanted && { trouble: await troubleOf(cluster, namespace) }),
  };
}

async function leaseOf(
  { client }: Cluster,
  namespace: string,
  name: string,
): Promise<LeaseState | undefined> {
  const leases = resource<Lease>(client, {
    group: 'coordination.k8s.io',
    version: 'v1',
    plural: 'leases',
    kind: 'Lease',
    namespaced: true,
  });
  const lease = await unlessDenied(unlessMissing(leases.get(namespace, name)));
  if (lease === 'denied' || !lease?.spec?.renewTime) return undefined;
  const { holderIdentity, renewTime, leaseDurationSeconds = 15 } = lease.spec;
  return { holder: holderIdentity ?? '', renewTime, durationSeconds: leaseDurationSeconds };
}

async function troubleOf({ resources }: Cluster, namespace: string): Promise<string | undefined> {
  const pods = await unlessDenied(resources.pods.list(namespace, { labelSelector: SELECTOR }));
  if (pods === 'denied') return undefined;
  for (const { metadata, status } of pods.items) {
    const waiting = status?.containerStatuses?.map(({ state }) => state?.waiting).find(Boolean);
    if (waiting?.reason)
      return `pod ${metadata.name}: ${waiting.reason}${waiting.message ? `: ${waiting.message}` : ''}`;
    const unscheduled = status?.conditions?.find(
      ({ type, status: is }) => type === 'PodScheduled' && is === 'False',
    );
    if (unscheduled)
      return `pod ${metadata.name}: ${unscheduled.message ?? unscheduled.reason ?? 'not scheduled'}`;
  }
  return undefined;
}

/** A Lease that nobody renewed for this many of its durations belongs to nobody. */
const STALE_DURATIONS = 4;

/** What keeps an operator from serving the namespace; undefined if one serves it, or if nobody can know. */
export function operatorTrouble(
  operator: OperatorState,
  namespace: string | undefined,
  nowMs: number,
): { cause: string; todo: string } | undefined {
  if (operator.state === 'denied') return undefined;
  const serving = operator.deployments.filter(
    ({ namespaces }) => namespace === undefined || namespaces.length === 0 || namespaces.includes(namespace),
  );
  if (operator.deployments.length === 0) {
    return {
      cause: 'The operator is not installed: no Deployment has its labels.',
      todo: 'Install it: docs/install.md.',
    };
  }
  if (serving.length === 0) {
    const [first] = operator.deployments;
    return {
      cause: `No operator serves namespace ${namespace}: ${first!.namespace}/${first!.name} serves ${first!.namespaces.join(', ')} only.`,
      todo: "Add the namespace to the chart's value `namespaces`.",
    };
  }
  if (serving.some((one) => one.ready > 0 && !isStale(one.lease, nowMs))) return undefined;
  const [one] = serving;
  const where = `Deployment ${one!.namespace}/${one!.name}`;
  if (one!.ready > 0) {
    return {
      cause: `The operator does not work: nobody has renewed the Lease of ${where} since ${one!.lease!.renewTime}.`,
      todo: `Look at its log: kubectl -n ${one!.namespace} logs deployment/${one!.name}. A wrong clock on its node or here looks the same.`,
    };
  }
  const why = one!.trouble ? ` (${one!.trouble})` : '';
  return {
    cause: `The operator is down: ${one!.ready} of ${one!.wanted} pods of ${where} are ready${why}.`,
    todo:
      one!.wanted === 0
        ? `Start it: kubectl -n ${one!.namespace} scale deployment/${one!.name} --replicas=1.`
        : `Look at its pods: kubectl -n ${one!.namespace} describe pods -l ${SELECTOR}.`,
  };
}

function isStale(lease: LeaseState | undefined, nowMs: number): boolean {
  if (!lease) return false;
  return nowMs - Date.parse(lease.renewTime) > STALE_DURATIONS * lease.durationSeconds * 1000;
}
