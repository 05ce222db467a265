import type { BackupReason } from '../../api/reasons.ts';
import type { PersistentVolumeClaim, Pod, Toleration } from '../workloads.ts';

/** Where a run must go because a claim is already in use there. */
export interface Placement {
  nodeName?: string;
  tolerations: Toleration[];
}

export type PlacementResult =
  | { ok: true; placement: Placement }
  | { ok: false; reason: BackupReason; message: string };

function inUse(pod: Pod): boolean {
  return (
    pod.status?.phase === 'Running' || (pod.status?.phase === 'Pending' && pod.spec.nodeName !== undefined)
  );
}

/**
 * Pins the run to the node of the pod that has mounted one of its claims, unless the claim can be mounted on many
 * nodes. The run gets that pod's tolerations. Pinning is by node affinity, not by `nodeName`, so that the scheduler
 * still counts resources.
 */
export function placementFor(
  claims: readonly PersistentVolumeClaim[],
  pods: readonly Pod[],
): PlacementResult {
  let pin: { claim: string; pod: Pod } | undefined;
  for (const claim of claims) {
    const modes = claim.spec.accessModes ?? [];
    if (modes.includes('ReadWriteMany') || modes.includes('ReadOnlyMany')) continue;
    const name = claim.metadata.name;
    const pod = pods.find(
      (candidate) =>
        inUse(candidate) &&
        candidate.spec.volumes?.some((volume) => volume.persistentVolumeClaim?.claimName === name),
    );
    if (!pod?.spec.nodeName) continue;
    if (modes.length === 1 && modes[0] === 'ReadWriteOncePod') {
      return {
        ok: false,
        reason: 'ClaimInUse',
        message: `Claim ${name} is ReadWriteOncePod and pod ${pod.metadata.name} holds it: no other pod can mount it. Stop that pod for the backup, or use ReadWriteOnce.`,
      };
    }
    if (pin && pin.pod.spec.nodeName !== pod.spec.nodeName) {
      return {
        ok: false,
        reason: 'ClaimsOnDifferentNodes',
        message: `Claim ${pin.claim} is mounted on node ${pin.pod.spec.nodeName} and claim ${name} on node ${pod.spec.nodeName}: one pod cannot mount both. Put the archives on a ReadWriteMany claim, or on one that nothing else mounts.`,
      };
    }
    pin ??= { claim: name, pod };
  }
  if (!pin?.pod.spec.nodeName) return { ok: true, placement: { tolerations: [] } };
  return {
    ok: true,
    placement: { nodeName: pin.pod.spec.nodeName, tolerations: pin.pod.spec.tolerations ?? [] },
  };
}
