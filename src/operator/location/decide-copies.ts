/** What the copies of one schedule need next, and what is said of them. Pure. */
import type { BackupCopyStatus, ScheduleCopyStatus } from '../../api/copy.ts';
import { type ConditionReason, quoteReason } from '../../api/reasons.ts';
import { elevatedProblem } from '../backup/elevated.ts';
import type { JobSettings } from '../backup/job.ts';
import { type ConditionState, withCondition } from '../conditions.ts';
import type { FinishedRun } from '../finished-run.ts';
import { NOTHING, type Plan, type Step } from '../plan.ts';
import {
  dueCopy,
  isUsable,
  isWanted,
  nameOfLocation,
  newestOf,
  nextTryMs,
  type ObservedCopies,
  type ObservedCopy,
} from './copies.ts';
import {
  afterFailure,
  afterSuccess,
  copyOf,
  type Fields,
  type Next,
  said,
  withFields,
} from './copy-outcome.ts';
import { availabilityOf } from './decide-location.ts';
import { startDeadlineMs } from './job-state.ts';
import { buildCopyJob } from './jobs.ts';

export interface CopiesDecision {
  /** Records of the runs, before the status of the schedule says that they are done. */
  readonly records: readonly Step[];
  readonly status: readonly ScheduleCopyStatus[];
  /** Absent for a schedule without copies. */
  readonly condition: ConditionState | undefined;
  /** After the status. */
  readonly steps: readonly Step[];
  readonly requeueAtMs: number | undefined;
}

/** A copy whose Job is under way, or has ended since the last look. */
function withJob(observed: ObservedCopies, copy: ObservedCopy, nowMs: number): Next | undefined {
  const { job: state, before } = copy;
  const { startDeadlineSeconds } = observed.schedule.spec;
  switch (state.state) {
    case 'none':
      return undefined;
    case 'succeeded':
      return afterSuccess(observed, copy, state.job, state.result, nowMs);
    case 'failed':
      return afterFailure(observed, copy, { ...state, backup: copyOf(state.job) }, nowMs);
    case 'gone': {
      const message = `Job ${state.job.name} was deleted before it ended.`;
      return afterFailure(
        observed,
        copy,
        { reason: 'JobDeleted', message, backup: before?.attempted ?? newestOf(observed)?.metadata.name },
        nowMs,
      );
    }
    case 'active': {
      if (observed.restoring !== undefined) {
        // A restore must not wait for hours. The next copy continues behind what was confirmed.
        const message = `Waits for KmRestore ${observed.restoring}, which restores the claim of the archives.`;
        const attempts = (before?.attempts ?? 0) + 1;
        return {
          status: withFields(copy, { ...said('Pending', 'WaitingForRestore', message), attempts }),
          deleteJob: state.job,
        };
      }
      const deadlineMs = startDeadlineMs(state.job, startDeadlineSeconds);
      if (state.isWaiting && nowMs >= deadlineMs) {
        const message = `The pod of the copy did not start within ${startDeadlineSeconds} s (spec.startDeadlineSeconds). ${state.message}`;
        return {
          ...afterFailure(
            observed,
            copy,
            { reason: 'StartDeadlineExceeded', message, backup: copyOf(state.job) },
            nowMs,
          ),
          deleteJob: state.job,
        };
      }
      const { name, uid } = state.job.metadata;
      return {
        status: withFields(copy, {
          ...(state.isWaiting
            ? said('Copying', 'CopyStarting', state.message)
            : said('Copying', 'CopyRunning', `Job ${name} copies.`)),
          job: { name, uid },
        }),
        ...(state.isWaiting && { requeueAtMs: deadlineMs }),
      };
    }
  }
}

/** Why a location cannot be copied to now. */
function unusable(copy: ObservedCopy): Fields {
  const { location, spec } = copy;
  const { name } = spec.locationRef;
  if (!location || location.metadata.deletionTimestamp !== undefined) {
    const message = `There is no KmBackupLocation ${name} in this namespace. Create it, or correct spec.copies.`;
    return said('Failed', 'NoSuchLocation', message);
  }
  const found = availabilityOf(location);
  if (found?.status === 'False') {
    const reason = quoteReason(found.reason, 'NoCheckReported');
    return said('Failed', reason, `KmBackupLocation ${name} is not available: ${found.message}`);
  }
  return said('Pending', 'LocationNotChecked', `Waits for the first check of KmBackupLocation ${name}.`);
}

