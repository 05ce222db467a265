import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { ArchiveError } from './errors.ts';
import type { Job, ResultOf } from './jobs.ts';
import type { Failure, Request, Response } from './worker.ts';

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

interface Thread {
  readonly worker: Worker;
  readonly running: Set<number>;
}

/** Jobs a thread holds besides the one it works on, so that it never waits for the next. */
const READY = 1;

/** Worker threads that start when there is work for them. */
export class WorkerPool implements AsyncDisposable {
  readonly size: number;
  readonly #threads: Thread[] = [];
  readonly #queue: Request[] = [];
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 0;
  #closed = false;

  constructor(size: number = allowedThreads()) {
    this.size = size;
  }

  /** Jobs given and not yet answered. */
  get pending(): number {
    return this.#waiting.size;
  }

  run<J extends Job>(job: J): Promise<ResultOf<J>> {
    const id = this.#nextId++;
    const answer = new Promise<unknown>((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    // A failure is seen by whoever awaits the job; until then it must not count as unhandled.
    answer.catch(() => {});
    this.#queue.push({ id, job });
    this.#dispatch();
    return answer as Promise<ResultOf<J>>;
  }

  /** Starts a thread ahead of the first job. */
  warm(): void {
    if (this.#threads.length === 0) this.#start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#fail(new ArchiveError('Internal', 'the worker threads were stopped'));
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()));
  }

  #dispatch(): void {
    while (this.#queue.length > 0) {
      const idlest = this.#threads.reduce<Thread | undefined>(
        (best, thread) => (best && best.running.size <= thread.running.size ? best : thread),
        undefined,
      );
      let thread = idlest;
      if ((!thread || thread.running.size > READY) && this.#threads.length < this.size)
        thread = this.#start();
      if (!thread || thread.running.size > READY) return;
      const request = this.#queue.shift()!;
      thread.running.add(request.id);
      thread.worker.postMessage(request);
    }
  }

  #start(): Thread {
    const worker = new Worker(new URL(`./worker${import.meta.url.slice(-3)}`, import.meta.url), {
      // The heap holds file lists only; contents live outside it.
      resourceLimits: { maxYoungGenerationSizeMb: 16 },
    });
    const thread: Thread = { worker, running: new Set() };
    worker.on('message', (response: Response) => {
      thread.running.delete(response.id);
      const waiting = this.#waiting.get(response.id);
      this.#waiting.delete(response.id);
      this.#dispatch();
      if ('failure' in response) waiting?.reject(revive(response.failure));
      else waiting?.resolve(response.result);
    });
    worker.on('error', (error) => this.#fail(error instanceof Error ? error : new Error(String(error))));
    worker.on('exit', (code) => {
      if (!this.#closed)
        this.#fail(new ArchiveError('Internal', `a worker thread ended with status ${code}`));
    });
    this.#threads.push(thread);
    return thread;
  }

  #fail(error: Error): void {
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    this.#queue.length = 0;
    for (const { reject } of waiting) reject(error);
  }
}

function revive({ message, stack, code, reason }: Failure): Error {
  const error = reason ? new ArchiveError(reason, message) : new Error(message);
  if (stack !== undefined) error.stack = stack;
  return code === undefined ? error : Object.assign(error, { code });
}

/** CPUs this process may use: the scheduler's affinity, cut to the container's quota (cgroup v2 or v1). */
export function allowedThreads(): number {
  const quota = cgroupQuota();
  const cpus = availableParallelism();
  return Math.max(1, quota === undefined ? cpus : Math.min(cpus, Math.ceil(quota)));
}

function cgroupQuota(): number | undefined {
  const v2 = words('/sys/fs/cgroup/cpu.max');
  if (v2) return ratio(v2[0], v2[1]);
  const quota = words('/sys/fs/cgroup/cpu/cpu.cfs_quota_us');
  const period = words('/sys/fs/cgroup/cpu/cpu.cfs_period_us');
  return ratio(quota?.[0], period?.[0]);
}

function ratio(quota: string | undefined, period: string | undefined): number | undefined {
  const value = Number(quota) / Number(period);
  return Number.isFinite(value) && value > 0 ? value : undefined;
}

function words(path: string): string[] | undefined {
  try {
    return readFileSync(path, 'utf8').trim().split(/\s+/);
  } catch {
    return undefined;
  }
}
