/** What comes before a restore touches anything: the archive, its turn, the plan. Pure. */

import { isRestoreFinished } from '../../api/finished.ts';
import { IDENTITY_KEY, locationUrl } from '../../api/location.ts';
import { ANNOTATIONS } from '../../api/names.ts';
import type { ConditionReason } from '../../api/reasons.ts';
import { isElevated, type KmRestore, type KmRestoreStatus, type RestoreIdentity } from '../../api/restore.ts';
import type { FoundCopy } from '../../api/restore-result.ts';
import { formatBytes } from '../../log/units.ts';
import { elevatedProblem } from '../backup/elevated.ts';
import type { Plan } from '../plan.ts';
import { fromTime } from '../time.ts';
import type { RestoreJobSettings } from './jobs.ts';
import type { ObservedRestore } from './observed.ts';
import { type Resolved, resolve, resolvedCopy } from './resolve.ts';
import { isPlan, runJob } from './run-job.ts';
import type { Rung } from './rung.ts';
import { fail, finish, quoted, type Said, wait } from './status.ts';
import { withAdopted } from './workloads.ts';

/** Before the swap the restore can still be given up without any change. */
export const heedDeadline: Rung = ({ restore, jobs }, _, nowMs) => {
  const { startTime, swapTime } = restore.status ?? {};
  if (startTime === undefined || swapTime !== undefined || jobs.get('swap')?.state === 'active')
    return undefined;
  const { deadlineSeconds } = restore.spec;
  return nowMs < fromTime(startTime) + deadlineSeconds * 1000
    ? undefined
    : fail(
        restore,
        nowMs,
        'DeadlineExceeded',
        `Not done within spec.deadlineSeconds (${deadlineSeconds} s). ${restore.status?.message ?? ''}`.trim(),
      );
};

export const pinArchive: Rung = (observed, settings, nowMs) => {
  const { restore, backups, scheduleExists } = observed;
  if (restore.status?.resolved) return undefined;
  if (restore.spec.source.location) return pinCopy(observed, settings, nowMs);
  const resolution = resolve(restore, backups, scheduleExists);
  switch (resolution.state) {
    case 'failed':
      return fail(
        restore,
        nowMs,
        resolution.reason,
        resolution.message,
        resolution.resolved && pinned(resolution.resolved, nowMs),
      );
    case 'waiting':
      return wait(restore, nowMs, {
        phase: 'Pending',
        reason: 'WaitingForBackup',
        message: resolution.message,
      });
    case 'resolved':
      return pin(observed, resolution.resolved, observed.identity, nowMs);
  }
};

function pin(
  { restore }: ObservedRestore,
  resolved: Resolved,
  identity: RestoreIdentity | undefined,
  nowMs: number,
): Plan {
  return wait(
    restore,
    nowMs,
    { phase: 'Pending', reason: 'Resolved', message: `Restores ${resolved.archive.name}.` },
    { ...pinned(resolved, nowMs), ...(identity && { identity }) },
  );
}

function pinned(resolved: Resolved, nowMs: number): Partial<KmRestoreStatus> {
  const { archiveTime } = resolved;
  const age = archiveTime && Math.round((nowMs - fromTime(archiveTime)) / 1000);
  return { resolved, ...(typeof age === 'number' && { archiveAgeSeconds: Math.max(0, age) }) };
}

/** A Job with access to the location chooses the copy, before anything is stopped. */
function pinCopy(observed: ObservedRestore, settings: RestoreJobSettings, nowMs: number): Plan {
  const { restore, location, identity } = observed;
  const { name, identitySecretRef } = restore.spec.source.location!;
  const secret = identitySecretRef
    ? `, with key ${IDENTITY_KEY} of Secret ${identitySecretRef.name}`
    : ', without an identity';
  const said: Said = {
    phase: 'Pending',
    reason: 'FindingCopy',
    message: `Looks for the copy in KmBackupLocation ${name}${secret}.`,
  };
  const result = runJob(observed, settings, nowMs, 'find', said, (reason, message) =>
    fail(restore, nowMs, reason, reason === 'StartDeadlineExceeded' ? `${said.message} ${message}` : message),
  );
  if (isPlan(result)) return result;
  if (!result.found || !location) {
    return fail(restore, nowMs, 'NoRestoreReported', 'The Job that looks for the copy reported none.');
  }
  const { found } = result;
  const resolved = resolvedCopy(restore, found, locationUrl(location.spec, location.metadata.name));
  const { notBefore } = restore.spec.source;
  if (notBefore !== undefined && fromTime(found.startedAt) < fromTime(notBefore)) {
    return fail(
      restore,
      nowMs,
      'ArchiveTooOld',
      `The newest complete copy in KmBackupLocation ${name}, ${found.archive}, was made at ${found.startedAt}: one made at or after ${notBefore} is asked for. Look why there is no newer one: kubectl get kmb,kmbl.`,
      pinned(resolved, nowMs),
    );
  }
  return pin(observed, resolved, identity ?? identityOfOwner(restore, found), nowMs);
}

