import type { Clock } from '../clock/index.ts';

/** What is put off waits no longer than this, however long a rush lasts; milliseconds. */
const LONGEST_MS = 30_000;
/** Nor does a Job wait longer than this for the records of others. */
const LONGEST_HOLD_MS = 3_000;

/**
 * Many runs that wait for their Jobs at once, as at a full hour. The API server can do only so much in a
 * second: while a rush lasts, writes that nothing waits for are put off, so that the Jobs are made first. And the
 * Jobs wait for the records of all runs, since each Job sets other controllers to work, at the others' cost.
 */
export class Rush {
  readonly #many: number;
  readonly #clock: Clock;
  /** Runs made whose Jobs were not tried yet. */
  readonly #starting = new Set<string>();
  readonly #deferred = new Map<string, () => void>();
  /** Runs whose Jobs wait for the records of others. */
  readonly #held = new Map<string, () => void>();
  #state: 'calm' | 'rush' | 'too long' = 'calm';
  #holding = false;
  #cancelTimers = () => {};

  /** `many` runs at once make a rush. */
  constructor(many: number, clock: Clock) {
    this.#many = many;
    this.#clock = clock;
  }

  /** The run was made and needs a Job. */
  start(run: string): void {
    this.#starting.add(run);
    if (this.#state !== 'calm' || this.#starting.size < this.#many) return;
    this.#state = 'rush';
    this.#holding = true;
    const cancelHold = this.#clock.after(LONGEST_HOLD_MS, () => {
      this.#holding = false;
      this.recorded();
    });
    const cancelRush = this.#clock.after(LONGEST_MS, () => this.#pass('too long'));
    this.#cancelTimers = () => {
      cancelHold();
      cancelRush();
    };
  }

  /** Whether the Job of this run must wait for `recorded`; `again` is then called once. */
  hold(run: string, again: () => void): boolean {
    if (!this.#holding || !this.#starting.has(run)) return false;
    this.#held.set(run, again);
    return true;
  }

  /** No run waits for its record. */
  recorded(): void {
    callAll(this.#held);
  }

  /** The run has its Job, or waits for something else. */
  end(run: string): void {
    if (this.#starting.delete(run) && this.#starting.size === 0) this.#pass('calm');
  }

  /** Whether the work must wait; `again` is then called once when the rush has passed. */
  defer(key: string, again: () => void): boolean {
    if (this.#state !== 'rush') return false;
    this.#deferred.set(key, again);
    return true;
  }

  #pass(state: 'calm' | 'too long'): void {
    this.#state = state;
    this.#holding = false;
    this.#cancelTimers();
    this.recorded();
    callAll(this.#deferred);
  }
}

function callAll(waiting: Map<string, () => void>): void {
  const all = [...waiting.values()];
  waiting.clear();
  for (const again of all) again();
}
