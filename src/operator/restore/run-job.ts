/** One Job of a restore, from its making to its result. Pure. */
import type { ConditionReason } from '../../api/reasons.ts';
import { isElevated, type KmRestore } from '../../api/restore.ts';
import type { RestoreResult } from '../../api/restore-result.ts';
import { elevatedProblem } from '../backup/elevated.ts';
import { identityOf, userName } from '../backup/identity.ts';
import { USUAL_START_MS } from '../backup/waits.ts';
import type { Plan } from '../plan.ts';
import { buildRestoreJob, needsLocation, type RestoreJobSettings, TARGET_MOUNT } from './jobs.ts';
import type { ObservedRestore, RestoreJobKind } from './observed.ts';
import { type Said, wait } from './status.ts';

/**
 * Jobs that may be given up while their pod has not started, so that no workload stays down for a pod that never comes.
 * The others have to be done whenever they can be.
 */
const NOTHING_DONE_YET: ReadonlySet<RestoreJobKind> = new Set(['find', 'plan', 'stage']);

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
      return onFailure(job.reason, `${job.message}${hintOn(restore, job)}`);
    case 'active': {
      const { startDeadlineSeconds } = restore.spec;
      const startBy =
        job.start && NOTHING_DONE_YET.has(kind) && job.start.sinceMs + startDeadlineSeconds * 1000;
      if (job.start && startBy && nowMs >= startBy) {
        const message = `The pod of the Job ${job.target.name} did not start within ${startDeadlineSeconds} s. ${job.message}`;
        const plan = onFailure(job.start.cause ?? 'StartDeadlineExceeded', message);
        return { ...plan, steps: [{ kind: 'deleteJob', target: job.target }, ...plan.steps] };
      }
      // At first a pod always waits for something: to be scheduled, or for a volume that is being made.
      const usualUntil = job.start ? job.start.sinceMs + USUAL_START_MS : nowMs;
      const isUsual = nowMs < usualUntil;
      return wait(
        restore,
        nowMs,
        isUsual ? said : { ...said, message: `${said.message} ${job.message}`.trim() },
        {},
        Math.min(startBy || Number.POSITIVE_INFINITY, isUsual ? usualUntil : nowMs + 15_000),
      );
    }
    case 'none': {
      const { location } = restore.spec.source;
      if (location && needsLocation(restore, kind) && !observed.location) {
        return onFailure(
          'LocationNotFound',
          `There is no KmBackupLocation ${location.name} in this namespace.`,
        );
      }
      const missing = missingClaim(observed, kind);
      if (missing !== undefined) {
        return onFailure('ClaimNotFound', `There is no PersistentVolumeClaim ${missing} in this namespace.`);
      }
      const refused = isElevated(restore) && elevatedProblem(restore.metadata.namespace, settings);
      if (refused) return onFailure(refused.reason, refused.message);
      if (placement && !placement.ok) return onFailure(placement.reason, placement.message);
      const built = buildRestoreJob(
        restore,
        kind,
        settings,
        placement?.ok ? placement.placement : undefined,
        observed.location,
      );
      return { steps: [{ kind: 'createJob', owner: restore, job: built }] };
    }
  }
}

const CONCERNS_USER = /\b(EACCES|EPERM)\b|permission denied|not permitted|\brun as\b/i;

const COMMANDS = /--(commit|rollback|resume|discard)\b/;

/** What km-backup's words mean on a cluster: which volume is too small, which user a Job ran as, how its commands are run. */
function hintOn(restore: KmRestore, { reason, message }: { reason: string; message: string }): string {
  // Not that of the node's disk, to which a copy is fetched.
  if (reason === 'NoSpace' && message.includes(TARGET_MOUNT)) {
    const { persistentVolumeClaim, newClaim, scratch } = restore.spec.target;
    if (persistentVolumeClaim)
      return ` It is the volume of PersistentVolumeClaim ${persistentVolumeClaim.claimName}.`;
    const field = newClaim ? 'spec.target.newClaim.size' : 'scratch.size';
    return ` The volume was made for this restore: ask for more than ${(newClaim ?? scratch)?.size} in ${field}.`;
  }
  if (COMMANDS.test(message)) {
    return ' An earlier KmRestore that was deleted may have left this. deploy/examples/restore-job.yaml runs these commands on the claim.';
  }
  if (!CONCERNS_USER.test(message)) return '';
  const podTemplate = { ...restore.spec.podTemplate, elevated: isElevated(restore) };
  const { user } = identityOf({ podTemplate }, restore.status?.identity).identity;
  return ` The Job ran as ${userName(user)}. Another one: spec.podTemplate.runAsUser, or spec.podTemplate.elevated for root.`;
}

function missingClaim(
  { restore, missingSourceClaim, targetClaim }: ObservedRestore,
  kind: RestoreJobKind,
): string | undefined {
  const mountsSource = !restore.spec.source.location || needsLocation(restore, kind);
  if (mountsSource && missingSourceClaim !== undefined) return missingSourceClaim;
  // The Job that finds the copy needs no target, and a new claim is made after it.
  if (kind === 'find') return undefined;
  if (targetClaim?.state !== 'missing') return undefined;
  const { persistentVolumeClaim, newClaim } = restore.spec.target;
  return persistentVolumeClaim?.claimName ?? newClaim?.name;
}

export const isPlan = (value: Plan | RestoreResult): value is Plan => 'steps' in value;
