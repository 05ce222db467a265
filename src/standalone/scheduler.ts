import { type BackupCheck, backupCheck } from '../health/index.ts';
import type { Logger } from '../log/index.ts';
import type { BackupSnapshot } from '../metrics/index.ts';
import { type Cadence, expectedIntervalSeconds, nextSlot } from '../schedule/index.ts';
import type { State } from './state.ts';
import { evaluate, finish, healthOf, type RunReport, snapshotOf, takeUp } from './transitions.ts';

export interface Clock {
  now: () => number;
  /** Calls back once after `delayMs`; returns how to call it off. */
  after: (delayMs: number, callback: () => void) => () => void;
}

export const systemClock: Clock = {
  now: Date.now,
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};

/**
 * A timer is never set further ahead: a longer one would not notice that the wall clock was set or the machine
 * slept, and Node.js fires at once beyond 2^31 ms.
 */
export const LONGEST_TIMER_MS = 60_000;

export interface SchedulerOptions {
  readonly cadence: Cadence;
  readonly clock: Clock;
  readonly state: State;
  /** Must have written the state durably when it returns. */
  readonly save: (state: State) => void;
  /** Never rejects: a failure is a report. */
  readonly run: (signal: AbortSignal) => Promise<RunReport>;
  readonly onChange: (snapshot: BackupSnapshot) => void;
  readonly logger: Logger;
}

/** Starts a run at each slot, one at a time, and writes down what it does before and after. */
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

  check(): BackupCheck {
    return backupCheck(healthOf(this.#state, { enabled: true, stopped: this.#stopped }));
  }

  /** Takes up a run that the state still tells of, then waits for slots. */
  start(options: { runNow?: boolean } = {}): void {
    const { cadence, clock } = this.#options;
    const nowMs = clock.now();
    this.#save(this.#state);
    if (this.#state.running) this.#begin(takeUp(this.#state, cadence, nowMs));
    this.#tick();
    if (options.runNow && !this.#active)
      this.#begin({ ...this.#state, running: { slotMs: nowMs, startedAtMs: nowMs, attempt: 1 } });
  }

  /** Ends a run under way; its slot stays due for the next start. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelTimer?.();
    this.#abort.abort();
    await this.#active;
    this.#publish();
  }

  #tick(): void {
    if (this.#stopped) return;
    const { cadence, clock, logger } = this.#options;
    const nowMs = clock.now();
    const missed = this.#state.missedSlots;
    const next = evaluate(this.#state, cadence, nowMs);
    if (next.state.missedSlots > missed)
      logger.warn({ missed: next.state.missedSlots - missed }, 'slots passed without a run');
    if (next.kind === 'run') this.#begin(next.state);
    else {
      if (next.kind === 'skip')
        logger.warn(
          { slot: new Date(next.slotMs).toISOString() },
          'skipped: the run before is still under way',
        );
      if (next.state !== this.#state) this.#save(next.state);
    }
    this.#publish();
    const upcoming = nextSlot(cadence, Math.max(nowMs, this.#state.settledUntilMs));
    const delay = upcoming === null ? LONGEST_TIMER_MS : Math.max(0, upcoming - nowMs);
    this.#cancelTimer = clock.after(Math.min(delay, LONGEST_TIMER_MS), () => this.#tick());
  }

  #begin(state: State): void {
    this.#save(state);
    const { logger, run } = this.#options;
    logger.info(
      { slot: new Date(state.running!.slotMs).toISOString(), attempt: state.running!.attempt },
      'backup started',
    );
    this.#active = run(this.#abort.signal).then((report) => {
      this.#active = undefined;
      if (this.#abort.signal.aborted && report.outcome === 'failure') {
        logger.info('backup cut short; its slot is due at the next start');
        // Not the run's fault: the next start does not count it as an attempt.
        this.#save({ ...this.#state, running: { ...this.#state.running!, attempt: 0 } });
        return;
      }
      const { archive, error, deleted, warnings } = report;
      const details = {
        outcome: report.outcome,
        archive: archive?.path,
        sizeBytes: archive?.sizeBytes,
        deleted,
        warnings,
        error,
      };
      if (report.outcome === 'success') logger.info(details, 'backup finished');
      else logger.error(details, 'backup finished');
      this.#save(finish(this.#state, report));
      this.#publish();
    });
  }

  /** A state that cannot be written (a full disk) must not end the scheduler: it goes on by what it remembers. */
  #save(state: State): void {
    this.#state = state;
    try {
      this.#options.save(state);
    } catch (error) {
      this.#options.logger.error(
        { err: error },
        'the state could not be written; a restart now may repeat a slot',
      );
    }
  }

  #publish(): void {
    const { cadence, clock, onChange } = this.#options;
    onChange(
      snapshotOf(this.#state, {
        enabled: !this.#stopped,
        nextSlotMs: nextSlot(cadence, Math.max(clock.now(), this.#state.settledUntilMs)),
        expectedIntervalSeconds: this.#expectedIntervalSeconds,
      }),
    );
  }
}
