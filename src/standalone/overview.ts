/** What the status page shows of `km-backup serve`: its schedule as the only one, its archives as the runs. */
import type { ArchiveInfo } from '../archive/index.ts';
import type { CopyCheck } from '../health/index.ts';
import {
  adviceOf,
  type CopyOverview,
  type Finding,
  type Overview,
  overviewOf,
  type RunOverview,
  type ScheduleOverview,
  worstFirst,
} from '../overview/index.ts';
import { type Cadence, successDueMs } from '../schedule/index.ts';
import type { Settings } from './environment.ts';
import { describeSchedule } from './environment.ts';
import type { State } from './state.ts';
import { shownTime, upcoming } from './transitions.ts';

export interface ServeFacts {
  settings: Settings;
  state: State;
  /** Undefined: switched off. */
  cadence: Cadence | undefined;
  archives: readonly ArchiveInfo[];
  copy: CopyCheck | undefined;
}

const iso = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`;

const advice = (reason: Parameters<typeof adviceOf>[0]) => {
  const todo = adviceOf(reason, { reader: 'environment' });
  return todo === undefined ? {} : { todo };
};

const PHASES = {
  complete: 'Succeeded',
  incomplete: 'Incomplete',
  unverified: 'Found',
  corrupt: 'Corrupt',
  unreadable: 'Unreadable',
} as const satisfies Record<ArchiveInfo['class'], string>;

function runOf({ name, class: kind, timestamp, sizeBytes, summary, problem }: ArchiveInfo): RunOverview {
  const time = iso(timestamp.getTime());
  const reason =
    kind === 'corrupt'
      ? 'ArchiveCorrupt'
      : kind === 'unreadable'
        ? 'ArchiveUnreadable'
        : kind === 'incomplete'
          ? 'FilesNotCaptured'
          : undefined;
  return {
    name,
    phase: PHASES[kind],
    time,
    completionTime: summary?.finishedAt ?? time,
    ...(summary && {
      durationSeconds: Math.max(0, (Date.parse(summary.finishedAt) - Date.parse(summary.startedAt)) / 1000),
      warnings: summary.warnings.count,
    }),
    ...(reason !== undefined && { reason, ...advice(reason) }),
    ...(problem !== undefined && { message: problem }),
    archive: {
      name,
      time,
      sizeBytes,
      ...(summary && { sourceBytes: summary.sourceBytes, reusedBytes: summary.reusedBytes }),
    },
  };
}

/** An incomplete archive and the failure that its run counts as were written within this time. */
const SAME_RUN_MS = 60_000;

/** The last run that failed without an archive: only the state knows of it. */
function failureOf({ state, archives }: ServeFacts, nowMs: number): RunOverview | undefined {
  const { lastFailure } = state;
  if (!lastFailure) return undefined;
  const leftArchive = archives.some(
    ({ class: kind, summary }) =>
      kind === 'incomplete' &&
      summary !== undefined &&
      Math.abs(Date.parse(summary.finishedAt) - lastFailure.atMs) < SAME_RUN_MS,
  );
  if (leftArchive) return undefined;
  const time = iso(shownTime(lastFailure.atMs, state, nowMs));
  return {
    name: '',
    phase: 'Failed',
    time,
    completionTime: time,
    reason: 'Failed',
    message: lastFailure.error,
  };
}

function copyOf(check: CopyCheck): CopyOverview {
  const phase = { pending: 'Pending', copying: 'Copying', ok: 'Copied', error: 'Failed' }[check.status];
  return {
    location: check.location,
    wanted: true,
    phase,
    ...(check.archive !== undefined && { archive: check.archive }),
    ...(check.last_success !== undefined && { lastSuccess: check.last_success }),
    ...(check.last_failure !== undefined && { lastFailure: check.last_failure }),
    ...(check.error !== undefined && { message: check.error }),
  };
}

function findingsOf(
  { state, cadence, copy }: ServeFacts,
  { lastRun, successDue, lastSuccess }: Pick<ScheduleOverview, 'lastRun' | 'successDue' | 'lastSuccess'>,
  nowMs: number,
): Finding[] {
  if (!cadence)
    return [
      {
        health: 'Suspended',
        reason: 'Suspended',
        message: 'Backups are switched off.',
        ...advice('Suspended'),
      },
    ];
  const findings: Finding[] = [];
  if (state.lastRun?.success === false) {
    const isIncomplete = state.lastRun.sizeBytes !== undefined;
    const reason = isIncomplete ? 'FilesNotCaptured' : 'Failed';
    findings.push({
      health: isIncomplete ? 'Incomplete' : 'Failed',
      reason,
      message: state.lastFailure?.error ?? '',
      ...advice(reason),
      ...(lastRun?.completionTime !== undefined && { time: lastRun.completionTime }),
    });
  } else if (!state.lastRun) {
    findings.push({ health: 'Pending', reason: 'NoRunYet', message: 'No run has finished yet.' });
  }
  if (successDue !== undefined && Date.parse(successDue) < nowMs) {
    const reason = lastSuccess ? 'Overdue' : 'NeverSucceeded';
    findings.push({
      health: 'Overdue',
      reason,
      message: `A complete archive was due by ${successDue}.`,
      ...advice(reason),
      time: successDue,
    });
  }
  if (copy?.status === 'error')
    findings.push({
      health: 'CopyLate',
      reason: 'CopyLate',
      message: copy.error ?? '',
      ...advice('CopyLate'),
      ...(copy.last_failure !== undefined && { time: copy.last_failure }),
    });
  return findings.sort(worstFirst);
}

/** The state of all backups of one `km-backup serve`. */
export function overviewOfServe(facts: ServeFacts, nowMs: number): Overview {
  const { settings, state, cadence, archives, copy } = facts;
  const failure = failureOf(facts, nowMs);
  const runs = [...archives.map(runOf), ...(failure ? [failure] : [])].sort(
    (a, b) => Date.parse(a.time) - Date.parse(b.time),
  );
  const last =
    state.lastRun?.success === false && failure ? failure : runs.findLast(({ phase }) => phase !== 'Found');
  const success = state.lastSuccess;
  const dueMs =
    cadence &&
    successDueMs({
      cadence,
      sinceMs: shownTime(state.anchorMs, state, nowMs),
      lastSuccessMs: success && shownTime(success.atMs, state, nowMs),
      lastDurationSeconds: success?.durationSeconds,
    });
  const nextMs = cadence && upcoming(state, cadence, nowMs);
  const shown = {
    ...(last && { lastRun: last }),
    ...(success && {
      lastSuccess: {
        time: iso(shownTime(success.atMs, state, nowMs)),
        archive: success.archive,
        sizeBytes: success.sizeBytes,
        ...(success.durationSeconds !== undefined && { durationSeconds: success.durationSeconds }),
      },
    }),
    ...(dueMs !== undefined && dueMs !== null && { successDue: iso(dueMs) }),
  };
  const findings = findingsOf(facts, shown, nowMs);
  const { running } = state;
  return overviewOf(
    [
      {
        name: settings.source,
        health: findings[0]?.health ?? 'OK',
        findings,
        schedule: describeSchedule(settings),
        suspended: !cadence,
        source: { path: settings.source },
        destination: { path: settings.destination },
        ...shown,
        ...(nextMs !== undefined && nextMs !== null && { nextTime: iso(nextMs) }),
        archives: {
          count: archives.length,
          bytes: archives.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
        },
        totals: {
          succeeded: state.runs.success,
          incomplete: state.runs.incomplete,
          failed: state.runs.failure,
          skipped: state.runs.skipped_lock,
          missed: state.missedSlots,
          pruned: state.retentionDeletes,
        },
        running: running
          ? [{ name: '', phase: 'Running', time: iso(running.slotMs), startTime: iso(running.startedAtMs) }]
          : [],
        runs,
        ...(copy && { copies: [copyOf(copy)] }),
      },
    ],
    { restores: [] },
    nowMs,
  );
}
