export interface ConcurrencyLimits {
  /** In all namespaces together. */
  total: number;
  /** In each namespace. */
  perNamespace: number;
}

export type SlotAnswer = { granted: true } | { granted: false; message: string };

/**
 * The limits on concurrent runs. Waiting runs are served namespace by namespace in turn, and in order of arrival
 * within each, so that a namespace with a thousand schedules does not starve its neighbours. Rebuilt from the cluster
 * at every start.
 */
export class ConcurrencyLimiter {
  readonly #limits: ConcurrencyLimits;
  readonly #onGrant: (key: string) => void;
  readonly #held = new Map<string, string>();
  readonly #heldByNamespace = new Map<string, number>();
  /** Waiting runs by namespace: namespaces in the order of their turn, runs in order of arrival. */
  readonly #waiting = new Map<string, Set<string>>();

  /** @param onGrant Called with a waiting run that may start now. */
  constructor(limits: ConcurrencyLimits, onGrant: (key: string) => void) {
    this.#limits = limits;
    this.#onGrant = onGrant;
  }

  get running(): number {
    return this.#held.size;
  }

  get waiting(): number {
    let count = 0;
    for (const keys of this.#waiting.values()) count += keys.size;
    return count;
  }

  /** Counts a run that is already active, even beyond the limits. */
  hold(key: string, namespace: string): void {
    if (this.#held.has(key)) return;
    this.#forgetWaiting(key, namespace);
    this.#held.set(key, namespace);
    this.#heldByNamespace.set(namespace, (this.#heldByNamespace.get(namespace) ?? 0) + 1);
  }

  /** Lets the run start, or puts it in the queue. */
  request(key: string, namespace: string): SlotAnswer {
    if (this.#held.has(key)) return { granted: true };
    if (this.#hasRoom(namespace) && this.#isNext(key, namespace)) {
      this.hold(key, namespace);
      return { granted: true };
    }
    const queue = this.#waiting.get(namespace) ?? new Set();
    queue.add(key);
    this.#waiting.set(namespace, queue);
    const { total, perNamespace } = this.#limits;
    const message =
      this.#held.size >= total
        ? `Waits for room: ${total} runs are active, the most this operator starts at once.`
        : `Waits for room: ${perNamespace} runs are active in this namespace, the most this operator starts at once.`;
    return { granted: false, message };
  }

  /** The run has ended, or no longer wants to start. */
  release(key: string, namespace: string): void {
    this.#forgetWaiting(key, namespace);
    if (!this.#held.delete(key)) return;
    const left = (this.#heldByNamespace.get(namespace) ?? 1) - 1;
    if (left > 0) this.#heldByNamespace.set(namespace, left);
    else this.#heldByNamespace.delete(namespace);
    this.#grantNext();
  }

  #hasRoom(namespace: string): boolean {
    return (
      this.#held.size < this.#limits.total &&
      (this.#heldByNamespace.get(namespace) ?? 0) < this.#limits.perNamespace
    );
  }

  /** Whether no run that could start now waits ahead of this one. */
  #isNext(key: string, namespace: string): boolean {
    for (const [other, queue] of this.#waiting) {
      if (!this.#hasRoom(other)) continue;
      if (other !== namespace) return false;
      return queue.values().next().value === key;
    }
    return true;
  }

  #grantNext(): void {
    for (const [namespace, queue] of this.#waiting) {
      if (!this.#hasRoom(namespace)) continue;
      const key = queue.values().next().value;
      if (key === undefined) continue;
      this.hold(key, namespace);
      // Move the namespace to the end, so that another one has the next turn.
      const rest = this.#waiting.get(namespace);
      if (rest) {
        this.#waiting.delete(namespace);
        this.#waiting.set(namespace, rest);
      }
      this.#onGrant(key);
      return;
    }
  }

  #forgetWaiting(key: string, namespace: string): void {
    const queue = this.#waiting.get(namespace);
    queue?.delete(key);
    if (queue?.size === 0) this.#waiting.delete(namespace);
  }
}
