import type { BackupState } from '../health/index.ts';
import type { BackupSnapshot } from '../metrics/index.ts';
import { type Cadence, latestDueSlot } from '../schedule/index.ts';
import { freshState, type State } from './state.ts';

/** What became of one run. */
export interface RunReport {
  outcome: 'success' | 'incomplete' | 'failure' | 'skipped_lock';
  startedAtMs: number;
  finishedAtMs: number;
  archive?: { path: string; sizeBytes: number };
  sourceBytes?: number;
  reusedBytes?: number;
  warnings?: number;
  /** For people; absent after a success. */
  error?: string;
  /** Archives that retention removed after it. */
  deleted?: number;
  present?: { count: number; bytes: number };
}

/** A run cut short twice is not tried a third time: perhaps it is what ends the process. */
const MAX_ATTEMPTS = 2;

/**
 * The state to start from. An edited schedule, or one switched on again, settles the past: no slot of the time
 * before fires.
 */
export function resume(previous: State | undefined, schedule: string, nowMs: number): State {
  if (!previous) return freshState(schedule, nowMs);
  if (previous.schedule === schedule) return previous;
  const { running: _, ...rest } = previous;
  return { ...rest, schedule, anchorMs: nowMs, settledUntilMs: Math.max(nowMs, previous.settledUntilMs) };
}

export type Next =
  | { kind: 'wait'; state: State }
  | { kind: 'skip'; state: State; slotMs: number }
  | { kind: 'run'; state: State; slotMs: number };

/** What the clock asks for: the latest slot passed runs, or is refused while a run is under way; the others are missed. */
export function evaluate(state: State, cadence: Cadence, nowMs: number): Next {
  const due = latestDueSlot({ cadence, afterMs: state.settledUntilMs, nowMs });
  const settled: State = {
    ...state,
    missedSlots: state.missedSlots + due.missed,
    settledUntilMs: Math.max(state.settledUntilMs, due.lastMissedMs ?? 0, due.slotMs ?? 0),
  };
  if (due.slotMs === null) return { kind: 'wait', state: due.missed > 0 ? settled : state };
  if (settled.running) {
    const runs = { ...settled.runs, skipped_lock: settled.runs.skipped_lock + 1 };
    return { kind: 'skip', state: { ...settled, runs }, slotMs: due.slotMs };
  }
  const running = { slotMs: due.slotMs, startedAtMs: nowMs, attempt: 1 };
  return { kind: 'run', state: { ...settled, running }, slotMs: due.slotMs };
}

/** The state once a run has ended. */
export function finish(state: State, report: RunReport): State {
  const { running: _, ...rest } = state;
  const runs = { ...state.runs, [report.outcome]: state.runs[report.outcome] + 1 };
  if (report.outcome === 'skipped_lock') return { ...rest, runs };
  const success = report.outcome === 'success';
  const { archive, finishedAtMs, deleted = 0 } = report;
  return {
    ...rest,
    runs,
    retentionDeletes: state.retentionDeletes + deleted,
    lastRun: {
      success,
      durationSeconds: Math.max(0, (finishedAtMs - report.startedAtMs) / 1000),
      sizeBytes: archive?.sizeBytes,
      sourceBytes: report.sourceBytes,
      reusedBytes: report.reusedBytes,
      warnings: report.warnings,
    },
    ...(success && archive
      ? { lastSuccess: { atMs: finishedAtMs, archive: archive.path, deleted, sizeBytes: archive.sizeBytes } }
      : { lastFailure: { atMs: finishedAtMs, error: report.error ?? report.outcome } }),
    ...(report.present && { archives: report.present }),
  };
}

/**
 * A state that still tells of a run belongs to a process that ended in its midst. `found` is the archive that
 * run finished, where there is one: then the slot is done. Else it is due again, once.
 */
export function recover(state: State, found: RunReport | undefined, nowMs: number): State {
  const { running } = state;
  if (!running) return state;
  if (found) return finish(state, found);
  if (running.attempt < MAX_ATTEMPTS) {
    return { ...state, running: { ...running, startedAtMs: nowMs, attempt: running.attempt + 1 } };
  }
  return finish(state, {
    outcome: 'failure',
    startedAtMs: running.startedAtMs,
    finishedAtMs: nowMs,
    error: `the run of ${new Date(running.slotMs).toISOString()} was cut short ${running.attempt} times by the end of the scheduler; look for what ends it (memory limit, node)`,
  });
}

/** Starts the run that `recover` left due. Where later slots passed meanwhile, the latest takes its place. */
export function takeUp(state: State, cadence: Cadence, nowMs: number): State {
  const { running, ...rest } = state;
  if (!running) return state;
  const next = evaluate(rest, cadence, nowMs);
  if (next.kind !== 'run') return state;
  return {
    ...next.state,
    missedSlots: next.state.missedSlots + 1,
    running: { slotMs: next.slotMs, startedAtMs: nowMs, attempt: running.attempt },
  };
}

export function snapshotOf(
  state: State,
  now: { enabled: boolean; nextSlotMs: number | null; expectedIntervalSeconds: number | null },
): BackupSnapshot {
  return {
    runs: state.runs,
    retentionDeletes: state.retentionDeletes,
    missedSlots: state.missedSlots,
    suspended: !now.enabled,
    ...(state.lastRun && { lastRun: state.lastRun }),
    lastSuccessMs: state.lastSuccess?.atMs,
    ...(state.archives && { archives: state.archives }),
    nextSlotMs: now.enabled ? now.nextSlotMs : null,
    expectedIntervalSeconds: now.enabled ? now.expectedIntervalSeconds : null,
  };
}

export function healthOf(state: State, now: { enabled: boolean; stopped: boolean }): BackupState {
  return {
    ...now,
    ...(state.lastSuccess && { lastSuccess: state.lastSuccess }),
    ...(state.lastFailure && { lastFailure: state.lastFailure }),
  };
}
