import { type Clock, systemClock } from '../clock/index.ts';
import { Retrier } from '../clock/retry.ts';
import { type Notice, type NoticeRequest, type Receiver, requestOf } from './notice.ts';

export interface SendLimits {
  /** All tries of one notice to one receiver together; milliseconds. */
  readonly totalMs: number;
  /** One try; milliseconds. */
  readonly tryMs: number;
}

/** Short, because the pod of a finished run stays until it has told everybody. */
export const SEND_LIMITS: SendLimits = { totalMs: 15_000, tryMs: 5_000 };

/** A receiver that did not take a notice. The message never holds its URL, which is a secret. */
class NotTaken extends Error {
  readonly transient: boolean;
  constructor(message: string, transient: boolean) {
    super(message);
    this.transient = transient;
  }
}

/**
 * Tells every receiver, all at the same time, and tries again what may succeed later. Never throws.
 * @returns `NAME: why` for each receiver that was not told.
 */
export async function sendNotice(
  receivers: readonly Receiver[],
  notice: Notice,
  {
    limits = SEND_LIMITS,
    clock = systemClock,
    signal,
  }: { limits?: SendLimits; clock?: Clock; signal?: AbortSignal } = {},
): Promise<string[]> {
  const end = AbortSignal.timeout(limits.totalMs);
  const stop = signal ? AbortSignal.any([signal, end]) : end;
  const told = receivers.map(async (receiver) => {
    const request = requestOf(receiver, notice);
    if (!request) return [];
    const retrier = new Retrier({ totalMs: limits.totalMs, baseMs: 250, capMs: 4_000 }, clock);
    try {
      const isTransient = (error: unknown) => error instanceof NotTaken && error.transient;
      await retrier.run(() => post(request, limits.tryMs, stop), isTransient, stop);
      return [];
    } catch (error) {
      const why = error instanceof NotTaken ? error.message : 'it did not answer in time';
      return [`${receiver.name}: ${why}`];
    }
  });
  return (await Promise.all(told)).flat();
}

async function post({ url, ...request }: NoticeRequest, tryMs: number, stop: AbortSignal): Promise<void> {
  let status: number;
  try {
    // A redirect could lead the notice, and its signature, to somebody else.
    const response = await fetch(url, {
      ...request,
      redirect: 'manual',
      signal: AbortSignal.any([stop, AbortSignal.timeout(tryMs)]),
    });
    status = response.status;
    await response.body?.cancel();
  } catch (error) {
    stop.throwIfAborted();
    throw new NotTaken(`no answer (${reasonOf(error)})`, true);
  }
  if (status >= 200 && status < 300) return;
  if (status >= 300 && status < 400) throw new NotTaken(`HTTP ${status}: redirects are not followed`, false);
  throw new NotTaken(`HTTP ${status}`, status >= 500 || status === 408 || status === 429);
}

/** The system's code, such as ECONNREFUSED. The message of fetch could hold the host. */
function reasonOf(error: unknown): string {
  if (error instanceof Error && error.name === 'TimeoutError') return 'timeout';
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error && 'code' in cause ? String(cause.code) : 'connection failed';
}
