/** `setTimeout` fires at once when the delay exceeds this many milliseconds. */
export const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/** The one source of time. Tests replace it with `testing/fake-clock.ts`. */
export interface Clock {
  /** Wall clock in epoch milliseconds. It may jump in either direction. */
  now(): number;
  /** Milliseconds since an arbitrary start. Never jumps, and advances while the process is stopped. */
  monotonic(): number;
  /**
   * Calls back once after the delay.
   *
   * @param delayMs Any length; delays beyond `MAX_TIMEOUT_MS` are waited out in steps.
   * @returns A function that cancels the timer.
   */
  after(delayMs: number, callback: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => Number(process.hrtime.bigint() / 1_000_000n),
  after(delayMs, callback) {
    let timer: NodeJS.Timeout;
    const arm = (leftMs: number) => {
      const stepMs = Math.min(leftMs, MAX_TIMEOUT_MS);
      timer = setTimeout(() => (leftMs > stepMs ? arm(leftMs - stepMs) : callback()), Math.max(0, stepMs));
    };
    arm(delayMs);
    return () => clearTimeout(timer);
  },
};

/** Resolves after the delay, or at once when the signal aborts. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      cancel();
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const cancel = clock.after(delayMs, done);
    signal?.addEventListener('abort', done, { once: true });
  });
}
