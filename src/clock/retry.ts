/** Tries again what may succeed later, with full jitter, within a stated time. */
import { type Clock, sleep, systemClock } from './index.ts';

export interface RetryLimits {
  /** From the first try to the last; milliseconds. */
  readonly totalMs: number;
  readonly baseMs: number;
  readonly capMs: number;
}

const LIMITS: RetryLimits = { totalMs: 300_000, baseMs: 500, capMs: 30_000 };

export class Retrier {
  readonly #limits: RetryLimits;
  readonly #clock: Clock;

  constructor(limits: Partial<RetryLimits> = {}, clock: Clock = systemClock) {
    this.#limits = { ...LIMITS, ...limits };
    this.#clock = clock;
  }

  /** @throws what the last try threw, or what is not worth another one. */
  async run<T>(
    attempt: () => Promise<T>,
    isTransient: (error: unknown) => boolean,
    signal?: AbortSignal,
  ): Promise<T> {
    const { totalMs, baseMs, capMs } = this.#limits;
    const end = this.#clock.monotonic() + totalMs;
    for (let tries = 0; ; tries++) {
      try {
        return await attempt();
      } catch (error) {
        signal?.throwIfAborted();
        const pause = Math.random() * Math.min(capMs, baseMs * 2 ** tries);
        if (!isTransient(error) || this.#clock.monotonic() + pause > end) throw error;
        await sleep(this.#clock, pause, signal);
      }
    }
  }
}
