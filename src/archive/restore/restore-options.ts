import type { WantedCheck } from './content-checks.ts';
import type { RestorePolicy } from './entry-gate.ts';
import type { EarlierRun } from './finish.ts';
import type { ContentCheckResult, Journal } from './journal.ts';
import type { Pins } from './pinned-archive.ts';
import type { Plan } from './plan-restore.ts';
import type { RestoreProgress } from './progress.ts';
import type { ReuseWish } from './reuse-choice.ts';
import type { Source } from './source.ts';
import type { Failpoint } from './swap.ts';
import type { RestoreWarnings } from './warnings.ts';

export interface RestoreOptions {
  /** Path of the archive; with `fetch`, how messages and the journal call it. */
  readonly archive: string;
  /** Brings the archive to this machine and returns its path. Not called if an earlier run of the request left only its end to do. */
  readonly fetch?: (() => Promise<string>) | undefined;
  readonly target: string;
  /** Names this request: repeated at any later time, it is completed or found done. Default: a random id. */
  readonly id?: string | undefined;
  /** Digests that the archive must have. */
  readonly pins?: Pins | undefined;
  /** Digest of the plan that was approved: another one is refused. */
  readonly expectPlan?: string | undefined;
  /** Only these files and folders, put back one by one; absent or empty: the whole tree. */
  readonly paths?: readonly string[];
  /** Checks of the staged content; a failure leaves the target unchanged. */
  readonly checks?: readonly WantedCheck[];
  readonly policy: RestorePolicy;
  readonly ignoreManifest?: boolean;
  /** Continue even if processes write below the target. */
  readonly ignoreWriters?: boolean;
  /** Keep the old state until `commitRestore` or `rollbackRestore`, or remove it once the new one is live. */
  readonly oldState: 'keep' | 'remove';
  /** How files that did not change since the backup are taken over from the live tree. Default: `auto`. */
  readonly reuse?: ReuseWish;
  readonly dryRun?: boolean;
  /** Ends before the swap. The same id again goes on from there. */
  readonly stageOnly?: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly threads?: number | undefined;
  readonly now: () => Date;
  readonly progress?: ((progress: RestoreProgress) => void) | undefined;
  /** For tests: called before each change on disk. */
  readonly failpoint?: Failpoint;
  /** For tests: how to swap, instead of what the target requires. */
  readonly swap?: Journal['mode'];
}

/** `EarlierRun`: an earlier run of this restore had left only its end to do, or nothing. */
export type RestoreReport = RestoreDone | EarlierRun;

export interface RestoreDone {
  readonly outcome: 'restored' | 'staged' | 'would-restore';
  readonly target: string;
  readonly against: Source['against'];
  /** Why there was no manifest to compare with. */
  readonly note: string | undefined;
  readonly entries: number;
  readonly files: number;
  readonly bytes: number;
  /** Of `bytes`, those that were cloned or linked from the live tree instead of being written. */
  readonly reusedBytes: number;
  readonly warnings: RestoreWarnings;
  /** Files of archives found in the target, which are preserved in the new state. */
  readonly archivesKept: number;
  /** Where the old state is kept; undefined when there was none, or it was removed. */
  readonly oldState: string | undefined;
  /** Undefined when none was asked for. */
  readonly plan: Plan | undefined;
  readonly checks: readonly ContentCheckResult[] | undefined;
}
