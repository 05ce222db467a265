import { type Clock, systemClock } from '../clock/index.ts';

export interface WorkQueueMetrics {
  /** A key starts (1) or stops (-1) waiting for a worker. */
  onWaiting?(key: string, change: 1 | -1): void;
  /** Seconds a key waited for a worker. */
  onLatency?(key: string, seconds: number): void;
  /** Seconds a worker spent on a key. */
  onWork?(key: string, seconds: number): void;
  onRetry?(key: string): void;
}

export interface WorkQueueOptions {
  clock?: Clock;
  /**
   * For each priority, how long a key may wait behind more urgent ones, in milliseconds. The first priority is the most
   * urgent.
   */
  patienceMs?: readonly number[];
  /** First and longest delay after a key's failures; milliseconds. */
  backoff?: { baseMs: number; capMs: number };
  /** From 0 to 1, for jitter. */
  random?: () => number;
  metrics?: WorkQueueMetrics;
}

export interface RunOptions {
  concurrency: number;
  signal: AbortSignal;
  /**
   * Works on a key. If it throws, the key is added again by `addRateLimited`.
   * @param priority The priority with which the key waited.
   */
  process: (key: string, priority: number) => Promise<void>;
}

/**
 * A queue of keys, most urgent first, and in order of arrival within a priority. Adding a key twice queues it once, and
 * two workers never have the same key: one that is added while a worker has it is queued again afterwards.
 */
export class WorkQueue {
  readonly #clock: Clock;
  readonly #patienceMs: readonly number[];
  readonly #backoff: { baseMs: number; capMs: number };
  readonly #random: () => number;
  readonly #metrics: WorkQueueMetrics;
  /** For each priority the waiting keys, with the time they came. */
  readonly #ready: readonly Map<string, number>[];
  readonly #working = new Set<string>();
  /** Keys added while they are worked on, with their priority. */
  readonly #again = new Map<string, number>();
  readonly #failures = new Map<string, number>();
  readonly #delayed = new DelayHeap();
  #cancelTimer: (() => void) | undefined;
  #timerAt = Number.POSITIVE_INFINITY;
  #wake: (() => void)[] = [];

  constructor({
    clock = systemClock,
    patienceMs = [0],
    backoff = { baseMs: 50, capMs: 60_000 },
    random = Math.random,
    metrics = {},
  }: WorkQueueOptions = {}) {
    this.#clock = clock;
    this.#patienceMs = patienceMs;
    this.#ready = patienceMs.map(() => new Map());
    this.#backoff = backoff;
    this.#random = random;
    this.#metrics = metrics;
  }

  /** Keys that wait for a worker. */
  get depth(): number {
    return this.#ready.reduce((sum, { size }) => sum + size, 0);
  }

  /** Whether a key of a more urgent priority waits. */
  waitsBefore(priority: number): boolean {
    return this.#ready.slice(0, priority).some(({ size }) => size > 0);
  }

  add(key: string, priority = 0): void {
    if (this.#working.has(key)) {
      this.#again.set(key, Math.min(priority, this.#again.get(key) ?? priority));
      return;
    }
    const known = this.#ready.findIndex((keys) => keys.has(key));
    if (known >= 0 && known <= priority) return;
    this.#ready[priority]!.set(key, this.#ready[known]?.get(key) ?? this.#clock.monotonic());
    if (known >= 0) {
      this.#ready[known]!.delete(key);
      return;
    }
    this.#metrics.onWaiting?.(key, 1);
    this.#wake.shift()?.();
  }

  /** Adds the key after the delay. If it has several delays, the shortest counts. */
  addAfter(key: string, delayMs: number, priority = 0): void {
    if (delayMs <= 0) {
      this.add(key, priority);
      return;
    }
    this.#delayed.push(key, this.#clock.monotonic() + delayMs, priority);
    this.#arm();
  }

