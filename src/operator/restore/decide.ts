/** What one KmRestore needs next. Pure: a ladder of rungs, each done or with the next thing to do. */

import { durationMs } from '../../api/duration.ts';
import { isRestoreFinished } from '../../api/finished.ts';
import { type ConditionReason, quoteReason } from '../../api/reasons.ts';
import { isElevated, type KmRestore, type KmRestoreStatus } from '../../api/restore.ts';
import { NOTHING, type Plan, type Step } from '../plan.ts';
import { fromTime, toTime } from '../time.ts';
import type { RestoreJobSettings } from './jobs.ts';
import type { ObservedRestore } from './observed.ts';
import { allowElevated, awaitTurn, heedDeadline, makePlan, pinArchive } from './prepare.ts';
import { inPlace, type Rung } from './rung.ts';
import { scratchJobs } from './scratch.ts';
import { fail, finish, quoted, type Said, wait } from './status.ts';
import { runSteps } from './steps.ts';
import { discardStaged, goBack, keepOrCommit, makeClaim, stageTree, swapTree } from './tree.ts';
import { putWorkloadsBack, stopWorkloads } from './workloads.ts';

export const RESTORE_FINALIZER = 'km.duskmantle.io/put-back';

const stop: Rung = (observed, _, nowMs) => {
  const { restore } = observed;
  if (!inPlace(restore) || restore.status?.swapTime || restore.status?.phase === 'Restoring')
    return undefined;
  return stopWorkloads(observed, nowMs);
};

const stepsBefore = runSteps(({ spec, status }) => (status?.swapTime ? undefined : spec.steps?.before), {
  phase: 'Quiescing',
  reason: 'StepsBefore',
  message: 'Runs the steps before the restore.',
});

const VERIFYING: Said = { phase: 'Verifying', reason: 'Verifying', message: 'Checks the restored state.' };

const stepsAfter = runSteps(({ spec }) => spec.steps?.after, { ...VERIFYING, reason: 'StepsAfter' });
const verify = runSteps(({ spec }) => spec.verify, VERIFYING);

const startAgain: Rung = (observed, _, nowMs) => putWorkloadsBack(observed, nowMs, { handsOver: true });
/** The restores that wait for this one will not go on. */
const startAll: Rung = (observed, _, nowMs) => putWorkloadsBack(observed, nowMs, { handsOver: false });

const succeed: Rung = ({ restore }, _, nowMs) => {
  const { startTime, warnings, oldState, restored } = restore.status!;
  const losses = warnings?.count ?? 0;
  const keepMs = durationMs(restore.spec.keepOldStateFor);
  const keptUntil = toTime(nowMs + keepMs);
  const fields: Partial<KmRestoreStatus> = {
    ...(startTime && { recoverySeconds: (nowMs - fromTime(startTime)) / 1000 }),
    ...(oldState && { oldState: { ...oldState, keptUntil } }),
  };
  if (losses > 0) {
    return finish(
      restore,
      nowMs,
      {
        phase: 'Failed',
        reason: 'RestoredWithLosses',
        message: `The archive is restored${restore.spec.target.scratch ? '' : ' and live'}, but not exactly as it was.${quoted(warnings)} See status.warnings.${isElevated(restore) ? '' : ' Owners, setuid bits and capabilities take spec.podTemplate.elevated.'}`,
      },
      fields,
    );
  }
  const old = oldState ? ` The old state is kept in ${oldState.path} until ${keptUntil}.` : '';
  const message = `Restored ${restored?.entries ?? 0} entries from ${restore.status!.resolved!.archive.name}.${old}`;
  return finish(restore, nowMs, { phase: 'Succeeded', reason: 'Restored', message }, fields);
};

const endFailed: Rung = ({ restore }, _, nowMs) => {
  const { failure, oldState } = restore.status!;
  const { phase, message } = failure!;
  const reason = quoteReason(failure!.reason, 'StepFailed');
  const swapped = restore.status?.swapTime !== undefined;
  const where =
    phase === 'RolledBack'
      ? ' The old state is live again.'
      : reason === 'RollbackFailed'
        ? ''
        : swapped && inPlace(restore)
          ? ` The restored tree is live${oldState ? `; the old state is kept in ${oldState.path}` : ''}.`
          : inPlace(restore)
            ? ' The target was not changed.'
            : '';
  return finish(restore, nowMs, { phase, reason, message: `${message}${where}` });
};

const LADDER: readonly Rung[] = [
  heedDeadline,
  pinArchive,
  allowElevated,
  awaitTurn,
  makePlan,
  makeClaim,
  stop,
  stepsBefore,
  stageTree,
  swapTree,
  startAgain,
  stepsAfter,
  verify,
  succeed,
];

const UNWIND: readonly Rung[] = [goBack, discardStaged, startAll, endFailed];

/** A deleted restore puts back what it stopped, whatever it was doing, and only then goes. */
function release(observed: ObservedRestore, settings: RestoreJobSettings, nowMs: number): Plan {
  for (const rung of [discardStaged, startAll]) {
    const plan = rung(observed, settings, nowMs);
    if (plan) return plan;
  }
  return { steps: [setFinalizer(observed.restore, false)] };
}

const setFinalizer = (restore: KmRestore, present: boolean): Step => ({
  kind: 'setFinalizer',
  restore,
  finalizer: RESTORE_FINALIZER,
  present,
});

/** What one restore needs next. `nowMs` is epoch milliseconds. */
export function decideRestore(observed: ObservedRestore, settings: RestoreJobSettings, nowMs: number): Plan {
  const { restore } = observed;
  const held = restore.metadata.finalizers?.includes(RESTORE_FINALIZER) === true;
  if (isRestoreFinished(restore)) {
    // Nothing is left to put back: its namespace can be deleted even if this operator is gone by then.
    if (held) return { steps: [setFinalizer(restore, false)] };
    if (restore.metadata.deletionTimestamp) return NOTHING;
    const left = scratchJobs(observed);
    return left.length > 0 ? { steps: left } : keepOrCommit(observed, settings, nowMs);
  }
  if (restore.metadata.deletionTimestamp) return held ? release(observed, settings, nowMs) : NOTHING;
  if (!held) return { steps: [setFinalizer(restore, true)] };
  for (const rung of restore.status?.failure ? UNWIND : LADDER) {
    const plan = rung(observed, settings, nowMs);
    if (plan) return plan;
  }
  return NOTHING;
}

/** The API server refuses a Job (a quota, an admission webhook): said, and tried again until the deadline. */
export function decideRestoreRefused(
  restore: KmRestore,
  { reason, message }: { reason: ConditionReason; message: string },
  nowMs: number,
): Plan {
  const { phase = 'Pending', startTime } = restore.status ?? {};
  const { target, startDeadlineSeconds } = restore.spec;
  const late = startTime !== undefined && nowMs >= fromTime(startTime) + startDeadlineSeconds * 1000;
  // Nobody waits for a rehearsal.
  if (target.scratch && late) return fail(restore, nowMs, reason, message);
  return wait(restore, nowMs, { phase, reason, message }, {}, nowMs + 15_000);
}
