import fs from 'node:fs';
import { ArchiveError } from '../errors.ts';
import { display } from '../format/byte-string.ts';
import type { Entry } from '../format/entry.ts';
import { packedSize, padded } from '../format/tar-header.ts';
import type { WorkerPool } from '../pool/worker-pool.ts';
import { EntryGate, isSkipped } from './entry-gate.ts';
import { shown } from './failures.ts';
import type { RestoreJobs } from './jobs.ts';
import { type Restored, type RestoreMember, restoreMembers } from './restore-members.ts';
import { Reuse } from './reuse.ts';
import { SharedWork } from './shared-work.ts';
import type { Source } from './source.ts';
import type { StageOptions } from './stage-options.ts';
import type { StagedTree } from './staged-tree.ts';
import { bytesOf, list, type Validated } from './validate.ts';

const BATCH_ENTRIES = 128;
const BATCH_BYTES = 2 * 1024 * 1024;

/**
 * Unpacks the members of an archive by its manifest, on all threads.
 *
 * @param tree Undefined: check the contents and write nothing.
 */
export async function unpackMembers(
  source: Extract<Source, { against: 'manifest' }>,
  { totals, listing }: Validated,
  tree: StagedTree | undefined,
  { policy, owner, signal, warn, progress, written, reuse: settings }: StageOptions,
  pool: WorkerPool<RestoreJobs>,
): Promise<{ reusedBytes: number }> {
  const { info, summary } = source;
  let reusedBytes = 0;
  using reuse = tree && settings && new Reuse(settings, tree.writer);
  const shared = new SharedWork({ kind: 'restore', here: restoreMembers, pool, signal });
  const done = { files: 0, bytes: 0 };
  const report = () =>
    progress({
      phase: tree ? 'unpacking' : 'checking',
      files: done.files,
      ofFiles: totals.files,
      bytes: done.bytes,
      ofBytes: totals.dataBytes,
    });
  report();
  const finish = ({ files, bytes }: Batch, { warnings, reusedBytes: reused }: Restored) => {
    reusedBytes += reused;
    for (const { path, message } of warnings) warn(path, message);
    done.files += files;
    done.bytes += bytes;
    written?.(done.bytes - reusedBytes - (reuse?.bytes ?? 0));
    report();
  };
  const send = async (work: Batch): Promise<void> => {
    const job = {
      path: info.path,
      compression: summary.compression,
      members: work.members,
      root: tree?.root,
      policy,
      owner,
      reuse: settings,
    } as const;
    await shared.send(job, (restored) => finish(work, restored));
  };

  let batch = emptyBatch();
  const flush = async () => {
    const work = batch;
    batch = emptyBatch();
    if (work.members.length > 0) await send(work);
    else if (work.files > 0) finish(work, { warnings: [], reusedBytes: 0 });
  };

  const large: Entry[] = [];
  let current: Sliced | undefined;
  try {
    for await (const listed of listing ?? list(info.path, new EntryGate(policy))) {
      const { member, lines, noted } = listed;
      if (member.kind === 'part' && !current) throw incomplete(info.path, 'a slice of no file');
      if (member.kind !== 'part') checkSlices(info.path, current);
      let started: Sliced | undefined;
      for (const { given, admission } of noted) {
        const entry = tree?.add(admission);
        const reused =
          given.parts !== undefined && entry?.type === 'file' && (reuse?.take(given, entry) ?? false);
        if (given.parts !== undefined) {
          started = { entry: given, start: 0, bytesLeft: bytesOf(admission), reused };
        }
        if (!tree || reused || entry?.type !== 'file' || entry.parts === undefined) continue;
        const fd = tree.writer.create(entry.path);
        try {
          fs.ftruncateSync(fd, entry.size);
        } finally {
          fs.closeSync(fd);
        }
        large.push(entry);
      }
      const part = member.kind === 'part' && current && !isSkipped(current.entry) ? current : undefined;
      if (!(member.kind === 'part' ? current : started)?.reused) {
        batch.members.push({
          member,
          lines,
          ...(part ? { part: { entry: part.entry, start: part.start } } : {}),
        });
      }
      batch.entries += listed.entries;
      batch.rawBytes += member.rawSize;
      batch.files += listed.files;
      batch.bytes += listed.bytes;
      if (member.kind === 'part' && current) {
        const { entry, start, bytesLeft, reused } = current;
        const bytes = Math.min(bytesLeft, member.rawSize);
        batch.bytes += bytes;
        current = { entry, start: start + member.rawSize, bytesLeft: bytesLeft - bytes, reused };
      } else current = started;
      if (batch.entries >= BATCH_ENTRIES || batch.rawBytes >= BATCH_BYTES) await flush();
    }
    checkSlices(info.path, current);
    await flush();
    await shared.settle();
  } catch (error) {
    // The staging must not be removed under threads that still write to it.
    await shared.stop();
    throw error;
  }
  if (!tree) return { reusedBytes };
  for (const entry of large) {
    const fd = tree.writer.reopen(entry.path);
    try {
      tree.writer.finishFile(entry, fd);
    } finally {
      fs.closeSync(fd);
    }
  }
  return { reusedBytes: reusedBytes + (reuse?.bytes ?? 0) };
}

/** Members that make up one job, and their totals. */
interface Batch {
  readonly members: RestoreMember[];
  entries: number;
  rawBytes: number;
  files: number;
  bytes: number;
}

function emptyBatch(): Batch {
  return { members: [], entries: 0, rawBytes: 0, files: 0, bytes: 0 };
}

/** A large file whose slices follow in members of their own. */
interface Sliced {
  readonly entry: Entry;
  /** Where the next slice starts, in packed bytes. */
  readonly start: number;
  /** Bytes of its content still to come, without holes. */
  readonly bytesLeft: number;
  /** It was taken over from the live tree. */
  readonly reused: boolean;
}

/** @throws {ArchiveError} ManifestInvalid when the slices of a large file do not make up the whole of it. */
function checkSlices(archive: string, file: Sliced | undefined): void {
  if (!file || file.start === padded(packedSize(file.entry))) return;
  throw incomplete(
    archive,
    `${file.start} bytes of '${display(file.entry.path)}', which has ${packedSize(file.entry)}`,
  );
}

function incomplete(archive: string, what: string): ArchiveError {
  return new ArchiveError(
    'ManifestInvalid',
    `${shown(archive)}: its manifest lists ${what}. Nothing was changed.`,
  );
}