/** A copy without a Job that is not the one to start now. */
function withoutJob(observed: ObservedCopies, copy: ObservedCopy, nowMs: number): Next {
  const { before, location } = copy;
  const newest = newestOf(observed);
  if (!isUsable(location)) {
    const status = withFields(copy, unusable(copy));
    const { phase, reason = '', message = '' } = status;
    const isFailed = phase === 'Failed' && newest !== undefined && isWanted(copy, newest);
    const record: BackupCopyStatus = { location: status.location, phase, reason, message };
    return { status, ...(isFailed && { records: new Map([[newest.metadata.name, record]]) }) };
  }
  if (!newest) {
    return {
      status: withFields(copy, said('Pending', 'NothingToCopy', 'No run has made a complete archive yet.')),
    };
  }
  if (!isWanted(copy, newest)) {
    // The location may have been away while there was nothing to copy.
    const restored: Fields =
      before?.phase === 'Copied'
        ? {}
        : said('Copied', 'CopyConfirmed', `The location has ${before?.archive ?? 'the newest archive'}.`);
    const time = before?.lastSuccessfulTime;
    const record: BackupCopyStatus = {
      location: copy.spec.locationRef.name,
      phase: 'Copied',
      reason: 'CopyConfirmed',
      ...(time !== undefined && { time }),
    };
    return { status: withFields(copy, restored), records: new Map([[newest.metadata.name, record]]) };
  }
  if (observed.restoring !== undefined) {
    const message = `Waits for KmRestore ${observed.restoring}, which restores the claim of the archives.`;
    return { status: withFields(copy, said('Pending', 'WaitingForRestore', message)) };
  }
  const tryMs = nextTryMs(copy, newest);
  if (nowMs < tryMs) return { status: withFields(copy, {}), requeueAtMs: tryMs };
  const other = observed.copies.find(({ job }) => job.state !== 'none');
  const to = other ? ` to ${other.spec.locationRef.name}` : '';
  return {
    status: withFields(copy, said('Pending', 'WaitingForCopy', `Waits for the copy${to} to end.`)),
  };
}

/** The copy that is due: its Job, or why it cannot be made. */
function start(
  observed: ObservedCopies,
  copy: ObservedCopy,
  settings: JobSettings,
  nowMs: number,
): Next & { readonly create?: Step } {
  const { schedule } = observed;
  const { slot, placement, source } = observed.start ?? {};
  const backup = newestOf(observed)!.metadata.name;
  if (!slot?.granted) {
    const message = slot?.message ?? 'Waits for its turn.';
    return { status: withFields(copy, said('Pending', 'WaitingForCapacity', message)) };
  }
  const refused =
    schedule.spec.podTemplate?.elevated && elevatedProblem(schedule.metadata.namespace, settings);
  if (refused) return afterFailure(observed, copy, { ...refused, backup }, nowMs);
  if (!placement) return { status: withFields(copy, {}) };
  if (!placement.ok) {
    const { reason, message } = placement;
    return afterFailure(observed, copy, { reason, message, backup }, nowMs);
  }
  const attempt = (copy.before?.attempts ?? 0) + 1;
  const job = buildCopyJob(
    {
      schedule,
      spec: copy.spec,
      location: copy.location!,
      attempt,
      backup,
      placement: placement.placement,
      source,
    },
    settings,
  );
  return {
    status: withFields(copy, {
      ...said('Copying', 'CopyStarting', `Job ${job.metadata.name} was created.`),
      attempted: backup,
    }),
    create: { kind: 'createJob', owner: schedule, job },
  };
}

/** Since when a location lacks the newest archive. */
function withWaiting(copy: ObservedCopy, status: ScheduleCopyStatus, newest: FinishedRun | undefined) {
  const { waitingSince: _, ...rest } = status;
  const after: ObservedCopy = { ...copy, before: status };
  if (!isWanted(after, newest)) return rest;
  const waitingSince = status.waitingSince ?? newest?.status?.completionTime;
  return { ...rest, ...(waitingSince !== undefined && { waitingSince }) };
}

