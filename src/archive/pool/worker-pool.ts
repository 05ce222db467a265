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

/** Jobs that a thread holds besides the one it works on, so that it never waits for the next. */
const READY = 1;

/** Worker threads that start when there is work for them. `J`: the jobs they are asked to do. */
export class WorkerPool<J extends Jobs> implements AsyncDisposable {
  readonly size: number;
  readonly #entry: URL;
  readonly #limits: ResourceLimits;
  readonly #threads: Thread[] = [];
  readonly #queue: Request[] = [];
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 0;
  #closed = false;
  /** Once a thread has ended early, no job of this pool succeeds any more. */
  #failure: ArchiveError | undefined;

  /**
   * @param entry the module that each thread runs
   * @param limits of each thread's heap, which holds file lists only: contents live outside it
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

  /** Jobs given and not yet answered. */
  get pending(): number {
    return this.#waiting.size;
  }

  /**
   * @throws what the job throws, with class `ArchiveError`, message and `code` kept
   * @throws {ArchiveError} OutOfResources when a thread ended, with its work lost
   */
  run<K extends keyof J & string>(kind: K, input: Parameters<J[K]>[0]): Promise<ReturnType<J[K]>> {
    const id = this.#nextId++;
    const answer = new Promise<unknown>((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    // Whoever awaits the job sees its failure; until then it must not count as unhandled.
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
      // Node.js does not know the descriptors that are opened by libc, and would complain when they are closed.
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

  /** The first cause counts: an exit follows every error. */
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
