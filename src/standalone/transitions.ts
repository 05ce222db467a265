/** How the state changes: pure functions, and what metrics and health show of it. */
import type { BackupState, ClockCheck } from '../health/index.ts';
import type { BackupSnapshot } from '../metrics/index.ts';
import { type Cadence, nextTime, settle, successDueMs } from '../schedule/index.ts';
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
  present?: { count: number; bytes: number; suspicious?: number };
}

/** A run that was cut short twice is not tried a third time: perhaps it is what ends the process. */
const MAX_ATTEMPTS = 2;

/**
 * The state to start from. An edited schedule, or one that is switched on again, settles the past: no run is
 * started for a time that has passed.
 */
export function resume(previous: State | undefined, schedule: string, nowMs: number): State {
  if (!previous) return freshState(schedule, nowMs);
  if (previous.schedule === schedule) return previous;
  const { running: _, clock: __, ...rest } = previous;
  return { ...rest, schedule, anchorMs: nowMs, settledUntilMs: nowMs };
}

export interface Next {
  /** `run`: `state` has the run to start. `skip`: the scheduled time is refused, because a run is under way. */
  kind: 'wait' | 'skip' | 'run';
  state: State;
  /** Of `run` and `skip`. */
  scheduledMs?: number;
  /** Scheduled times newly counted as missed. */
  missed: number;
  /** The clock was ahead by this much when the state was last settled. */
  clockWasAheadMs?: number | undefined;
}

/** What the clock asks for: the latest time that has passed runs, or is refused while a run is under way. */
export function evaluate(before: State, cadence: Cadence, nowMs: number): Next {
  const state = caughtUp(before, nowMs);
  const { dueMs, missed, settledUntilMs, clockWasAheadMs } = settle({
    cadence,
    nowMs,
    settledUntilMs: state.settledUntilMs,
  });
  const settled: State = {
    ...state,
    missedSlots: state.missedSlots + missed,
    ...(missed > 0 && { missedCountedAtMs: nowMs }),
    settledUntilMs: dueMs ?? settledUntilMs,
    ...(clockWasAheadMs !== undefined && {
      clock: {
        correctedAtMs: nowMs,
        aheadMs: clockWasAheadMs,
        settledUntilMs: Math.max(state.settledUntilMs, state.clock?.settledUntilMs ?? 0),
      },
    }),
  };
  const changes = { missed, clockWasAheadMs };
  if (dueMs === null) {
    const changed = missed > 0 || clockWasAheadMs !== undefined;
    return { kind: 'wait', state: changed ? settled : state, ...changes };
  }
  if (settled.running) {
    const runs = { ...settled.runs, skipped_lock: settled.runs.skipped_lock + 1 };
    return { kind: 'skip', state: { ...settled, runs }, scheduledMs: dueMs, ...changes };
  }
  const running = { slotMs: dueMs, startedAtMs: nowMs, attempt: 1 };
  return { kind: 'run', state: { ...settled, running }, scheduledMs: dueMs, ...changes };
}

/**
 * Drops the note of a clock that was ahead once today's clock has passed it. If today's clock was the wrong one
 * (a machine that starts in 1970), what was settled then holds again, but for the last time: it may be due.
 */
function caughtUp(state: State, nowMs: number): State {
  const { clock, ...rest } = state;
  if (!clock || nowMs < clock.settledUntilMs) return state;
  return { ...rest, settledUntilMs: Math.max(state.settledUntilMs, clock.settledUntilMs - 1) };
}

/** The state once a run has ended. */
export function finish(state: State, report: RunReport): State {
  const { running: _, ...rest } = state;
  const runs = { ...state.runs, [report.outcome]: state.runs[report.outcome] + 1 };
  if (report.outcome === 'skipped_lock') return { ...rest, runs };
  const success = report.outcome === 'success';
  const { archive, finishedAtMs, deleted = 0 } = report;
  const durationSeconds = Math.max(0, (finishedAtMs - report.startedAtMs) / 1000);
  return {
    ...rest,
    runs,
    retentionDeletes: state.retentionDeletes + deleted,
    lastRun: {
      success,
      durationSeconds,
      sizeBytes: archive?.sizeBytes,
      sourceBytes: report.sourceBytes,
      reusedBytes: report.reusedBytes,
      warnings: report.warnings,
    },
    ...(success && archive
      ? {
          lastSuccess: {
            atMs: finishedAtMs,
            archive: archive.path,
            deleted,
            sizeBytes: archive.sizeBytes,
            durationSeconds,
          },
        }
      : { lastFailure: { atMs: finishedAtMs, error: report.error ?? report.outcome } }),
    ...(report.present && { archives: report.present }),
  };
}

