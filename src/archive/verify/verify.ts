import { isSystemError } from '../../posix/system-error.ts';
import { type ArchiveInfo, archiveInfo } from '../destination/inventory.ts';
import { ArchiveError, type Reason } from '../errors.ts';
import type { MemberEntries } from '../format/manifest.ts';
import { readManifest } from '../format/manifest-reader.ts';
import { manifestNameOf } from '../format/names.ts';
import { compressionOf, readTar } from '../format/read-tar.ts';
import { WorkerPool } from '../pool/worker-pool.ts';
import type { VerifyJobs } from './jobs.ts';

/** What the archive was compared with. */
export type VerifiedAgainst =
  /** Digest of every compressed member. */
  | 'manifest'
  /** The same, and every header and content. */
  | 'manifest-deep'
  /** There is no manifest: checksums of the compression, and the structure of the tar. */
  | 'structure';

export interface Verification {
  readonly archive: string;
  readonly sound: boolean;
  readonly against: VerifiedAgainst;
  readonly entries: number;
  readonly bytes: number;
  /** Files that the run which made the archive named as not captured faithfully. */
  readonly warnings: number;
  /** What is wrong; undefined where it is sound. */
  readonly problem: string | undefined;
}

export interface VerifyOptions {
  readonly deep: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly threads?: number | undefined;
  /** Of the archive's size: compressed bytes checked so far. */
  readonly progress?: ((bytes: number) => void) | undefined;
}

const unsound: ReadonlySet<Reason> = new Set(['ArchiveCorrupt', 'ManifestInvalid', 'RestoreRefused']);

const BATCH_BYTES = 8 * 1024 * 1024;

/** Reads one archive whole and tells whether it is sound. Throws `ArchiveMissing` where there is none. */
export async function verifyArchive(file: string, options: VerifyOptions): Promise<Verification> {
  const info = archiveInfo(file);
  const hasManifest = info.summary !== undefined || info.problem !== undefined;
  const against = hasManifest ? (options.deep ? 'manifest-deep' : 'manifest') : 'structure';
  const base = {
    archive: file,
    against,
    bytes: info.sizeBytes,
    warnings: info.summary?.warnings.count ?? 0,
  } as const;
  try {
    if (info.problem !== undefined) throw new ArchiveError('ArchiveCorrupt', info.problem);
    const entries = info.summary ? await againstManifest(info, options) : await structure(info, options);
    return { ...base, entries, sound: true, problem: undefined };
  } catch (error) {
    options.signal?.throwIfAborted();
    // One that cannot be read must not keep the others from being looked at.
    const told = error instanceof ArchiveError ? unsound.has(error.reason) : isSystemError(error);
    if (!told) throw error;
    return { ...base, entries: 0, sound: false, problem: (error as Error).message };
  }
}

async function againstManifest(
  info: ArchiveInfo,
  { deep, signal, threads, progress }: VerifyOptions,
): Promise<number> {
  const summary = info.summary!;
  await using pool = new WorkerPool<VerifyJobs>(threads);
  const running: Promise<unknown>[] = [];
  let batch: MemberEntries[] = [];
  let batchBytes = 0;
  let checked = 0;
  const send = async () => {
    const bytes = batchBytes;
    const members = batch.map(({ member, lines }) => ({ member, lines: deep ? lines : '' }));
    batch = [];
    batchBytes = 0;
    const job = { path: info.path, members, compression: summary.compression, deep } as const;
    const answer = pool.run('verify', job).then(() => {
      checked += bytes;
      progress?.(checked);
    });
    // Seen where it is awaited.
    answer.catch(() => {});
    running.push(answer);
    if (running.length > 2 * pool.size) await running.shift();
  };
  for await (const next of readManifest(manifestNameOf(info.path))) {
    signal?.throwIfAborted();
    batch.push(next);
    batchBytes += next.member.size;
    if (batchBytes >= BATCH_BYTES) await send();
  }
  if (batch.length > 0) await send();
  await Promise.all(running);
  return summary.entries;
}

async function structure(info: ArchiveInfo, { signal, progress }: VerifyOptions): Promise<number> {
  let entries = 0;
  const nothing = () => {};
  const handler = { entry: () => entries++, data: nothing, endEntry: nothing, read: progress ?? nothing };
  await readTar(info.path, compressionOf(info.path), handler, signal);
  return entries;
}
