import type { Clock } from '../index.ts';

/** A clock that advances only when told to. Its wall time and its monotonic time can be set apart. */
export class FakeClock implements Clock {
  #wall: number;
  #monotonic = 0;
  readonly #timers = new Set<{ at: number; callback: () => void }>();

  constructor(wall = Date.parse('2026-03-01T00:00:00Z')) {
    this.#wall = wall;
  }

  now = (): number => this.#wall;

  monotonic = (): number => this.#monotonic;

  after = (delayMs: number, callback: () => void): (() => void) => {
    const timer = { at: this.#monotonic + Math.max(0, delayMs), callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  };

  /** Timers that have not fired. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Lets time pass; timers fire in order, each at its own time. */
  advance(ms: number): void {
    const end = this.#monotonic + ms;
    while (this.#fireNext(end)) {}
    this.#step(end - this.#monotonic);
  }

  /** Like `advance`, and lets promises settle after each timer. */
  async advanceAsync(ms: number): Promise<void> {
    const end = this.#monotonic + ms;
    while (this.#fireNext(end)) await new Promise((resolve) => setImmediate(resolve));
    this.#step(end - this.#monotonic);
  }

  /** Moves the wall clock alone, as an administrator or a time server does. */
  jump(ms: number): void {
    this.#wall += ms;
  }

  #fireNext(end: number): boolean {
    const due = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
    if (!due) return false;
    this.#timers.delete(due);
    this.#step(due.at - this.#monotonic);
    due.callback();
    return true;
  }

  #step(ms: number): void {
    this.#monotonic += ms;
    this.#wall += ms;
  }
}
