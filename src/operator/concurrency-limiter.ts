export interface ConcurrencyLimits {
  /** Runs at once, in all. */
  total: number;
  /** Runs at once in one namespace. */
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
  /** Namespaces in the order of their turn; each with its runs in order of arrival. */
  readonly #waiting = new Map<string, Set<string>>();

  /** `onGrant` is told of a waiting run that got a slot. */
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

  /** Takes a slot for a run that already runs, whatever the cap says. */
  hold(key: string, namespace: string): void {
    if (this.#held.has(key)) return;
    this.#forgetWaiting(key, namespace);
    this.#held.set(key, namespace);
    this.#heldByNamespace.set(namespace, (this.#heldByNamespace.get(namespace) ?? 0) + 1);
  }

  /** Takes a slot, or a place in the queue. */
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

  /** Gives back the slot or the place in the queue. */
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

  /** Nobody who could run now waits before this one. */
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
      // To the end of the line: the next grant is another namespace's.
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
