/** Reads what steps and quiesce need of workloads and Services. */

import type { StoppedWorkload } from '../../api/step.ts';
import { isNotFound } from '../../kube/errors.ts';
import { controllerOf } from '../../kube/object.ts';
import type { ResourceClient } from '../../kube/resources.ts';
import type { WorkloadObject } from '../workloads.ts';
import { type OwnerVerdict, ownerOfPod, stoppable, type Workload, type WorkloadState } from './owners.ts';

/** Clients of every kind that may own a pod, by kind. */
export type WorkloadClients = Readonly<Record<string, ResourceClient<WorkloadObject>>>;

/** How far up owners are followed: a pod's ReplicaSet, its Deployment, and whatever made that. */
const MAX_OWNERS = 5;

export interface Owned {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly ownerReferences?: readonly { kind: string; name: string; uid: string; controller?: boolean }[];
  };
}

async function find(
  clients: WorkloadClients,
  namespace: string,
  kind: string,
  name: string,
): Promise<Workload | undefined> {
  const client = clients[kind];
  if (!client) return undefined;
  try {
    return { ...(await client.get(namespace, name)), kind };
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

/** What has to be stopped so that the pod goes and stays away. */
export async function ownerOf(pod: Owned, clients: WorkloadClients): Promise<OwnerVerdict> {
  const { name, namespace } = pod.metadata;
  const chain: Workload[] = [];
  let owner = controllerOf(pod);
  while (owner && chain.length < MAX_OWNERS) {
    const { kind, name: ownerName, uid } = owner;
    const found = await find(clients, namespace, kind, ownerName);
    // An owner of a kind nobody here knows (an operator's own) decides how many replicas there are.
    chain.push(found ?? { kind, metadata: { name: ownerName, uid, resourceVersion: '' } });
    owner = found && controllerOf(found);
  }
  return ownerOfPod(name, chain);
}

/** Whether the named workload can be stopped, with what it is now. */
export async function namedWorkload(
  { kind, name }: Pick<StoppedWorkload, 'kind' | 'name'>,
  namespace: string,
  clients: WorkloadClients,
): Promise<OwnerVerdict> {
  const found = await find(clients, namespace, kind, name);
  return found
    ? stoppable(found)
    : { kind: 'refused', message: `There is no ${kind} ${name} in namespace ${namespace}.` };
}

/** What a workload is now; `replaced`: another one has its name. */
export async function workloadNow(
  { kind, name, uid }: Pick<StoppedWorkload, 'kind' | 'name'> & { readonly uid?: string },
  namespace: string,
  clients: WorkloadClients,
): Promise<WorkloadState> {
  const found = await find(clients, namespace, kind, name);
  if (!found) return { state: 'gone' };
  if (uid !== undefined && found.metadata.uid !== uid) return { state: 'replaced' };
  const { resourceVersion } = found.metadata;
  return kind === 'CronJob'
    ? { state: 'exists', suspend: found.spec?.suspend ?? false, resourceVersion }
    : { state: 'exists', replicas: found.spec?.replicas ?? 1, resourceVersion };
}
