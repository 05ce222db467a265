import { type Clock, systemClock } from '../clock/index.ts';

export interface WorkQueueMetrics {
  onDepth?(depth: number): void;
  onAdd?(): void;
  /** Seconds a key waited for a worker. */
  onLatency?(seconds: number): void;
  /** Seconds a worker spent on a key. */
  onWork?(seconds: number): void;
  onRetry?(): void;
}

export interface WorkQueueOptions {
  clock?: Clock;
  /** First and longest delay after failures of a key; milliseconds. */
  backoff?: { baseMs: number; capMs: number };
  /** From 0 to 1, for jitter. */
  random?: () => number;
  metrics?: WorkQueueMetrics;
  /** Called whenever the last key is done. */
  onIdle?: () => void;
}

export interface RunOptions {
  concurrency: number;
  signal: AbortSignal;
  /** A key whose processing throws is put back as by `addRateLimited`; who wants to know why catches before. */
  process: (key: string) => Promise<void>;
}

/**
 * Keys to be looked at. A key is in the queue once however often it is added, and never with two workers at
 * once: added while it is worked on, it comes again afterwards.
 */
export class WorkQueue {
  readonly #clock: Clock;
  readonly #backoff: { baseMs: number; capMs: number };
  readonly #random: () => number;
  readonly #metrics: WorkQueueMetrics;
  readonly #onIdle: () => void;
  /** Waiting keys in order of arrival, with the time they came. */
  readonly #ready = new Map<string, number>();
  readonly #working = new Set<string>();
  readonly #again = new Set<string>();
  readonly #failures = new Map<string, number>();
  readonly #delayed = new DelayHeap();
  #cancelTimer: (() => void) | undefined;
  #timerAt = Number.POSITIVE_INFINITY;
  #wake: (() => void)[] = [];

  constructor({
    clock = systemClock,
    backoff = { baseMs: 50, capMs: 60_000 },
    random = Math.random,
    metrics = {},
    onIdle = () => {},
  }: WorkQueueOptions = {}) {
    this.#clock = clock;
    this.#backoff = backoff;
    this.#random = random;
    this.#metrics = metrics;
    this.#onIdle = onIdle;
  }

  /** Keys that wait for a worker. */
  get depth(): number {
    return this.#ready.size;
  }

  /** Whether no key waits for a worker or is with one. */
  get idle(): boolean {
    return this.#ready.size === 0 && this.#working.size === 0;
  }

  add(key: string): void {
    this.#metrics.onAdd?.();
    if (this.#working.has(key)) {
      this.#again.add(key);
      return;
    }
    if (this.#ready.has(key)) return;
    this.#ready.set(key, this.#clock.monotonic());
    this.#metrics.onDepth?.(this.#ready.size);
    this.#wake.shift()?.();
  }

  /** Adds the key after the delay; of several delays of a key the earliest counts. */
  addAfter(key: string, delayMs: number): void {
    if (delayMs <= 0) {
      this.add(key);
      return;
    }
    this.#delayed.push(key, this.#clock.monotonic() + delayMs);
    this.#arm();
  }

  /** Adds the key after a delay that doubles with each failure of it; keys that fail together come back apart. */
  addRateLimited(key: string): void {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    this.#metrics.onRetry?.();
    const { baseMs, capMs } = this.#backoff;
    const longestMs = Math.min(capMs, baseMs * 2 ** Math.min(failures, 30));
    this.addAfter(key, longestMs / 2 + (this.#random() * longestMs) / 2);
  }

  /** The key succeeded: its next failure starts from the first delay. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** Works until the signal, then lets what is under way finish. */
  async run({ concurrency, signal, process }: RunOptions): Promise<void> {
    const wakeAll = () => {
      for (const wake of this.#wake.splice(0)) wake();
    };
    signal.addEventListener('abort', wakeAll, { once: true });
    const worker = async () => {
      while (!signal.aborted) {
        const next = this.#ready.entries().next().value;
        if (!next) {
          await new Promise<void>((resolve) => this.#wake.push(resolve));
          continue;
        }
        const [key, since] = next;
        this.#ready.delete(key);
        this.#working.add(key);
        this.#metrics.onDepth?.(this.#ready.size);
        const started = this.#clock.monotonic();
        this.#metrics.onLatency?.((started - since) / 1000);
        try {
          await process(key);
        } catch {
          this.addRateLimited(key);
        } finally {
          this.#working.delete(key);
          this.#metrics.onWork?.((this.#clock.monotonic() - started) / 1000);
          if (this.#again.delete(key)) this.add(key);
          if (this.idle) this.#onIdle();
        }
      }
    };
    await Promise.all(Array.from({ length: concurrency }, worker));
    signal.removeEventListener('abort', wakeAll);
    this.#cancelTimer?.();
    this.#timerAt = Number.POSITIVE_INFINITY;
  }

  #arm(): void {
    const at = this.#delayed.earliest();
    if (at === undefined || at >= this.#timerAt) return;
    this.#cancelTimer?.();
    this.#timerAt = at;
    this.#cancelTimer = this.#clock.after(at - this.#clock.monotonic(), () => {
      this.#timerAt = Number.POSITIVE_INFINITY;
      const now = this.#clock.monotonic();
      for (const key of this.#delayed.popDue(now)) this.add(key);
      this.#arm();
    });
  }
}

/** A binary heap of due times; a key counts at its earliest. */
class DelayHeap {
  readonly #heap: { key: string; at: number }[] = [];
  readonly #due = new Map<string, number>();

  earliest(): number | undefined {
    return this.#heap[0]?.at;
  }

  push(key: string, at: number): void {
    const known = this.#due.get(key);
    if (known !== undefined && known <= at) return;
    this.#due.set(key, at);
    const heap = this.#heap;
    let index = heap.push({ key, at }) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (heap[parent]!.at <= heap[index]!.at) break;
      [heap[parent], heap[index]] = [heap[index]!, heap[parent]!];
      index = parent;
    }
  }

  *popDue(now: number): Generator<string> {
    while (this.#heap[0] && this.#heap[0].at <= now) {
      const { key, at } = this.#pop();
      // An entry that an earlier one overtook is stale.
      if (this.#due.get(key) !== at) continue;
      this.#due.delete(key);
      yield key;
    }
  }

  #pop(): { key: string; at: number } {
    const heap = this.#heap;
    const top = heap[0]!;
    const last = heap.pop()!;
    if (heap.length === 0) return top;
    heap[0] = last;
    let index = 0;
    for (;;) {
      const left = 2 * index + 1;
      const right = left + 1;
      let least = index;
      if (left < heap.length && heap[left]!.at < heap[least]!.at) least = left;
      if (right < heap.length && heap[right]!.at < heap[least]!.at) least = right;
      if (least === index) return top;
      [heap[index], heap[least]] = [heap[least]!, heap[index]!];
      index = least;
    }
  }
}
