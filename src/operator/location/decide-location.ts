/** What one KmBackupLocation needs next: a check, or the record of one. Pure. */
import { durationMs } from '../../api/duration.ts';
import type { KmBackupLocation, KmBackupLocationStatus } from '../../api/location.ts';
import type { CheckResult } from '../../api/location-result.ts';
import { ANNOTATIONS } from '../../api/names.ts';
import { type ConditionReason, type Explanation, RUN_REASONS } from '../../api/reasons.ts';
import { elevatedProblem } from '../backup/elevated.ts';
import type { JobSettings } from '../backup/job.ts';
import type { PlacementResult } from '../backup/placement.ts';
import { type ConditionState, withCondition } from '../conditions.ts';
import { NOTHING, type Plan, type Step } from '../plan.ts';
import { fromTime, toTime } from '../time.ts';
import type { Job } from '../workloads.ts';
import { displayUrl } from './access.ts';
import { backoffMs, type LocationJobState, startDeadlineMs } from './job-state.ts';
import { buildCheckJob } from './jobs.ts';

export interface ObservedLocation {
  readonly location: KmBackupLocation;
  /** The Job of the check that is not recorded yet. */
  readonly check: LocationJobState<CheckResult>;
  /** Jobs of earlier checks: the latest is kept for its log. */
  readonly earlier: readonly Job[];
  /** When a schedule last confirmed a copy there. */
  readonly lastCopyTime: string | undefined;
  /** When a copy last failed for a reason that concerns the location. */
  readonly lastCopyFailure: string | undefined;
  /** Where the check must run; observed only if one is due. */
  readonly placement: PlacementResult | undefined;
}

/** A check whose pod has not started by then has failed. */
const START_SECONDS = 300;

export const availabilityOf = ({ status }: KmBackupLocation) =>
  status?.conditions?.find(({ type }) => type === 'Available');

/** When the next check is due; epoch ms. */
export function nextCheckMs({ location, lastCopyFailure }: Omit<ObservedLocation, 'placement'>): number {
  const { metadata, spec, status } = location;
  const { lastCheckTime, failures = 0 } = status ?? {};
  if (lastCheckTime === undefined || status?.observedGeneration !== metadata.generation) return 0;
  const last = fromTime(lastCheckTime);
  if (lastCopyFailure !== undefined && fromTime(lastCopyFailure) > last) return 0;
  const interval = durationMs(spec.checkInterval);
  return last + (failures > 0 ? Math.min(interval, backoffMs(failures)) : interval);
}

interface Verdict {
  readonly available: ConditionState;
  readonly fields: Partial<KmBackupLocationStatus>;
  readonly failures: number;
  readonly generation: number | undefined;
  /** Absent for a check that needed no Job. */
  readonly job?: Job;
}

const available = (
  status: ConditionState['status'],
  reason: ConditionReason,
  message: string,
): ConditionState => ({ type: 'Available', status, reason, message });

/** What a user of the resources can do about a reason of km-backup. */
export function withAdvice(reason: ConditionReason, message: string): string {
  if (!/^(Location|Pack)/.test(reason)) return message;
  const explanations: Readonly<Record<string, Explanation>> = RUN_REASONS;
  const kubectl = explanations[reason]?.kubectl;
  return kubectl === undefined ? message : `${message} ${kubectl.replaceAll('`', '')}`;
}

function verdictOf({ location, check }: ObservedLocation, nowMs: number): Verdict | undefined {
  const failures = (location.status?.failures ?? 0) + 1;
  const failed = (reason: ConditionReason, message: string, job?: Job): Verdict => ({
    available: available('False', reason, withAdvice(reason, message)),
    fields: {},
    failures,
    generation: job ? generationOf(job) : location.metadata.generation,
    ...(job && { job }),
  });
  switch (check.state) {
    case 'none':
      return undefined;
    case 'gone':
      return failed('JobDeleted', `Job ${check.job.name} was deleted before it ended.`);
    case 'failed':
      return failed(check.reason, check.message, check.job);
    case 'active': {
      const isLate = check.isWaiting && nowMs >= startDeadlineMs(check.job, START_SECONDS);
      if (!isLate) return undefined;
      const message = `The pod of the check did not start within ${START_SECONDS} s. ${check.message}`;
      return failed('StartDeadlineExceeded', message, check.job);
    }
    case 'succeeded': {
      const { locationId, usage, deleteRefused, message } = check.result;
      return {
        available:
          deleteRefused === undefined
            ? available('True', 'LocationChecked', message)
            : available('True', 'DeleteRefused', `${message} Copies are not removed: ${deleteRefused}`),
        fields: { ...(locationId !== undefined && { locationId }), ...(usage && { usage }) },
        failures: 0,
        generation: generationOf(check.job),
        job: check.job,
      };
    }
  }
}