/** The largest user id that Kubernetes takes. */
const MAX_ID = 2_147_483_647;

/**
 * The user of most files of the archive, if nothing else says who the restored files are for. The group is applied to a
 * whole volume only if this restore makes it: an empty one, so nobody's permissions change.
 */
function identityOfOwner({ spec }: KmRestore, { owner }: FoundCopy): RestoreIdentity | undefined {
  if (!owner || owner.uid === 0 || owner.uid > MAX_ID || owner.gid > MAX_ID) return undefined;
  const { uid: runAsUser, gid } = owner;
  const { persistentVolumeClaim, newClaim } = spec.target;
  return {
    claimName: persistentVolumeClaim?.claimName ?? newClaim?.name ?? '',
    pod: '',
    runAsUser,
    ...(gid !== 0 && { runAsGroup: gid, ...(!persistentVolumeClaim && { fsGroup: gid }) }),
  };
}

/** Before anything is stopped or planned: later, each Job is refused. */
export const allowElevated: Rung = ({ restore }, settings, nowMs) => {
  if (restore.status?.phase !== 'Pending' || !isElevated(restore)) return undefined;
  const refused = elevatedProblem(restore.metadata.namespace, settings);
  return refused && fail(restore, nowMs, refused.reason, refused.message);
};

export const awaitTurn: Rung = (observed, _, nowMs) => {
  const { restore, prerequisites, ahead, keeper, runningBackups } = observed;
  if (restore.status?.phase !== 'Pending') return undefined;
  const stopped = withAdopted(observed);
  const hold = (reason: ConditionReason, message: string) =>
    wait(restore, nowMs, { phase: 'Pending', reason, message }, { stopped }, nowMs + 30_000);
  for (const [name, other] of prerequisites) {
    if (other?.status?.phase === 'Succeeded') continue;
    if (other && isRestoreFinished(other)) {
      return fail(
        restore,
        nowMs,
        'PrerequisiteFailed',
        `KmRestore ${name} (spec.after) ended as ${other.status?.phase}.`,
      );
    }
    return hold('WaitingForRestore', `Waits for KmRestore ${name} (spec.after) to succeed.`);
  }
  if (ahead !== undefined)
    return hold('WaitingForRestore', `Waits for KmRestore ${ahead} of the same target.`);
  if (keeper !== undefined) {
    return hold(
      'OldStateKept',
      `KmRestore ${keeper} keeps the state from before it on the same claim. To give that up: kubectl annotate kmr ${keeper} ${ANNOTATIONS.oldState}=commit. To go back to it: ${ANNOTATIONS.oldState}=rollback.`,
    );
  }
  if (runningBackups.length > 0) {
    return hold(
      'WaitingForBackup',
      `Waits for ${runningBackups.slice(0, 3).join(', ')}, which uses the target.`,
    );
  }
  return undefined;
};

export const makePlan: Rung = (observed, settings, nowMs) => {
  const { restore } = observed;
  const { dryRun, planDigest } = restore.spec;
  if (restore.status?.plan || !(dryRun || planDigest !== undefined)) return undefined;
  const said: Said = { phase: 'Pending', reason: 'Planning', message: 'Computes what would change.' };
  const result = runJob(observed, settings, nowMs, 'plan', said, (reason, message) =>
    fail(restore, nowMs, reason, message),
  );
  if (isPlan(result)) return result;
  const { plan, warnings } = result;
  if (!plan)
    return fail(restore, nowMs, 'NoPlanReported', 'The Job that plans the restore reported no plan.');
  if (planDigest !== undefined && planDigest !== plan.digest) {
    return fail(
      restore,
      nowMs,
      'PlanChanged',
      `The plan is not the one that was approved: spec.planDigest is ${planDigest}, the plan now has ${plan.digest}. Look at status.plan and create the restore again.`,
      { plan, warnings },
    );
  }
  const message = `Would add ${plan.added}, change ${plan.changed}, remove ${plan.removed} and keep ${plan.kept} entries; ${formatBytes(plan.bytesToWrite)} to write.${quoted(warnings)}`;
  return dryRun
    ? finish(restore, nowMs, { phase: 'Planned', reason: 'PlanMade', message }, { plan, warnings })
    : wait(restore, nowMs, { phase: 'Pending', reason: 'PlanMade', message }, { plan, warnings });
};
