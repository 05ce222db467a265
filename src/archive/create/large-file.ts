import { closeSync } from 'node:fs';
import { isSystemError } from '../../posix/system-error.ts';
import type { Entry } from '../format/entry.ts';
import { encodeEntry } from '../format/entry-line.ts';
import type { Member } from '../format/manifest.ts';
import { encodeHeader, packedSize } from '../format/tar-header.ts';
import type { WorkerPool } from '../pool/worker-pool.ts';
import { PART_BYTES } from './chunker.ts';
import type { CreateJobs } from './jobs.ts';
import type { MemberWriter } from './member-writer.ts';
import { type PackSettings, packRaw, withXattrs } from './pack-member.ts';
import type { PackedPart } from './pack-part.ts';
import type { PreviousUnit } from './previous.ts';
import {
  describeContent,
  describeOpen,
  identityOf,
  openSource,
  READ_ATTEMPTS,
  unchanged,
} from './source-file.ts';
import { xattrsOfFile } from './source-xattrs.ts';
import type { Found } from './walk.ts';
import { CHANGED_UNDER_READ, NOT_A_FILE_ANY_MORE, readWarning, type Warn } from './warning.ts';

export interface LargeFileContext {
  readonly root: number;
  readonly writer: MemberWriter;
  readonly pool: WorkerPool<CreateJobs>;
  readonly settings: PackSettings;
  readonly signal: AbortSignal | undefined;
  readonly warn: Warn;
  /** `bytes`: of this file, read so far. */
  readonly progress: (bytes: number) => void;
}

export interface StoredLargeFile {
  readonly size: number;
  readonly reusedBytes: number;
  /** Whether a different file was there than the one that was listed. */
  readonly replaced: boolean;
}

/**
 * Writes a file that has members of its own. Slices whose content did not change are copied from the previous archive.
 * @returns undefined if it could not be stored; a warning says why
 */
export async function packLargeFile(
  context: LargeFileContext,
  found: Found,
  old: PreviousUnit | undefined,
): Promise<StoredLargeFile | undefined> {
  const { root, writer, warn } = context;
  const { path } = found.entry;
  const before = writer.mark();
  let fd: number;
  try {
    fd = openSource(root, path);
  } catch (error) {
    warn(readWarning(error, path));
    return undefined;
  }
  try {
    return await packOpen(context, found, fd, old);
  } catch (error) {
    if (!(error instanceof UnreadableSource)) throw error;
    writer.rewind(before);
    warn(readWarning(error.cause, path));
    return undefined;
  } finally {
    closeSync(fd);
  }
}

async function packOpen(
  context: LargeFileContext,
  { entry: { path }, identity }: Found,
  fd: number,
  old: PreviousUnit | undefined,
): Promise<StoredLargeFile | undefined> {
  const { writer, settings, warn } = context;
  const start = writer.mark();
  for (let attempt = 1; ; attempt++) {
    const now = fromSource(() => describeOpen(path, fd));
    if (!now) {
      warn({ kind: 'vanished', path, message: NOT_A_FILE_ANY_MORE });
      return undefined;
    }
    const described = fromSource(() => describeContent(now.entry, fd, now.status.blocks));
    const found = xattrsOfFile(fd, path);
    const parts = Math.ceil(packedSize(described) / PART_BYTES);
    const entry: Entry = { ...withXattrs(described, found), parts };
    const header = writer.append('header', packRaw(encodeHeader(entry), settings, writer.position));
    const { members, complete, reusedBytes } = await packParts(context, entry, fd, parts, old);
    const steady = complete && unchanged(now.status, fd);
    if (!steady && attempt < READ_ATTEMPTS) {
      writer.rewind(start);
      continue;
    }
    if (!steady) warn({ kind: 'changed', path, message: CHANGED_UNDER_READ });
    if (found.problem !== undefined) warn({ kind: 'xattrs', path, message: found.problem });
    writer.record(header, encodeEntry({ ...entry, ...(steady ? {} : { inconsistent: true as const }) }));
    for (const member of members) writer.record(member, '');
    const replaced = identity !== undefined && identity !== identityOf(now.status);
    return { size: entry.size, reusedBytes, replaced };
  }
}

/** Packs the slices of an open file in parallel and appends them in order. */
async function packParts(
  { writer, pool, settings, signal, progress }: LargeFileContext,
  entry: Entry,
  fd: number,
  count: number,
  old: PreviousUnit | undefined,
): Promise<{ members: Member[]; complete: boolean; reusedBytes: number }> {
  const known = old?.members[0]?.kind === 'header' ? old.members.slice(1) : [];
  const size = packedSize(entry);
  const ahead: Promise<PackedPart>[] = [];
  const members: Member[] = [];
  let complete = true;
  let reusedBytes = 0;
  let next = 0;
  const send = (index: number, knownSha256?: string) => {
    const start = index * PART_BYTES;
    const length = Math.min(PART_BYTES, size - start);
    return pool.run('part', { fd, entry, start, length, known: knownSha256, settings });
  };
  try {
    for (let index = 0; index < count; index++) {
      for (; next < count && ahead.length < pool.size + 2; next++) {
        ahead.push(send(next, known[next]?.rawSha256));
      }
      signal?.throwIfAborted();
      let part = await ahead.shift()!.catch(unreadable);
      complete &&= part.complete;
      const copied = part.member ? undefined : writer.appendCopy(known[index]!);
      if (copied) {
        members.push(copied);
        reusedBytes += copied.size;
      } else {
        if (!part.member) {
          part = await send(index).catch(unreadable);
          complete &&= part.complete;
        }
        members.push({ ...writer.append('part', part.member!), rawSha256: part.rawSha256 });
      }
      progress(Math.min(entry.size, next * PART_BYTES));
    }
  } finally {
    // The descriptor may be closed only once no thread reads from it.
    await Promise.allSettled(ahead);
  }
  return { members, complete, reusedBytes };
}

/** A large file that cannot be read; `cause` is the system's error. */
class UnreadableSource extends Error {}

/** A part job reads the source and nothing else, so the kernel's errors are about the source. */
function unreadable(error: unknown): never {
  if (!isSystemError(error)) throw error;
  throw new UnreadableSource('a source file cannot be read', { cause: error });
}

function fromSource<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    return unreadable(error);
  }
}
