/**
 * A clock that is stepped through days within minutes. An API server keeps the time of the machine: `translate` makes it
 * that of the clock.
 */
import { type Clock, systemClock } from '../../src/clock/index.ts';

/** How often the operator looks whether its clock was stepped; milliseconds. */
const CLOCK_CHECK_MS = 5_000;
const TIMESTAMP = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?=(?:\.\d+)?Z)/g;

/**
 * Between steps it runs at the usual speed. Start it so far in the past that all of its times, even those ahead, are before
 * the machine's time: a later one is taken for a time of the machine.
 */
export class SteppedClock implements Clock {
  /** Offsets and since when they hold by the machine's clock; oldest first. */
  readonly #steps: { readonly fromMs: number; readonly offsetMs: number }[] = [];
  readonly #checks = new Set<() => void>();

  constructor(startMs: number) {
    this.step(startMs);
  }

  monotonic = systemClock.monotonic;
  now = () => Date.now() + this.offsetMs;

  get offsetMs(): number {
    return this.#steps.at(-1)!.offsetMs;
  }

  step(toMs: number): void {
    const fromMs = Date.now();
    this.#steps.push({ fromMs, offsetMs: toMs - fromMs });
  }

  /** Lets the operator see a step at once. */
  wake(): void {
    for (const check of [...this.#checks]) check();
  }

  after = (delayMs: number, callback: () => void): (() => void) => {
    if (delayMs !== CLOCK_CHECK_MS) return systemClock.after(delayMs, callback);
    const cancel = systemClock.after(delayMs, () => done());
    const done = () => {
      cancel();
      this.#checks.delete(done);
      callback();
    };
    this.#checks.add(done);
    return () => {
      cancel();
      this.#checks.delete(done);
    };
  };

  /** The text with times of the machine's clock as times of this one. */
  translate(text: string): string {
    const startMs = Math.floor(this.#steps[0]!.fromMs / 1000) * 1000;
    return text.replace(TIMESTAMP, (time) => {
      const ms = Date.parse(`${time}Z`);
      if (ms < startMs) return time;
      // The time is cut to its second, and what happens right after a step belongs to that step.
      const { offsetMs } = this.#steps.findLast(({ fromMs }) => fromMs <= ms + 999) ?? this.#steps[0]!;
      return new Date(ms + offsetMs).toISOString().slice(0, 19);
    });
  }
}
