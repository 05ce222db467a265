import { type ResourceLimits, Worker } from 'node:worker_threads';
import { codeOf } from '../../posix/system-error.ts';
import { ArchiveError } from '../errors.ts';
import { allowedThreads } from './allowed-threads.ts';
import { type Failure, type Jobs, type Request, type Response, WORKER_ENTRY } from './protocol.ts';

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

interface Thread {
  readonly worker: Worker;
  readonly running: Set<number>;
}

/** Jobs that wait in a thread behind the one it runs, so that it is never idle between two. */
const READY = 1;

/** Worker threads, each started when there is work for it. `J` lists the jobs they can run. */
export class WorkerPool<J extends Jobs> implements AsyncDisposable {
  readonly size: number;
  readonly #entry: URL;
  readonly #limits: ResourceLimits;
  readonly #threads: Thread[] = [];
  readonly #queue: Request[] = [];
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 0;
  #closed = false;
  /** Set once a thread has ended early. From then on every job fails with it. */
  #failure: ArchiveError | undefined;

  /**
   * @param entry The module that each thread runs.
   * @param limits Limits of each thread's heap, which holds file lists only: contents live outside it.
   */
  constructor(
    size: number = allowedThreads(),
    entry: URL = WORKER_ENTRY,
    limits: ResourceLimits = { maxYoungGenerationSizeMb: 16 },
  ) {
    this.size = size;
    this.#entry = entry;
    this.#limits = limits;
  }

  /** How many jobs have not been answered yet. */
  get pending(): number {
    return this.#waiting.size;
  }

  /**
   * Runs a job in the thread that has the least to do. Fails with what the job throws: the message, `code` and class
   * `ArchiveError` are kept.
   * @throws {ArchiveError} OutOfResources when a thread ended and its work is lost.
   */
  run<K extends keyof J & string>(kind: K, input: Parameters<J[K]>[0]): Promise<ReturnType<J[K]>> {
    const id = this.#nextId++;
    const answer = new Promise<unknown>((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    // The caller may await the job much later. Until then its failure must not count as unhandled.
    answer.catch(() => {});
    if (this.#failure) this.#fail(this.#failure);
    else {
      this.#queue.push({ id, kind, input });
      this.#dispatch();
    }
    return answer as Promise<ReturnType<J[K]>>;
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
    const worker = new Worker(this.#entry, {
      resourceLimits: this.#limits,
      // libc opens some of the descriptors. Node.js does not know them, and would warn when they are closed.
      trackUnmanagedFds: false,
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
    worker.on('error', (error) => this.#ended(error));
    worker.on('messageerror', (error) => this.#ended(error));
    worker.on('exit', (code) => this.#ended(new Error(`it exited with status ${code}`)));
    this.#threads.push(thread);
    return thread;
  }

  /** Keeps the first cause, because an exit follows every error. */
  #ended(cause: unknown): void {
    if (this.#closed) return;
    this.#failure ??= new ArchiveError('OutOfResources', describeEnd(cause), { cause });
    this.#fail(this.#failure);
  }

  #fail(error: Error): void {
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    this.#queue.length = 0;
    for (const { reject } of waiting) reject(error);
  }
}

function describeEnd(cause: unknown): string {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return codeOf(cause) === 'ERR_WORKER_OUT_OF_MEMORY'
    ? 'A worker thread ran out of memory, so the work was stopped. Give the process more memory (for a pod: raise its memory limit), then run it again.'
    : `A worker thread ended before its work was done (${reason}), so the work was stopped.`;
}

function revive({ message, stack, code, reason }: Failure): Error {
  const error = reason ? new ArchiveError(reason, message) : new Error(message);
  if (stack !== undefined) error.stack = stack;
  return code === undefined ? error : Object.assign(error, { code });
}
