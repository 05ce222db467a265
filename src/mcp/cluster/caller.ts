/** Whose cluster the tools work on, and how its errors read. */
import type { Cluster, Place } from '../../fleet/cluster.ts';
import { FleetError, kubeAdvice } from '../../fleet/errors.ts';
import { KubeConfigError, KubeError } from '../../kube/errors.ts';

/** The caller's own cluster, with the caller's own rights: the tools gain none. */
export interface Caller {
  readonly cluster: Cluster;
  /** The only one that the tools reach. */
  readonly namespace: string;
  /** For pods that read archives. Default: that of the operator's Jobs. The person chooses it, not the assistant. */
  readonly image?: string | undefined;
}

export const placeOf = ({ namespace }: Caller, name: string): Place => ({ namespace, name });

/** Foreseeable errors in words; undefined for others. */
export function explainError(error: unknown): string | undefined {
  if (error instanceof KubeError) return `${error.reason}: ${kubeAdvice(error)}`;
  if (error instanceof FleetError) return `${error.reason}: ${error.message}`;
  if (error instanceof KubeConfigError) return error.message;
  return undefined;
}