const generationOf = ({ metadata }: Job) => Number(metadata.annotations?.[ANNOTATIONS.generation] ?? 0);

function record(location: KmBackupLocation, verdict: Verdict, nowMs: number): Step[] {
  const { job: _, ...before } = location.status ?? {};
  const { generation } = verdict;
  const status: KmBackupLocationStatus = {
    ...before,
    ...verdict.fields,
    url: displayUrl(location),
    ...(generation !== undefined && { observedGeneration: generation }),
    conditions: withCondition(before.conditions, verdict.available, generation, nowMs),
    lastCheckTime: toTime(nowMs),
    failures: verdict.failures,
    checks: (before.checks ?? 0) + 1,
  };
  const was = availabilityOf(location)?.status;
  const { status: is, message } = verdict.available;
  const hasChanged = is === 'True' ? was !== 'True' : was !== 'False';
  return [
    { kind: 'writeLocationStatus', location, status },
    ...(hasChanged
      ? [
          {
            kind: 'recordEvent' as const,
            regarding: location,
            event: {
              type: is === 'True' ? ('Normal' as const) : ('Warning' as const),
              reason: is === 'True' ? ('LocationFound' as const) : ('LocationLost' as const),
              action: 'Check',
              note: message,
            },
          },
        ]
      : []),
  ];
}

/** What is known while no check ends. */
function describe(observed: ObservedLocation, nowMs: number): Step {
  const { location, check, lastCopyTime } = observed;
  const { job: _, ...before } = location.status ?? {};
  const known = availabilityOf(location);
  const conditions = known
    ? before.conditions
    : withCondition(
        before.conditions,
        available('Unknown', 'CheckPending', 'The first check has not ended.'),
        location.metadata.generation,
        nowMs,
      );
  const status: KmBackupLocationStatus = {
    ...before,
    ...(conditions && { conditions }),
    url: displayUrl(location),
    ...(lastCopyTime !== undefined && { lastCopyTime }),
    ...(check.state === 'active' && {
      job: { name: check.job.metadata.name, uid: check.job.metadata.uid },
    }),
  };
  return { kind: 'writeLocationStatus', location, status };
}

/** What one location needs next. `nowMs` is epoch milliseconds. */
export function decideLocation(observed: ObservedLocation, settings: JobSettings, nowMs: number): Plan {
  const { location, check, earlier, placement } = observed;
  if (location.metadata.deletionTimestamp) return NOTHING;
  const verdict = verdictOf(observed, nowMs);
  if (verdict) {
    const isStuck = check.state === 'active';
    return {
      steps: [
        ...record(location, verdict, nowMs),
        ...(isStuck ? [{ kind: 'deleteJob' as const, target: check.job.metadata }] : []),
      ],
    };
  }
  const said = describe(observed, nowMs);
  // The latest Job stays for its log until the next one is there.
  const surplus = check.state === 'active' ? earlier : earlier.slice(1);
  const cleanUp = surplus.map(({ metadata }): Step => ({ kind: 'deleteJob', target: metadata }));
  if (check.state === 'active') {
    const requeueAtMs = check.isWaiting ? startDeadlineMs(check.job, START_SECONDS) : undefined;
    return { steps: [said, ...cleanUp], ...(requeueAtMs !== undefined && { requeueAtMs }), mayWait: true };
  }
  const dueMs = nextCheckMs(observed);
  if (nowMs < dueMs) return { steps: [said, ...cleanUp], requeueAtMs: dueMs, mayWait: true };
  if (!placement) return { steps: [said, ...cleanUp] };
  const { elevated } = location.spec.podTemplate ?? {};
  const refused = elevated ? elevatedProblem(location.metadata.namespace, settings) : undefined;
  if (refused || !placement.ok) {
    const { reason, message } = refused ?? (placement as Extract<PlacementResult, { ok: false }>);
    return notChecked(location, reason, message, nowMs);
  }
  const job = buildCheckJob(location, settings, placement.placement);
  return { steps: [said, ...cleanUp, { kind: 'createJob', owner: location, job }] };
}

/** The API server refuses the Job of a check: said, and tried again. */
export function decideLocationRefused(
  location: KmBackupLocation,
  { reason, message }: { reason: ConditionReason; message: string },
  nowMs: number,
): Plan {
  return notChecked(location, reason, message, nowMs);
}

/** No Job could be made for a check. */
function notChecked(
  location: KmBackupLocation,
  reason: ConditionReason,
  message: string,
  nowMs: number,
): Plan {
  return {
    steps: record(
      location,
      {
        available: available('False', reason, message),
        fields: {},
        failures: (location.status?.failures ?? 0) + 1,
        generation: location.metadata.generation,
      },
      nowMs,
    ),
  };
}
