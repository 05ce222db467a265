import { isSystemError } from '../../posix/system-error.ts';
import { type ArchiveInfo, archiveInfo } from '../destination/inventory.ts';
import { ArchiveError, type Reason, readError } from '../errors.ts';
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
  /** It has no manifest: checksums of the compression, and the structure of the tar. */
  | 'structure';

/** What is known of an archive after reading it. Only `damaged` says something bad about its content. */
export type VerificationState = 'sound' | 'damaged' | 'unreadable' | 'missing';

export interface Verification {
  readonly archive: string;
  readonly state: VerificationState;
  readonly sound: boolean;
  /** Undefined when nothing could be read. */
  readonly against: VerifiedAgainst | undefined;
  readonly entries: number;
  readonly bytes: number;
  /** Files that the run which made the archive named as not captured faithfully. */
  readonly warnings: number;
  /** Zero bytes after its end, harmless to every reader. */
  readonly paddingBytes: number;
  /** What is wrong; undefined when it is sound. */
  readonly problem: string | undefined;
}

export interface VerifyOptions {
  readonly deep: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly threads?: number | undefined;
  /** Of the archive's size: compressed bytes checked so far. */
  readonly progress?: ((bytes: number) => void) | undefined;
}

const stateOf: Partial<Record<Reason, VerificationState>> = {
  ArchiveCorrupt: 'damaged',
  ManifestInvalid: 'damaged',
  RestoreRefused: 'damaged',
  ArchiveUnreadable: 'unreadable',
  ArchiveMissing: 'missing',
};

const BATCH_BYTES = 8 * 1024 * 1024;

/**
 * Reads one archive whole and says whether it is sound. Gives a verdict on every path, so that one bad archive does not
 * keep others from being checked.
 * @throws the signal's reason, and what only a fault of km-backup itself can cause.
 */
export async function verifyArchive(file: string, options: VerifyOptions): Promise<Verification> {
  let info: ArchiveInfo | undefined;
  let entries = 0;
  let failure: ArchiveError | undefined;
  try {
    info = archiveInfo(file);
    if (info.problem !== undefined) throw new ArchiveError(reasonOf(info), info.problem);
    entries = info.summary ? await againstManifest(info, options) : await structure(info, options);
  } catch (error) {
    options.signal?.throwIfAborted();
    if (!(error instanceof ArchiveError) && !isSystemError(error)) throw error;
    failure = readError(error, file);
    if (stateOf[failure.reason] === undefined) throw error;
  }
  return {
    archive: file,
    state: failure ? stateOf[failure.reason]! : 'sound',
    sound: failure === undefined,
    against: info && basisOf(info, options.deep),
    entries: failure ? 0 : entries,
    bytes: info?.sizeBytes ?? 0,
    warnings: info?.summary?.warnings.count ?? 0,
    paddingBytes: info?.paddingBytes ?? 0,
    problem: failure?.message,
  };
}

function reasonOf({ class: kind }: ArchiveInfo): Reason {
  return kind === 'unreadable' ? 'ArchiveUnreadable' : 'ArchiveCorrupt';
}

function basisOf({ hasManifest, class: kind }: ArchiveInfo, deep: boolean): VerifiedAgainst | undefined {
  if (kind === 'unreadable') return undefined;
  if (!hasManifest) return 'structure';
  return deep ? 'manifest-deep' : 'manifest';
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
    // Handled where it is awaited.
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
