/** One Job of a restore, from its making to its result. Pure. */
import type { ConditionReason } from '../../api/reasons.ts';
import type { RestoreResult } from '../../api/restore-result.ts';
import type { Plan } from '../plan.ts';
import { buildRestoreJob, type RestoreJobSettings } from './jobs.ts';
import type { ObservedRestore, RestoreJobKind } from './observed.ts';
import { type Said, wait } from './status.ts';

/** Runs a Job and waits for its end. Undefined: it succeeded, with its result in `onSuccess`. */
export function runJob(
  observed: ObservedRestore,
  settings: RestoreJobSettings,
  nowMs: number,
  kind: RestoreJobKind,
  said: Said,
  onFailure: (reason: ConditionReason, message: string) => Plan,
): Plan | RestoreResult {
  const { restore, placement } = observed;
  const job = observed.jobs.get(kind) ?? { state: 'none' };
  switch (job.state) {
    case 'succeeded':
      return (
        job.result ?? onFailure('NoRestoreReported', 'The Job ended without error, but reported no result.')
      );
    case 'failed':
      return onFailure(job.reason, job.message);
    case 'active':
      return wait(
        restore,
        nowMs,
        { ...said, message: `${said.message} ${job.message}`.trim() },
        {},
        nowMs + 15_000,
      );
    case 'none': {
      const missing = missingClaim(observed);
      if (missing !== undefined) {
        return onFailure('ClaimNotFound', `There is no PersistentVolumeClaim ${missing} in this namespace.`);
      }
      if (placement && !placement.ok) return onFailure(placement.reason, placement.message);
      const built = buildRestoreJob(restore, kind, settings, placement?.ok ? placement.placement : undefined);
      return { steps: [{ kind: 'createJob', owner: restore, job: built }] };
    }
  }
}

function missingClaim({ restore, sourceClaimExists, targetClaim }: ObservedRestore): string | undefined {
  if (!sourceClaimExists) return restore.status!.resolved!.archive.claimName;
  if (targetClaim?.state !== 'missing') return undefined;
  const { persistentVolumeClaim, newClaim } = restore.spec.target;
  return persistentVolumeClaim?.claimName ?? newClaim?.name;
}

export const isPlan = (value: Plan | RestoreResult): value is Plan => 'steps' in value;
