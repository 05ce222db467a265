/** Stages the tree, swaps it in, takes it out again. Pure. */
import { ANNOTATIONS } from '../../api/names.ts';
import type { KmRestoreStatus } from '../../api/restore.ts';
import { NOTHING, type Plan, type Step } from '../plan.ts';
import { fromTime, toTime } from '../time.ts';
import type { RestoreJobSettings } from './jobs.ts';
import type { ObservedRestore } from './observed.ts';
import { isPlan, runJob } from './run-job.ts';
import { inPlace, type Rung } from './rung.ts';
import { scriptRefusal } from './scratch.ts';
import { fail, quoted, type Said, wait } from './status.ts';
import { awaitOwnPods, stopWorkloads } from './workloads.ts';

export const makeClaim: Rung = ({ restore, targetClaim }, _, nowMs) => {
  const { newClaim } = restore.spec.target;
  if (!newClaim || restore.status?.swapTime) return undefined;
  if (targetClaim?.state === 'missing') {
    return { steps: [{ kind: 'createClaim', restore, claim: newClaim }], requeueAtMs: nowMs + 1_000 };
  }
  return targetClaim?.ours
    ? undefined
    : fail(
        restore,
        nowMs,
        'NameTaken',
        `PersistentVolumeClaim ${newClaim.name} exists already. Choose another spec.target.newClaim.name, or restore in place (spec.target.persistentVolumeClaim).`,
      );
};

const RESTORING: Said = {
  phase: 'Restoring',
  reason: 'Staging',
  message: 'Verifies and unpacks the archive.',
};

export const stageTree: Rung = (observed, settings, nowMs) => {
  const { restore } = observed;
  if (restore.status?.swapTime || restore.status?.restored) return undefined;
  const refused = scriptRefusal(restore, settings);
  if (refused !== undefined) return fail(restore, nowMs, 'ScriptsNotAllowed', refused);
  if (restore.status?.phase !== 'Restoring') return wait(restore, nowMs, RESTORING);
  const result = runJob(observed, settings, nowMs, 'stage', RESTORING, (reason, message) =>
    fail(restore, nowMs, reason, message),
  );
  if (isPlan(result)) return result;
  const { restored, plan, checks, warnings } = result;
  if (!restored) {
    return fail(
      restore,
      nowMs,
      'NoRestoreReported',
      'The Job succeeded, but reported nothing that it restored.',
    );
  }
  const { entries, files, bytes, reusedBytes } = restored;
  const fields: Partial<KmRestoreStatus> = {
    restored: { entries, files, bytes, reusedBytes },
    warnings,
    ...(plan && { plan }),
    ...(checks && { checks }),
    // A new claim and scratch space have no live tree to swap with: what is unpacked is in its place.
    ...(!inPlace(restore) && { swapTime: toTime(nowMs) }),
  };
  const broken = checks?.find(({ failed }) => failed > 0);
  if (broken) {
    return fail(
      restore,
      nowMs,
      'ContentCheckFailed',
      `The archive's content is damaged: ${broken.check} check failed for ${broken.failed} of ${broken.files} files. ${broken.samples[0] ?? ''}`.trim(),
      fields,
    );
  }
  return wait(
    restore,
    nowMs,
    {
      ...RESTORING,
      reason: 'Staged',
      message: `${entries} entries are verified and unpacked.${quoted(warnings)}`,
    },
    fields,
  );
};

export const swapTree: Rung = (observed, settings, nowMs) => {
  const { restore, mounting, jobs } = observed;
  if (restore.status?.swapTime) return undefined;
  const begun = (jobs.get('swap') ?? { state: 'none' }).state !== 'none';
  const intruder = mounting.find(({ owner }) => owner.kind !== 'operator');
  if (!begun && !intruder && mounting.length > 0) return awaitOwnPods(observed, nowMs);
  if (!begun && intruder) {
    return fail(
      restore,
      nowMs,
      'ClaimInUse',
      `Pod ${intruder.name} mounted the target claim while it was being restored${whoStarted(intruder.owner)}. Nothing was changed. Stop whoever starts it (an autoscaler, a GitOps tool), then create the restore again.`,
    );
  }
  const said: Said = { phase: 'Restoring', reason: 'Swapping', message: 'Puts the restored tree in place.' };
  const result = runJob(observed, settings, nowMs, 'swap', said, (reason, message) =>
    fail(restore, nowMs, reason, message),
  );
  if (isPlan(result)) return result;
  const kept = result.restored?.oldState;
  return wait(
    restore,
    nowMs,
    { phase: 'Verifying', reason: 'Swapped', message: 'The restored tree is in place.' },
    { swapTime: toTime(nowMs), ...(kept !== undefined && { oldState: { path: kept } }) },
  );
};

function whoStarted(owner: ObservedRestore['mounting'][number]['owner']): string {
  return owner.kind === 'stoppable'
    ? `: ${owner.workload.kind} ${owner.workload.name} was scaled up again`
    : '';
}