  /** Adds the key after a delay that doubles with each of its failures, with jitter. */
  addRateLimited(key: string, priority = 0): void {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    this.#metrics.onRetry?.(key);
    const { baseMs, capMs } = this.#backoff;
    const longestMs = Math.min(capMs, baseMs * 2 ** Math.min(failures, 30));
    this.addAfter(key, longestMs / 2 + (this.#random() * longestMs) / 2, priority);
  }

  /** The key succeeded: its next failure starts from the first delay. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** Works until the signal aborts, then finishes the keys that workers have. */
  async run({ concurrency, signal, process }: RunOptions): Promise<void> {
    const wakeAll = () => {
      for (const wake of this.#wake.splice(0)) wake();
    };
    signal.addEventListener('abort', wakeAll, { once: true });
    const worker = async () => {
      while (!signal.aborted) {
        const next = this.#next();
        if (!next) {
          await new Promise<void>((resolve) => this.#wake.push(resolve));
          continue;
        }
        const { key, priority, since } = next;
        this.#ready[priority]!.delete(key);
        this.#working.add(key);
        this.#metrics.onWaiting?.(key, -1);
        const started = this.#clock.monotonic();
        this.#metrics.onLatency?.(key, (started - since) / 1000);
        try {
          await process(key, priority);
        } catch {
          this.addRateLimited(key, priority);
        } finally {
          this.#working.delete(key);
          this.#metrics.onWork?.(key, (this.#clock.monotonic() - started) / 1000);
          const again = this.#again.get(key);
          this.#again.delete(key);
          if (again !== undefined) this.add(key, again);
        }
      }
    };
    await Promise.all(Array.from({ length: concurrency }, worker));
    signal.removeEventListener('abort', wakeAll);
    this.#cancelTimer?.();
    this.#timerAt = Number.POSITIVE_INFINITY;
  }

  /** The first key of the most urgent priority, or one that has waited longer than it may. */
  #next(): { key: string; priority: number; since: number } | undefined {
    let chosen: { key: string; priority: number; since: number } | undefined;
    const now = this.#clock.monotonic();
    for (const [priority, keys] of this.#ready.entries()) {
      const first = keys.entries().next().value;
      if (!first) continue;
      const [key, since] = first;
      if (!chosen) chosen = { key, priority, since };
      else if (now - since >= this.#patienceMs[priority]!) return { key, priority, since };
    }
    return chosen;
  }

  #arm(): void {
    const at = this.#delayed.earliest();
    if (at === undefined || at >= this.#timerAt) return;
    this.#cancelTimer?.();
    this.#timerAt = at;
    this.#cancelTimer = this.#clock.after(at - this.#clock.monotonic(), () => {
      this.#timerAt = Number.POSITIVE_INFINITY;
      const now = this.#clock.monotonic();
      for (const [key, priority] of this.#delayed.popDue(now)) this.add(key, priority);
      this.#arm();
    });
  }
}

/** A binary heap of due times. If a key has several entries, only the earliest counts. */
class DelayHeap {
  readonly #heap: { key: string; at: number }[] = [];
  readonly #due = new Map<string, { at: number; priority: number }>();

  earliest(): number | undefined {
    return this.#heap[0]?.at;
  }

  push(key: string, at: number, priority: number): void {
    const known = this.#due.get(key);
    if (known && known.at <= at) {
      known.priority = Math.min(known.priority, priority);
      return;
    }
    this.#due.set(key, { at, priority: Math.min(priority, known?.priority ?? priority) });
    const heap = this.#heap;
    let index = heap.push({ key, at }) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (heap[parent]!.at <= heap[index]!.at) break;
      [heap[parent], heap[index]] = [heap[index]!, heap[parent]!];
      index = parent;
    }
  }

  *popDue(now: number): Generator<[key: string, priority: number]> {
    while (this.#heap[0] && this.#heap[0].at <= now) {
      const { key, at } = this.#pop();
      const due = this.#due.get(key);
      // An earlier entry has replaced this one.
      if (due?.at !== at) continue;
      this.#due.delete(key);
      yield [key, due.priority];
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
