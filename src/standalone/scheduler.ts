import type { Clock } from '../clock/index.ts';
import { type BackupCheck, backupCheck, type ClockCheck, type Restored } from '../health/index.ts';
import type { Logger } from '../log/index.ts';
import type { BackupSnapshot } from '../metrics/index.ts';
import { type Cadence, expectedIntervalSeconds } from '../schedule/index.ts';
import type { State } from './state.ts';
import {
  clockCheckOf,
  evaluate,
  finish,
  healthOf,
  type Next,
  type RunReport,
  recover,
  snapshotOf,
  takeUp,
  upcoming,
} from './transitions.ts';

/** No timer is set for longer: it would not notice that the wall clock was set, or that the machine slept. */
export const LONGEST_TIMER_MS = 60_000;

export interface SchedulerOptions {
  readonly cadence: Cadence;
  readonly clock: Clock;
  readonly state: State;
  /** Must have written the state durably when it returns. */
  readonly save: (state: State) => void;
  /** Makes one backup. A failure is a report, not a rejection. */
  readonly run: (signal: AbortSignal) => Promise<RunReport>;
  /**
   * Present if a run of a killed scheduler is still going. Waits for its end; undefined if it left no result.
   * Rejects when the signal aborts.
   */
  readonly orphan?: ((signal: AbortSignal) => Promise<RunReport | undefined>) | undefined;
  readonly onChange: (snapshot: BackupSnapshot) => void;
  readonly logger: Logger;
}

/** Starts a run at each scheduled time, one at a time, and records what it does before and after. */
export class Scheduler {
  readonly #options: SchedulerOptions;
  readonly #abort = new AbortController();
  readonly #expectedIntervalSeconds: number | null;
  #state: State;
  #active: Promise<void> | undefined;
  #cancelTimer: (() => void) | undefined;
  #stopped = false;

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.#state = options.state;
    this.#expectedIntervalSeconds = expectedIntervalSeconds(options.cadence, options.clock.now());
  }

  get state(): State {
    return this.#state;
  }

  /** @param restored The last restore over the source. */
  check(restored?: Restored): BackupCheck {
    const nowMs = this.#options.clock.now();
    const state = healthOf(this.#state, { nowMs, enabled: true, stopped: this.#stopped });
    return backupCheck({ ...state, restored });
  }

  clockCheck(): ClockCheck | undefined {
    return clockCheckOf(this.#state);
  }

  /** Takes up a run that the state still has, then waits for scheduled times. */
  start(options: { runNow?: boolean } = {}): void {
    const { cadence, clock, orphan } = this.#options;
    const nowMs = clock.now();
    this.#save(this.#state);
    if (this.#state.running && orphan) this.#active = this.#awaitOrphan(orphan);
    else if (this.#state.running) this.#begin(takeUp(this.#state, cadence, nowMs));
    this.#tick();
    if (options.runNow && !this.#active)
      this.#begin({ ...this.#state, running: { slotMs: nowMs, startedAtMs: nowMs, attempt: 1 } });
  }

  /** Ends a run under way; its scheduled time stays due for the next start. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelTimer?.();
    this.#abort.abort();
    await this.#active;
    this.#publish();
  }

  #tick(): void {
    if (this.#stopped) return;
    const { cadence, clock } = this.#options;
    const nowMs = clock.now();
    const next = evaluate(this.#state, cadence, nowMs);
    this.#logChanges(next);
    if (next.kind === 'run') this.#begin(next.state);
    else if (next.state !== this.#state) this.#save(next.state);
    this.#publish();
    const upcomingMs = upcoming(this.#state, cadence, nowMs);
    const delay = upcomingMs === null ? LONGEST_TIMER_MS : Math.max(0, upcomingMs - nowMs);
    this.#cancelTimer = clock.after(Math.min(delay, LONGEST_TIMER_MS), () => this.#tick());
  }

  #logChanges({ kind, missed, clockWasAheadMs, scheduledMs }: Next): void {
    const { logger } = this.#options;
    if (clockWasAheadMs !== undefined)
      logger.warn(
        { aheadSeconds: Math.round(clockWasAheadMs / 1000) },
        'the clock was ahead and has been corrected, or is behind now; the schedule continues from now',
      );
    if (missed > 0) logger.warn({ missed }, 'scheduled times passed without a run');
    if (kind === 'skip')
      logger.warn({ scheduledTime: toIso(scheduledMs!) }, 'skipped: the previous run is still under way');
  }

  #begin(state: State): void {
    this.#save(state);
    const { logger, run } = this.#options;
    const { slotMs, attempt } = state.running!;
    logger.info({ scheduledTime: toIso(slotMs), attempt }, 'backup started');
    this.#active = run(this.#abort.signal).then((report) => this.#end(report));
  }

  #end(report: RunReport): void {
    const { logger } = this.#options;
    this.#active = undefined;
    if (this.#abort.signal.aborted && report.outcome === 'failure') {
      logger.info('backup cut short; its scheduled time is due at the next start');
      // Not the run's fault: the next start does not count it as an attempt.
      this.#save({ ...this.#state, running: { ...this.#state.running!, attempt: 0 } });
      return;
    }
    this.#record(report);
  }

  #record(report: RunReport): void {
    const { logger } = this.#options;
    const { outcome, archive, error, deleted, warnings } = report;
    const details = {
      outcome,
      archive: archive?.path,
      sizeBytes: archive?.sizeBytes,
      deleted,
      warnings,
      error,
    };
    if (outcome === 'success') logger.info(details, 'backup finished');
    else logger.error(details, 'backup finished');
    this.#save(finish(this.#state, report));
    this.#publish();
  }

  async #awaitOrphan(orphan: NonNullable<SchedulerOptions['orphan']>): Promise<void> {
    const { cadence, clock, logger } = this.#options;
    const scheduledTime = toIso(this.#state.running!.slotMs);
    logger.warn({ scheduledTime }, 'a run of the previous scheduler is still going; waiting for it to end');
    let report: RunReport | undefined;
    try {
      report = await orphan(this.#abort.signal);
    } catch (error) {
      if (!this.#abort.signal.aborted) logger.error({ err: error }, 'waiting for the run failed');
    }
    this.#active = undefined;
    // The state keeps the run: the next start looks again.
    if (this.#abort.signal.aborted) return;
    if (report) return this.#record(report);
    const nowMs = clock.now();
    const state = recover(this.#state, undefined, nowMs);
    if (state.running) this.#begin(takeUp(state, cadence, nowMs));
    else this.#save(state);
    this.#publish();
  }

  /** A state that cannot be written (a full disk) does not end the scheduler: it continues from memory. */
  #save(state: State): void {
    this.#state = state;
    try {
      this.#options.save(state);
    } catch (error) {
      this.#options.logger.error(
        { error: error instanceof Error ? error.message : String(error) },
        'the state could not be written; a restart now may repeat a run',
      );
    }
  }

  #publish(): void {
    const { cadence, clock, onChange } = this.#options;
    const nowMs = clock.now();
    onChange(
      snapshotOf(this.#state, {
        nowMs,
        cadence: this.#stopped ? undefined : cadence,
        nextSlotMs: upcoming(this.#state, cadence, nowMs),
        expectedIntervalSeconds: this.#expectedIntervalSeconds,
      }),
    );
  }
}

function toIso(atMs: number): string {
  return new Date(atMs).toISOString();
}
