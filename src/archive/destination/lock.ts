import path from 'node:path';
import { FileLock } from '../../posix/file-lock.ts';
import { ArchiveError, writeError } from '../errors.ts';
import { LOCK_NAME } from '../format/names.ts';
import { ensureDirectory } from './directory.ts';

/**
 * Takes the destination's lock, making the directory if it is missing.
 * @param waitMs how long to wait for another holder; 0 refuses at once.
 * @throws {ArchiveError} Locked when another run holds it.
 */
export async function lockDestination(
  destination: string,
  waitMs: number,
  signal: AbortSignal | undefined,
): Promise<FileLock> {
  ensureDirectory(destination);
  const file = path.join(destination, LOCK_NAME);
  let attempt: Awaited<ReturnType<typeof FileLock.lock>>;
  try {
    attempt = await FileLock.lock(file, { waitMs, ...(signal ? { signal } : {}) });
  } catch (error) {
    signal?.throwIfAborted();
    throw writeError(error, file);
  }
  if (attempt.acquired) return attempt.lock;
  const { holder } = attempt;
  const who = holder ? `process ${holder.pid} on ${holder.host}, since ${holder.since}` : 'another run';
  throw new ArchiveError('Locked', `${destination} is in use by ${who}.`);
}
