/** Stops the workloads that use the target claim, and puts them back. Pure. */
import { quoteReason } from '../../api/reasons.ts';
import type { StoppedWorkload } from '../../api/step.ts';
import type { Plan, Step } from '../plan.ts';
import { workloadKey } from '../steps/advance.ts';
import type { WorkloadState } from '../steps/owners.ts';
import { fromTime, toTime } from '../time.ts';
import type { ObservedRestore } from './observed.ts';
import { inPlace } from './rung.ts';
import { fail, wait, writeStatus } from './status.ts';

/** How long pods may take to end once their workloads are stopped. */
const STOP_DEADLINE_MS = 10 * 60_000;

/** Pods of other owners are not watched, and most end within moments: first asked for often, then less. */
function askAgainAt(sinceMs: number, nowMs: number): number {
  return nowMs + Math.min(2_000, Math.max(250, (nowMs - sinceMs) / 4));
}

function distinct(workloads: readonly StoppedWorkload[]): StoppedWorkload[] {
  return [...new Map(workloads.map((one) => [workloadKey(one), one])).values()];
}

/** The write that brings a workload to what it shall be; undefined where it is so already, or is gone. */
function change(
  namespace: string,
  workload: StoppedWorkload,
  now: WorkloadState | undefined,
  to: { readonly replicas?: number | undefined; readonly suspend?: boolean | undefined },
): Step | undefined {
  if (now?.state !== 'exists') return undefined;
  const target = {
    namespace,
    kind: workload.kind,
    name: workload.name,
    uid: workload.uid,
    resourceVersion: now.resourceVersion,
  };
  if (workload.kind === 'CronJob') {
    return to.suspend === undefined || now.suspend === to.suspend
      ? undefined
      : { kind: 'suspend', target, suspend: to.suspend };
  }
  return to.replicas === undefined || now.replicas === to.replicas
    ? undefined
    : { kind: 'scale', target, replicas: to.replicas };
}

/** Back to what it was. Whoever has changed it since it was stopped keeps their number. */
function putBack(
  namespace: string,
  workload: StoppedWorkload,
  now: WorkloadState | undefined,
): Step | undefined {
  const stillStopped =
    now?.state === 'exists' && (workload.kind === 'CronJob' ? now.suspend === true : now.replicas === 0);
  return stillStopped ? change(namespace, workload, now, workload) : undefined;
}

const names = (all: readonly { name: string }[]) =>
  all.length > 3
    ? `${all
        .slice(0, 3)
        .map(({ name }) => name)
        .join(', ')} and ${all.length - 3} more`
    : all.map(({ name }) => name).join(', ');

/** Pods of other Jobs of this operator, such as the end of an earlier restore. */
export function awaitOwnPods({ restore, mounting }: ObservedRestore, nowMs: number): Plan {
  const { phase = 'Pending' } = restore.status ?? {};
  const own = mounting.filter(({ owner }) => owner.kind === 'operator');
  const message = `Waits for ${names(own)}, which uses the claim, to end.`;
  return wait(restore, nowMs, { phase, reason: 'WaitingForJob', message }, {}, nowMs + 2_000);
}