/** Swaps the old state in again, with the workloads stopped once more. */
export const goBack: Rung = (observed, settings, nowMs) => {
  const { restore } = observed;
  const { failure, rollbackTime, stopped } = restore.status!;
  if (failure!.phase !== 'RolledBack' || rollbackTime) return undefined;
  const said: Said = { phase: 'Quiescing', reason: 'RollingBack', message: failure!.message };
  if (stopped?.some(({ restored }) => restored)) {
    const again = stopped.map(({ restored: _, ...one }) => one);
    return wait(restore, nowMs, said, { stopped: again, quiesceTime: toTime(nowMs) });
  }
  const [user] = observed.mounting;
  if (!restore.spec.quiesce && user) {
    const message = `${failure!.message} Waits until pod ${user.name} no longer uses the claim: then the old state is put back.`;
    return wait(restore, nowMs, { ...said, message }, {}, nowMs + 5_000);
  }
  const stopping = stopWorkloads(observed, nowMs);
  if (stopping) return stopping;
  const result = runJob(observed, settings, nowMs, 'rollback', said, (reason, message) =>
    wait(
      restore,
      nowMs,
      { ...said, reason, message },
      {
        failure: {
          phase: 'Failed',
          reason: 'RollbackFailed',
          message: `${failure!.message} Rolling back failed too: ${message} The restored tree or parts of it are live, the old state lies in ${restore.status?.oldState?.path ?? '.km-restore'}. To go on: km-backup restore --rollback on the volume.`,
        },
      },
    ),
  );
  if (isPlan(result)) return result;
  return wait(restore, nowMs, said, { rollbackTime: toTime(nowMs), oldState: undefined });
};

/** What was staged and never swapped in is removed; a claim made for this restore too. */
export const discardStaged: Rung = (observed, settings, nowMs) => {
  const { restore, jobs, targetClaim } = observed;
  const { phase = 'Pending', swapTime, failure } = restore.status ?? {};
  const said: Said = { phase, reason: 'Discarding', message: 'Removes what was unpacked.' };
  const [stage, swap] = [jobs.get('stage'), jobs.get('swap')];
  const reading = (['find', 'plan', 'stage'] as const).map((kind) => jobs.get(kind));
  const underWay = reading.find((job) => job?.state === 'active');
  if (swap?.state === 'active') {
    return wait(restore, nowMs, { ...said, message: 'Waits for the swap to end.' }, {}, nowMs + 5_000);
  }
  if (underWay?.state === 'active') {
    return { steps: [{ kind: 'deleteJob', target: underWay.target }], requeueAtMs: nowMs + 1_000 };
  }
  if (!inPlace(restore)) {
    if (targetClaim?.state !== 'exists' || !targetClaim.ours) return undefined;
    // A claim stays as long as a pod names it, even one that has ended. What the pods said is in the status.
    const ended = [...jobs.values()].flatMap((job): Step[] =>
      job.state === 'none' ? [] : [{ kind: 'deleteJob', target: job.target }],
    );
    return {
      steps: [...ended, { kind: 'deleteClaim', target: targetClaim.target }],
      requeueAtMs: nowMs + 1_000,
    };
  }
  // A Job that was deleted may have left what it had unpacked, unless its pod never started.
  const begun = phase === 'Restoring' || (stage !== undefined && stage.state !== 'none');
  const neverStarted = failure?.reason === 'StartDeadlineExceeded';
  if (swapTime !== undefined || !begun || neverStarted || swap?.state === 'succeeded') return undefined;
  const discarded = jobs.get('discard');
  // The swap was done after all, and only its report was lost: there is nothing to discard.
  if (discarded?.state === 'failed' && swap?.state === 'failed' && failure?.phase === 'Failed') {
    if (failure.reason === 'RollbackFailed') return undefined;
    return wait(restore, nowMs, said, { failure: { ...failure, phase: 'RolledBack' } });
  }
  if (discarded?.state === 'succeeded' || discarded?.state === 'failed') return undefined;
  const result = runJob(observed, settings, nowMs, 'discard', said, () => NOTHING);
  return isPlan(result) && result !== NOTHING ? result : undefined;
};

/** After the end: the old state is deleted when its time is over, or as its annotation asks. */
export function keepOrCommit(observed: ObservedRestore, settings: RestoreJobSettings, nowMs: number): Plan {
  const { restore } = observed;
  const { oldState, phase } = restore.status!;
  const wish = restore.metadata.annotations?.[ANNOTATIONS.oldState];
  if (!oldState || (phase !== 'Succeeded' && phase !== 'Failed')) return NOTHING;
  if (wish === 'rollback') {
    const message = `Goes back to the state before the restore, as the annotation ${ANNOTATIONS.oldState} asks.`;
    return wait(
      restore,
      nowMs,
      { phase: 'Quiescing', reason: 'RollingBack', message },
      {
        failure: { phase: 'RolledBack', reason: 'RollbackRequested', message: 'The rollback was asked for.' },
      },
    );
  }
  const untilMs = wish === 'commit' ? nowMs : oldState.keptUntil && fromTime(oldState.keptUntil);
  if (!untilMs) return NOTHING;
  if (nowMs < untilMs) return { steps: [], requeueAtMs: untilMs };
  // Its status says what the restore came to; that a Job deletes the old state is not written into it.
  if (observed.jobs.get('commit')?.state === 'active') return { steps: [], requeueAtMs: nowMs + 15_000 };
  const said: Said = { phase, reason: 'Restored', message: restore.status!.message ?? '' };
  const result = runJob(observed, settings, nowMs, 'commit', said, (_, message) => ({
    steps: [
      {
        kind: 'recordEvent',
        regarding: restore,
        event: { type: 'Warning', reason: 'OldStateNotDeleted', action: 'Commit', note: message },
      },
    ],
  }));
  if (isPlan(result)) return result;
  return wait(restore, nowMs, said, { oldState: undefined });
}
