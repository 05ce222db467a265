import type { Clock } from '../clock.ts';

/** A clock that stands still until told; its wall time and its monotonic time are set apart. */
export class FakeClock implements Clock {
  #wall: number;
  #monotonic = 0;
  readonly #timers = new Set<{ at: number; callback: () => void }>();

  constructor(wall = Date.parse('2026-03-01T00:00:00Z')) {
    this.#wall = wall;
  }

  now(): number {
    return this.#wall;
  }

  monotonic(): number {
    return this.#monotonic;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { at: this.#monotonic + Math.max(0, delayMs), callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Timers that have not fired. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Lets time pass; timers fire in their order, each at its own time. */
  advance(ms: number): void {
    const end = this.#monotonic + ms;
    for (;;) {
      const due = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (!due) break;
      this.#timers.delete(due);
      this.#step(due.at - this.#monotonic);
      due.callback();
    }
    this.#step(end - this.#monotonic);
  }

  /** Sets the wall clock alone, as an administrator or a time server does. */
  jump(ms: number): void {
    this.#wall += ms;
  }

  #step(ms: number): void {
    this.#monotonic += ms;
    this.#wall += ms;
  }
}
