import type { Clock } from '../../clock/index.ts';
import type { ResourceClient } from '../../kube/resources.ts';
import type { Pod } from '../workloads.ts';

/** Lists the pods of a namespace that a scheduler has placed and that have not ended. */
export type PodsOnNodes = (namespace: string) => Promise<readonly Pod[]>;

/** Runs that start within this time share one list. */
const SHARED_MS = 1_000;
const PLACED = 'spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed';

export function podsOnNodes(pods: ResourceClient<Pod>, clock: Clock): PodsOnNodes {
  const lists = new Map<string, Promise<readonly Pod[]>>();
  return (namespace) => {
    const shared = lists.get(namespace);
    if (shared) return shared;
    const list = pods
      .list(namespace, { fieldSelector: PLACED, resourceVersion: '0' })
      .then(({ items }) => items);
    lists.set(namespace, list);
    const forget = () => lists.delete(namespace);
    list.catch(forget);
    clock.after(SHARED_MS, forget);
    return list;
  };
}
