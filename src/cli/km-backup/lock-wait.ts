import { setTimeout as sleep } from 'node:timers/promises';
import { ArchiveError } from '../../archive/index.ts';
import { say } from './output.ts';

const POLL_MS = 500;

/**
 * Tries again from the start as long as another run holds a lock: what that run leaves decides what is left to do.
 *
 * @param seconds 0 tries once.
 */
export async function whenUnlocked<T>(
  seconds: number,
  signal: AbortSignal,
  attempt: () => Promise<T>,
): Promise<T> {
  const deadline = performance.now() + seconds * 1000;
  for (let isFirst = true; ; isFirst = false) {
    try {
      return await attempt();
    } catch (error) {
      const left = deadline - performance.now();
      if (!(error instanceof ArchiveError && error.reason === 'Locked') || left <= 0) throw error;
      if (isFirst) say(`${error.message} Waits up to ${seconds} s for that.`);
      await sleep(Math.min(left, POLL_MS), undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }
}
