export interface BackoffOptions {
  baseMs: number;
  capMs: number;
  random?: () => number;
}

/** Exponential delays with full jitter of the upper half: between half and all of `base * 2^n`, capped. */
export class Backoff {
  readonly #options: Required<BackoffOptions>;
  #failures = 0;

  constructor(options: BackoffOptions) {
    this.#options = { random: Math.random, ...options };
  }

  /** Milliseconds to wait after one more failure; never less than what the server asked for. */
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
