import type { ByteString } from '../format/byte-string.ts';
import type { WorkerPool } from '../pool/worker-pool.ts';
import { emptyDirectories } from './empty-directories.ts';
import type { RestoreJobs } from './jobs.ts';
import { SharedWork } from './shared-work.ts';

const BATCH_DIRECTORIES = 32;

/**
 * Deletes most of a tree on all threads. What cannot be deleted, or was not known, is left to `removeTree`.
 *
 * @param directories All that are known. Parents come before what they hold.
 */
export async function thinOut(
  root: ByteString,
  directories: readonly ByteString[],
  pool: WorkerPool<RestoreJobs>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const shared = new SharedWork({ kind: 'empty', here: (job) => emptyDirectories(job), pool, signal });
  try {
    for (let at = 0; at < directories.length; at += BATCH_DIRECTORIES) {
      await shared.send({ root, directories: directories.slice(at, at + BATCH_DIRECTORIES) }, () => {});
    }
    await shared.settle();
  } catch (error) {
    // Without its threads, `removeTree` has more to do.
    if (signal?.aborted) throw error;
  } finally {
    await shared.stop();
  }
}
