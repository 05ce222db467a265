export interface BackoffOptions {
  baseMs: number;
  capMs: number;
  random?: () => number;
}

/** Exponential delays with jitter: each is between half and all of `base * 2^n`, with a cap. */
export class Backoff {
  readonly #options: Required<BackoffOptions>;
  #failures = 0;

  constructor(options: BackoffOptions) {
    this.#options = { random: Math.random, ...options };
  }

  /**
   * Counts a failure and returns how long to wait, in milliseconds.
   * @param retryAfterMs What the server asked for: the least that is returned.
   */
  next(retryAfterMs = 0): number {
    const { baseMs, capMs, random } = this.#options;
    const ceiling = Math.min(capMs, baseMs * 2 ** Math.min(this.#failures, 30));
    this.#failures += 1;
    return Math.max(retryAfterMs, ceiling / 2 + (random() * ceiling) / 2);
  }

  reset(): void {
    this.#failures = 0;
  }
}
