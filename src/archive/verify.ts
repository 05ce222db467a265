import { statSync } from 'node:fs';
import path from 'node:path';
import { codeOf, isSystemError } from '../posix/system-error.ts';
import { ArchiveError, type Reason } from './errors.ts';
import { type ArchiveInfo, inspect } from './inventory.ts';
import { manifestNameOf } from './managed-name.ts';
import { type MemberEntries, readManifest } from './manifest.ts';
import { compressionOf, readTar } from './restore-source.ts';
import { WorkerPool } from './worker-pool.ts';

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

export function archiveInfo(file: string): ArchiveInfo {
  let stats: ReturnType<typeof statSync>;
  try {
    stats = statSync(file);
  } catch (error) {
    throw new ArchiveError('ArchiveMissing', `${file} cannot be read (${codeOf(error) ?? error}).`, {
      cause: error,
    });
  }
  if (!stats?.isFile()) throw new ArchiveError('ArchiveMissing', `${file} is no file.`);
  return inspect({ name: path.basename(file), path: file, sizeBytes: stats.size, modifiedAt: stats.mtime });
}

async function againstManifest(
  info: ArchiveInfo,
  { deep, signal, threads, progress }: VerifyOptions,
): Promise<number> {
  const summary = info.summary!;
  await using pool = new WorkerPool(threads);
  const running: Promise<unknown>[] = [];
  let batch: MemberEntries[] = [];
  let batchBytes = 0;
  let checked = 0;
  const send = async () => {
    const bytes = batchBytes;
    const members = batch.map(({ member, lines }) => ({ member, lines: deep ? lines : '' }));
    batch = [];
    batchBytes = 0;
    const job = { kind: 'verify', path: info.path, members, compression: summary.compression, deep } as const;
    const answer = pool.run(job).then(() => {
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
