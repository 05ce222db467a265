import { setImmediate } from 'node:timers/promises';
import type { WorkerPool } from '../pool/worker-pool.ts';
import type { RestoreJobs } from './jobs.ts';

/** Jobs queued for each thread: one running, two ready. */
const AHEAD = 3;

type Input<K extends keyof RestoreJobs> = Parameters<RestoreJobs[K]>[0];
type Result<K extends keyof RestoreJobs> = ReturnType<RestoreJobs[K]>;

interface Options<K extends keyof RestoreJobs> {
  readonly kind: K;
  /** The same job on this thread. */
  readonly here: (input: Input<K>) => Result<K>;
  readonly pool: WorkerPool<RestoreJobs>;
  readonly signal: AbortSignal | undefined;
}

/** Jobs of one kind on all threads, this one included. */
export class SharedWork<K extends keyof RestoreJobs> {
  readonly #options: Options<K>;
  readonly #running = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;

  constructor(options: Options<K>) {
    this.#options = options;
  }

  /**
   * Runs a job in another thread, or here if they all have enough to do.
   *
   * @param finish Gets its result, in any order.
   * @throws What an earlier job threw, or the reason of an abort.
   */
  async send(input: Input<K>, finish: (result: Result<K>) => void): Promise<void> {
    const { kind, here, pool, signal } = this.#options;
    if (this.#failure) throw this.#failure.error;
    signal?.throwIfAborted();
    if (this.#running.size >= AHEAD * pool.size) {
      finish(here(input));
      // Lets answers and signals in.
      return await setImmediate();
    }
    const answered = pool
      .run(kind, input)
      .then((result) => finish(result as Result<K>))
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => this.#running.delete(answered));
    this.#running.add(answered);
  }

  /** Waits for all jobs; throws what the first of them threw. */
  async settle(): Promise<void> {
    await this.stop();
    if (this.#failure) throw this.#failure.error;
  }

  /** Waits until no thread works any more, whatever came of it. */
  async stop(): Promise<void> {
    while (this.#running.size > 0) await Promise.race(this.#running);
  }
}
