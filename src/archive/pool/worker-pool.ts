import { Worker } from 'node:worker_threads';
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

/** Jobs a thread holds besides the one it works on, so that it never waits for the next. */
const READY = 1;

/** Worker threads that start when there is work for them. `J`: the jobs they are asked to do. */
export class WorkerPool<J extends Jobs> implements AsyncDisposable {
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

  /** @throws what the job throws, with class `ArchiveError`, message and `code` kept. */
  run<K extends keyof J & string>(kind: K, input: Parameters<J[K]>[0]): Promise<ReturnType<J[K]>> {
    const id = this.#nextId++;
    const answer = new Promise<unknown>((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    // A failure is seen by whoever awaits the job; until then it must not count as unhandled.
    answer.catch(() => {});
    this.#queue.push({ id, kind, input });
    this.#dispatch();
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
    const worker = new Worker(WORKER_ENTRY, {
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
