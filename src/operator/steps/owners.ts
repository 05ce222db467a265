/** Finds what has to be stopped so that a pod goes and stays away. Pure. */
import type { StoppedWorkload } from '../../api/step.ts';
import { SCALABLE_KINDS } from '../../api/step.ts';

/** The parts of a workload that a decision reads, whatever its kind. */
export interface Workload {
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly ownerReferences?: readonly { kind: string; name: string; uid: string; controller?: boolean }[];
  };
  readonly spec?: {
    readonly replicas?: number;
    readonly suspend?: boolean;
    readonly persistentVolumeClaimRetentionPolicy?: { readonly whenScaled?: string };
    readonly volumeClaimTemplates?: readonly { metadata?: { name?: string } }[];
  };
}

/** A workload as it is now. */
export type WorkloadState =
  | { readonly state: 'gone' }
  | { readonly state: 'replaced' }
  | {
      readonly state: 'exists';
      readonly replicas?: number;
      readonly suspend?: boolean;
      readonly resourceVersion: string;
    };

export type OwnerVerdict =
  | { readonly kind: 'stoppable'; readonly workload: StoppedWorkload }
  | { readonly kind: 'refused'; readonly message: string };

const scalable: ReadonlySet<string> = new Set(SCALABLE_KINDS);

/**
 * Whether a workload may be stopped, with what it is now.
 * A StatefulSet that deletes its claims when scaled down would delete the very data to restore: refused.
 */
export function stoppable({ kind, metadata, spec }: Workload): OwnerVerdict {
  const { name, uid } = metadata;
  if (kind === 'CronJob') {
    return { kind: 'stoppable', workload: { kind, name, uid, suspend: spec?.suspend ?? false } };
  }
  if (kind === 'StatefulSet' && spec?.persistentVolumeClaimRetentionPolicy?.whenScaled === 'Delete') {
    return {
      kind: 'refused',
      message: `StatefulSet ${name} deletes its claims when it is scaled down (persistentVolumeClaimRetentionPolicy.whenScaled: Delete). Set it to Retain first.`,
    };
  }
  if (scalable.has(kind)) {
    return {
      kind: 'stoppable',
      workload: { kind: kind as StoppedWorkload['kind'], name, uid, replicas: spec?.replicas ?? 1 },
    };
  }
  return {
    kind: 'refused',
    message:
      kind === 'DaemonSet'
        ? `DaemonSet ${name} cannot be scaled down. Delete it for the restore, or give it a nodeSelector that matches no node.`
        : `${kind} ${name} is of a kind that the operator cannot stop. Stop it by hand, then create the restore again.`,
  };
}

/**
 * Of a pod: the topmost controller in `chain`, which lists the pod's controller first, then its controller, and so on.
 * Empty: nothing would start the pod again, nor stop it.
 */
export function ownerOfPod(podName: string, chain: readonly Workload[]): OwnerVerdict {
  const top = chain.at(-1);
  if (!top) {
    return {
      kind: 'refused',
      message: `Pod ${podName} has no owner that could be scaled down. Delete it, then create the restore again.`,
    };
  }
  if (top.kind === 'Job') {
    return {
      kind: 'refused',
      message: `Pod ${podName} belongs to Job ${top.metadata.name}. Wait for it to end, or delete it.`,
    };
  }
  return stoppable(top);
}