function conditionOf(status: readonly ScheduleCopyStatus[]): ConditionState | undefined {
  if (status.length === 0) return undefined;
  const failed = status.find(({ phase }) => phase === 'Failed');
  const busy = status.find(({ phase }) => phase !== 'Copied');
  const worst = failed ?? busy ?? status[0]!;
  const { location, reason, message = '' } = worst;
  return {
    type: 'Copied',
    status: failed ? 'False' : busy ? 'Unknown' : 'True',
    reason: quoteReason(reason, 'CopyRunning'),
    message: `${location}: ${message}`,
  };
}

/** Writes only what the record of the run does not say yet. */
function recordSteps(
  { archives }: ObservedCopies,
  records: ReadonlyMap<string, BackupCopyStatus | undefined>,
  location: string,
): Step[] {
  return archives.flatMap((run): Step[] => {
    const { name } = run.metadata;
    if (!records.has(name)) return [];
    const wanted = records.get(name);
    const known = run.status?.copies?.find((copy) => copy.location === location);
    const isSaid = wanted ? known?.phase === wanted.phase && known.reason === wanted.reason : !known;
    return isSaid ? [] : [{ kind: 'writeBackupCopy', backup: run, location, copy: wanted }];
  });
}

/** What the copies of one schedule need next. `nowMs` is epoch milliseconds. */
export function decideCopies(observed: ObservedCopies, settings: JobSettings, nowMs: number): CopiesDecision {
  const { schedule, copies, earlier } = observed;
  const newest = newestOf(observed);
  const due = dueCopy(observed, nowMs);
  const records: Step[] = [];
  const steps: Step[] = [];
  const status: ScheduleCopyStatus[] = [];
  const times: number[] = [];
  const kept = new Set<string>();
  for (const copy of copies) {
    const next: Next & { readonly create?: Step } =
      copy === due
        ? start(observed, copy, settings, nowMs)
        : (withJob(observed, copy, nowMs) ?? withoutJob(observed, copy, nowMs));
    const name = copy.spec.locationRef.name;
    status.push(withWaiting(copy, next.status, newest));
    records.push(...recordSteps(observed, next.records ?? new Map(), name));
    for (const event of next.events ?? []) steps.push({ kind: 'recordEvent', regarding: schedule, event });
    if (next.deleteJob) steps.push({ kind: 'deleteJob', target: next.deleteJob.metadata });
    if (next.create) steps.push(next.create);
    if (next.requeueAtMs !== undefined) times.push(next.requeueAtMs);
    // The latest Job stays for its log until the next one is there.
    if (!next.create && copy.job.state === 'none') kept.add(name);
  }
  for (const job of earlier) {
    const name = nameOfLocation(job);
    if (!kept.delete(name)) steps.push({ kind: 'deleteJob', target: job.metadata });
  }
  return {
    records,
    status,
    condition: conditionOf(status),
    steps,
    requeueAtMs: times.length > 0 ? Math.min(...times) : undefined,
  };
}

/** The API server refuses the Job of a copy: as any other failure, tried again by its back-off. */
export function decideCopyRefused(
  observed: ObservedCopies,
  { reason, message }: { readonly reason: ConditionReason; readonly message: string },
  location: string,
  nowMs: number,
): Plan {
  const { schedule } = observed;
  const newest = newestOf(observed);
  const copy = observed.copies.find(({ spec }) => spec.locationRef.name === location);
  if (!copy) return NOTHING;
  const backup = newest?.metadata.name;
  const { status: failed, events = [] } = afterFailure(observed, copy, { reason, message, backup }, nowMs);
  const next = withWaiting(copy, failed, newest);
  const copies = observed.copies.map((one) => (one === copy ? next : withFields(one, {})));
  const condition = conditionOf(copies);
  const { generation } = schedule.metadata;
  const conditions = condition
    ? withCondition(schedule.status?.conditions, condition, generation, nowMs)
    : undefined;
  return {
    steps: [
      {
        kind: 'writeScheduleStatus',
        schedule,
        status: { ...schedule.status, copies, ...(conditions && { conditions }) },
      },
      ...events.map((event): Step => ({ kind: 'recordEvent', regarding: schedule, event })),
    ],
  };
}