/** Undefined once no pod but ours mounts the claim. */
export function stopWorkloads(observed: ObservedRestore, nowMs: number): Plan | undefined {
  const { restore, named, workloads } = observed;
  const mounting = observed.mounting.filter(({ owner }) => owner.kind !== 'operator');
  if (mounting.length < observed.mounting.length) return awaitOwnPods(observed, nowMs);
  const { quiesce } = restore.spec;
  const { namespace } = restore.metadata;
  const { stopped, phase } = restore.status ?? {};
  if (!quiesce) {
    if (mounting.length === 0) return undefined;
    return fail(
      restore,
      nowMs,
      'ClaimInUse',
      `The target claim is mounted by ${names(mounting)}. Set spec.quiesce (auto: true) so that the operator stops what uses it, or stop it by hand.`,
    );
  }
  if (stopped === undefined || phase === 'Pending') {
    const owners = quiesce.auto ? mounting.map(({ owner }) => owner) : named;
    const refused = owners.find((owner) => owner.kind === 'refused');
    if (refused?.kind === 'refused') return fail(restore, nowMs, 'CannotQuiesce', refused.message);
    const found = owners.flatMap((owner) => (owner.kind === 'stoppable' ? [owner.workload] : []));
    // What was adopted knows how many replicas there were before the first restore of the row.
    const list = distinct([...found, ...(stopped ?? [])]);
    const message =
      list.length === 0 ? 'Nothing uses the claim.' : `Stopping ${list.map(workloadKey).join(', ')}.`;
    // Written down before anything is stopped, so that it is put back even if this process ends in between.
    return wait(
      restore,
      nowMs,
      { phase: 'Quiescing', reason: 'Stopping', message },
      { stopped: list, quiesceTime: toTime(nowMs) },
    );
  }
  const changes = stopped.flatMap(
    (one) => change(namespace, one, workloads.get(workloadKey(one)), { replicas: 0, suspend: true }) ?? [],
  );
  const { quiesceTime, startTime } = restore.status ?? {};
  const sinceMs = fromTime(quiesceTime ?? startTime ?? toTime(nowMs));
  // Only as long as the restore has not begun: later, whoever starts a workload again is respected, and refused.
  if (changes.length > 0 && restore.status?.phase === 'Quiescing') {
    return { steps: changes, requeueAtMs: askAgainAt(sinceMs, nowMs) };
  }
  if (mounting.length === 0) return undefined;
  if (nowMs >= sinceMs + STOP_DEADLINE_MS) {
    return fail(
      restore,
      nowMs,
      'ClaimInUse',
      `After ${STOP_DEADLINE_MS / 60_000} minutes the target claim is still mounted by ${names(mounting)}.`,
    );
  }
  const message = `Waits for ${names(mounting)} to end.`;
  return wait(
    restore,
    nowMs,
    { phase: 'Quiescing', reason: 'Stopping', message },
    {},
    askAgainAt(sinceMs, nowMs),
  );
}

/**
 * What this restore has to put back, with the workloads that it names and that an earlier restore of its row keeps
 * stopped. Written down before the earlier one ends, so that none of them runs in between.
 */
export function withAdopted({ restore, chained }: ObservedRestore): StoppedWorkload[] | undefined {
  const own = restore.status?.stopped;
  // It stops nothing itself, so it would put nothing back either.
  if (restore.spec.dryRun || !inPlace(restore)) return own;
  const adopted = (restore.spec.quiesce?.workloads ?? []).flatMap((named) => {
    const stop = chained.get(workloadKey(named));
    const isNew = !own?.some((one) => workloadKey(one) === workloadKey(named));
    return stop?.turn === 'earlier' && isNew ? [stop.workload] : [];
  });
  return adopted.length > 0 ? [...(own ?? []), ...adopted] : own;
}

/**
 * Undefined once every workload that was stopped is as it was.
 *
 * @param handsOver Leaves stopped what a later restore of the row has written down: it puts that back.
 */
export function putWorkloadsBack(
  observed: ObservedRestore,
  nowMs: number,
  { handsOver }: { readonly handsOver: boolean },
): Plan | undefined {
  const { restore, workloads, chained } = observed;
  const { namespace } = restore.metadata;
  const stopped = restore.status?.stopped ?? [];
  const left = stopped.filter(({ restored }) => !restored);
  if (left.length === 0) return undefined;
  const turnOf = (one: StoppedWorkload) => chained.get(workloadKey(one))?.turn;
  const [needed] = left.flatMap((one) => {
    const stop = chained.get(workloadKey(one));
    return stop?.turn === 'earlier' ? [{ one, by: stop.by }] : [];
  });
  if (needed) {
    const { phase = 'Pending', reason } = restore.status ?? {};
    const message = `Waits until KmRestore ${needed.by} no longer needs ${workloadKey(needed.one)} stopped.`;
    const said = { phase, reason: quoteReason(reason, 'WaitingForRestore'), message };
    return wait(restore, nowMs, said, {}, nowMs + 5_000);
  }
  const pending = left.filter((one) => !(handsOver && turnOf(one) === 'later'));
  const changes = pending.flatMap((one) => putBack(namespace, one, workloads.get(workloadKey(one))) ?? []);
  if (changes.length > 0) return { steps: changes, requeueAtMs: nowMs + 250 };
  const { phase = 'Pending', reason, message = '' } = restore.status ?? {};
  const said = { phase, reason: quoteReason(reason, 'Swapped'), message };
  const done = stopped.map((one) => ({ ...one, restored: true }));
  return { steps: [writeStatus(restore, nowMs, said, { stopped: done })] };
}
