import { setImmediate } from 'node:timers/promises';

const MAX_STRETCH_MS = 20;

/**
 * Keeps long loops of synchronous calls interruptible. Call `if (pauses.due) await pauses.take()` per item:
 * timers and signals then run at least every 20 ms.
 */
export class Pauses {
  readonly #signal: AbortSignal | undefined;
  #since = performance.now();

  /** @param signal When aborted, `take` throws its reason. */
  constructor(signal?: AbortSignal) {
    this.#signal = signal;
  }

  get due(): boolean {
    return performance.now() - this.#since > MAX_STRETCH_MS;
  }

  async take(): Promise<void> {
    await setImmediate();
    this.#since = performance.now();
    this.#signal?.throwIfAborted();
  }
}
