/** What a copy came to: its status, the records of runs, and Events. Pure. */
import type { BackupCopyStatus, ScheduleCopyStatus } from '../../api/copy.ts';
import type { CopyResult } from '../../api/location-result.ts';
import { ANNOTATIONS } from '../../api/names.ts';
import type { ConditionReason } from '../../api/reasons.ts';
import type { EventText } from '../plan.ts';
import { toTime } from '../time.ts';
import type { Job } from '../workloads.ts';
import type { ObservedCopies, ObservedCopy } from './copies.ts';
import { withAdvice } from './decide-location.ts';
import { backoffMs } from './job-state.ts';

/** The state of one copy, with what else has to be done about it. */
export interface Next {
  readonly status: ScheduleCopyStatus;
  /** What the records of runs should say, by the name of the run; undefined: nothing any more. */
  readonly records?: ReadonlyMap<string, BackupCopyStatus | undefined>;
  readonly events?: readonly EventText[];
  readonly deleteJob?: Job;
  readonly requeueAtMs?: number;
}

export type Fields = { readonly [K in keyof ScheduleCopyStatus]?: ScheduleCopyStatus[K] | undefined };

export function withFields({ spec, before }: ObservedCopy, fields: Fields): ScheduleCopyStatus {
  const all = { phase: 'Pending', ...before, location: spec.locationRef.name, ...fields };
  const known = Object.entries(all).filter(([, value]) => value !== undefined);
  return Object.fromEntries(known) as ScheduleCopyStatus;
}

export const said = (phase: ScheduleCopyStatus['phase'], reason: ConditionReason, message: string) => ({
  phase,
  reason,
  message: message.slice(0, 1024),
  job: undefined,
});

export const copyOf = ({ metadata }: Job) => metadata.annotations?.[ANNOTATIONS.copyOf];

/** The copies of runs, as the result of a copy proves them. */
function recordsOf(
  { archives }: ObservedCopies,
  name: string,
  backup: string | undefined,
  result: CopyResult,
): Map<string, BackupCopyStatus | undefined> {
  const confirmed = new Set(result.confirmed);
  const pruned = new Set(result.pruned.names);
  const records = new Map<string, BackupCopyStatus | undefined>();
  for (const { metadata, status } of archives) {
    const archive = status?.archive?.name ?? '';
    if (pruned.has(archive)) records.set(metadata.name, undefined);
    else if (confirmed.has(archive)) {
      const { uploadedBytes, reusedBytes, finishedAt: time } = result;
      const bytes = metadata.name === backup ? { uploadedBytes, reusedBytes } : {};
      const reason: ConditionReason = 'CopyConfirmed';
      records.set(metadata.name, { location: name, phase: 'Copied', reason, time, ...bytes });
    }
  }
  return records;
}

export function afterSuccess(
  observed: ObservedCopies,
  copy: ObservedCopy,
  job: Job,
  result: CopyResult,
  nowMs: number,
): Next {
  const { before, spec } = copy;
  const name = spec.locationRef.name;
  const backup = copyOf(job);
  const { foreign, present, warnings } = result;
  const notes = warnings.count > 0 ? ` ${warnings.count} warnings: ${warnings.samples[0] ?? ''}` : '';
  const isNewForeign = foreign > 0 && foreign !== before?.foreign;
  return {
    status: withFields(copy, {
      ...said('Copied', 'CopyConfirmed', `${result.message}${notes}`),
      backup,
      archive: result.archive,
      locationId: job.metadata.annotations?.[ANNOTATIONS.locationId],
      lastSuccessfulTime: toTime(nowMs),
      waitingSince: undefined,
      failures: 0,
      attempted: backup,
      nextAttemptTime: undefined,
      uploadedBytes: (before?.uploadedBytes ?? 0) + result.uploadedBytes,
      reusedBytes: (before?.reusedBytes ?? 0) + result.reusedBytes,
      copied: (before?.copied ?? 0) + 1,
      present: present ?? before?.present,
      foreign: present ? foreign : before?.foreign,
      attempts: (before?.attempts ?? 0) + 1,
    }),
    records: recordsOf(observed, name, backup, result),
    events: [
      { type: 'Normal', reason: 'CopySucceeded', action: 'Copy', note: `${name}: ${result.message}` },
      ...(isNewForeign
        ? [
            {
              type: 'Warning' as const,
              reason: 'ForeignCopies' as const,
              action: 'Copy',
              note: `${name}: ${result.message}`,
            },
          ]
        : []),
    ],
  };
}

export function afterFailure(
  observed: ObservedCopies,
  copy: ObservedCopy,
  { reason, message, backup, result }: Failure,
  nowMs: number,
): Next {
  const { before, spec } = copy;
  const name = spec.locationRef.name;
  const failures = (before?.failures ?? 0) + 1;
  const retryMs = nowMs + backoffMs(failures);
  const told = withAdvice(reason, message);
  const time = toTime(nowMs);
  const run = observed.archives.find(({ metadata }) => metadata.name === backup);
  const record: BackupCopyStatus = {
    location: name,
    phase: 'Failed',
    reason,
    message: told.slice(0, 1024),
    time,
  };
  return {
    status: withFields(copy, {
      ...said('Failed', reason, told),
      lastFailureTime: time,
      failures,
      attempted: backup,
      nextAttemptTime: toTime(retryMs),
      uploadedBytes: (before?.uploadedBytes ?? 0) + (result?.uploadedBytes ?? 0),
      reusedBytes: (before?.reusedBytes ?? 0) + (result?.reusedBytes ?? 0),
      failed: (before?.failed ?? 0) + 1,
      attempts: (before?.attempts ?? 0) + 1,
    }),
    ...(run && { records: new Map([[run.metadata.name, record]]) }),
    events: [{ type: 'Warning', reason: 'CopyFailed', action: 'Copy', note: `${name}: ${told}` }],
    requeueAtMs: retryMs,
  };
}

export interface Failure {
  readonly reason: ConditionReason;
  readonly message: string;
  readonly backup: string | undefined;
  readonly result?: CopyResult | undefined;
}
