/** Holds transfers below a number of bytes a second, for all of a process's requests together. */
import { type Clock, sleep, systemClock } from '../clock/index.ts';

export class Throttle {
  readonly #bytesPerSecond: number;
  readonly #clock: Clock;
  /** When what was taken so far will have passed; monotonic milliseconds. */
  #freeAt = 0;

  constructor(bytesPerSecond: number, clock: Clock = systemClock) {
    this.#bytesPerSecond = bytesPerSecond;
    this.#clock = clock;
  }

  /** Waits until `bytes` may pass. */
  async take(bytes: number, signal?: AbortSignal): Promise<void> {
    const now = this.#clock.monotonic();
    const start = Math.max(now, this.#freeAt);
    this.#freeAt = start + (bytes / this.#bytesPerSecond) * 1000;
    if (start > now) await sleep(this.#clock, start - now, signal);
  }
}
