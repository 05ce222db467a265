/** The calls under way: their cancellation, their progress notifications, and the end of the server. */
import { ArchiveError } from '../archive/index.ts';
import type { Progress } from './tool.ts';

const CANCELLED = 'Cancelled by the client. What was unfinished was removed.';
const ENDED = 'Stopped because the server ends. What was unfinished was removed.';

export class Calls {
  readonly #running = new Set<Promise<unknown>>();
  readonly #end = new AbortController();

  /** Runs one call until it has cleaned up, even if nobody waits for its answer any more. */
  async run<T>(cancelled: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const controller = new AbortController();
    const cancel = () => controller.abort(new ArchiveError('Cancelled', CANCELLED));
    const end = () => controller.abort(new ArchiveError('Cancelled', ENDED));
    if (cancelled.aborted) cancel();
    if (this.#end.signal.aborted) end();
    cancelled.addEventListener('abort', cancel, { once: true });
    this.#end.signal.addEventListener('abort', end, { once: true });
    const running = work(controller.signal);
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
      cancelled.removeEventListener('abort', cancel);
      this.#end.signal.removeEventListener('abort', end);
    }
  }

  /** Cancels every call, and waits until each has cleaned up. */
  async end(): Promise<void> {
    this.#end.abort();
    await Promise.allSettled(this.#running);
  }
}

const INTERVAL_MS = 200;

export interface ProgressParams {
  readonly progress: number;
  readonly total?: number;
  readonly message: string;
}

/**
 * Passes progress on at most five times a second. Its number only rises, as the protocol demands, although a run has
 * several phases that each start from zero: a phase starts where the one before it ended.
 */
export function progressSender(
  send: (params: ProgressParams) => void,
  now: () => number = () => performance.now(),
): (progress: Progress) => void {
  let due = Number.NEGATIVE_INFINITY;
  let before = 0;
  let last = 0;
  let sent = -1;
  let phase: string | undefined;
  return ({ done, total, message }) => {
    if (done < last) before += last;
    last = done;
    const begins = message !== phase;
    if (!begins && now() < due) return;
    const progress = before + done;
    if (progress <= sent) return;
    due = now() + INTERVAL_MS;
    phase = message;
    sent = progress;
    send({ progress, ...(total !== undefined && total >= done && { total: before + total }), message });
  };
}
