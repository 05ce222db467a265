/** What a decision on one KmRestore may look at. */

import type { KmBackupLocation } from '../../api/location.ts';
import type { ConditionReason } from '../../api/reasons.ts';
import type { KmRestore, RestoreIdentity } from '../../api/restore.ts';
import type { RestoreResult } from '../../api/restore-result.ts';
import type { StoppedWorkload } from '../../api/step.ts';
import type { DeleteTarget } from '../../kube/store.ts';
import type { PlacementResult } from '../backup/placement.ts';
import type { Run } from '../finished-run.ts';
import type { WorkloadState } from '../steps/owners.ts';

/**
 * - `find`: choose the copy in a location.
 * - `plan`: compute what would change.
 * - `stage`: verify and unpack beside the live tree.
 * - `swap`: put the staged tree in place.
 * - `discard`: remove what was staged.
 * - `rollback`: put the old state in place again.
 * - `commit`: delete the old state.
 */
export type RestoreJobKind = 'find' | 'plan' | 'stage' | 'swap' | 'discard' | 'rollback' | 'commit';

export type RestoreJobState =
  | { readonly state: 'none' }
  | {
      readonly state: 'active';
      readonly message: string;
      readonly target: DeleteTarget;
      /** Its pod has not started. */
      readonly start?: {
        /** Since when its newest pod, or the Job without one, has waited; epoch ms. */
        readonly sinceMs: number;
        /** Neither the pod nor the Job says why: only their Events can. */
        readonly unexplained: boolean;
        /** Why, where it is known well enough to be the reason of the restore. */
        readonly cause?: ConditionReason;
      };
    }
  | { readonly state: 'succeeded'; readonly result: RestoreResult | undefined; readonly target: DeleteTarget }
  | {
      readonly state: 'failed';
      readonly reason: ConditionReason;
      readonly message: string;
      readonly target: DeleteTarget;
    };

/** A pod that is not ours and mounts the target claim. */
export interface MountingPod {
  readonly name: string;
  /** Whoever has to be stopped so that the pod goes and stays away. */
  readonly owner:
    | { readonly kind: 'stoppable'; readonly workload: StoppedWorkload }
    | { readonly kind: 'refused'; readonly message: string }
    /** Of another Job of this operator: it ends by itself. */
    | { readonly kind: 'operator' };
}

/** A workload that another restore of a row keeps stopped. */
export interface ChainedStop {
  readonly workload: StoppedWorkload;
  readonly by: string;
  /** `earlier`: this restore waits for it. `later`: it waits for this one. */
  readonly turn: 'earlier' | 'later';
}

/** The answer to an `http` step that is under way; absent until it was asked. */
export interface ProbeAnswer {
  readonly step: string;
  readonly ok: boolean;
  readonly message: string;
}

export interface ObservedRestore {
  readonly restore: KmRestore;
  /** KmBackups of the namespace that have an archive or are unfinished. */
  readonly backups: readonly Run[];
  readonly scheduleExists: boolean;
  /** User and groups that fit the target; asked once, while its pods still run. */
  readonly identity: RestoreIdentity | undefined;
  /** The claim of the target, and where it must be mounted; undefined for scratch space. */
  readonly placement: PlacementResult | undefined;
  /** The KmBackupLocation in spec.source.location; undefined if there is none. */
  readonly location: KmBackupLocation | undefined;
  /** The claim of the archive, or that of a location on a claim, if it does not exist. */
  readonly missingSourceClaim: string | undefined;
  /** The claim of the target; `ours`: it was made for this restore. Undefined for scratch space. */
  readonly targetClaim:
    | { readonly state: 'missing' }
    | { readonly state: 'exists'; readonly ours: boolean; readonly target: DeleteTarget }
    | undefined;
  /** Named in spec.after, by name; undefined if it does not exist. */
  readonly prerequisites: ReadonlyMap<string, KmRestore | undefined>;
  /** By `kind/name`: what another unfinished KmRestore has stopped, if one of the two is in the `spec.after` of the other. */
  readonly chained: ReadonlyMap<string, ChainedStop>;
  /** An unfinished KmRestore of the same target that goes first. */
  readonly ahead: string | undefined;
  /** A finished KmRestore of the same claim that still keeps the state from before it. */
  readonly keeper: string | undefined;
  /** Unfinished KmBackups with a Job that mounts the target claim. */
  readonly runningBackups: readonly string[];
  readonly jobs: ReadonlyMap<string, RestoreJobState>;
  readonly mounting: readonly MountingPod[];
  /** Workloads named in spec.quiesce.workloads; `refused` says why one cannot be stopped. */
  readonly named: readonly MountingPod['owner'][];
  /** By `kind/name`: those in status.stopped. */
  readonly workloads: ReadonlyMap<string, WorkloadState>;
  readonly probe: ProbeAnswer | undefined;
}