/**
 * A state that has a run at the start belongs to a process that was killed. `report` says what became of the run,
 * if it came to an end: then its scheduled time is done. Otherwise it is due again, once.
 */
export function recover(state: State, report: RunReport | undefined, nowMs: number): State {
  const { running } = state;
  if (!running) return state;
  if (report) return finish(state, report);
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

/** Starts the run that `recover` left due. If later times have passed meanwhile, the latest takes its place. */
export function takeUp(state: State, cadence: Cadence, nowMs: number): State {
  const { running, ...rest } = state;
  if (!running) return state;
  const next = evaluate(rest, cadence, nowMs);
  if (next.kind !== 'run') return state;
  return {
    ...next.state,
    missedSlots: next.state.missedSlots + 1,
    missedCountedAtMs: nowMs,
    running: { ...next.state.running!, attempt: running.attempt },
  };
}

/** The next scheduled time that will be due; null if none comes. */
export function upcoming({ settledUntilMs }: State, cadence: Cadence, nowMs: number): number | null {
  return nextTime(cadence, Math.max(nowMs, settledUntilMs));
}

/** A time in the future was recorded by a clock that was ahead: it is shown as the time of the correction. */
export function shownTime(atMs: number, { clock }: State, nowMs: number): number {
  return atMs > nowMs ? Math.min(clock?.correctedAtMs ?? nowMs, nowMs) : atMs;
}

export function snapshotOf(
  state: State,
  now: {
    nowMs: number;
    /** Undefined: switched off. */
    cadence: Cadence | undefined;
    nextSlotMs: number | null;
    expectedIntervalSeconds: number | null;
  },
): BackupSnapshot {
  const { lastSuccess } = state;
  const { cadence, nowMs } = now;
  const lastSuccessMs = lastSuccess && shownTime(lastSuccess.atMs, state, nowMs);
  return {
    runs: state.runs,
    retentionDeletes: state.retentionDeletes,
    missedSlots: state.missedSlots,
    suspended: cadence === undefined,
    ...(state.lastRun && { lastRun: state.lastRun }),
    lastSuccessMs,
    ...(state.archives && { archives: state.archives }),
    nextSlotMs: cadence ? now.nextSlotMs : null,
    expectedIntervalSeconds: cadence ? now.expectedIntervalSeconds : null,
    missedCountedMs: state.missedCountedAtMs,
    successDueMs:
      cadence &&
      successDueMs({
        cadence,
        sinceMs: shownTime(state.anchorMs, state, nowMs),
        lastSuccessMs,
        lastDurationSeconds: lastSuccess?.durationSeconds,
      }),
  };
}

export function healthOf(
  state: State,
  { nowMs, ...now }: { nowMs: number; enabled: boolean; stopped: boolean },
): BackupState {
  const { lastRun, lastSuccess, lastFailure } = state;
  const shown = <T extends { atMs: number }>(run: T): T => ({
    ...run,
    atMs: shownTime(run.atMs, state, nowMs),
  });
  return {
    ...now,
    ...(lastRun && { lastRunFailed: !lastRun.success }),
    ...(lastSuccess && { lastSuccess: shown(lastSuccess) }),
    ...(lastFailure && { lastFailure: shown(lastFailure) }),
  };
}

/** What `/healthz` says of a corrected clock; undefined if there is nothing to say. */
export function clockCheckOf({ clock }: State): ClockCheck | undefined {
  return (
    clock && {
      status: 'corrected',
      corrected_at: new Date(clock.correctedAtMs).toISOString(),
      was_ahead_seconds: Math.round(clock.aheadMs / 1000),
    }
  );
}
